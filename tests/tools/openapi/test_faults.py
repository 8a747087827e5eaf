"""Imported functions when the API fails: the rules of all tools hold for them too."""

import asyncio
import json
from collections.abc import Mapping

import pytest

from gateway.tools.request import ToolOutcome
from tests.tools.server import Business, Reply, answer, business

from .world import HOTEL, invoke, tools

STAY = {"house": "BGO1", "arrival": "2027-03-01", "departure": "2027-03-04", "room_type": "double"}
BOOKING = {**STAY, "guest": {"last_name": "Li"}}


def outcome(reply: Reply, name: str, arguments: Mapping[str, object], **more: object) -> tuple[ToolOutcome, Business]:
    async def main() -> tuple[ToolOutcome, Business]:
        async with asyncio.timeout(30), business(reply) as server:
            tool = tools(HOTEL, server=f"http://127.0.0.1:{server.port}", **more)[name]
            return await invoke(tool, arguments), server

    return asyncio.run(main())


async def hang_up_in_answer(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 500\r\n\r\n{")
    await writer.drain()


@pytest.mark.parametrize(
    "reply", [answer(500, {}), answer(503, {}), hang_up_in_answer, answer(200, b"<p>", kind="text/html")]
)
def test_a_booking_whose_answer_is_lost_is_unknown_and_not_sent_again(reply: Reply) -> None:
    result, server = outcome(reply, "createReservation", BOOKING)
    assert result.unknown and not result.ok and len(server.received) == 1
    assert "It is not known whether it was done" in result.output


def test_a_replacement_is_sent_again_with_the_same_key() -> None:
    result, server = outcome(answer(503, {}), "replaceReservation", {"reservation_id": "K7", **BOOKING})
    assert not result.ok and len(server.received) == 3
    assert {received.headers["idempotency-key"] for received in server.received} == {"CA1:call_abc"}
    assert {received.line for received in server.received} == {"PUT /reservations/K7 HTTP/1.1"}


def test_a_booking_that_is_repeated_unsigned_carries_one_key_on_every_try() -> None:
    honoured = {"createReservation": {"idempotent": True}}
    _, server = outcome(answer(503, {}), "createReservation", BOOKING, sign=False, tools=honoured)
    assert [received.headers["idempotency-key"] for received in server.received] == ["CA1:call_abc"] * 3
    assert not any("webhook-id" in received.headers for received in server.received)


def test_a_question_is_asked_again_and_then_failed() -> None:
    result, server = outcome(answer(502, {}), "getHouse", {"house_code": "BGO1"})
    assert not result.ok and not result.unknown and len(server.received) == 3


def test_a_redirect_is_not_followed() -> None:
    result, server = outcome(answer(302, {}, "location: http://127.0.0.1:1/"), "getHouse", {"house_code": "BGO1"})
    assert not result.ok and "redirect refused" in result.detail and len(server.received) == 1


def test_an_answer_of_10_mb_is_not_read_to_its_end() -> None:
    result, _ = outcome(answer(200, b'"' + b"x" * 10_000_000 + b'"'), "getHouse", {"house_code": "BGO1"})
    assert not result.ok and "over 262144 bytes" in result.detail


def test_a_refusal_is_no_doubt_about_what_was_done() -> None:
    problem = answer(404, {"title": "Unknown house"}, kind="application/problem+json")
    result, _ = outcome(problem, "createReservation", BOOKING)
    assert not result.ok and not result.unknown
    assert json.loads(result.output) == {"error": {"message": "Unknown house"}}
