"""Mu-law tones (ITU-T G.711), so that a script needs no sound files."""

import math

__all__ = ["FRAME_BYTES", "FRAME_S", "RATE_BYTES", "SILENCE", "tone"]

RATE_BYTES = 8000
"""Bytes of mu-law a second."""
FRAME_BYTES = 160
FRAME_S = 0.02
SILENCE = 0xFF
_BIAS = 0x84
_CLIP = 32635


def tone(hz: float, ms: int, level: float = 0.5) -> bytes:
    """Return a sine of `ms` milliseconds at `level` of full scale."""
    step = 2 * math.pi * hz / RATE_BYTES
    return bytes(_encode(round(32767 * level * math.sin(step * n))) for n in range(ms * RATE_BYTES // 1000))


def _encode(sample: int) -> int:
    sign = 0x80 if sample < 0 else 0
    magnitude = min(abs(sample), _CLIP) + _BIAS
    exponent = magnitude.bit_length() - 8
    return ~(sign | exponent << 4 | magnitude >> exponent + 3 & 0x0F) & 0xFF
