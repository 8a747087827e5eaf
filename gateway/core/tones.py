"""Tones that the core plays by itself, as base64 mu-law."""

import base64
import math
from functools import lru_cache

__all__ = ["RING_EVERY_S", "ring_back"]

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
    frames = (
        sum(AMPLITUDE * math.sin(2 * math.pi * hz * at / RATE_HZ) for hz in RING_HZ)
        for at in range(RING_MS * RATE_HZ // 1000)
    )
    return base64.b64encode(bytes(_mu_law(round(sample)) for sample in frames)).decode()


def _mu_law(sample: int) -> int:
    """Return one sample, 16 bits signed, in G.711 mu-law."""
    sign = 0x80 if sample < 0 else 0
    magnitude = min(abs(sample), _CLIP) + _BIAS
    exponent = max(magnitude.bit_length() - 8, 0)
    return ~(sign | exponent << 4 | magnitude >> (exponent + 3) & 0x0F) & 0xFF
