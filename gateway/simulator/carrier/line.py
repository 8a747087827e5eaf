"""The caller's telephone line: one clock of 20 ms frames for both directions, from the answer to the end.

The schedule is absolute: frame n is due at answer + n * 20 ms, however late the one before was. At tick n the
caller's frame n-1 has been spoken in full and is sent; agent audio taken at tick n is heard from then on.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol

from gateway.simulator.carrier.mouth import Mouth
from gateway.simulator.carrier.report import CallReport, Segment, Sound, Spoken
from gateway.simulator.carrier.tones import FRAME_BYTES, FRAME_S, RATE_BYTES, key_tone

__all__ = ["LineStream", "PhoneLine"]

SECONDS_PER_CHARACTER = 0.065
"""About 150 words a minute."""


class LineStream(Protocol):
    """What carries the two voices between the line and whoever answers."""

    @property
    def queued_bytes(self) -> int:
        """Agent audio not yet played."""

    def caller_frame(self, audio: bytes) -> None:
        """Take 20 ms of the caller; empty means silence."""

    def take_frame(self, at_s: float) -> bytes:
        """Return the agent audio heard from `at_s` on, for 20 ms, perhaps short or empty."""

    def send_digit(self, digit: str) -> None:
        """Take a key that the caller pressed."""


class PhoneLine:
    """What goes through the handset. `run()` in one task; everything else is called from the same loop."""

    def __init__(self, report: CallReport, mouth: Mouth) -> None:
        self._report = report
        self.mouth = mouth
        self._answered_at = asyncio.get_running_loop().time()
        self._frame = 0
        self._timer: asyncio.TimerHandle | None = None
        self._turn = _Turn()
        self._waiting: list[tuple[Callable[[], bool], asyncio.Future[None]]] = []
        self.stream: LineStream | None = None
        """The stream connected now; its audio is heard, and it gets the caller's."""
        self.announcing = False
        """The network itself is talking (`<Say>`)."""
        self.pressed: Callable[[str], None] | None = None
        """Takes the keys the caller presses, while a `<Gather>` collects them or another party hears them."""
        self._sound: Sound | None = None

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
        self.mouth.speak(audio)
        await self.until(lambda: not self.mouth.speaking)
        self._turn.heard_bytes = 0

    def press(self, digit: str, *, in_band: bool = False) -> None:
        """Press a key for 100 ms; the tones are in the caller's audio only when asked for."""
        if in_band:
            self.mouth.add(key_tone(digit), spoken=False)
        if self.stream is not None:
            self.stream.send_digit(digit)
        if self.pressed is not None:
            self.pressed(digit)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return at the first tick at which `condition` holds."""
        future = asyncio.get_running_loop().create_future()
        self._waiting.append((condition, future))
        await future

    # What the caller hears.

    async def announce(self, text: str) -> None:
        """Have the network say something (`<Say>`); what is cut short was heard in part."""
        start = self.clock()
        self.announcing = True
        try:
            await asyncio.sleep(len(text) * SECONDS_PER_CHARACTER)
        finally:
            self.announcing = False
            self._report.spoken.append(Spoken(start, self.clock(), text))

    def hear(self, kind: str) -> None:
        """Let the caller hear something (see `Sound`) in place of what was; "" is nothing."""
        if kind == self.hearing:
            return
        if self._sound is not None:
            self._sound.end_s = self.clock()
        self._sound = Sound(kind, self.clock()) if kind else None
        if self._sound is not None:
            self._report.sounds.append(self._sound)

    @property
    def hearing(self) -> str:
        return self._sound.kind if self._sound is not None else ""

    @property
    def parted(self) -> bool:
        """Another party was heard and is no more."""
        return bool(self._report.bridges) and self.hearing != "bridged"

    @property
    def agent_is_speaking(self) -> bool:
        return self.announcing or self._turn.last_frame == self._frame

    @property
    def agent_turn_ms(self) -> int:
        """Agent audio heard since the caller last stopped speaking, or since the last clear."""
        return self._turn.heard_bytes * 1000 // RATE_BYTES

    def agent_is_done(self, quiet_ms: int) -> bool:
        """The agent has spoken since the caller did, and has been quiet for `quiet_ms`."""
        if self.agent_is_speaking or (self.stream is not None and self.stream.queued_bytes):
            return False
        return self._turn.heard_bytes > 0 and (self._frame - self._turn.last_frame - 1) * FRAME_S * 1000 >= quiet_ms

    def _tick(self) -> None:
        self._speak()
        self._listen()
        if self._waiting:
            self._wake()

    def _wake(self) -> None:
        still = []
        for condition, future in self._waiting:
            if future.done():
                continue
            if condition():
                future.set_result(None)
            else:
                still.append((condition, future))
        self._waiting = still

    def _speak(self) -> None:
        if self._frame == 0:
            return
        said, sent = self.mouth.frame()
        if said:
            _append(self._report.media.said, (self._frame - 1) * FRAME_S, said)
        if self.stream is not None:
            self.stream.caller_frame(sent)

    def _listen(self) -> None:
        turn = self._turn
        if (clears := len(self._report.media.clears)) != turn.clears:
            # What follows a clear is another turn.
            turn.clears, turn.heard_bytes = clears, 0
        frame = self.stream.take_frame(self._frame * FRAME_S) if self.stream is not None else b""
        self.mouth.hears(frame)
        if frame:
            _append(self._report.media.heard, self._frame * FRAME_S, frame)
        if frame or self.announcing:
            turn.heard_bytes += len(frame) or FRAME_BYTES
            turn.last_frame = self._frame


class _Turn:
    """What was heard of the agent since the caller last spoke, or since the last clear."""

    def __init__(self) -> None:
        self.heard_bytes = 0
        self.last_frame = -1
        self.clears = 0


def _append(track: list[Segment], start_s: float, frame: bytes) -> None:
    if not track or start_s - track[-1].end_s > FRAME_S / 1000:
        track.append(Segment(start_s))
    track[-1].audio += frame
