"""jambonz' REST client and verbs: what they ask."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from gateway.carriers.front import Again, Apologise, Busy, HangUp, NotInService, Stream
from gateway.carriers.jambonz import CAPABILITIES
from gateway.carriers.jambonz.rest import JambonzRest
from gateway.carriers.jambonz.verbs import Verbs
from gateway.carriers.jsonrest import GONE
from gateway.errors import CarrierError
from tests.clock import run

ACCOUNT = "9351f46a-678c-43f5-b8a6-d4eb58d131af"
CALL = "e2f0a9d2-7a1c-4a6e-9f7a-6e3d0f6f3c11"
VECTORS = [
    json.loads(line) for line in (Path(__file__).parents[2] / "vectors" / "jambonz.jsonl").read_text().splitlines()
]
(TRANSFER,) = [v["msg"] for v in VECTORS if v["scenario"] == "transfer" and v["channel"] == "rest"]
VERBS = Verbs("https://gw.example.com", "wss://gw.example.com")


def client(status: int, seen: list[httpx2.Request] | None = None, url: str = "https://jambonz.example.com") -> Any:
    def answer(request: httpx2.Request) -> httpx2.Response:
        if seen is not None:
            seen.append(request)
        return httpx2.Response(status, content=_nothing())

    return JambonzRest(url, ACCOUNT, "key", transport=httpx2.MockTransport(answer))


async def _nothing() -> AsyncIterator[bytes]:
    yield b"{}"


@pytest.mark.parametrize("url", ["https://jambonz.example.com", "https://jambonz.example.com/api/v1"])
def test_the_redirect_is_the_recorded_one(url: str) -> None:
    seen: list[httpx2.Request] = []
    run(client(202, seen, url).redirect(CALL, "https://gw.example.com/jambonz/transfer"))
    (request,) = seen
    assert (request.method, str(request.url)) == (TRANSFER["method"], TRANSFER["url"])
    assert json.loads(request.content) == TRANSFER["json"]
    assert request.headers["authorization"] == "Bearer key"


def test_hanging_up_says_that_the_call_is_completed() -> None:
    seen: list[httpx2.Request] = []
    run(client(202, seen).hang_up(CALL))
    assert json.loads(seen[0].content) == {"call_status": "completed"}


def test_hanging_up_a_call_that_has_ended_is_success() -> None:
    run(client(404).hang_up(CALL))


def test_redirecting_a_call_that_has_ended_is_not() -> None:
    with pytest.raises(CarrierError) as failed:
        run(client(404).redirect(CALL, "https://gw.example.com"))
    assert (failed.value.code, failed.value.permanent) == (GONE, True)


def test_the_recorded_dial_is_what_we_write() -> None:
    (wanted,) = [v["msg"]["json"] for v in VECTORS if v["scenario"] == "transfer" and v["channel"] == "http-reply"]
    (dial,) = VERBS.dial("+14155550150", 25, "+14155550199", "tick", "")
    assert dial.pop("actionHook") == "https://gw.example.com/jambonz/transferred?ticket=tick"
    assert dial == {key: value for key, value in wanted[0].items() if key != "actionHook"}


def test_every_next_step_has_its_verbs() -> None:
    def names(step: Any) -> list[object]:
        return [verb["verb"] for verb in VERBS.next(step)]

    assert names(Stream("t", 0)) == ["answer", "listen", "hangup"]
    assert names(HangUp()) == ["hangup"]
    assert names(Again(1, 0)) == ["redirect"]
    assert names(Again(2, 1)) == ["pause", "redirect"]
    assert names(Apologise("Sorry", None)) == ["answer", "say", "hangup"]
    assert names(Apologise("Sorry", "+14155550100")) == ["answer", "say", "dial", "hangup"]
    assert names(Busy()) == names(NotInService()) == ["sip:decline"]


def test_an_attempt_and_the_count_come_back_in_our_urls() -> None:
    (_, listen, _) = VERBS.next(Stream("t", 2, "at_1"))
    assert listen["actionHook"] == "https://gw.example.com/jambonz/after?again=2&attempt=at_1"
    (redirect,) = VERBS.next(Again(3, 0, "at_1"))
    assert redirect["actionHook"] == "https://gw.example.com/jambonz/call?again=3&attempt=at_1"


def test_what_is_said_is_never_markup() -> None:
    (_, say, _) = VERBS.next(Apologise("<speak>1 < 2 & 3</speak>", None))
    assert "<" not in str(say["text"]) and "&" not in str(say["text"])


def test_the_capabilities_have_the_agreed_keys() -> None:
    keys = "audio marks after_clear dtmf_in dtmf_out hang_up transfer_blind transfer_warm comes_back"
    assert list(CAPABILITIES) == [*keys.split(), "upgrade_auth", "webhook_auth", "silence"]
