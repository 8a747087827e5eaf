"""The PCM routines of the recordings; the one place that imports audioop.

The standard library's until Python 3.12, where importing it warns from 3.11 on; audioop-lts after that.
"""

import sys
import warnings

from gateway.core.audio import AudioFormat

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import audioop

__all__ = ["SAMPLE_BYTES", "mean_square_root", "mix", "peaks", "samples_of", "to_pcm"]

SAMPLE_BYTES = 2


def to_pcm(ulaw: bytes) -> bytes:
    """Return 16-bit samples, in the machine's byte order, of G.711 mu-law."""
    pcm: bytes = audioop.ulaw2lin(ulaw, SAMPLE_BYTES)
    return pcm


def samples_of(audio: bytes, form: AudioFormat, rate_hz: int) -> bytes:
    """Return 16-bit samples, in the machine's byte order, of a call's audio at a recording's rate.

    Half a sample at the end is dropped. A rate of another stream of the same call is met by repeating or leaving out.
    """
    match form:
        case AudioFormat.PCMU:
            pcm: bytes = audioop.ulaw2lin(audio, SAMPLE_BYTES)
        case AudioFormat.PCMA:
            pcm = audioop.alaw2lin(audio, SAMPLE_BYTES)
        case AudioFormat.PCM24:
            pcm = audio[: len(audio) // SAMPLE_BYTES * SAMPLE_BYTES]
            if sys.byteorder == "big":
                pcm = audioop.byteswap(pcm, SAMPLE_BYTES)
    if form.rate_hz != rate_hz:
        pcm, _ = audioop.ratecv(pcm, SAMPLE_BYTES, 1, form.rate_hz, rate_hz, None)
    return pcm


def mix(one: bytes, other: bytes) -> bytes:
    """Return the sum of two equally long 16-bit pieces; what is too loud is clipped."""
    pcm: bytes = audioop.add(one, other, SAMPLE_BYTES)
    return pcm


def mean_square_root(pcm: bytes) -> int:
    """Return the level of 16-bit samples, 0 to 32768."""
    level: int = audioop.rms(pcm, SAMPLE_BYTES)
    return level


def peaks(pcm: bytes) -> tuple[int, int]:
    """Return the lowest and the highest of some 16-bit samples."""
    low, high = audioop.minmax(pcm, SAMPLE_BYTES)
    return int(low), int(high)
