"""Where somebody speaks in each channel of a two-channel WAV, by level.

The edges of a segment are the first and the last 10 ms frame above the channel's *edge threshold*: the larger of
0.005 of full scale and three times the channel's noise floor (its 10th percentile), at most 0.06. The threshold is part
of every figure made from the edges: at 0.01, soft word endings moved them by 50 to 230 ms.
"""

import wave
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gateway.errors import GatewayError
from gateway.records.pcm import mean_square_root

__all__ = ["Channels", "RecordingError", "Segment", "WavReader", "find_speech"]

FRAME_MS = 10
FULL_SCALE = 32768
LEAST_EDGE, MOST_EDGE = 0.005, 0.06
FLOOR_FACTOR = 3
MERGE_MS = 250
"""Shorter pauses belong to the words around them: stops, breaths between syllables."""
LEAST_MS = 60
"""Shorter sounds are clicks."""
LONGEST_S = 12 * 3600


class RecordingError(GatewayError):
    """A recording cannot be read; the message says what was expected."""


@dataclass(slots=True, frozen=True)
class Segment:
    """One stretch of speech, in seconds of the recording."""

    begin_s: float
    end_s: float


@dataclass(slots=True, frozen=True)
class Channels:
    """The speech of both sides."""

    caller: tuple[Segment, ...]
    agent: tuple[Segment, ...]
    caller_edge: float
    """The caller channel's edge threshold, of full scale."""
    agent_edge: float
    duration_s: float


class WavReader:
    """Reads a call's recording in pieces: two channels of 16 bit. Raises `RecordingError`."""

    def __init__(self, path: Path) -> None:
        try:
            self._wav = wave.open(str(path), "rb")
        except (OSError, EOFError, wave.Error) as error:
            raise RecordingError(f"{path.name} cannot be read as a WAV file: {error or 'it is cut short'}") from error
        try:
            self._check(path.name)
        except RecordingError:
            self._wav.close()
            raise

    @property
    def rate(self) -> int:
        return self._wav.getframerate()

    def __enter__(self) -> "WavReader":
        return self

    def __exit__(self, *_: object) -> None:
        self._wav.close()

    def pieces(self, frames: int) -> Iterator[tuple[bytes, bytes]]:
        """Yield the samples of both channels, `frames` at a time; the last piece may be shorter."""
        while piece := self._wav.readframes(frames):
            samples = memoryview(piece[: len(piece) // 4 * 4]).cast("h")
            yield samples[0::2].tobytes(), samples[1::2].tobytes()

    def _check(self, name: str) -> None:
        channels, width, rate = self._wav.getnchannels(), self._wav.getsampwidth(), self._wav.getframerate()
        if (channels, width) != (2, 2) or not 8000 <= rate <= 48000:
            got = f"{channels} of {8 * width} bit at {rate} Hz"
            raise RecordingError(f"{name}: expected two channels of 16 bit at 8000 to 48000 Hz, got {got}")
        if self._wav.getnframes() > LONGEST_S * rate:
            raise RecordingError(f"{name}: longer than {LONGEST_S // 3600} hours")


def find_speech(path: Path) -> Channels:
    """Return where each side speaks. Raises `RecordingError`."""
    levels: tuple[list[int], list[int]] = ([], [])
    frames = 0
    with WavReader(path) as reader:
        for left, right in reader.pieces(reader.rate * FRAME_MS // 1000):
            levels[0].append(mean_square_root(left))
            levels[1].append(mean_square_root(right))
            frames += len(left) // 2
        duration_s = frames / reader.rate
    caller_edge, agent_edge = _edge(levels[0]), _edge(levels[1])
    return Channels(
        _segments(levels[0], caller_edge), _segments(levels[1], agent_edge), caller_edge, agent_edge, duration_s
    )


def _edge(levels: list[int]) -> float:
    floor = sorted(levels)[len(levels) // 10] / FULL_SCALE if levels else 0.0
    return min(MOST_EDGE, max(LEAST_EDGE, FLOOR_FACTOR * floor))


def _segments(levels: list[int], edge: float) -> tuple[Segment, ...]:
    runs: list[tuple[int, int]] = []
    for index, level in enumerate(levels):
        if level <= edge * FULL_SCALE:
            continue
        if runs and (index - runs[-1][1]) * FRAME_MS < MERGE_MS:
            runs[-1] = (runs[-1][0], index + 1)
        else:
            runs.append((index, index + 1))
    step = FRAME_MS / 1000
    return tuple(Segment(a * step, b * step) for a, b in runs if (b - a) * FRAME_MS >= LEAST_MS)
