"""Plivo's webhooks and its media socket, request by request."""

import asyncio
import json
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from xml.etree import ElementTree

import httpx2
import pytest

from gateway.simulator.asgi import UpgradeRefused
from gateway.simulator.carriers.plivo import CARRIER, signature
from gateway.simulator.carriers.world import CarrierWorld, carrier_world
from gateway.simulator.world import PUBLIC
from gateway.wire import TextSocket, WireClosed
from tests.clock import run
from tests.world import AGENTS

pytestmark = pytest.mark.usefixtures("no_errors_logged")

CALL = "0e2a6f3c-1b7e-4a54-9d66-6c6d2f6b8a11"
TOKEN = str(CARRIER.settings["plivo_auth_token"])
NONCE = "12345678901234567890"
FORM = {
    "CallUUID": CALL,
    "From": "14155550101",
    "To": "14155550199",
    "Direction": "inbound",
    "CallStatus": "ringing",
    "Event": "StartApp",
}
MEDIA = "wss://gw.example.com/plivo/media"
XML_DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>'


@dataclass
class Desk:
    world: CarrierWorld

    async def post(self, path: str, **fields: str) -> httpx2.Response:
        url, form = f"{PUBLIC}/plivo/{path}", FORM | fields
        return await self.world.http.post(url, data=form, headers=signed("POST", url, form))

    async def get(self, path: str, **fields: str) -> httpx2.Response:
        url = f"{PUBLIC}/plivo/{path}?{urlencode(FORM | fields)}"
        return await self.world.http.get(url, headers=signed("GET", url, {}))

    async def open(self, headers: str, call: str = CALL) -> TextSocket:
        """Open a media socket, signed, and start."""
        socket = await self.world.host.connect(MEDIA, signed("GET", MEDIA, {}))
        start = {
            "callId": call,
            "streamId": "s-1",
            "accountId": "MA",
            "tracks": ["inbound"],
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000},
        }
        await socket.send(json.dumps({"event": "start", "start": start, "extra_headers": headers}))
        return socket


def signed(method: str, url: str, form: Mapping[str, str]) -> dict[str, str]:
    return {"x-plivo-signature-v3": signature(TOKEN, method, url, form, NONCE), "x-plivo-signature-v3-nonce": NONCE}


def stream_of(answer: httpx2.Response) -> tuple[ElementTree.Element, str]:
    """Return the stream and what follows it."""
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/xml; charset=utf-8")
    stream, redirect = ElementTree.fromstring(answer.text)
    assert (stream.tag, redirect.tag, redirect.attrib) == ("Stream", "Redirect", {"method": "POST"})
    return stream, redirect.text or ""


async def closed(socket: TextSocket) -> int:
    while True:
        try:
            await socket.receive()
        except WireClosed as over:
            return over.code


def on_desk(folder: Path, test: Callable[[Desk], Coroutine[Any, Any, None]], **settings: object) -> None:
    async def main() -> None:
        async with carrier_world(folder, AGENTS, CARRIER, settings=settings) as it:
            await test(Desk(it))

    run(main())


def test_a_call_is_connected_to_a_stream_with_everything_said(tmp_path: Path) -> None:
    async def test(desk: Desk) -> None:
        stream, after = stream_of(await desk.post("answer"))
        token = stream.attrib.pop("extraHeaders").removeprefix("token=")
        assert token.isalnum() and len(token) < 500
        assert stream.text == MEDIA and after == f"{PUBLIC}/plivo/after?again=0"
        assert stream.attrib == {
            "bidirectional": "true",
            "audioTrack": "inbound",
            "keepCallAlive": "true",
            "contentType": "audio/x-mulaw;rate=8000",
            "streamTimeout": "86400",
            "statusCallbackUrl": f"{PUBLIC}/plivo/stream-status",
            "statusCallbackMethod": "POST",
        }
        (call,) = desk.world.store.calls.values()
        assert (call.carrier, call.from_number, call.to_number) == ("plivo", "+14155550101", "+14155550199")

    on_desk(tmp_path, test)


