"""What businesses answer: the result always comes through, what stands beside it only when it is right."""

import json

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.tools.replies import Reply, json_body, json_text, read_late, read_promise, read_reply
from gateway.tools.sender import Answer

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("document", "output"),
    [
        ({"result": None}, "null"),
        ({"result": "ok", "extra": 1}, '"ok"'),
        ({"result": {"say": "x"}}, '{"say":"x"}'),
        ({"status": "shipped"}, '{"status":"shipped"}'),
        ({}, "{}"),
        ([1, 2], "[1,2]"),
        ("grün", '"grün"'),
        (None, "null"),
        ({"action": "created", "id": 5}, '{"action":"created","id":5}'),  # not of our form: nothing of it is lost
        ({"say": "x", "id": 5}, '{"say":"x","id":5}'),
        ({"action": "created"}, '{"action":"created"}'),
    ],
)
def test_the_result_or_the_whole_is_for_the_model(document: object, output: str) -> None:
    assert read_reply(document) == Reply(True, output)


def test_the_whole_form() -> None:
    document = {
        "result": [1],
        "say": "  I have booked it. ",
        "variables": {"order_id": "A1", "lines": [1, {"a": None}]},
        "action": {"type": "transfer", "target": "desk"},
    }
    variables = {"order_id": "A1", "lines": [1, {"a": None}]}
    assert read_reply(document) == Reply(True, "[1]", "I have booked it.", variables, "transfer", "desk")


def test_a_form_without_a_result_does_what_it_says() -> None:
    assert read_reply({"say": "Goodbye.", "action": {"type": "hang_up"}}) == Reply(
        True, "null", "Goodbye.", {}, "hang_up"
    )


def test_null_is_as_good_as_missing() -> None:
    assert read_reply({"result": 1, "say": None, "variables": None, "action": None}) == Reply(True, "1")


@pytest.mark.parametrize(
    ("part", "note"),
    [
        ({"say": 5}, "say (not a text)"),
        ({"say": "x" * 1001}, "say (over 1000 characters)"),
        ({"variables": [1]}, "variables (not an object)"),
        ({"variables": {f"v{number}": 1 for number in range(33)}}, "variables (over 32 names)"),
        ({"variables": {"a b": 1}}, "variables (a name is not [a-zA-Z0-9_]{1,64})"),
        ({"variables": {"a\n": 1}}, "variables (a name is not [a-zA-Z0-9_]{1,64})"),
        ({"variables": {"a" * 65: 1}}, "variables (a name is not [a-zA-Z0-9_]{1,64})"),
        ({"variables": {"a": "ü" * 2100}}, "variables (over 4096 bytes)"),
        ({"action": "hang_up"}, "action (not an object with a type)"),
        ({"action": {"type": "explode"}}, "action (its type is not hang_up or transfer)"),
        ({"action": {"type": ["hang_up"]}}, "action (its type is not hang_up or transfer)"),
        ({"action": {"type": "transfer"}}, "action (transfer needs a target)"),
        ({"action": {"type": "transfer", "target": ""}}, "action (transfer needs a target)"),
        ({"action": {"type": "transfer", "target": "x" * 65}}, "action (transfer needs a target)"),
    ],
)
def test_a_wrong_part_is_left_out_and_the_rest_stays(part: dict[str, object], note: str) -> None:
    good = {"result": 1, "say": "Yes.", "variables": {"a": 1}, "action": {"type": "hang_up"}}
    reply = read_reply(good | part)
    assert (reply.ok, reply.output, reply.notes) == (True, "1", (note,))
    (wrong,) = part
    kept = {"say": reply.say, "variables": reply.variables, "action": reply.action}
    assert not kept.pop(wrong) and all(kept.values())
    assert reply.outcome("HTTP 200").detail == f"HTTP 200; left out: {note}"


def test_the_detail_names_everything_that_was_left_out_and_no_content() -> None:
    reply = read_reply({"result": 1, "say": ["secret"], "action": {"type": "secret"}})
    assert reply.outcome("HTTP 200").detail == (
        "HTTP 200; left out: say (not a text), action (its type is not hang_up or transfer)"
    )


