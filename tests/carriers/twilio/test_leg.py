"""One stream of Twilio's on the leg that all share: keys as tones, and a stream whose place another has taken."""

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable

from gateway.carriers import tones
from gateway.carriers.stream import Started
from gateway.carriers.streamleg import StreamLeg
from gateway.carriers.twilio.codec import TwilioCodec
from gateway.core.commands import ClearAudio, PlayAudio, SendDigits
from gateway.core.events import CallerAudio, Event, LegEnd, LegEnded
from gateway.wire import PipeEnd, WireClosed, pipe
from tests.clock import run

FORM = {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1}
IDS = {"streamSid": "MZ1", "callSid": "CA1", "accountSid": "AC1"}
START = json.dumps({"event": "start", "start": {**IDS, "mediaFormat": FORM, "customParameters": {"token": "t"}}})
MEDIA = json.dumps({"event": "media", "media": {"track": "inbound", "payload": "////"}})


def with_leg(test: Callable[[StreamLeg, PipeEnd, list[Event]], Awaitable[None]]) -> list[Event]:
    """Run a leg beside `test`, which gets the carrier's end of its socket; return what the call was told."""
    told: list[Event] = []

    async def main() -> None:
        ours, theirs = pipe()
        codec = TwilioCodec()
        started = codec.decode(START)
        assert isinstance(started, Started)
        leg = StreamLeg(ours, codec, started, told.append)
        async with asyncio.TaskGroup() as group:
            group.create_task(leg.run())
            await test(leg, theirs, told)
            await theirs.close()

    run(main())
    return told


async def sent(theirs: PipeEnd, count: int) -> list[dict[str, object]]:
    return [json.loads(await theirs.receive()) for _ in range(count)]


def test_keys_are_played_as_tones_one_after_the_other() -> None:
    async def test(leg: StreamLeg, theirs: PipeEnd, told: list[Event]) -> None:
        leg.send(SendDigits("4*"))
        first, second = await sent(theirs, 2)
        for message, digit in ((first, "4"), (second, "*")):
            assert message.keys() == {"event", "streamSid", "media"}
            assert message["media"] == {"payload": base64.b64encode(tones.key(digit)).decode()}

    with_leg(test)


def test_a_superseded_stream_says_that_it_ended_and_nothing_after() -> None:
    async def test(leg: StreamLeg, theirs: PipeEnd, told: list[Event]) -> None:
        await theirs.send(MEDIA)
        await asyncio.sleep(0)
        leg.supersede()
        leg.supersede()
        await theirs.send(MEDIA)
        await theirs.send('{"event":"stop"}')
        try:
            await theirs.receive()
        except WireClosed as closed:
            assert closed.code == 1000

    first, *rest = with_leg(test)
    assert isinstance(first, CallerAudio)
    assert [type(event) for event in rest] == [LegEnded]
    assert isinstance(rest[0], LegEnded)
    assert (rest[0].reason, rest[0].call_over) == (LegEnd.SOCKET_LOST, False)


def test_a_stream_that_ended_is_not_told_twice_when_it_is_superseded() -> None:
    async def test(leg: StreamLeg, theirs: PipeEnd, told: list[Event]) -> None:
        await theirs.send('{"event":"stop"}')
        await asyncio.sleep(0.1)
        leg.supersede()

    assert with_leg(test) == [LegEnded(LegEnd.CALLER_HANGUP, "stop")]


def test_a_superseded_stream_sends_nothing_more() -> None:
    async def test(leg: StreamLeg, theirs: PipeEnd, told: list[Event]) -> None:
        leg.supersede()
        leg.send(PlayAudio("item", "////", 0.4))
        leg.send(ClearAudio())
        leg.send(SendDigits("1"))
        try:
            raise AssertionError(await theirs.receive())
        except WireClosed:
            pass

    with_leg(test)
