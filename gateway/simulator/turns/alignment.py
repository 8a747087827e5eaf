"""What the caller heard of each item, from the bytes that were played: no clock and no account of the gateway is asked.

What is played must be, in order, a prefix of each item that the model spoke. Every item sounds different from its first
byte on (`ExactVoice`), so the prefixes can be told apart to the sample, and whatever is no such prefix (audio that
arrives late, or twice, or out of order) is found as foreign.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gateway.simulator.carrier.report import Segment
from gateway.simulator.model.record import Spoken

__all__ = ["BYTES_PER_MS", "Ear", "Heard", "align"]

BYTES_PER_MS = 8
MATCH_BYTES = 4
"""Half a millisecond of agreement with an item's beginning is no accident: one in 256 ** 4."""


@dataclass(slots=True, frozen=True)
class Heard:
    """One item, and what the caller heard of it. Times are seconds since the call was answered."""

    item_id: str
    response_id: str
    text: str
    spoken_ms: float
    """All the audio that the model sent of it."""
    heard_ms: float
    begins_s: float | None
    """None, like `ends_s`, when nothing was heard."""
    ends_s: float | None


@dataclass(slots=True, frozen=True)
class Ear:
    """The whole call, by ear."""

    items: tuple[Heard, ...]
    """In the order in which the model spoke them."""
    foreign_ms: float
    """Audio that was heard and is of no item, or not where it belongs."""


class _Track:
    """Played bytes without the gaps between, and when each was heard."""

    def __init__(self, segments: Sequence[Segment]) -> None:
        self.audio = b"".join(bytes(segment.audio) for segment in segments)
        self._starts: list[int] = []
        self._times: list[float] = []
        at = 0
        for segment in segments:
            self._starts.append(at)
            self._times.append(segment.start_s)
            at += len(segment.audio)

    def begins_s(self, at: int) -> float:
        index = bisect_right(self._starts, at) - 1
        return self._times[index] + (at - self._starts[index]) / BYTES_PER_MS / 1000

    def ends_s(self, at: int) -> float:
        """Return when the byte before `at` was heard to its end."""
        return self.begins_s(at - 1) + 1 / BYTES_PER_MS / 1000


def align(segments: Sequence[Segment], spoken: Iterable[Spoken]) -> Ear:
    """Tell what was heard of each item; `spoken` in order of generation."""
    track, waiting = _Track(segments), list(spoken)
    found: list[Heard] = []
    at = foreign = 0
    while waiting:
        index = _next(track.audio, at, waiting)
        if index is None:
            if at >= len(track.audio):
                break
            at, foreign = at + 1, foreign + 1
            continue
        found += [_unheard(item) for item in waiting[:index]]
        item = waiting[index]
        del waiting[: index + 1]
        length = _length(item.audio, track.audio, at, waiting)
        found.append(_heard(item, length, track.begins_s(at), track.ends_s(at + length)))
        at += length
    foreign += len(track.audio) - at
    return Ear(tuple(found + [_unheard(item) for item in waiting]), foreign / BYTES_PER_MS)


def _next(audio: bytes, at: int, waiting: Sequence[Spoken]) -> int | None:
    """Return which of the items not yet heard begins here."""
    ahead = audio[at : at + MATCH_BYTES]
    for index, item in enumerate(waiting):
        if ahead and item.audio.startswith(ahead):
            return index
    return None


def _length(item: bytearray, audio: bytes, at: int, waiting: Sequence[Spoken]) -> int:
    """Return how many bytes from `at` on are the item's; one in 256 cuts looks a byte longer than it is."""
    length = _common(item, audio, at)
    for shorter in range(MATCH_BYTES):
        end = at + length - shorter
        if end > at and (end == len(audio) or _next(audio, end, waiting) is not None):
            return length - shorter
    return length


def _common(item: bytearray, audio: bytes, at: int) -> int:
    """Return how many bytes from `at` on are the item's."""
    low, high = 0, min(len(item), len(audio) - at)
    while low < high:
        middle = (low + high + 1) // 2
        if item[:middle] == audio[at : at + middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _heard(item: Spoken, length: int, begins_s: float, ends_s: float) -> Heard:
    spoken_ms = len(item.audio) / BYTES_PER_MS
    return Heard(item.item_id, item.response_id, item.text, spoken_ms, length / BYTES_PER_MS, begins_s, ends_s)


def _unheard(item: Spoken) -> Heard:
    return Heard(item.item_id, item.response_id, item.text, len(item.audio) / BYTES_PER_MS, 0.0, None, None)
