"""Built conversations: tones and noise with known edges, as mu-law and as two-channel WAV files."""

import math
import random
import warnings
import wave
from array import array
from collections.abc import Sequence
from pathlib import Path

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import audioop

__all__ = ["speechlike", "ulaw", "write_wav"]

RATE = 8000


def speechlike(seconds: float, *, level: float = 0.3, seed: int = 1) -> "array[int]":
    """Return voiced syllables of about 200 ms whose level never falls below a tenth of `level`."""
    noise = random.Random(seed)
    samples = array("h")
    for index in range(round(seconds * RATE)):
        at_s = index / RATE
        syllable = 0.1 + 0.9 * abs(math.sin(math.pi * at_s / 0.2))
        voice = math.sin(2 * math.pi * 180 * at_s) + 0.3 * noise.uniform(-1, 1)
        samples.append(round(32767 * level * syllable * voice / 1.3))
    return samples


def ulaw(samples: "array[int]") -> bytes:
    return bytes(audioop.lin2ulaw(samples.tobytes(), 2))


def write_wav(
    path: Path,
    seconds: float,
    caller: Sequence[tuple[float, float]],
    agent: Sequence[tuple[float, float]],
    *,
    noise: float = 0.0,
) -> Path:
    """Write a call in which each side speaks in the given (begin, end) spans, over line noise of level `noise`."""
    hiss = random.Random(7)
    frames = array("h", [0]) * (2 * round(seconds * RATE))
    for channel, spans in enumerate((caller, agent)):
        for begin_s, end_s in spans:
            speech = speechlike(end_s - begin_s, seed=channel)
            start = 2 * round(begin_s * RATE) + channel
            frames[start : start + 2 * len(speech) : 2] = speech
    if noise:
        for index, sample in enumerate(frames):
            frames[index] = max(-32768, min(32767, sample + round(32767 * noise * hiss.uniform(-1, 1))))
    with wave.open(str(path), "wb") as file:
        file.setparams((2, 2, RATE, 0, "NONE", ""))
        file.writeframes(frames.tobytes())
    return path
