"""The adapter against what a real Asterisk 22.10.1 said, and the simulated Asterisk against the same recording."""

import ast
import asyncio
import base64
import json
import random
import re
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from gateway.carriers.asterisk.basic import BasicAuth
from gateway.carriers.asterisk.codec import AsteriskCodec
from gateway.carriers.stream import Ignored, Started
from gateway.carriers.streamleg import StreamLeg
from gateway.core.commands import ClearAudio, EndReason, HangUp, PlayAudio, SendMark
from gateway.core.events import CallerAudio, Dtmf, Event, MarkPlayed
from gateway.simulator.carrier.plan import LineModel
from gateway.simulator.carrier.report import CallReport
from gateway.simulator.carriers.asterisk import AsteriskWire
from gateway.simulator.carriers.encoding import Encoding
from gateway.simulator.carriers.report import WireLog
from gateway.simulator.carriers.stream import Stream
from gateway.wire import PipeEnd, pipe
from tests.clock import run

REAL = Path(__file__).parents[2] / "vectors" / "asterisk-real"
CALL = (REAL / "chan_websocket_call.txt").read_text()
BARGE_IN = (REAL / "chan_websocket_bargein.txt").read_text()
EVENTS = [line.removeprefix("event ") for line in CALL.splitlines() if line.startswith("event ")]
FRAME = bytes(range(160))


def b64(audio: bytes) -> str:
    return base64.b64encode(audio).decode()


def upgrade() -> tuple[dict[str, str], str]:
    """Return the variables and the authorization of the recorded upgrade."""
    found = re.search(r"^path (\S+) auth (.+) proto media$", CALL, re.MULTILINE)
    assert found is not None
    return dict(parse_qsl(urlsplit(found[1]).query)), found[2]


def test_the_recorded_upgrade_is_admitted_by_its_password_alone() -> None:
    _, authorization = upgrade()
    assert BasicAuth("ast", "astpass").admits(authorization)
    assert not BasicAuth("ast", "other").admits(authorization)
    assert not BasicAuth("ast", "astpass").admits(None)


def test_the_recorded_call_is_understood_event_by_event() -> None:
    variables, _ = upgrade()
    codec = AsteriskCodec(variables)
    start, mark, status, key = (codec.decode(event) for event in EVENTS)
    assert isinstance(start, Started)
    assert (start.stream_id, start.carrier_call_id) == ("1795332868.17", "+15551230001")
    assert start.parameters == {"call": "+15551230001", "to": "ws"}
    assert (mark, status, key) == (MarkPlayed("m1"), Ignored("STATUS"), Dtmf("1"))


def test_the_recorded_call_passes_byte_for_byte_both_ways() -> None:
    found = re.search(r"^bytes (\d+) .* sizes \{(\d+): (\d+)\}", CALL, re.MULTILINE)
    assert found is not None
    total, size, count = map(int, found.groups())
    frames = [bytes((number + at) % 256 for at in range(size)) for number in range(count)]

    async def main() -> tuple[list[Event], list[str | bytes]]:
        ours, theirs = pipe()
        events: list[Event] = []
        codec = AsteriskCodec()
        start = codec.decode(EVENTS[0])
        assert isinstance(start, Started)
        leg = StreamLeg(ours, codec, start, events.append)
        leg.begin()
        async with asyncio.TaskGroup() as group:
            running = group.create_task(leg.run())
            leg.send(SendMark("m1"))
            for frame in frames:
                await theirs.send(frame)
                leg.send(PlayAudio("item", b64(frame), 20.0))
            for event in EVENTS[1:]:
                await theirs.send(event)
            leg.send(HangUp(EndReason.AGENT_HANGUP))
            await running
        return events, await drain(theirs)

    events, sent = run(main())
    heard = b"".join(base64.b64decode(event.payload) for event in events if isinstance(event, CallerAudio))
    assert heard == b"".join(frames) and len(heard) == total
    assert b"".join(frame for frame in sent if isinstance(frame, bytes)) == heard
    assert [event for event in events if isinstance(event, MarkPlayed | Dtmf)] == [MarkPlayed("m1"), Dtmf("1")]
    commands = [json.loads(frame)["command"] for frame in sent if isinstance(frame, str)]
    assert commands == ["MARK_MEDIA", "START_MEDIA_BUFFERING", "HANGUP"]


async def drain(end: PipeEnd) -> list[str | bytes]:
    frames = []
    while end._inbox:
        frames.append(await end.receive())
    return frames


