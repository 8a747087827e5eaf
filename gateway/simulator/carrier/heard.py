"""What became of each byte of a stream's agent audio: when it was heard, or that it never was.

A byte's *position* is its number in the audio that the stream accepted, from 0. Times are seconds since the answer.
A frame taken from the queue at a tick is heard during the 20 ms after it, its n-th byte n/8000 s later.
"""

from bisect import bisect_left
from dataclasses import dataclass, field

from gateway.simulator.carrier.tones import RATE_BYTES

__all__ = ["Clear", "PlayedRun", "StreamLog"]

_SAME_S = 1e-6


@dataclass(slots=True)
class PlayedRun:
    """Bytes that follow one another both in the stream and in the caller's ear."""

    start_s: float
    first_byte: int
    size: int

    @property
    def end_s(self) -> float:
        return self.start_s + self.size / RATE_BYTES

    @property
    def end_byte(self) -> int:
        return self.first_byte + self.size


@dataclass(slots=True, frozen=True)
class Clear:
    """One `clear`, as it was carried out."""

    at_s: float
    received_bytes: int
    """Audio accepted before it: every byte below this position is old."""
    dropped_bytes: int
    kept_bytes: int
    """Queued bytes that it could not stop (`LineModel.committed_ms`); the frame being played is not among them."""


@dataclass(slots=True)
class StreamLog:
    """One stream; an hour of speech without a gap is one run."""

    stream_sid: str
    opened_s: float
    closed_s: float | None = None
    received_bytes: int = 0
    """Accepted into the queue."""
    runs: list[PlayedRun] = field(default_factory=list)
    """What was played, in order of time. No byte is in two of them."""
    clears: list[Clear] = field(default_factory=list)

    def played(self, at_s: float, first_byte: int, size: int) -> None:
        """Note what is heard from `at_s` on."""
        last = self.runs[-1] if self.runs else None
        if last is not None and last.end_byte == first_byte and abs(last.end_s - at_s) < _SAME_S:
            last.size += size
        else:
            self.runs.append(PlayedRun(at_s, first_byte, size))

    def heard_bytes(self, until_s: float, first_byte: int = 0, end_byte: int | None = None) -> int:
        """Return how many bytes from `first_byte` on and before `end_byte` were heard before `until_s`."""
        total = 0
        for run in self.runs:
            if run.start_s >= until_s:
                break
            within = min(run.size, round((until_s - run.start_s) * RATE_BYTES))
            end = run.first_byte + within
            total += max(0, min(end, end if end_byte is None else end_byte) - max(run.first_byte, first_byte))
        return total

    def heard_at_s(self, position: int) -> float | None:
        """Return when a byte began to be heard; None: it never was."""
        number = bisect_left(self.runs, position + 1, key=lambda run: run.first_byte) - 1
        if number < 0 or position >= self.runs[number].end_byte:
            return None
        run = self.runs[number]
        return run.start_s + (position - run.first_byte) / RATE_BYTES

    def old_audio_ms(self, clear: Clear) -> float:
        """Return how much audio sent before a clear was heard after it. Up to 20 ms were being played anyway."""
        whole = self.heard_bytes(float("1e12"), 0, clear.received_bytes)
        return (whole - self.heard_bytes(clear.at_s, 0, clear.received_bytes)) * 1000 / RATE_BYTES

    def silent_after_ms(self, clear: Clear) -> float:
        """Return how long after a clear the last audio sent before it fell silent; 0 when nothing was left."""
        number = bisect_left(self.runs, clear.received_bytes, key=lambda run: run.first_byte) - 1
        if number < 0:
            return 0.0
        run = self.runs[number]
        last = run.start_s + min(run.size, clear.received_bytes - run.first_byte) / RATE_BYTES
        return max(0.0, (last - clear.at_s) * 1000)
