"""The media socket of chan_websocket over the real application: who may open it, and which call it is."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlencode

import pytest

from gateway.simulator.asgi import UpgradeRefused
from gateway.simulator.model import ModelOptions, Scenario, ScriptedEngine
from gateway.simulator.world import World, world
from gateway.wire import TextSocket, WireClosed
from tests.carriers.asterisk.test_codec import PLAIN_START, START
from tests.clock import run
from tests.world import AGENTS

PATH = "wss://gw.example.com/asterisk/media"
CALL = {"call": "1795332868.16", "from": "+14155550101", "to": "+14155550199"}
FRAME = b"\xff" * 160

pytestmark = pytest.mark.usefixtures("no_errors_logged")


def basic(pair: str) -> str:
    return "Basic " + base64.b64encode(pair.encode()).decode()


GOOD = basic("asterisk:pbx-secret")


@asynccontextmanager
async def everything(folder: Path, **settings: object) -> AsyncIterator[World]:
    own: dict[str, object] = {"asterisk_password": "pbx-secret"}
    options = ModelOptions(keep_audio=True)
    async with world(folder, AGENTS, ScriptedEngine(Scenario()), options, settings=own | settings) as it:
        yield it


def play(folder: Path, part: Callable[[World], Awaitable[None]], **settings: object) -> None:
    async def main() -> None:
        async with everything(folder, **settings) as it:
            await part(it)

    run(main())


async def connect(it: World, authorization: str | None = GOOD, **variables: str) -> TextSocket:
    headers = {"sec-websocket-protocol": "media"}
    if authorization is not None:
        headers["authorization"] = authorization
    return await it.host.connect(f"{PATH}?{urlencode(CALL | variables)}", headers)


async def heard(socket: TextSocket) -> list[str | bytes]:
    """Return what comes until audio does, that included."""
    frames: list[str | bytes] = []
    while not frames or isinstance(frames[-1], str):
        frames.append(await socket.receive())
    return frames


async def closed(socket: TextSocket) -> int:
    try:
        while True:
            await socket.receive()
    except WireClosed as closed:
        return closed.code


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Basic",
        "Basic !!!",
        "Bearer pbx-secret",
        basic("asterisk:wrong"),
        basic("other:pbx-secret"),
        basic("asterisk:pbx-secret2"),
        basic(""),
        "Basic " + "A" * 5000,
    ],
    ids=lambda told: repr(told)[:24],
)
def test_nobody_gets_in_without_the_password(tmp_path: Path, authorization: str | None) -> None:
    async def part(it: World) -> None:
        with pytest.raises(UpgradeRefused):
            await connect(it, authorization)
        assert not it.store.calls

    play(tmp_path, part)


@pytest.mark.parametrize(
    ("authorization", "said"),
    [
        (None, "it came without GATEWAY_ASTERISK_USERNAME and GATEWAY_ASTERISK_PASSWORD"),
        ("Bearer pbx-secret", "its Authorization is not Basic"),
        (
            basic("asterisk:pbx-secret2"),
            "its user or password is not GATEWAY_ASTERISK_USERNAME and GATEWAY_ASTERISK_PA",
        ),
    ],
)
def test_the_log_says_which_setting_a_refused_socket_does_not_match(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, authorization: str | None, said: str
) -> None:
    async def part(it: World) -> None:
        with pytest.raises(UpgradeRefused):
            await connect(it, authorization)

    play(tmp_path, part)
    assert f"refused a media socket before its upgrade: {said}" in caplog.text
    assert "pbx-secret" not in caplog.text


def test_the_log_says_what_to_set_when_a_call_that_has_ended_comes_back_and_nobody_tells_the_dialplan(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def part(it: World) -> None:
        socket = await connect(it)
        await socket.send(json.dumps(START))
        await heard(socket)
        await socket.close(1000)
        await it.settled()
        again = await connect(it, again="1")
        await again.send(json.dumps(START))
        assert await closed(again) == 1008

    play(tmp_path, part)
    assert "it has ended, and comes back: the dialplan's GW_ARI is to be no" in caplog.text


def test_a_call_is_offered_by_its_start(tmp_path: Path) -> None:
    async def part(it: World) -> None:
        socket = await connect(it)
        await socket.send(json.dumps(START))
        frames = await heard(socket)
        assert frames[0] == '{"command":"START_MEDIA_BUFFERING"}'
        await socket.close(1000)
        await it.settled()
        row = it.record
        assert (row.carrier, row.carrier_call_id, row.direction) == ("asterisk", CALL["call"], "inbound")
        assert (row.from_number, row.to_number, row.agent) == (CALL["from"], CALL["to"], "support")
        assert row.end_reason == "caller_hangup"

    play(tmp_path, part)


def test_a_broken_socket_is_no_hang_up(tmp_path: Path) -> None:
    async def part(it: World) -> None:
        socket = await connect(it)
        await socket.send(json.dumps(START))
        await heard(socket)
        await socket.close(1006)
        await it.settled()
        assert it.record.end_reason == "leg_lost"

    play(tmp_path, part)


def test_a_call_whose_socket_broke_goes_on_when_the_dialplan_calls_again(tmp_path: Path) -> None:
    async def part(it: World) -> None:
        socket = await connect(it)
        await socket.send(json.dumps(START))
        await heard(socket)
        await socket.close(1006)
        await it.settled()
        again = await connect(it, again="1")
        await again.send(json.dumps(START))
        await heard(again)
        await again.close(1000)
        await it.settled()
        assert [call.end_reason for call in it.store.calls.values()] == ["leg_lost", "caller_hangup"]

    play(tmp_path, part)


@pytest.mark.parametrize("again", ["0", "2", "x", "999"])
def test_a_caller_who_comes_back_to_another_node_is_taken_there(tmp_path: Path, again: str) -> None:
    async def part(it: World) -> None:
        socket = await connect(it, again=again, result="BUSY")
        await socket.send(json.dumps(START))
        await heard(socket)
        await socket.close(1000)
        await it.settled()
        assert it.record.end_reason == "caller_hangup"

    play(tmp_path, part)


def test_plain_text_control_is_answered_in_plain_text(tmp_path: Path) -> None:
    async def part(it: World) -> None:
        socket = await connect(it)
        await socket.send(PLAIN_START)
        assert (await heard(socket))[0] == "START_MEDIA_BUFFERING"
        await socket.close(1000)
        await it.settled()

    play(tmp_path, part)


def test_audio_before_the_start_is_kept(tmp_path: Path) -> None:
    async def part(it: World) -> None:
        socket = await connect(it)
        for _ in range(3):
            await socket.send(b"\x01" * 160)
        await socket.send(json.dumps(START))
        await heard(socket)
        await socket.close(1000)
        await it.settled()
        assert it.session.caller.audio[:480] == b"\x01" * 480

    play(tmp_path, part)


def test_a_tail_that_fills_no_frame_is_filled_with_silence(tmp_path: Path) -> None:
    async def part(it: World) -> None:
        socket = await connect(it)
        await socket.send(json.dumps(START))
        audio = bytearray()
        try:
            async with asyncio.timeout(20):
                while True:
                    frame = await socket.receive()
                    audio += frame if isinstance(frame, bytes) else b""
        except TimeoutError:
            assert audio and len(audio) % 160 == 0
        await socket.close(1000)
        await it.settled()

    play(tmp_path, part)


def test_without_a_password_nobody_gets_in_but_in_development(tmp_path: Path) -> None:
    async def part(it: World) -> None:
        with pytest.raises(UpgradeRefused):
            await connect(it, basic("asterisk:"))
        socket = await connect(it, None)
        await socket.send(json.dumps(START))
        await heard(socket)
        await socket.close(1000)
        await it.settled()

    play(tmp_path, part, public_url="http://127.0.0.1:8080", allow_unsigned=True)


@pytest.mark.parametrize(
    ("why", "settings", "variables"),
    [
        ("full", {"max_calls": 1}, {"call": "2.1"}),
        ("no_agent", {}, {"call": "2.1", "to": "+14155550000"}),
        ("no_agent", {}, {"call": "2.1", "agent": "nobody"}),
    ],
)
def test_a_call_that_is_not_taken_goes_on_in_the_dialplan(
    tmp_path: Path, why: str, settings: dict[str, object], variables: dict[str, str]
) -> None:
    async def part(it: World) -> None:
        first = await connect(it)
        await first.send(json.dumps(START))
        await heard(first)
        second = await connect(it, **variables)
        await second.send(json.dumps(START))
        assert await closed(second) == 1008
        assert f"refused_{why}" in [call.end_reason for call in it.store.calls.values()]
        await first.close(1000)
        await it.settled()

    play(tmp_path, part, **settings)


def test_a_node_that_goes_away_takes_no_call(tmp_path: Path) -> None:
    async def part(it: World) -> None:
        it.gateway.registry.drain()
        socket = await connect(it)
        await socket.send(json.dumps(START))
        assert await closed(socket) == 1008
        assert not it.store.calls

    play(tmp_path, part)


def test_the_same_call_twice_is_one_call(tmp_path: Path) -> None:
    async def part(it: World) -> None:
        first = await connect(it)
        await first.send(json.dumps(START))
        await heard(first)
        second = await connect(it)
        await second.send(json.dumps(START))
        assert await closed(second) == 1008
        await first.close(1000)
        await it.settled()
        third = await connect(it)
        await third.send(json.dumps(START))
        assert await closed(third) == 1008
        assert len(it.store.calls) == 1

    play(tmp_path, part)


@pytest.mark.parametrize("first", ["{", json.dumps(START | {"format": "opus"}), '{"event":"MEDIA_START"}'])
def test_a_socket_that_does_not_start_is_closed(tmp_path: Path, first: str) -> None:
    async def part(it: World) -> None:
        socket = await connect(it)
        await socket.send(first)
        assert await closed(socket) == 1008
        assert not it.store.calls

    play(tmp_path, part)


def test_a_socket_that_says_nothing_is_closed_after_five_seconds(tmp_path: Path) -> None:
    async def part(it: World) -> None:
        socket = await connect(it)
        began = asyncio.get_running_loop().time()
        assert await closed(socket) == 1008
        assert asyncio.get_running_loop().time() - began == pytest.approx(5.0, abs=0.1)

    play(tmp_path, part)


@pytest.mark.parametrize(
    ("query", "taken"),
    [
        ("&".join(f"x{at}=1" for at in range(200)), True),
        ("call=" + "9" * 5000, True),
        ("call=%ff%fe", False),
        ("call=a%20b", False),
    ],
    ids=["many", "long", "no text", "blank"],
)
def test_a_query_of_anything_is_survived(tmp_path: Path, query: str, taken: bool) -> None:
    async def part(it: World) -> None:
        socket = await it.host.connect(f"{PATH}?{query}", {"authorization": GOOD})
        await socket.send(json.dumps(START | {"channel_variables": {"to": "+14155550199"}}))
        if not taken:
            assert await closed(socket) == 1008
            return
        await heard(socket)
        await socket.close(1000)
        await it.settled()
        assert it.record.carrier_call_id == START["channel_id"]

    play(tmp_path, part)