def test_the_bounds_themselves_are_allowed() -> None:
    variables = {f"v{number}": 1 for number in range(31)} | {"a" * 64: "x"}
    reply = read_reply({"result": 1, "say": "x" * 1000, "variables": variables})
    assert len(reply.say) == 1000 and reply.variables == variables and not reply.notes


def test_of_a_long_result_the_model_gets_the_beginning_and_is_told_so() -> None:
    reply = read_reply({"result": ["x" * 30_000], "say": "Done."})
    told = json.loads(reply.output)
    assert told["note"] == "The answer is too long for a telephone call; this is its beginning."
    assert told["beginning"] == '["' + "x" * 23_998
    assert (reply.ok, reply.say, reply.notes) == (True, "Done.", ("result (all after 24000 characters)",))
    assert read_reply({"result": "x" * 23_998}).notes == ()


@given(JSON)
def test_any_json_is_read_and_can_be_sent(document: object) -> None:
    reply = read_reply(document)
    assert json.loads(reply.output.encode().decode()) == (
        document["result"] if isinstance(document, dict) and "result" in document else document
    )
    assert len(reply.say) <= 1000 and len(reply.variables) <= 32


@given(st.dictionaries(st.sampled_from(["result", "say", "variables", "action"]), JSON))
def test_any_parts_leave_the_result_alone(document: dict[str, object]) -> None:
    reply = read_reply(document)
    if "result" in document:
        assert json.loads(reply.output) == document["result"]


def test_half_a_surrogate_pair_is_escaped_and_nothing_else_is() -> None:
    assert json_text("ü\ud800😀") == '"ü\\ud800😀"'
    assert read_reply({"result": 1, "say": "a\udc00"}).say == "a?"


@pytest.mark.parametrize(
    ("body", "reply"),
    [
        (b'{"result": 1, "say": "It is done."}', Reply(True, "1", "It is done.")),
        (b'{"status": "booked"}', Reply(True, '{"status":"booked"}')),
        (b'{"error": {"message": "no room"}}', Reply(False, '{"error":{"message":"no room"}}')),
        (b'{"error": "no room"}', Reply(False, '{"error":{"message":"no room"}}')),
        (b'{"error": 5}', Reply(False, '{"error":{"message":"the system could not do it"}}')),
        (b'{"error": null, "result": 1}', Reply(True, "1")),
    ],
)
def test_a_late_result_is_the_same_form_or_an_error(body: bytes, reply: Reply) -> None:
    assert read_late(body) == reply


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000, b"NaN", b"1e999"])
def test_a_late_result_that_is_no_json_is_a_short_reason(body: bytes) -> None:
    with pytest.raises(ValueError) as caught:
        read_late(body)
    assert len(str(caught.value)) < 100


def answer(body: bytes, kind: str = "application/json", **headers: str) -> Answer:
    return Answer(200, httpx2.Headers({"content-type": kind, **headers}), body)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[1]", b'{"status": "pending"}', b'{"action": {"type": "hang_up"}}'])
def test_a_promise_needs_no_body_and_takes_no_action(body: bytes) -> None:
    reply = read_promise(answer(body))
    assert reply.pending and reply.ok and reply.action is None
    assert reply.outcome("HTTP 202").pending


@pytest.mark.parametrize("kind", ["application/json", "Application/JSON; charset=utf-8", "application/hal+json"])
def test_json_by_any_name_is_accepted(kind: str) -> None:
    assert json_body(answer(b"[1]", kind)) == [1]


@pytest.mark.parametrize(
    ("given_", "reason"),
    [
        (answer(b"1", "text/html"), "the answer is not application/json"),
        (answer(b"1", ""), "the answer is not application/json"),
        (answer(b"1", **{"content-encoding": "br"}), "the answer is compressed although identity was asked for"),
    ],
)
def test_what_is_not_plain_json_is_a_short_reason(given_: Answer, reason: str) -> None:
    with pytest.raises(ValueError, match=f"^{reason}$"):
        json_body(given_)


def test_an_empty_body_is_null_whatever_its_type() -> None:
    assert json_body(answer(b"", "text/plain")) is None
