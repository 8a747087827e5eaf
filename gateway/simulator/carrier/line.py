"""The caller's telephone line: one clock of 20 ms frames for both directions, from the answer to the end.

The schedule is absolute: frame n is due at answer + n * 20 ms, however late the one before was. At tick n the
caller's frame n-1 has been spoken in full and is sent; agent audio taken at tick n is heard from then on.
"""

import asyncio
from collections.abc import Callable

from gateway.simulator.carrier.media import MediaStream
from gateway.simulator.carrier.report import CallReport, Segment
from gateway.simulator.carrier.tones import FRAME_BYTES, FRAME_S, RATE_BYTES

__all__ = ["PhoneLine"]


class PhoneLine:
    """What goes through the handset. `run()` in one task; everything else is called from the same loop."""

    def __init__(self, report: CallReport) -> None:
        self._report = report
        self._answered_at = asyncio.get_running_loop().time()
        self._frame = 0
        self._timer: asyncio.TimerHandle | None = None
        self._voice = bytearray()
        self._agent_bytes = 0
        self._agent_frame = -1
        self._clears = 0
        self._waiting: tuple[Callable[[], bool], asyncio.Future[None]] | None = None
        self.stream: MediaStream | None = None
        """The stream connected now; its audio is heard, and it gets the caller's."""
        self.announcing = False
        """The network itself is talking (`<Say>`)."""
        self.pressed: Callable[[str], None] | None = None
        """Takes the keys the caller presses while a `<Gather>` collects them."""

    def clock(self) -> float:
        """Return seconds since the answer."""
        return asyncio.get_running_loop().time() - self._answered_at

    async def run(self) -> None:
        """Tick for ever. Timers, not a sleeping task: a frame then costs one turn of the loop less."""
        failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._schedule(failed)
        try:
            await failed
        finally:
            if self._timer is not None:
                self._timer.cancel()

    def _schedule(self, failed: "asyncio.Future[None]") -> None:
        due = self._answered_at + self._frame * FRAME_S
        self._timer = asyncio.get_running_loop().call_at(due, self._on_time, due, failed)

    def _on_time(self, due: float, failed: "asyncio.Future[None]") -> None:
        self._report.clock.observe(asyncio.get_running_loop().time() - due)
        try:
            self._tick()
        # A timer has no owner: the failure is raised in `run()`, in the call's task group.
        except Exception as error:
            failed.set_exception(error)
            return
        self._frame += 1
        self._schedule(failed)

    # What the caller does.

    async def say(self, audio: bytes) -> None:
        """Speak and return when the last sample was spoken. The agent's turn is counted anew from then."""
        self._voice += audio
        await self.until(lambda: not self._voice)
        self._agent_bytes = 0

    def press(self, digit: str) -> None:
        if self.stream is not None:
            self.stream.send_digit(digit)
        if self.pressed is not None:
            self.pressed(digit)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return at the first tick at which `condition` holds. One waiter at a time: the caller."""
        future = asyncio.get_running_loop().create_future()
        self._waiting = (condition, future)
        await future

    # What the caller hears.

    @property
    def agent_is_speaking(self) -> bool:
        return self.announcing or self._agent_frame == self._frame

    @property
    def agent_turn_ms(self) -> int:
        """Agent audio heard since the caller last stopped speaking, or since the last clear."""
        return self._agent_bytes * 1000 // RATE_BYTES

    def agent_is_done(self, quiet_ms: int) -> bool:
        """The agent has spoken since the caller did, and has been quiet for `quiet_ms`."""
        if self.agent_is_speaking or (self.stream is not None and self.stream.queued_bytes):
            return False
        return self._agent_bytes > 0 and (self._frame - self._agent_frame - 1) * FRAME_S * 1000 >= quiet_ms

    def _tick(self) -> None:
        self._speak()
        self._listen()
        if self._waiting is not None and self._waiting[0]():
            future, self._waiting = self._waiting[1], None
            if not future.done():
                future.set_result(None)

    def _speak(self) -> None:
        if self._frame == 0:
            return
        frame = bytes(self._voice[:FRAME_BYTES])
        if frame:
            del self._voice[:FRAME_BYTES]
            _append(self._report.media.said, (self._frame - 1) * FRAME_S, frame)
        if self.stream is not None:
            self.stream.caller_frame(frame)

    def _listen(self) -> None:
        if (clears := len(self._report.media.clears)) != self._clears:
            # What follows a clear is another turn.
            self._clears, self._agent_bytes = clears, 0
        frame = self.stream.take_frame() if self.stream is not None else b""
        if frame:
            _append(self._report.media.heard, self._frame * FRAME_S, frame)
            self._agent_bytes += len(frame)
            self._agent_frame = self._frame
        elif self.announcing:
            self._agent_bytes += FRAME_BYTES
            self._agent_frame = self._frame


def _append(track: list[Segment], start_s: float, frame: bytes) -> None:
    if not track or start_s - track[-1].end_s > FRAME_S / 1000:
        track.append(Segment(start_s))
    track[-1].audio += frame
