"""What came from the client of one session: its sound, its words, and what of it was refused; bounded."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from gateway.simulator.model.formats import Encoding
from gateway.simulator.model.shapes import Json

__all__ = ["CallerSound", "Received", "Refusal", "Sounding"]

KEPT = 10_000
"""Entries kept of each list of one session."""
KEPT_AUDIO_BYTES = 64 << 20
"""Caller audio kept of one session: over two hours of G.711, 23 minutes of PCM."""
KEPT_CHARACTERS = 16 << 20
TICKS_PER_MS = Encoding.PCM.bytes_per_ms
"""In which durations are counted: whole ones for every sample of every format."""
GAP_S = 0.1
"""Sound that goes on within this time is one span."""
NO_TEXT = frozenset(
    "type object role status id event_id item_id previous_item_id response_id call_id model server_label".split()
)
"""Keys of client events whose values are chosen from a list or are identifiers, not words."""


@dataclass(slots=True, frozen=True)
class Refusal:
    """A client event that was answered with an `error`."""

    event: Json
    """The event as it came, audio left out; empty when it was none."""
    error: Json
    """The error object sent."""
    at: float
    """Loop time, in seconds."""

    @property
    def code(self) -> str | None:
        code: str | None = self.error["code"]
        return code


@dataclass(slots=True)
class Sounding:
    """A time in which appended audio was not only digital silence; loop times, in seconds."""

    start_s: float
    end_s: float


@dataclass(slots=True)
class CallerSound:
    """Everything appended to the input audio buffer, as it came and whatever became of it."""

    keep: bool = False
    """Whether the audio itself is kept (`ModelOptions.keep_audio`)."""
    total_bytes: int = 0
    spans: deque[Sounding] = field(default_factory=lambda: deque(maxlen=KEPT))
    """When samples came that were not digital silence (the zeros of PCM and mu-law, the smallest steps of A-law)."""
    audio: bytearray = field(default_factory=bytearray)
    """The bytes themselves, the first 64 MiB of them, when kept."""
    formats: deque[tuple[int, Encoding]] = field(default_factory=lambda: deque(maxlen=KEPT))
    """(number of the first byte, format) for every stretch of one format."""
    _ticks: int = 0
    _sounding_ticks: int = 0

    @property
    def ms(self) -> float:
        return self._ticks / TICKS_PER_MS

    @property
    def sounding_ms(self) -> float:
        """How much of it was not digital silence."""
        return self._sounding_ticks / TICKS_PER_MS

    def sounded(self, start_s: float, end_s: float) -> bool:
        """Whether anything but digital silence arrived between two loop times."""
        return any(span.start_s <= end_s and span.end_s >= start_s for span in self.spans)

    def add(self, audio: bytes, encoding: Encoding, now: float) -> None:
        if not self.formats or self.formats[-1][1] is not encoding:
            self.formats.append((self.total_bytes, encoding))
        sounding, ticks = encoding.sounding(audio), TICKS_PER_MS // encoding.bytes_per_ms
        self.total_bytes += len(audio)
        self._ticks += len(audio) * ticks
        self._sounding_ticks += sounding * ticks
        if sounding and self.spans and now - self.spans[-1].end_s <= GAP_S:
            self.spans[-1].end_s = now
        elif sounding:
            self.spans.append(Sounding(now, now))
        if self.keep:
            self.audio += audio[: KEPT_AUDIO_BYTES - len(self.audio)]


@dataclass(slots=True)
class Received:
    """All of it."""

    sound: CallerSound = field(default_factory=CallerSound)
    heard: dict[str, str] = field(default_factory=dict)
    """What was understood of each caller audio item, by item id."""
    refused: deque[Refusal] = field(default_factory=lambda: deque(maxlen=KEPT))
    written: deque[str] = field(default_factory=deque)
    """Every text in every client event, oldest first."""
    _characters: int = 0

    def read(self, event: Json) -> None:
        """Remember the words of a client event, refused or not; the oldest go when there are too many."""
        for text in _words(event):
            self.written.append(text)
            self._characters += len(text)
        while self.written and (self._characters > KEPT_CHARACTERS or len(self.written) > KEPT):
            self._characters -= len(self.written.popleft())


def _words(value: Any, key: str = "") -> Iterator[str]:
    if isinstance(value, str):
        if value and key not in NO_TEXT and key != "audio":
            yield value
    elif isinstance(value, dict):
        for name, entry in value.items():
            yield from _words(entry, name)
    elif isinstance(value, list):
        for entry in value:
            yield from _words(entry, key)
