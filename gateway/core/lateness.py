"""How late what we send is played, learnt from the marks that come back.

Theory. Audio sent at s reaches the carrier's end at s + d, so a clear sent at t, which arrives at t + d, finds t - s of
it played: whatever the way takes, it takes for both. So heard = now - sent is right as long as the way stays the same,
and the trip that a mark's echo took must not be subtracted. What has to be subtracted is what is *not* the way: a
carrier that began late or stalled. One run, audio without a gap, is late by the same time throughout; the trips of
several runs differ by no more than the carrier's 20 ms frame. So the trip is the median over runs, and a run is late by
what its marks took longer than that. Single late marks do not count: the quicker of the last two does.

A trip of more than MOST_TRIP_S is no way but a buffer in front of the caller, and counts as lateness.
"""

from collections import deque
from statistics import median

__all__ = ["Lateness"]

RUNS = 9
"""Runs whose trips are remembered."""
MOST_TRIP_S = 0.3
FRAME_S = 0.02
"""Carriers play frames of 20 ms (RFC 3551, §4.2)."""


class Lateness:
    """Of one leg. All in seconds."""

    def __init__(self) -> None:
        self._runs: deque[float] = deque(maxlen=RUNS)
        self._run: deque[float] = deque(maxlen=2)

    @property
    def trip_s(self) -> float:
        """From our sending to the echo of a mark, beside what the audio takes; 0 before the first mark."""
        trips = [*self._runs, *([min(self._run)] if self._run else [])]
        return min(max(median(trips), 0.0), MOST_TRIP_S) if trips else 0.0

    @property
    def late_s(self) -> float:
        """How much later than sent the present run plays; a little below 0 where it began sooner than most."""
        return max(min(self._run) - self.trip_s, -FRAME_S) if self._run else 0.0

    def began(self) -> None:
        """A new run begins: nothing was playing."""
        if self._run:
            self._runs.append(min(self._run))
            self._run.clear()

    def echoed(self, after_s: float) -> None:
        """A mark came back, so long after what it marks would have ended had it played as sent."""
        self._run.append(after_s)
