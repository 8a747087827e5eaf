"""Tones of two sines, as telephones use them; and the one that the core plays by itself."""

import base64
import math
from functools import cache

from gateway.core.audio import AudioFormat

__all__ = ["RING_EVERY_S", "ring_back", "two_tones"]

RING_EVERY_S = 6.0
"""From the start of one ring to the start of the next: 2 s on, 4 s off (ITU-T E.180, North America)."""
RING_MS = 2000
RING_HZ = (440.0, 480.0)
AMPLITUDE = 1900.0
"""Of each of the two tones, of 32767: together about -22 dBm0, softer than speech."""
_BIAS = 0x84
_CLIP = 32635


@cache
def ring_back(audio: AudioFormat = AudioFormat.PCMU) -> str:
    """Return one ring of the ring-back tone."""
    return base64.b64encode(two_tones(*RING_HZ, AMPLITUDE, RING_MS, audio)).decode()


def two_tones(low_hz: float, high_hz: float, peak: float, ms: int, audio: AudioFormat = AudioFormat.PCMU) -> bytes:
    """Return two sines at once, each of amplitude `peak` of 32767."""
    low, high = (2 * math.pi * hz / audio.rate_hz for hz in (low_hz, high_hz))
    samples = (round(peak * (math.sin(low * at) + math.sin(high * at))) for at in range(ms * audio.rate_hz // 1000))
    match audio:
        case AudioFormat.PCMU:
            return bytes(_mu_law(sample) for sample in samples)
        case AudioFormat.PCMA:
            return bytes(_a_law(sample) for sample in samples)
        case AudioFormat.PCM24:
            return b"".join(sample.to_bytes(2, "little", signed=True) for sample in samples)


def _mu_law(sample: int) -> int:
    """Return one sample, 16 bits signed, in G.711 mu-law."""
    sign = 0x80 if sample < 0 else 0
    magnitude = min(abs(sample), _CLIP) + _BIAS
    exponent = max(magnitude.bit_length() - 8, 0)
    return ~(sign | exponent << 4 | magnitude >> (exponent + 3) & 0x0F) & 0xFF


def _a_law(sample: int) -> int:
    """Return one sample, 16 bits signed, in G.711 A-law."""
    sign = 0x80 if sample >= 0 else 0
    magnitude = min(sample if sample >= 0 else ~sample, 32767) >> 4
    exponent = max(magnitude.bit_length() - 4, 1)
    mantissa = magnitude >> (exponent - 1) & 0x0F
    segment = exponent if magnitude >= 16 else 0
    return (sign | segment << 4 | mantissa) ^ 0x55