def test_a_webhook_that_is_repeated_or_comes_by_get_gets_the_same_stream(tmp_path: Path) -> None:
    async def test(desk: Desk) -> None:
        first, again, by_get = await desk.post("answer"), await desk.post("answer"), await desk.get("answer")
        assert first.text == again.text == by_get.text
        assert desk.world.gateway.registry.live == 1

    on_desk(tmp_path, test)


PATHS = ["answer", "after", "hangup", "stream-status", "transfer", "transferred", "transfer/status"]


@pytest.mark.parametrize("path", PATHS)
def test_what_plivo_has_not_signed_is_refused(path: str, tmp_path: Path) -> None:
    async def test(desk: Desk) -> None:
        url = f"{PUBLIC}/plivo/{path}"
        wrong = signed("POST", url, FORM | {"From": "1"})
        for headers in ({}, wrong, {"x-plivo-signature-v3": "x" * 44}):
            answer = await desk.world.http.post(url, data=FORM, headers=headers)
            assert (answer.status_code, answer.text) == (403, "forbidden")
        other = signed("POST", url.replace("gw.", "evil."), FORM) | {"host": "evil.example.com"}
        assert (await desk.world.http.post(url, data=FORM, headers=other)).status_code == 403
        assert desk.world.gateway.registry.live == 0

    on_desk(tmp_path, test)


@pytest.mark.parametrize("fields", [{"CallUUID": ""}, {"CallUUID": "x/../y/zzzzz"}, {"CallUUID": "a" * 65}])
def test_a_webhook_that_names_no_call_is_refused(fields: dict[str, str], tmp_path: Path) -> None:
    async def test(desk: Desk) -> None:
        assert (await desk.post("answer", **fields)).status_code == 403

    on_desk(tmp_path, test)


def test_a_body_without_end_is_refused(tmp_path: Path) -> None:
    async def test(desk: Desk) -> None:
        url = f"{PUBLIC}/plivo/answer"
        for body in (b"a=1&" * 300, b"x" * 70_000):
            answer = await desk.world.http.post(url, content=body, headers=signed("POST", url, {}))
            assert answer.status_code == 403

    on_desk(tmp_path, test)


@pytest.mark.parametrize(
    ("number", "kept"),
    [("14155550101", "+14155550101"), ("+14155550101", "+14155550101"), ("anonymous", "anonymous"), ("0151", "0151")],
)
def test_numbers_get_their_plus_and_what_is_none_stays(number: str, kept: str, tmp_path: Path) -> None:
    async def test(desk: Desk) -> None:
        await desk.post("answer", From=number)
        (call,) = desk.world.store.calls.values()
        assert call.from_number == kept

    on_desk(tmp_path, test)


def test_a_call_too_many_is_busy_and_a_drained_node_sends_it_on(tmp_path: Path) -> None:
    async def test(desk: Desk) -> None:
        await desk.post("answer", CallUUID=CALL[:-1] + "2")
        busy = await desk.post("answer")
        assert busy.text == f'{XML_DECLARATION}<Response><Hangup reason="busy"/></Response>'
        desk.world.gateway.registry.drain()
        moved = await desk.post("answer?again=1", CallUUID=CALL[:-1] + "3")
        wait, redirect = ElementTree.fromstring(moved.text)
        assert (wait.tag, wait.attrib) == ("Wait", {"length": "1"})
        assert redirect.text == f"{PUBLIC}/plivo/answer?again=2"
        given_up = await desk.post("answer?again=3", CallUUID=CALL[:-1] + "3")
        assert [verb.tag for verb in ElementTree.fromstring(given_up.text)] == ["Speak", "Dial", "Hangup"]

    on_desk(tmp_path, test, max_calls=1)


def test_a_call_that_is_over_before_it_was_answered_does_not_begin(tmp_path: Path) -> None:
    async def test(desk: Desk) -> None:
        answer = await desk.post("answer", CallStatus="completed")
        assert "<Hangup/>" in answer.text and desk.world.gateway.registry.live == 0

    on_desk(tmp_path, test)


