"""What an API answers, and what the model is told of it."""

import json

import httpx2
import pytest

from gateway.tools.openapi.answers import explanation, outcome
from gateway.tools.sender import Answer


def answer(status: int, body: object, kind: str = "application/json", **headers: str) -> Answer:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Answer(status, httpx2.Headers({"content-type": kind, **headers}), raw)


@pytest.mark.parametrize(
    ("given", "output"),
    [
        (answer(200, {"result": 1, "say": "x"}), '{"result":1,"say":"x"}'),
        (answer(200, [1, "é"], "application/hal+json; charset=utf-8"), '[1,"é"]'),
        (answer(204, b""), '{"ok":true}'),
        (answer(200, b"", "text/html"), '{"ok":true}'),
        (answer(202, b""), '{"ok":true,"status":"accepted, but not done yet"}'),
        (answer(200, "grün".encode("latin-1"), "text/plain; charset=ISO-8859-1"), '"grün"'),
        (answer(200, "grün".encode(), "TEXT/PLAIN"), '"grün"'),
    ],
)
def test_a_success_is_told(given: Answer, output: str) -> None:
    told = outcome(given, write=True)
    assert (told.ok, told.output, told.detail) == (True, output, f"HTTP {given.status}")
    assert not told.say and not told.pending  # an API speaks in its own form, not in that of our webhooks


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (answer(200, b"<html>", "text/html"), "the answer is not application/json"),
        (answer(200, b"%PDF", "application/pdf"), "the answer is not application/json"),
        (answer(200, b"{"), "expecting property name"),
        (answer(200, b"x" * 9000, "text/plain"), "the text is over 8 kB"),
        (answer(200, b"\xff", "text/plain"), "the text cannot be decoded"),
        (answer(200, b"a", "text/plain; charset=no-such"), "the text cannot be decoded"),
        (answer(200, b"a", "text/plain", **{"content-encoding": "gzip"}), "compressed"),
    ],
)
def test_what_cannot_be_told_is_no_outcome(given: Answer, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        outcome(given, write=False)


def test_an_answer_too_long_is_refused_but_what_was_done_stays_done() -> None:
    long = answer(200, ["x" * 30_000])
    read, write = outcome(long, write=False), outcome(long, write=True)
    assert not read.ok and "too long for a telephone call" in read.output
    assert write.ok and write.output == '{"ok":true,"note":"done; the answer is too long to be told"}'
    assert read.detail == write.detail == "HTTP 200: over 24000 characters"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"title": "Sold out", "detail": "No suite is free."}, "Sold out: No suite is free."),
        ({"title": "Sold out", "status": 409}, "Sold out"),
        ({"message": "no such patient"}, "no such patient"),
        ({"error": {"message": "no such guest", "code": 7}}, "no such guest"),
        ({"error": "invalid_grant", "error_description": "x"}, "invalid_grant"),
        ({"detail": [{"loc": ["query", "active"], "msg": "Field required"}, "x"]}, "query.active: Field required; x"),
        ({"errors": [{"field": "start", "message": "is taken"}]}, "start: is taken"),
        ({"errors": [None, 7, {}]}, ""),
        ({"message": "x" * 5000}, "x" * 1000),
        ({"message": " "}, ""),
        (["x"], ""),
        (b"{", ""),
    ],
)
def test_errors_are_understood_in_many_forms(body: object, words: str) -> None:
    assert explanation(answer(422, body)) == words


def test_an_error_in_plain_text_is_told_and_one_in_html_is_not() -> None:
    assert explanation(answer(409, b" taken \n", "text/plain")) == "taken"
    assert explanation(answer(409, b"<h1>taken</h1>", "text/html")) == ""