def recorded() -> list[tuple[float, str, int | None]]:
    """Return what the real Asterisk said in the barge-in run, and when."""
    found = re.search(r"^flush at \S+ (\[.*\])$", BARGE_IN, re.MULTILINE)
    assert found is not None
    return [(at, event, told) for at, event, told in ast.literal_eval(found[1]) if at is not None]


def test_the_simulated_asterisk_says_what_the_real_one_said_in_the_barge_in_run() -> None:
    async def main() -> list[tuple[float, str, int | None]]:
        ours, theirs = pipe()
        loop = asyncio.get_running_loop()
        report, log = CallReport("1.2"), WireLog(Encoding.MULAW)
        wire = AsteriskWire("1795332868.17")
        stream = Stream(ours, wire, report, log, line=LineModel(), rng=random.Random(1), clock=loop.time)
        said: list[tuple[float, str, int | None]] = []

        async def read() -> None:
            while True:
                event = json.loads(await theirs.receive())
                said.append((round(loop.time(), 3), event["event"], event.get("queue_length")))

        async def play() -> None:
            tick = 0
            while True:
                stream.take_frame(loop.time())
                tick += 1
                await asyncio.sleep(max(0.0, tick * 0.02 - loop.time()))

        async def say(at_s: float, *frames: str | bytes) -> None:
            await asyncio.sleep(at_s - loop.time())
            for frame in frames:
                await theirs.send(frame)

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one) for one in (stream.run(), read(), play())]
            await say(0.0, command("START_MEDIA_BUFFERING"), *[FRAME] * 250)
            await say(0.0, command("MARK_MEDIA", "a"), command("STOP_MEDIA_BUFFERING", "b"))
            await say(1.009, command("GET_STATUS"))
            await say(1.059, command("FLUSH_MEDIA"))
            await say(1.061, command("GET_STATUS"))
            await say(2.56, *[FRAME] * 1200)
            await say(3.58, command("FLUSH_MEDIA"))
            await asyncio.sleep(0.5)
            for task in tasks:
                task.cancel()
        assert all(frame.name != "a" for frame in report.media.marks)
        return said[1:]

    said = run(main())
    assert [event for _, event, _ in said] == [event for _, event, _ in recorded()]
    for (at, _, told), (real_at, _, real_told) in zip(said, recorded(), strict=True):
        assert abs(at - real_at) < 0.05
        assert told == real_told or abs((told or 0) - (real_told or 0)) <= 1


def test_the_adapter_follows_the_recorded_flow_and_waits_for_no_flushed_mark() -> None:
    async def main() -> tuple[list[Event], list[list[str | bytes]]]:
        ours, theirs = pipe()
        events: list[Event] = []
        sent: list[list[str | bytes]] = []
        codec = AsteriskCodec()
        start = codec.decode(EVENTS[0])
        assert isinstance(start, Started)
        leg = StreamLeg(ours, codec, start, events.append)
        leg.begin()
        async with asyncio.TaskGroup() as group:
            running = group.create_task(leg.run())
            leg.send(PlayAudio("item", b64(FRAME * 250), 5000.0))
            leg.send(SendMark("a"))
            leg.send(ClearAudio())
            await asyncio.sleep(0.1)
            sent.append(await drain(theirs))
            await theirs.send('{"event":"MEDIA_MARK_PROCESSED","channel_id":"1","correlation_id":"a"}')
            for event in (event for _, event, _ in recorded() if event in ("MEDIA_XOFF", "MEDIA_XON")):
                await theirs.send(json.dumps({"event": event, "channel_id": "1795332868.17"}))
                await asyncio.sleep(0.1)
                leg.send(PlayAudio("item", b64(FRAME), 20.0))
                leg.send(SendMark(event))
                await asyncio.sleep(0.1)
                sent.append(await drain(theirs))
            leg.send(HangUp(EndReason.AGENT_HANGUP))
            await running
        return events, sent

    events, (flushed, blocked, free) = run(main())
    assert flushed[-1] == command("FLUSH_MEDIA")
    assert not any(isinstance(event, MarkPlayed) for event in events)
    assert blocked == []
    assert free[0] == command("START_MEDIA_BUFFERING")
    assert b"".join(frame for frame in free if isinstance(frame, bytes)) == FRAME * 2


def command(name: str, correlation_id: str = "") -> str:
    told = {"correlation_id": correlation_id} if correlation_id else {}
    return json.dumps({"command": name} | told, separators=(",", ":"))
