"""A carrier that takes nothing but frames keeps the leg's contract by a pacer."""

import asyncio
import base64
import random
from collections.abc import Awaitable, Callable

import pytest

from gateway.carriers.pacer import Pacer
from gateway.core.commands import ClearAudio, Command, PlayAudio, SendMark, TruncateItem
from gateway.core.events import Event, MarkPlayed
from gateway.core.playout import Playout
from tests.clock import run


class Line:
    """What left, and what came back, and when."""

    def __init__(self, **options: int | bool) -> None:
        self.frames: list[tuple[float, bytes]] = []
        self.marks: list[tuple[float, str]] = []
        self.pacer = Pacer(self._sent, self._told, **options)  # type: ignore[arg-type]  # its own options

    def _sent(self, frame: bytes) -> None:
        self.frames.append((round(self.now, 3), frame))

    def _told(self, event: Event) -> None:
        assert isinstance(event, MarkPlayed)
        self.marks.append((round(self.now, 3), event.name))

    @property
    def now(self) -> float:
        return asyncio.get_running_loop().time()

    @property
    def audio(self) -> bytes:
        return b"".join(frame for _, frame in self.frames)


def on_a_line(work: Callable[[Line], Awaitable[None]], **options: int | bool) -> Line:
    async def main() -> Line:
        line = Line(**options)
        async with asyncio.TaskGroup() as group:
            group.create_task(line.pacer.run())
            await work(line)
            line.pacer.close()
        return line

    return run(main())


def speech(ms: int, byte: int = 0x22) -> str:
    return base64.b64encode(bytes([byte]) * (ms * 8)).decode()


def test_audio_leaves_in_frames_at_its_own_speed() -> None:
    async def work(line: Line) -> None:
        line.pacer.play(speech(100))
        await asyncio.sleep(1)

    line = on_a_line(work)
    assert [len(frame) for _, frame in line.frames] == [160] * 5
    assert [at for at, _ in line.frames] == [0.0, 0.0, 0.02, 0.04, 0.06]


def test_a_mark_comes_back_when_what_was_sent_before_it_has_played() -> None:
    async def work(line: Line) -> None:
        line.pacer.play(speech(50))
        line.pacer.mark("middle")
        line.pacer.play(speech(50))
        line.pacer.mark("end")
        line.pacer.mark("end too")
        await asyncio.sleep(1)

    assert on_a_line(work).marks == [(0.05, "middle"), (0.1, "end"), (0.1, "end too")]


def test_a_mark_with_nothing_before_it_comes_back_at_once() -> None:
    async def work(line: Line) -> None:
        line.pacer.mark("empty")
        await asyncio.sleep(1)

    assert on_a_line(work).marks == [(0.0, "empty")]


def test_a_clear_drops_audio_and_marks_and_what_follows_plays() -> None:
    async def work(line: Line) -> None:
        line.pacer.play(speech(1000))
        line.pacer.mark("old")
        await asyncio.sleep(0.1)
        line.pacer.clear()
        line.pacer.play(speech(40, 0x33))
        line.pacer.mark("new")
        await asyncio.sleep(1)

    line = on_a_line(work)
    assert [name for _, name in line.marks] == ["new"]
    assert line.audio.count(b"\x22") <= 160 * 7
    assert line.audio.endswith(b"\x33" * 320)


def test_a_short_tail_is_filled_with_silence() -> None:
    async def work(line: Line) -> None:
        line.pacer.play(speech(30))
        await asyncio.sleep(1)

    assert on_a_line(work).audio == b"\x22" * 240 + b"\xff" * 80


def test_pieces_of_any_length_join_without_a_gap() -> None:
    rng = random.Random(5)
    pieces = [bytes(rng.randrange(256) for _ in range(rng.randrange(1, 700))) for _ in range(60)]

    async def work(line: Line) -> None:
        for piece in pieces:
            line.pacer.play(base64.b64encode(piece).decode())
        await asyncio.sleep(10)

    audio = b"".join(pieces)
    assert on_a_line(work).audio[: len(audio)] == audio


def test_a_leg_that_needs_it_hears_silence_while_nothing_plays() -> None:
    async def work(line: Line) -> None:
        await asyncio.sleep(0.1)
        line.pacer.play(speech(20))
        await asyncio.sleep(0.1)

    line = on_a_line(work, idle_silence=True)
    assert 9 <= len(line.frames) <= 12
    assert line.audio.count(b"\x22") == 160


@pytest.mark.parametrize("stood_s", (0.1, 0.5, 3.0))
def test_a_loop_that_stood_still_sends_no_burst(stood_s: float) -> None:
    """The carrier plays at once: what came on top would lie before everything that follows."""

    async def work(line: Line) -> None:
        line.pacer.play(speech(5000))
        await asyncio.sleep(0.5)
        asyncio.get_running_loop().now += stood_s  # type: ignore[attr-defined]  # the virtual clock jumps
        await asyncio.sleep(0.05)
        line.pacer.clear()
        line.bursts = max(  # type: ignore[attr-defined]
            sum(1 for at, _ in line.frames if at == when) for when in {at for at, _ in line.frames}
        )

    assert on_a_line(work).bursts <= 3  # type: ignore[attr-defined]