def test_the_hangup_webhook_ends_a_call_once_and_for_all(tmp_path: Path) -> None:
    async def test(desk: Desk) -> None:
        await desk.post("answer")
        assert (await desk.post("hangup", CallStatus="in-progress")).status_code == 200
        assert desk.world.gateway.registry.live == 1
        for _ in range(2):
            assert (await desk.post("hangup", CallStatus="completed", HangupSource="Caller")).text == ""
        await desk.world.settled()
        assert desk.world.record.end_reason == "caller_hangup"
        for path in ("answer", "answer?again=1", "after?again=1"):
            assert "<Hangup/>" in (await desk.post(path)).text
        assert desk.world.gateway.registry.live == 0

    on_desk(tmp_path, test)


def test_a_stream_that_breaks_gets_another_up_to_three_times(tmp_path: Path) -> None:
    async def test(desk: Desk) -> None:
        path = "answer"
        for again in range(4):
            stream, after = stream_of(await desk.post(path))
            socket = await desk.open(stream.attrib["extraHeaders"])
            await asyncio.sleep(1)
            await socket.close(1006)
            await desk.world.settled()
            answer = await desk.post(after.removeprefix(f"{PUBLIC}/plivo/"))
            verbs = {verb.tag: verb for verb in ElementTree.fromstring(answer.text)}
            if again < 3:
                path = (verbs["Redirect"].text or "").removeprefix(f"{PUBLIC}/plivo/")
                assert path == f"answer?again={again + 1}"
        assert list(verbs) == ["Speak", "Dial", "Hangup"]
        assert verbs["Dial"].findtext("Number") == "14155550100"

    on_desk(tmp_path, test)


@pytest.mark.parametrize("headers", ["", "token=", "token=abc", "token=hex00", "agent=x"])
def test_a_stream_without_its_token_is_closed(headers: str, tmp_path: Path) -> None:
    async def test(desk: Desk) -> None:
        await desk.post("answer")
        assert await closed(await desk.open(headers)) == 1008

    on_desk(tmp_path, test)


def test_a_token_is_good_once_and_for_its_own_call(tmp_path: Path) -> None:
    async def test(desk: Desk) -> None:
        stream, _ = stream_of(await desk.post("answer"))
        headers = stream.attrib["extraHeaders"]
        assert await closed(await desk.open(headers, call=CALL[:-1] + "2")) == 1008
        socket = await desk.open(headers.replace(",", ";"))
        await asyncio.sleep(0.5)
        assert await closed(await desk.open(headers)) == 1008
        await socket.close()

    on_desk(tmp_path, test)


def test_an_unsigned_upgrade_is_refused_before_it_is_one(tmp_path: Path) -> None:
    async def test(desk: Desk) -> None:
        for headers in ({}, signed("GET", MEDIA.replace("gw.", "evil."), {}), {"x-plivo-signature-v3": "x" * 44}):
            with pytest.raises(UpgradeRefused):
                await desk.world.host.connect(MEDIA, headers)

    on_desk(tmp_path, test)


@pytest.mark.parametrize("path", ["transfer?ticket=abc", "transferred?ticket=abc", "transfer"])
def test_a_transfer_that_nobody_knows_brings_the_caller_to_the_agent(path: str, tmp_path: Path) -> None:
    async def test(desk: Desk) -> None:
        answer = await desk.post(path, DialStatus="busy")
        (redirect,) = ElementTree.fromstring(answer.text)
        assert redirect.text == f"{PUBLIC}/plivo/answer?again=1"

    on_desk(tmp_path, test)


def test_reports_of_the_stream_change_nothing(tmp_path: Path) -> None:
    async def test(desk: Desk) -> None:
        for event in ("StartStream", "StopStream", "FailedStream", "DegradedStream", ""):
            assert (await desk.post("stream-status", Event=event)).status_code == 200
        assert (await desk.post("transfer/status?ticket=x", DialAction="answer")).status_code == 200

    on_desk(tmp_path, test)
