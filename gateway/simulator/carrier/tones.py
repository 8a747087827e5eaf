"""Mu-law tones (ITU-T G.711), so that a script needs no sound files."""

import math
from collections.abc import Iterator, Mapping

__all__ = ["FRAME_BYTES", "FRAME_S", "KEYS", "RATE_BYTES", "SILENCE", "key_tone", "tone"]

RATE_BYTES = 8000
"""Bytes of mu-law a second."""
FRAME_BYTES = 160
FRAME_S = 0.02
SILENCE = 0xFF
KEYS = "123A456B789C*0#D"
"""Four rows of four, as on a keypad."""
_ROWS_HZ = (697, 770, 852, 941)
_COLUMNS_HZ = (1209, 1336, 1477, 1633)
_FREQUENCIES: Mapping[str, tuple[int, int]] = {
    key: (_ROWS_HZ[n // 4], _COLUMNS_HZ[n % 4]) for n, key in enumerate(KEYS)
}
_FULL_SCALE_DBM0 = 3.17
"""The level of a full-scale sine (ITU-T G.711)."""
_BIAS = 0x84
_CLIP = 32635


def tone(hz: float, ms: int, level: float = 0.5) -> bytes:
    """Return a sine of `ms` milliseconds at `level` of full scale."""
    step = 2 * math.pi * hz / RATE_BYTES
    return bytes(_encode(round(32767 * level * math.sin(step * n))) for n in range(ms * RATE_BYTES // 1000))


def key_tone(key: str, ms: int = 100, dbm0: float = -10.0) -> bytes:
    """Return the two tones of a key (ITU-T Q.23); `dbm0` is the power of both together."""
    # Each of two equal tones has half the power.
    peak = 32767 * 10 ** ((dbm0 - _FULL_SCALE_DBM0) / 20) / math.sqrt(2)
    return bytes(_encode(round(peak * value)) for value in _two_tones(*_FREQUENCIES[key], ms))


def _two_tones(low_hz: int, high_hz: int, ms: int) -> Iterator[float]:
    low, high = 2 * math.pi * low_hz / RATE_BYTES, 2 * math.pi * high_hz / RATE_BYTES
    for n in range(ms * RATE_BYTES // 1000):
        yield math.sin(low * n) + math.sin(high * n)


def _encode(sample: int) -> int:
    sign = 0x80 if sample < 0 else 0
    magnitude = min(abs(sample), _CLIP) + _BIAS
    exponent = magnitude.bit_length() - 8
    return ~(sign | exponent << 4 | magnitude >> exponent + 3 & 0x0F) & 0xFF
