"""Whom the sample business believes, and what it keeps of calls."""

import json
from pathlib import Path

import httpx2
import pytest

from gateway.business import create_shop
from gateway.business.signature import Keys
from tests.business.shop import SAM, SECRET, STRANGER, TUESDAY, in_loop, secret, talking


def event(id_: str, kind: str = "call.ended") -> dict[str, object]:
    return {"type": kind, "id": id_, "timestamp": "2026-11-22T10:00:00Z", "data": {"call": {"id": "call_1"}, "more": 1}}


def incoming(number: str) -> dict[str, object]:
    return {"type": "call.incoming", "id": "msg_1", "data": {"call": {"id": "call_1", "from": number}}}


@pytest.mark.parametrize("path", ["/tools", "/lookup", "/events"])
@pytest.mark.parametrize(
    "wrong",
    [
        {"signed_with": secret("b")},
        {"webhook_id": "msg_2"},
        {"webhook_timestamp": "1700000000"},
        {"webhook_timestamp": "soon"},
        {"webhook_signature": ""},
        {"webhook_signature": "v1,%%%"},
    ],
    ids=["another secret", "another id", "long ago", "no time", "no signature", "no base64"],
)
@in_loop
async def test_nobody_is_believed_without_the_signature(tmp_path: Path, path: str, wrong: dict[str, str]) -> None:
    async with talking(tmp_path) as talk:
        answer = await talk.post(path, event("msg_1"), **wrong)
        assert answer.status_code == 401
        assert [(row["what"], row["signed"], row["status"]) for row in talk.rows("log")] == [(path, 0, 401)]
        assert talk.rows("events") == talk.rows("answers") == []


@in_loop
async def test_while_a_secret_is_replaced_both_are_believed(tmp_path: Path) -> None:
    async with talking(tmp_path, f"{secret('b')} {SECRET}") as talk:
        for one in (SECRET, secret("b")):
            assert (await talk.post("/events", event("msg_1"), signed_with=one)).status_code == 204
        assert (await talk.post("/events", event("msg_1"), signed_with=secret("c"))).status_code == 401


@pytest.mark.parametrize("text", ["", "   ", "whsec_%%%"])
def test_a_secret_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        Keys(text)


@in_loop
async def test_what_cannot_be_read_is_refused_without_harm(tmp_path: Path) -> None:
    async with talking(tmp_path) as talk:
        documents: list[object] = [{}, [], {"type": "call.ended"}, event("x" * 301)]
        for document in documents:
            for path in ("/tools", "/lookup", "/events"):
                assert (await talk.post(path, document)).status_code == 422
        assert (await talk.post("/events", event("y" * 600_000))).status_code == 401


@in_loop
async def test_an_event_that_comes_twice_is_kept_once(tmp_path: Path) -> None:
    async with talking(tmp_path) as talk:
        for id_ in ("one", "two", "one"):
            assert (await talk.post("/events", event(id_))).status_code == 204
        assert [row["id"] for row in talk.rows("events")] == ["one", "two"]
        assert json.loads(str(talk.rows("events")[0]["body"])) == event("one")


@in_loop
async def test_a_customer_is_known_before_the_first_word_and_a_stranger_is_not(tmp_path: Path) -> None:
    async with talking(tmp_path) as talk:
        assert (await talk.post("/lookup", incoming(SAM))).json() == {
            "context": "Today is Monday, November 23, 2026. "
            "The number belongs to a customer, Sam: order 427 is on the way.",
            "variables": {"name": "Sam"},
        }
        for number in (STRANGER, ""):
            answer = await talk.post("/lookup", incoming(number))
            assert answer.json() == {"context": "Today is Monday, November 23, 2026."}


@in_loop
async def test_the_log_is_shown_to_this_machine_only(tmp_path: Path) -> None:
    async with talking(tmp_path) as talk:
        await talk.call("book_appointment", date=TUESDAY, time="10:30")
        told = (await talk.http.get("/log")).json()
        assert [(one["what"], one["key"], one["status"]) for one in told["log"]] == [("book_appointment", "key_1", 200)]
        assert told["appointments"] == [{"date": TUESDAY, "time": "10:30", "number": SAM}]
        elsewhere = httpx2.ASGITransport(app=create_shop(talk.shop), client=("192.0.2.1", 5000))
        async with httpx2.AsyncClient(transport=elsewhere, base_url="http://shop") as http:
            assert (await http.get("/log")).status_code == 403


@in_loop
async def test_a_second_start_keeps_what_was_there(tmp_path: Path) -> None:
    async with talking(tmp_path) as talk:
        await talk.call("book_appointment", date=TUESDAY, time="10:30")
    async with talking(tmp_path) as talk:
        assert len(talk.rows("appointments")) == 1
        assert len(talk.rows("orders")) == 4
