"""Tones of two sines, as telephones use them, in mu-law; and the one that the core plays by itself."""

import base64
import math
from functools import lru_cache

__all__ = ["RATE_HZ", "RING_EVERY_S", "ring_back", "two_tones"]

RING_EVERY_S = 6.0
"""From the start of one ring to the start of the next: 2 s on, 4 s off (ITU-T E.180, North America)."""
RING_MS = 2000
RING_HZ = (440.0, 480.0)
AMPLITUDE = 1900.0
"""Of each of the two tones, of 32767: together about -22 dBm0, softer than speech."""
RATE_HZ = 8000
_BIAS = 0x84
_CLIP = 32635


@lru_cache(maxsize=1)
def ring_back() -> str:
    """Return one ring of the ring-back tone."""
    return base64.b64encode(two_tones(*RING_HZ, AMPLITUDE, RING_MS)).decode()


def two_tones(low_hz: float, high_hz: float, peak: float, ms: int) -> bytes:
    """Return two sines at once, each of amplitude `peak` of 32767, as mu-law."""
    low, high = (2 * math.pi * hz / RATE_HZ for hz in (low_hz, high_hz))
    samples = (peak * (math.sin(low * at) + math.sin(high * at)) for at in range(ms * RATE_HZ // 1000))
    return bytes(_mu_law(round(sample)) for sample in samples)


def _mu_law(sample: int) -> int:
    """Return one sample, 16 bits signed, in G.711 mu-law."""
    sign = 0x80 if sample < 0 else 0
    magnitude = min(abs(sample), _CLIP) + _BIAS
    exponent = max(magnitude.bit_length() - 8, 0)
    return ~(sign | exponent << 4 | magnitude >> (exponent + 3) & 0x0F) & 0xFF
