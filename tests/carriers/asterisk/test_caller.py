"""What stands between a call and its leg: the last frame, the end, and who decides how the caller goes on."""

import asyncio
import base64
from collections.abc import Awaitable, Callable

import pytest

from gateway.carriers.asterisk.caller import Caller
from gateway.carriers.base import CallOffer, Leg
from gateway.core.audio import AudioFormat
from gateway.core.commands import ClearAudio, EndReason, HangUp, LegCommand, PlayAudio, SendMark
from gateway.core.events import CallerAudio, Event, LegEnd, LegEnded
from tests.clock import run

OFFER = CallOffer("asterisk", "1.2", "", "inbound", "+14155550101", "+14155550199")


class Ends:
    """The call, the leg and the dialplan, which only note."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.sent: list[LegCommand] = []
        self.gone = 0
        self.let: list[EndReason] = []
        self.audio: AudioFormat | None = None

    def attach(self, leg: Leg, stream_id: str, audio: AudioFormat = AudioFormat.PCMU) -> None:
        self.audio = audio

    def feed(self, event: Event) -> None:
        self.events.append(event)

    def send(self, command: LegCommand) -> None:
        self.sent.append(command)

    async def close(self) -> None:
        pass

    def let_go(self, caller: Caller, reason: EndReason) -> None:
        self.let.append(reason)

    def hung_up(self, caller: Caller) -> None:
        self.gone += 1


def play(part: Callable[[Caller, Ends], Awaitable[None]], audio: AudioFormat = AudioFormat.PCMU) -> Ends:
    ends = Ends()

    async def main() -> None:
        caller = Caller(ends, ends, OFFER, 0, "1.2", fills=True)
        caller.attach(ends, "9", audio)
        await asyncio.sleep(0)
        assert ends.audio is audio
        await part(caller, ends)

    run(main())
    return ends


def audio(size: int) -> PlayAudio:
    return PlayAudio("item", base64.b64encode(b"\x01" * size).decode(), size / 8)


def sizes(sent: list[LegCommand]) -> list[int]:
    return [len(base64.b64decode(one.payload)) for one in sent if isinstance(one, PlayAudio)]


@pytest.mark.parametrize(
    ("spoken", "size", "missing", "silence"),
    [
        (AudioFormat.PCMU, 200, 120, b"\xff"),
        (AudioFormat.PCMA, 159, 1, b"\xd5"),
        (AudioFormat.PCM24, 962, 958, b"\0"),
    ],
    ids=["pcmu", "pcma", "pcm24"],
)
def test_the_last_frame_is_filled_with_silence(spoken: AudioFormat, size: int, missing: int, silence: bytes) -> None:
    async def part(caller: Caller, ends: Ends) -> None:
        caller.send(audio(size))
        caller.send(SendMark("m1"))
        await asyncio.sleep(1)

    ends = play(part, spoken)
    last = ends.sent[-1]
    assert isinstance(last, PlayAudio) and base64.b64decode(last.payload) == silence * missing
    assert len(ends.sent) == 3


def test_what_follows_fills_the_frame_and_a_whole_one_wants_nothing() -> None:
    async def part(caller: Caller, ends: Ends) -> None:
        for size in (1440, 1430, 10, 320):
            caller.send(audio(size))
            await asyncio.sleep(0.18)
        await asyncio.sleep(1)

    assert sizes(play(part).sent) == [1440, 1430, 10, 320]


@pytest.mark.parametrize("end", [ClearAudio(), HangUp(EndReason.AGENT_HANGUP)], ids=["clear", "end"])
def test_nothing_is_filled_after_a_clear_or_the_end(end: LegCommand) -> None:
    async def part(caller: Caller, ends: Ends) -> None:
        caller.send(audio(200))
        caller.send(end)
        if isinstance(end, HangUp):
            caller.leave()
        await asyncio.sleep(1)

    assert sizes(play(part).sent) == [200]


def test_an_orderly_close_is_a_hang_up_once() -> None:
    async def part(caller: Caller, ends: Ends) -> None:
        caller.feed(CallerAudio("/w=="))
        caller.feed(LegEnded(LegEnd.CALLER_HANGUP, "closed with 1000"))
        caller.send(HangUp(EndReason.CALLER_HANGUP))

    ends = play(part)
    assert ends.events[1:] == [LegEnded(LegEnd.CALLER_HANGUP, "closed with 1000", call_over=True)]
    assert ends.gone == 1 and not ends.let


def test_a_lost_socket_is_one() -> None:
    async def part(caller: Caller, ends: Ends) -> None:
        caller.feed(LegEnded(LegEnd.SOCKET_LOST, "closed with 1006"))

    ends = play(part)
    assert ends.events == [LegEnded(LegEnd.SOCKET_LOST, "closed with 1006")] and not ends.gone


def test_the_close_that_we_asked_for_is_no_hang_up() -> None:
    async def part(caller: Caller, ends: Ends) -> None:
        caller.leave()
        caller.feed(LegEnded(LegEnd.CALLER_HANGUP, "closed with 1000"))

    ends = play(part)
    assert ends.events == [LegEnded(LegEnd.CALLER_HANGUP, "closed with 1000")] and not ends.gone


def test_how_the_caller_goes_on_is_asked_once_and_nothing_is_said_after_it() -> None:
    async def part(caller: Caller, ends: Ends) -> None:
        caller.send(HangUp(EndReason.AGENT_HANGUP))
        caller.send(HangUp(EndReason.AGENT_HANGUP))
        caller.send(audio(160))

    ends = play(part)
    assert ends.let == [EndReason.AGENT_HANGUP] and not ends.sent
