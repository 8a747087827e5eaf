"""Which part of which answer was heard when: for answers that pause and go on, as reversible barge-in makes them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from gateway.simulator.carrier.report import Segment
from gateway.simulator.model import Spoken
from gateway.simulator.turns.stage import TAG_BYTES

__all__ = ["Run", "Traced", "trace"]

BACK_BYTES = 8000
"""An answer that goes on may repeat up to a second of itself."""
FIND_BYTES = 400
"""What is looked for: 50 ms, longer than any sound that recurs by chance."""
PAUSE_S = 0.06


@dataclass(slots=True, frozen=True)
class Run:
    """Audio of an item, heard without a gap. Times are seconds since the answer."""

    begins_s: float
    ends_s: float
    from_byte: int
    to_byte: int


@dataclass(slots=True)
class Traced:
    """One item."""

    item: Spoken
    runs: list[Run] = field(default_factory=list)

    @property
    def heard_ms(self) -> float:
        """How far the caller heard it."""
        return max((run.to_byte for run in self.runs), default=0) / 8

    @property
    def spoken_ms(self) -> float:
        return len(self.item.audio) / 8

    @property
    def begins_s(self) -> float:
        return self.runs[0].begins_s

    @property
    def ends_s(self) -> float:
        return self.runs[-1].ends_s

    def pauses(self) -> list[float]:
        """Return the lengths, in seconds, of the silences inside that the model did not speak."""
        gaps = (after.begins_s - before.ends_s for before, after in pairwise(self.runs))
        return [gap for gap in gaps if gap > PAUSE_S]


def trace(segments: Sequence[Segment], spoken: Iterable[Spoken]) -> list[Traced]:
    """Tell every item's runs, in order of generation. Bytes that are of none are passed over."""
    traced = [Traced(item) for item in spoken]
    current = -1
    for segment in segments:
        audio, at = bytes(segment.audio), 0
        while at < len(audio):
            current, start = _find(traced, current, audio[at : at + FIND_BYTES])
            if start < 0:
                at += 1
                continue
            length = max(1, _common(traced[current].item.audio, start, audio, at))
            begins_s = segment.start_s + at / 8000
            traced[current].runs.append(Run(begins_s, begins_s + length / 8000, start, start + length))
            at += length
    return traced


def _find(traced: Sequence[Traced], current: int, ahead: bytes) -> tuple[int, int]:
    """Return the item that goes on so, and from which byte; -1 where none does."""
    for index in range(current + 1, len(traced)):
        if traced[index].item.audio.startswith(ahead[:TAG_BYTES]):
            return index, 0
    if current >= 0:
        heard = traced[current].runs[-1].to_byte
        start = traced[current].item.audio.find(ahead, max(0, heard - BACK_BYTES))
        if start >= 0:
            return current, start
    return current, -1


def _common(item: bytearray, start: int, audio: bytes, at: int) -> int:
    low, high = 0, min(len(item) - start, len(audio) - at)
    while low < high:
        middle = (low + high + 1) // 2
        if item[start : start + middle] == audio[at : at + middle]:
            low = middle
        else:
            high = middle - 1
    return low
