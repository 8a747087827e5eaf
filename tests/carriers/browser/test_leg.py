"""A leg keeps its contract over a line that takes frames and nothing else, and bears whatever the page says."""

import asyncio
import base64
import json
import math
from collections.abc import Awaitable, Callable

import pytest

from gateway.carriers.browser.leg import GONE_S, HUNG_UP, LOOK_S, MAX_BAD_MESSAGES, BrowserLeg
from gateway.core.commands import ClearAudio, EndReason, HangUp, PlayAudio, SendDigits, SendMark
from gateway.core.digits import KEY_S
from gateway.core.events import CallerAudio, Dtmf, Event, LegEnd, LegEnded, MarkPlayed
from tests.clock import run

pytestmark = pytest.mark.usefixtures("no_errors_logged")
SILENT = b"\xff" * 160


class Wire:
    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.closed = False
        self.takes = True
        self.lost_at_s = math.inf

    async def arrived(self) -> int:
        """A browser that is muted reports every five seconds."""
        return int(min(asyncio.get_running_loop().time(), self.lost_at_s) // 5)

    def play(self, frame: bytes) -> bool:
        self.frames.append(frame)
        return self.takes

    async def close(self) -> None:
        self.closed = True


class Call:
    """One leg on a virtual clock."""

    def __init__(self) -> None:
        self.wire = Wire()
        self.events: list[Event] = []
        self.leg = BrowserLeg(self.wire, self.events.append)

    def told(self) -> list[Event]:
        """What was told during the call, sound left out."""
        return [event for event in self.events if not isinstance(event, CallerAudio)]


def a_call(work: Callable[[Call], Awaitable[None]]) -> Call:
    async def main() -> Call:
        call = Call()
        running = asyncio.get_running_loop().create_task(call.leg.run())
        await work(call)
        during = list(call.events)
        await call.leg.close()
        await running
        call.events[:] = during
        return call

    call = run(main())
    assert call.wire.closed
    return call


def play(ms: int, byte: int = 0x22) -> PlayAudio:
    return PlayAudio("item", base64.b64encode(bytes([byte]) * 8 * ms).decode(), ms)


def test_audio_and_its_mark_play_once_and_silence_goes_on_around_them() -> None:
    async def work(call: Call) -> None:
        await asyncio.sleep(0.1)
        call.leg.send(play(100))
        call.leg.send(SendMark("one"))
        await asyncio.sleep(1)

    call = a_call(work)
    assert call.told() == [MarkPlayed("one")]
    assert b"".join(call.wire.frames).count(b"\x22") == 800
    assert 54 <= len(call.wire.frames) <= 57, "a frame each 20 ms, whatever plays"


def test_a_clear_drops_what_has_not_left_and_its_marks() -> None:
    async def work(call: Call) -> None:
        call.leg.send(play(2000))
        call.leg.send(SendMark("cut"))
        await asyncio.sleep(0.5)
        call.leg.send(ClearAudio())
        await asyncio.sleep(2)

    call = a_call(work)
    assert call.told() == []
    assert 480 <= b"".join(call.wire.frames).count(b"\x22") / 8 <= 560


def test_keys_that_we_press_are_played_as_tones() -> None:
    async def work(call: Call) -> None:
        call.leg.send(SendDigits("12"))
        await asyncio.sleep(1)

    tones = [frame for frame in a_call(work).wire.frames if frame != SILENT]
    assert len(tones) == round(2 * KEY_S / 0.02) // 2, "100 ms each, with a pause of as much"


def test_the_caller_s_packets_are_passed_on_as_they_are() -> None:
    payload = bytes(range(160))

    async def work(call: Call) -> None:
        call.leg.packet(0, payload)
        call.leg.packet(160, b"")
        call.leg.packet(160, b"\x01" * 5000)
        await asyncio.sleep(0.01)

    assert a_call(work).events == [CallerAudio(base64.b64encode(payload).decode())]


def test_keys_faster_than_any_finger_are_dropped() -> None:
    async def work(call: Call) -> None:
        await asyncio.sleep(1)
        for digit in "123":
            call.leg.message(json.dumps({"type": "key", "digit": digit}))
        await asyncio.sleep(0.03)
        call.leg.message(json.dumps({"type": "key", "digit": "4"}))

    assert a_call(work).told() == [Dtmf("1"), Dtmf("4")]


def test_a_page_that_talks_nonsense_is_cut_off_once() -> None:
    async def work(call: Call) -> None:
        for _ in range(2 * MAX_BAD_MESSAGES):
            call.leg.message("{" * 100_000)

    (ended,) = a_call(work).told()
    assert isinstance(ended, LegEnded) and ended.reason is LegEnd.BROKEN


def test_after_our_hang_up_only_the_end_is_told_and_nothing_taken() -> None:
    async def work(call: Call) -> None:
        call.leg.send(HangUp(EndReason.AGENT_HANGUP))
        call.leg.send(play(100))
        call.leg.send(HangUp(EndReason.AGENT_HANGUP))
        call.leg.message('{"type": "key", "digit": "1"}')
        call.leg.packet(0, SILENT)
        assert not call.events
        await asyncio.sleep(1)
        assert call.wire.closed
        await call.leg.close()

    assert a_call(work).events == [HUNG_UP]


def test_a_leg_that_was_cut_off_tells_its_end_when_the_call_hangs_up() -> None:
    async def main() -> list[Event]:
        call = Call()
        running = asyncio.get_running_loop().create_task(call.leg.run())
        await asyncio.sleep(0.1)
        running.cancel()
        await asyncio.wait({running})
        assert call.wire.closed and not call.told()
        call.leg.send(play(20))
        call.leg.send(HangUp(EndReason.STOPPED))
        call.leg.send(HangUp(EndReason.STOPPED))
        return call.told()

    assert run(main()) == [HUNG_UP]


def test_the_end_is_told_once_whatever_comes_after_it() -> None:
    async def work(call: Call) -> None:
        call.leg.message('{"type": "hang_up"}')
        call.leg.end(LegEnded(LegEnd.SOCKET_LOST))
        call.leg.message('{"type": "key", "digit": "1"}')
        await asyncio.sleep(1)

    (ended,) = a_call(work).told()
    assert isinstance(ended, LegEnded) and ended.reason is LegEnd.CALLER_HANGUP


def test_a_line_that_takes_no_more_ends_the_call() -> None:
    async def work(call: Call) -> None:
        call.wire.takes = False
        await asyncio.sleep(0.5)

    (ended,) = a_call(work).told()
    assert isinstance(ended, LegEnded) and ended.reason is LegEnd.SOCKET_LOST


def test_a_browser_that_vanishes_is_noticed_within_about_ten_seconds() -> None:
    async def work(call: Call) -> None:
        loop = asyncio.get_running_loop()
        call.wire.lost_at_s = loop.time() + 60
        await asyncio.sleep(60)
        assert not call.told(), "a muted browser is there"
        await asyncio.sleep(GONE_S + 2 * LOOK_S)

    assert call_ends(a_call(work)) == [LegEnded(LegEnd.SOCKET_LOST, "nothing came from the browser for 10 s")]


def call_ends(call: Call) -> list[Event]:
    return [event for event in call.told() if isinstance(event, LegEnded)]
