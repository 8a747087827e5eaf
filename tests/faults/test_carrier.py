"""A carrier socket that breaks its protocol: that call goes on or ends with a reason, and nothing else notices."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from gateway.simulator.asgi import UpgradeRefused
from gateway.simulator.model import Scenario
from gateway.wire import WireClosed
from tests.clock import run
from tests.faults.calls import neighbour, until, written
from tests.faults.ends import SILENCE, Frame, RiggedModel, Stream, open_media, voice_token, webhook
from tests.world import AGENTS, World, world

SID = "CA" + "7" * 32


def with_world(tmp_path: Path, test: Callable[[World, RiggedModel], Coroutine[None, None, None]], **more: Any) -> None:
    """Run a test beside a call that must not notice it; afterwards no call and no session is left."""

    async def main() -> None:
        model = RiggedModel(more.pop("says", Scenario()))
        async with world(tmp_path, model=model, **more) as w, asyncio.TaskGroup() as group:
            leave = await neighbour(w, group)
            await test(w, model)
            await leave()
            await w.settled()
            assert not any(session.open for session in model.sessions)

    run(main())


async def started(w: World) -> Stream:
    token = await voice_token(w)
    stream = await open_media(w)
    await stream.send({"event": "connected", "protocol": "Call", "version": "1.0.0"})
    await stream.start(token)
    return stream


def reason(w: World) -> str | None:
    return written(w, SID)[0].end_reason


async def ended(w: World, as_: str, within_s: float = 5.0) -> None:
    await until(lambda: reason(w) is not None, within_s)
    assert reason(w) == as_


MEDIA: dict[str, Any] = {"event": "media", "streamSid": "MZ", "media": {"track": "inbound", "payload": SILENCE}}
BAD: dict[str, Frame] = {
    "half JSON": '{"event":"media"',
    "binary": b"\x00\xff",
    "a list": "[]",
    "no event": {},
    "an event that is no text": {"event": 7},
    "unknown event": {"event": "hologram", "hologram": {}},
    "media without a body": {"event": "media"},
    "payload that is no text": {"event": "media", "media": {"payload": 5}},
    "payload that is no base64": {"event": "media", "media": {"payload": 'f39","x":"AA'}},
    "payload out of step": {"event": "media", "media": {"payload": "AAA"}},
    "empty payload": {"event": "media", "media": {"payload": ""}},
    "too much audio": {"event": "media", "media": {"payload": "AAAA" * 10_000}},
    "over 64 KiB": {"event": "media", "media": {"payload": "AAAA" * 20_000}},
    "outbound audio": {"event": "media", "media": {"track": "outbound", "payload": "AAAA"}},
    "connected again": {"event": "connected"},
    "start without fields": {"event": "start", "start": {}},
    "a key that is none": {"event": "dtmf", "dtmf": {"digit": "12"}},
    "a key that is no text": {"event": "dtmf", "dtmf": {"digit": 5}},
    "a mark nobody sent": {"event": "mark", "mark": {"name": "m999"}},
    "a mark without a name": {"event": "mark", "mark": {}},
    "deep nesting": "[" * 30_000,
}


@pytest.mark.parametrize("frame", BAD.values(), ids=BAD.keys())
def test_a_bad_frame_is_dropped_and_the_call_goes_on(tmp_path: Path, frame: Frame) -> None:
    async def test(w: World, model: RiggedModel) -> None:
        stream = await started(w)
        await stream.audio(10)
        await stream.send(frame)
        await stream.audio(10)
        await stream.send({"event": "stop"})
        await ended(w, "caller_hangup")
        passed = [entry.data["frames"] for entry in written(w, SID)[1] if entry.kind == "AppendAudio"]
        assert sum(passed) == 20  # type: ignore[arg-type]  # numbers

    with_world(tmp_path, test)


def test_a_second_start_changes_nothing(tmp_path: Path) -> None:
    async def test(w: World, model: RiggedModel) -> None:
        stream = await started(w)
        await stream.start("another", call_sid="CA" + "9" * 32)
        await stream.audio(5)
        await stream.send({"event": "stop"})
        await stream.send({"event": "stop"})
        await ended(w, "caller_hangup")

    with_world(tmp_path, test)


def test_nothing_but_bad_frames_ends_the_call(tmp_path: Path) -> None:
    async def test(w: World, model: RiggedModel) -> None:
        stream = await started(w)
        for _ in range(60):
            await stream.send("nonsense")
        await ended(w, "leg_broken")
        await stream.closed()

    with_world(tmp_path, test)


@pytest.mark.parametrize(
    "first", [MEDIA, {"event": "stop"}, {"event": "mark", "mark": {"name": "x"}}, "nonsense", b"1"]
)
def test_a_socket_that_does_not_begin_with_start_is_closed(tmp_path: Path, first: Frame) -> None:
    async def test(w: World, model: RiggedModel) -> None:
        before = len(model.wires)
        stream = await open_media(w)
        await stream.send(first)
        assert (await stream.closed(1)).code == 1008
        assert len(model.wires) == before

    with_world(tmp_path, test)


def test_a_socket_without_start_is_closed_after_five_seconds_and_opens_no_session(tmp_path: Path) -> None:
    async def test(w: World, model: RiggedModel) -> None:
        before, since = len(model.wires), asyncio.get_running_loop().time()
        stream = await open_media(w)
        await stream.send({"event": "connected"})
        await stream.closed(6)
        assert 4.9 <= asyncio.get_running_loop().time() - since <= 5.5
        assert len(model.wires) == before and w.gateway.registry.live == 1

    with_world(tmp_path, test)


def test_a_start_without_a_call_is_refused(tmp_path: Path) -> None:
    async def test(w: World, model: RiggedModel) -> None:
        before = len(model.wires)
        for token in ("", "guess", "x" * 10_000):
            stream = await open_media(w)
            await stream.start(token)
            assert (await stream.closed(1)).code == 1008
        assert len(model.wires) == before

    with_world(tmp_path, test)


def test_a_token_is_good_for_one_socket(tmp_path: Path) -> None:
    async def test(w: World, model: RiggedModel) -> None:
        token = await voice_token(w)
        stream = await open_media(w)
        await stream.start(token)
        await stream.audio(5)
        thief = await open_media(w)
        await thief.start(token)
        assert (await thief.closed(1)).code == 1008
        await stream.audio(5)
        await stream.send({"event": "stop"})
        await ended(w, "caller_hangup")
        again = await open_media(w)
        await again.start(token)
        assert (await again.closed(1)).code == 1008

    with_world(tmp_path, test)


@pytest.mark.parametrize("other", [{"call_sid": "CA" + "9" * 32}, {"account": "AC" + "9" * 32}])
def test_a_token_in_the_wrong_hands_is_refused_and_stays_good_for_its_call(
    tmp_path: Path, other: dict[str, str]
) -> None:
    async def test(w: World, model: RiggedModel) -> None:
        token = await voice_token(w)
        thief = await open_media(w)
        await thief.start(token, **other)
        assert (await thief.closed(1)).code == 1008
        stream = await open_media(w)
        await stream.start(token)
        await stream.audio(5)
        await stream.send({"event": "stop"})
        await ended(w, "caller_hangup")

    with_world(tmp_path, test)


def test_a_call_that_is_never_claimed_ends_and_its_session_is_closed(tmp_path: Path) -> None:
    async def test(w: World, model: RiggedModel) -> None:
        token = await voice_token(w)
        await until(lambda: len(model.sessions) == 2)
        await until(lambda: reason(w) is not None)
        assert reason(w) == "never_started"
        await asyncio.sleep(3)
        assert not model.sessions[-1].open
        late = await open_media(w)
        await late.start(token)
        assert (await late.closed(1)).code == 1008

    with_world(tmp_path, test)


@pytest.mark.parametrize("code", [1000, 1001, 1006])
def test_a_socket_closed_without_stop_ends_the_call_and_the_carrier_is_sent_back(tmp_path: Path, code: int) -> None:
    async def test(w: World, model: RiggedModel) -> None:
        stream = await started(w)
        await stream.audio(5)
        await stream.socket.close(code)
        await ended(w, "leg_lost")
        reply = await webhook(w, "/twilio/after?again=0")
        assert "/twilio/voice?again=1" in reply.text
        await webhook(w, "/twilio/status", {"CallStatus": "completed"})

    with_world(tmp_path, test)


def test_a_carrier_that_stops_reading_ends_its_call(tmp_path: Path) -> None:
    async def test(w: World, model: RiggedModel) -> None:
        stream = await started(w)
        stream.socket._peer.LIMIT = 4  # type: ignore[attr-defined]  # the window of a carrier that does not read
        await ended(w, "leg_broken", within_s=150)
        await asyncio.sleep(3)
        assert [task.get_name() for task in asyncio.all_tasks()].count("leg-writer") == 1, "the neighbour's"

    long = "This greeting does not end. " * 70
    with_world(tmp_path, test, agents=AGENTS.replace("Hello, this is Acme. How can I help?", long.strip()))


def test_three_hundred_idle_sockets_leave_a_live_call_undisturbed(tmp_path: Path) -> None:
    async def test(w: World, model: RiggedModel) -> None:
        before = len(model.wires)
        stream = await started(w)
        idle, refused = [], 0
        for _ in range(300):
            try:
                idle.append(await open_media(w))
            except UpgradeRefused as no:
                refused += 1
                assert no.status == 403
        assert len(idle) + refused == 300 and refused >= 100
        await stream.audio(100)
        for socket in idle:
            await socket.closed()
        await stream.audio(50)
        await stream.send({"event": "stop"})
        await ended(w, "caller_hangup")
        assert len(model.wires) == before + 1
        fresh = await open_media(w)
        await fresh.socket.close()

    with_world(tmp_path, test)


def test_a_socket_closed_while_its_start_is_awaited_is_forgotten(tmp_path: Path) -> None:
    async def test(w: World, model: RiggedModel) -> None:
        for _ in range(250):
            stream = await open_media(w)
            await stream.socket.close()
            with pytest.raises(WireClosed):
                await stream.socket.receive()
            await asyncio.sleep(0.01)

    with_world(tmp_path, test)