@pytest.mark.parametrize("seed", range(20))
def test_the_ledger_knows_through_a_pacer_what_was_heard(seed: int) -> None:
    """The same account as with a carrier's own marks and clear: within a frame of what was really played."""
    rng = random.Random(seed)
    found: list[tuple[int, float]] = []

    async def work(line: Line) -> None:
        playout = Playout(lead_ms=400)

        def carry_out(commands: list[Command]) -> None:
            for command in commands:
                match command:
                    case PlayAudio(_, payload, _):
                        line.pacer.play(payload)
                    case SendMark(name):
                        line.pacer.mark(name)
                    case ClearAudio():
                        line.pacer.clear()
                    case TruncateItem(_, audio_end_ms):
                        heard = (line.now - line.frames[0][0]) * 1000
                        found.append((audio_end_ms, min(heard, len(line.audio) / 8)))
                    case _:
                        pass

        carry_out(playout.receive("r", "i", speech(6000), line.now))
        until_s = rng.uniform(0.3, 5.5)
        while playout.deadline is not None and playout.deadline < until_s:
            await asyncio.sleep(max(0.0, playout.deadline - line.now))
            for _, name in line.marks:
                playout.played(name, line.now)
            line.marks.clear()
            carry_out(playout.release(line.now))
        await asyncio.sleep(max(0.0, until_s - line.now))
        carry_out(playout.interrupt(line.now).commands)

    on_a_line(work)
    ((told_ms, heard_ms),) = found
    assert abs(told_ms - heard_ms) <= 20


def test_what_follows_a_clear_plays_at_once_where_the_carrier_drops_what_it_has() -> None:
    """The lead is gone with it: the carrier gets a new one, and marks come when they are reached."""

    async def work(line: Line) -> None:
        line.pacer.play(speech(600))
        await asyncio.sleep(0.1)
        line.pacer.clear(flushed=True)
        line.frames.clear()
        line.pacer.play(speech(400, 0x33))
        line.pacer.mark("new")
        await asyncio.sleep(2)

    line = on_a_line(work, ahead=30)
    assert line.marks == [(0.5, "new")]
    assert {at for at, _ in line.frames} == {0.1}


class Buffer:
    """A carrier that buffers frames, plays them one after the other and drops them all at a clear."""

    def __init__(self) -> None:
        self.ends_s = 0.0
        self._taken_s = 0.0

    def take(self, now: float) -> None:
        self.ends_s = max(self.ends_s, now) + 0.02
        self._taken_s += 0.02

    def drop(self, now: float) -> None:
        self.ends_s, self._taken_s = now, 0.0

    def heard_ms(self, now: float) -> float:
        return (self._taken_s - max(self.ends_s - now, 0.0)) * 1000


@pytest.mark.parametrize("echoes", (False, True))
@pytest.mark.parametrize("seed", range(8))
def test_the_ledger_knows_what_was_heard_after_each_of_many_clears(seed: int, echoes: bool) -> None:
    rng = random.Random(seed)
    errors: list[float] = []

    async def main() -> None:
        loop, playout, buffer = asyncio.get_running_loop(), Playout(lead_ms=400), Buffer()
        heard_ms = 0.0

        def told(event: Event) -> None:
            assert isinstance(event, MarkPlayed)
            playout.played(event.name, loop.time())

        def echo_later(name: str) -> None:
            loop.call_at(max(buffer.ends_s, loop.time()), told, MarkPlayed(name))

        pacer = Pacer(lambda _: buffer.take(loop.time()), told, ahead=50, send_mark=echo_later if echoes else None)

        def carry_out(commands: list[Command]) -> None:
            nonlocal heard_ms
            for command in commands:
                match command:
                    case PlayAudio(_, payload, _):
                        pacer.play(payload)
                    case SendMark(name):
                        pacer.mark(name)
                    case ClearAudio():
                        heard_ms = buffer.heard_ms(loop.time())
                        pacer.clear(flushed=True)
                        buffer.drop(loop.time())
                    case TruncateItem(_, audio_end_ms):
                        errors.append(audio_end_ms - heard_ms)

        async with asyncio.TaskGroup() as group:
            running = group.create_task(pacer.run())
            for turn in range(8):
                carry_out(playout.receive(f"r{turn}", f"i{turn}", speech(6000), loop.time()))
                until_s = loop.time() + rng.uniform(0.3, 4)
                while playout.deadline is not None and playout.deadline < until_s:
                    await asyncio.sleep(max(0.0, playout.deadline - loop.time()))
                    carry_out(playout.release(loop.time()))
                await asyncio.sleep(max(0.0, until_s - loop.time()))
                carry_out(playout.interrupt(loop.time(), f"r{turn}").commands)
                await asyncio.sleep(rng.choice((0.0, 0.05, 2)))
            running.cancel()

    run(main())
    assert len(errors) == 8
    assert max(abs(error) for error in errors) <= 40
