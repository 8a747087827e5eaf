"""What comes in of the caller's RTP stream, made one steady stream of sound.

Theory. The model's turn detection needs a clock that runs: its time is the audio it got. So the timeline of what is
forwarded never shrinks. The RTP timestamp says where a packet belongs, in samples. What comes in order is forwarded at
once; what comes early waits for the gap before it, three packets or 60 ms at most; then the gap is concealed with
sound of the same length (the last packet once more, then silence) and what waited follows. A stream that stops
altogether is replaced by silence as time passes; when it goes on it is taken up where it is, so that words which were
only late are not lost. Packets that come twice, or after their gap was concealed, are dropped.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Figures", "Intake"]

RATE_HZ = 8000
FRAME = 160
"""Samples of 20 ms; mu-law has one byte each."""
FRAME_S = FRAME / RATE_HZ
SILENCE = b"\xff"
HELD = 3
"""Packets that wait for a gap before them."""
HELD_S = 0.06
QUIET_S = 0.1
"""A stream of which nothing came for so long has stopped."""
LONGEST_GAP = RATE_HZ
"""Samples; a longer jump is a new beginning, not a loss."""
MOST_AHEAD_S = 2.0
"""How much sound may come at once, after the network stood still."""
LATE_S = 0.05
"""A wake-up that comes later than that says that our own loop stood still, not the caller's stream."""
EPSILON = 1e-6
"""Times are sums of binary fractions: 20 ms that have passed may be a bit less than 20 ms."""
WRAP = 1 << 32


@dataclass(slots=True)
class Figures:
    """What happened to the stream, in packets of whatever size."""

    received: int = 0
    dropped: int = 0
    """Late, or there already."""
    concealed_ms: int = 0
    """Sound in place of lost packets."""
    silent_ms: int = 0
    """Silence in place of a stream that had stopped."""


class Intake:
    """One caller's stream. `forward` gets sound in order, each piece as it came; it must not block.

    Await `run` for as long as the stream lives: it keeps the time.
    """

    def __init__(self, forward: Callable[[bytes], None]) -> None:
        self.figures = Figures()
        self._forward = forward
        self._next: int | None = None
        """Timestamp of the sample that comes next; None: whatever comes."""
        self._held: dict[int, bytes] = {}
        self._held_since_s = 0.0
        self._last = b""
        self._covered_s = asyncio.get_running_loop().time()
        """Until when there was sound, or silence was filled in."""
        self._quiet = False
        """Whether the stream has stopped."""
        self._credit_s = self._covered_s
        """Until when what has come would last, were it played as it came."""

    def packet(self, timestamp: int, payload: bytes) -> None:
        """Take one packet's mu-law; `timestamp` is RTP's, 32 bits. What comes faster than it can be spoken is
        dropped."""
        self.figures.received += 1
        now = asyncio.get_running_loop().time()
        lasts_until_s = max(self._credit_s, now) + len(payload) / RATE_HZ
        if not payload or lasts_until_s > now + MOST_AHEAD_S:
            self.figures.dropped += 1
            return
        self._credit_s = lasts_until_s
        self._covered_s, self._quiet = now, False
        ahead = 0 if self._next is None else (timestamp - self._next) % WRAP
        if 0 < ahead <= LONGEST_GAP:
            self._hold(timestamp, payload, now)
        elif WRAP - LONGEST_GAP <= ahead:
            self.figures.dropped += 1
        else:
            if ahead:
                self._begin_anew()
            self._take(timestamp, payload)
            self._release(now)

    async def run(self) -> None:
        """Conceal what does not come in time and fill in for a stream that has stopped; ends when cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            now = loop.time()
            due_s = self._covered_s + (FRAME_S if self._quiet else QUIET_S)
            if self._held:
                due_s = min(due_s, self._held_since_s + HELD_S)
            if now < due_s:
                # Short enough for what is held meanwhile: that is due after HELD_S at the earliest.
                await self._sleep_until(min(due_s, now + HELD_S / 2))
            elif self._held:
                self._conceal(now)
            else:
                self._fill(now)

    @staticmethod
    async def _sleep_until(due_s: float) -> None:
        """Sleep; when our own loop stood still meanwhile, let it read first what lies in its sockets."""
        loop = asyncio.get_running_loop()
        await asyncio.sleep(due_s - loop.time())
        if loop.time() - due_s > LATE_S:
            await asyncio.sleep(FRAME_S)

    def _hold(self, timestamp: int, payload: bytes, now: float) -> None:
        if timestamp in self._held:
            self.figures.dropped += 1
            return
        if not self._held:
            self._held_since_s = now
        self._held[timestamp] = payload
        if len(self._held) > HELD:
            self._conceal(now)

    def _conceal(self, now: float) -> None:
        """Fill the gap before what is held, and forward that."""
        first = min(self._held, key=self._ahead)
        missing = self._ahead(first)
        sound, self._last = self._last[:missing], b""
        sound += SILENCE * (missing - len(sound))
        for begin in range(0, missing, FRAME):
            self._forward(sound[begin : begin + FRAME])
        self.figures.concealed_ms += 1000 * missing // RATE_HZ
        self._next = first
        self._release(now)

    def _fill(self, now: float) -> None:
        """Forward the silence of the time in which nothing came."""
        frames = int((now - self._covered_s) / FRAME_S + EPSILON)
        for _ in range(frames):
            self._forward(SILENCE * FRAME)
        self._covered_s += frames * FRAME_S
        self.figures.silent_ms += round(1000 * frames * FRAME_S)
        self._quiet, self._next, self._last = True, None, b""

    def _release(self, now: float) -> None:
        """Forward what is held and comes next now; forget what turned out to be there already."""
        while self._next is not None and self._next in self._held:
            self._take(self._next, self._held.pop(self._next))
        passed = [timestamp for timestamp in self._held if self._ahead(timestamp) > LONGEST_GAP]
        for timestamp in passed:
            del self._held[timestamp]
        self.figures.dropped += len(passed)
        self._held_since_s = now

    def _take(self, timestamp: int, payload: bytes) -> None:
        self._last = payload
        self._next = (timestamp + len(payload)) % WRAP
        self._forward(payload)

    def _begin_anew(self) -> None:
        for timestamp in sorted(self._held, key=self._ahead):
            self._forward(self._held[timestamp])
        self._held.clear()

    def _ahead(self, timestamp: int) -> int:
        """Return how many samples lie between what comes next and this."""
        return (timestamp - (self._next or 0)) % WRAP
