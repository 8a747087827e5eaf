"""The few sums that hearing needs, over 16-bit samples in C; imports audioop as `gateway/records/pcm.py` does."""

import math
import sys
import warnings
from typing import Any

from gateway.core.audio import AudioFormat

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import audioop

__all__ = [
    "SILENT_DB",
    "best_lag",
    "halved",
    "level_db",
    "mean_square_root",
    "neighbours",
    "projection",
    "to_mu_law",
    "to_pcm",
]

WIDTH = 2
RATE_HZ = 8000
FULL_SCALE = 32768
SILENT_DB = -90.0
"""The level of digital silence, below the smallest step of mu-law."""


def to_pcm(ulaw: bytes) -> bytes:
    """Return 16-bit samples, in the machine's byte order, of G.711 mu-law."""
    pcm: bytes = audioop.ulaw2lin(ulaw, WIDTH)
    return pcm


def to_mu_law(audio: bytes, form: AudioFormat, state: Any = None) -> tuple[bytes, Any]:
    """Return a call's audio as mu-law at 8 kHz, and the `state` to be given with the next piece of the same stream."""
    match form:
        case AudioFormat.PCMU:
            return audio, None
        case AudioFormat.PCMA:
            pcm: bytes = audioop.alaw2lin(audio, WIDTH)
        case AudioFormat.PCM24:
            whole = audio[: len(audio) // WIDTH * WIDTH]
            whole = whole if sys.byteorder == "little" else audioop.byteswap(whole, WIDTH)
            pcm, state = audioop.ratecv(whole, WIDTH, 1, form.rate_hz, RATE_HZ, state)
    return audioop.lin2ulaw(pcm, WIDTH), state


def mean_square_root(pcm: bytes) -> int:
    level: int = audioop.rms(pcm, WIDTH)
    return level


def level_db(pcm: bytes) -> float:
    """Return the RMS level in dB of full scale, at least `SILENT_DB`."""
    level: int = audioop.rms(pcm, WIDTH)
    return 20 * math.log10(level / FULL_SCALE) if level > 1 else SILENT_DB


def halved(pcm: bytes) -> bytes:
    """Return every second sample of the mean of neighbours: 4 kHz of 8 kHz, good enough to find a pitch."""
    half = audioop.mul(pcm, WIDTH, 0.5)
    return memoryview(audioop.add(half[:-WIDTH], half[WIDTH:], WIDTH)).cast("h")[::2].tobytes()


def best_lag(pcm: bytes, reference_bytes: int, least_lag_bytes: int) -> tuple[float, int]:
    """Return how well the end of `pcm` repeats an earlier part of it, -1 to about 1, and how many bytes earlier."""
    reference, past = pcm[-reference_bytes:], pcm[:-least_lag_bytes]
    level: int = audioop.rms(reference, WIDTH)
    if level == 0:
        return 0.0, 0
    offset, factor = audioop.findfit(past, reference)
    found = past[WIDTH * offset : WIDTH * offset + reference_bytes]
    return factor * audioop.rms(found, WIDTH) / level, len(pcm) - reference_bytes - WIDTH * offset


def projection(pcm: bytes, wave: bytes) -> float:
    """Return how much of `wave` (equally long) is in the samples, as a factor."""
    factor: float = audioop.findfactor(pcm, wave)
    return factor


def neighbours(pcm: bytes) -> tuple[float, float]:
    """Return what the mean of a sample's neighbours is of the sample, as a factor, and what is left, of the level."""
    half = audioop.mul(pcm, WIDTH, 0.5)
    mean = audioop.add(half[: -2 * WIDTH], half[2 * WIDTH :], WIDTH)
    middle = pcm[WIDTH:-WIDTH]
    level: int = audioop.rms(middle, WIDTH)
    if level == 0:
        return 1.0, 1.0
    factor: float = audioop.findfactor(mean, middle)
    return factor, audioop.rms(audioop.add(mean, audioop.mul(middle, WIDTH, -factor), WIDTH), WIDTH) / level
