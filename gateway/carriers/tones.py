"""The tones of telephone keys as audio, for carriers whose stream has no message for keys. Pure.

Two sines at once, one of a low and one of a high group (ITU-T Q.23), each at -10 dBm0, so that they arrive equally
loud; 100 ms on and 100 ms off are well above what a receiver must recognise (ITU-T Q.24: 40 ms and 40 ms).
"""

from functools import cache

from gateway.core.audio import AudioFormat
from gateway.core.digits import KEY_S
from gateway.core.tones import two_tones

__all__ = ["KEY_S", "key"]

TONE_MS = 100
KEYS = "123A456B789C*0#D"
"""Four rows of four, as on a keypad."""
LOW_HZ = (697, 770, 852, 941)
HIGH_HZ = (1209, 1336, 1477, 1633)
PEAK = 32767 * 10 ** ((-10 - 3.17) / 20)
"""Of each sine; one of full scale has 3.17 dBm0 (ITU-T G.711)."""


@cache
def key(digit: str, audio: AudioFormat = AudioFormat.PCMU) -> bytes:
    """Return one key, one of 0-9 * # A-D, with the pause after it: `KEY_S` long."""
    row, column = divmod(KEYS.index(digit), 4)
    tone = two_tones(LOW_HZ[row], HIGH_HZ[column], PEAK, TONE_MS, audio)
    pause_ms = round(1000 * KEY_S) - TONE_MS
    return tone + audio.silence * (pause_ms * audio.rate_hz // 1000)
