"""Voice activity detection in the input audio buffer, by its mu-law side; positions count all audio of the session.

State: quiet → (enough voiced frames) → speaking → (silence long enough) → quiet. A pause shorter than the
closing silence is reported once, for the semantic detector to judge the words so far.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from gateway.simulator.engine import Engine, Vad
from gateway.simulator.model.config import SemanticVad, ServerVad
from gateway.simulator.model.formats import Arrived, Encoding
from gateway.simulator.model.semantic import TIMEOUT_MS
from gateway.simulator.model.sound import BYTES_PER_MS, level
from gateway.simulator.model.track import Track

__all__ = ["EnergyVad", "Hearing", "Paused", "Started", "Stopped", "VadEvent"]

ONSET_MS = 60
"""Voice shorter than this is a click."""
HYSTERESIS = 0.15
"""Speech goes on until the probability falls this far below the threshold."""
SEMANTIC_THRESHOLD = 0.5
SEMANTIC_PREFIX_MS = 300
SEMANTIC_PAUSE_MS = 300
"""Silence after which the words so far are judged."""


SILENT_FRAME = b"\xff" * 160
"""Digital silence in mu-law: most of what a caller sends."""


class EnergyVad:
    """Loudness over a noise floor, for clean audio: exact on scripted callers, lost in noise below 20 dB."""

    FRAME_BYTES = 160
    FLOOR_MIN = 40.0
    """RMS under which nothing counts as speech even in digital silence."""
    FLOOR_MAX = 400.0
    RISE = 1.01
    """The floor follows a louder room by 1 % a frame and a quieter one at once."""
    MARGIN_DB = 12.0

    def __init__(self) -> None:
        self._floor = self.FLOOR_MIN

    @property
    def frame_bytes(self) -> int:
        return self.FRAME_BYTES

    def probability(self, frame: bytes) -> float:
        if frame == SILENT_FRAME:
            self._floor = self.FLOOR_MIN
            return 0.0
        loudness = max(1.0, float(level(frame)))
        self._floor = min(max(self.FLOOR_MIN, min(loudness, self._floor * self.RISE)), self.FLOOR_MAX)
        above_db = 20 * math.log10(loudness / self._floor) - self.MARGIN_DB
        return 1 / (1 + math.exp(-max(-40.0, min(40.0, above_db / 1.5))))


@dataclass(slots=True, frozen=True)
class Started:
    """Speech began; includes the prefix padding."""

    at_ms: int


@dataclass(slots=True, frozen=True)
class Paused:
    """The caller stopped for a moment; the words so far are worth judging (semantic detection only)."""


@dataclass(slots=True, frozen=True)
class Stopped:
    """The turn is over; includes the closing silence."""

    at_ms: int


VadEvent = Started | Paused | Stopped


class Hearing:
    """Audio not yet committed, and where speech is in it."""

    def __init__(self, engine: Engine, max_turn_s: float, encoding: Encoding = Encoding.PCMU) -> None:
        self._engine = engine
        self._limit = int(max_turn_s * 1000) * BYTES_PER_MS
        self._buffer = Track(encoding)
        self._base = 0
        """Position of the buffer's first byte."""
        self._scanned = 0
        """Position up to which frames have been judged."""
        self._vad: Vad | None = None
        self._detection: ServerVad | SemanticVad | None = None
        self._voiced = 0
        self._quiet = 0
        self._spare = 0
        """Bytes judged that lie after the end of the turn."""
        self._asked = False
        """Whether this pause was already reported."""
        self.speaking = False

    def configure(self, detection: ServerVad | SemanticVad | None) -> None:
        """Take a new `turn_detection`, at any time.

        A turn in progress goes on under the new rules. Switched off, detection forgets it, and its audio so far waits
        in the buffer for the client's commit; switched on, it starts with the audio to come, and only the padding of a
        turn can still reach back.
        """
        if (detection is None) != (self._vad is None):
            self._vad = None if detection is None else self._engine.vad()
            self._scanned = self._end
            self._settle()
        self._detection = detection

    def recode(self, encoding: Encoding) -> None:
        """Follow a change of the input format; nothing of what was heard is lost, and positions go on counting."""
        self._buffer.recode(encoding)

    @property
    def end_ms(self) -> int:
        """All audio of the session so far."""
        return self._end // BYTES_PER_MS

    @property
    def judged_ms(self) -> int:
        """All audio that detection has looked at."""
        return self._scanned // BYTES_PER_MS

    @property
    def paused(self) -> bool:
        """Whether a turn is open and the caller is silent right now."""
        return self.speaking and self._quiet >= SEMANTIC_PAUSE_MS * BYTES_PER_MS

    @property
    def waiting_ms(self) -> float:
        """What a commit would take. With detection on that is nothing until speech begins: padding is no turn."""
        return len(self._buffer) / BYTES_PER_MS if self.speaking or self._vad is None else 0.0

    @property
    def full(self) -> bool:
        """Whether no more fits; only without detection, since detection ends a turn that long."""
        return self._vad is None and len(self._buffer) >= self._limit

    def append(self, arrived: Arrived) -> Iterator[VadEvent]:
        """Take audio; yields what is noticed, in order. Act on each event before asking for the next."""
        self._buffer.add(arrived)
        # Configuration may change while the caller acts on an event, so it is read anew for every frame.
        while self._vad is not None and self._detection is not None:
            size = self._vad.frame_bytes
            if self._end - self._scanned < size:
                return
            offset = self._scanned - self._base
            loud = self._vad.probability(bytes(self._buffer.mulaw[offset : offset + size]))
            self._scanned += size
            event = self._step(loud, size)
            if event is not None:
                yield event

    def turn(self) -> bytes:
        """Return the turn so far without taking it, up to what was judged."""
        return bytes(self._buffer.mulaw[: self._turn_bytes])

    def take(self) -> Arrived:
        """Return the turn and forget it; audio after the end of the turn stays."""
        turn, size = self._buffer.head(self._turn_bytes), self._turn_bytes
        self._buffer.drop(size)
        self._base += size
        self._settle()
        return turn

    def clear(self) -> None:
        """Forget what is buffered; positions go on counting."""
        self._base = self._scanned = self._end
        self._buffer.drop(len(self._buffer))
        self._settle()

    @property
    def _turn_bytes(self) -> int:
        return self._scanned - self._spare - self._base if self._vad else len(self._buffer)

    @property
    def _end(self) -> int:
        return self._base + len(self._buffer)

    def _settle(self) -> None:
        self.speaking, self._voiced, self._quiet = False, 0, 0
        self._spare, self._asked = 0, False

    def _step(self, loud: float, size: int) -> VadEvent | None:
        threshold, prefix_ms, silence_ms = self._limits()
        if not self.speaking:
            return self._listen(loud >= threshold, size, prefix_ms * BYTES_PER_MS)
        self._quiet = 0 if loud >= max(threshold - HYSTERESIS, threshold / 2) else self._quiet + size
        self._asked = self._asked and self._quiet > 0
        wanted = silence_ms * BYTES_PER_MS
        if self._quiet >= wanted and self._quiet or len(self._buffer) > self._limit:
            # Frames seldom fit the duration: the turn ends in the middle of the last one, and the rest stays.
            over = self._quiet - wanted
            self._spare = over if 0 < over < size else 0
            return Stopped((self._scanned - self._spare) // BYTES_PER_MS)
        if isinstance(self._detection, SemanticVad) and self.paused and not self._asked:
            self._asked = True
            return Paused()
        return None

    def _listen(self, voiced: bool, size: int, prefix: int) -> Started | None:
        self._voiced = self._voiced + size if voiced else 0
        start = max(self._base, self._scanned - self._voiced - prefix)
        self._buffer.drop(start - self._base)
        self._base = start
        if self._voiced < ONSET_MS * BYTES_PER_MS:
            return None
        self.speaking, self._quiet, self._asked = True, 0, False
        return Started(start // BYTES_PER_MS)

    def _limits(self) -> tuple[float, int, int]:
        if isinstance(self._detection, ServerVad):
            vad = self._detection
            return vad.threshold, vad.prefix_padding_ms, vad.silence_duration_ms
        assert self._detection is not None
        return SEMANTIC_THRESHOLD, SEMANTIC_PREFIX_MS, TIMEOUT_MS[self._detection.eagerness]
