"""Telephone keys (DTMF) in mu-law audio.

Windows of 25 ms, 10 ms apart, are projected on the eight key frequencies, which is what Goertzel's recursion computes.
A window holds a key when it is loud enough, nearly all of its energy lies in one low and one high frequency, and these
two are about equally loud. Two such windows in a row are a digit: so a tone of 40 ms is heard, and of 20 ms is not
(ITU-T Q.24: 40 and 23 ms).
"""

import math
import struct

from gateway.hearing.pcm import FULL_SCALE, halved, mean_square_root, neighbours, projection, to_pcm

__all__ = ["KEY_BYTES", "ToneDetector", "is_tone", "key_of"]

RATE = 8000
LOW_HZ = (697, 770, 852, 941)
HIGH_HZ = (1209, 1336, 1477, 1633)
KEYS = ("123A", "456B", "789C", "*0#D")
WINDOW, STEP = 200, 80
ALIKE = 2
"""Windows in a row that must agree for a digit, and that must be without it for the digit to come again."""
KEY_BYTES = 2 * WINDOW
"""The 16-bit samples that `key_of` looks at."""
AMPLITUDE = 8192
LEAST_PURITY = 0.8
HIGH_COSINE = math.cos(2 * math.pi * 700 / RATE)
LOW_COSINE = -math.cos(2 * math.pi * 700 / (RATE / 4))
BEEP_REST = 0.1
"""Largest part of the amplitude that is not the tone: mu-law leaves 0.015."""
LEAST_LEVEL = 10 ** ((-42 - 3.17 - 3) / 20) * FULL_SCALE
"""RMS of -42 dBm0; a receiver must hear -36 and ignore -55 (RFC 2833 §2.11). A full-scale sine is +3.17 dBm0."""
MOST_TWIST = 10 ** (8 / 10)
"""Either frequency may be 8 dB stronger than the other (Q.24 asks for 4 and 8)."""


def _wave(hz: int, phase: float) -> bytes:
    samples = (round(AMPLITUDE * math.sin(2 * math.pi * hz * n / RATE + phase)) for n in range(WINDOW))
    return struct.pack(f"={WINDOW}h", *samples)


WAVES = tuple((_wave(hz, 0.0), _wave(hz, math.pi / 2)) for hz in (*LOW_HZ, *HIGH_HZ))


def key_of(pcm: bytes, least_purity: float = LEAST_PURITY) -> str:
    """Return the key in 25 ms of 16-bit samples (400 bytes), or ""."""
    level = mean_square_root(pcm)
    if level < LEAST_LEVEL:
        return ""
    power = [_power(pcm, sine, cosine) for sine, cosine in WAVES]
    low, high = max(power[:4]), max(power[4:])
    if low + high < least_purity * level * level or not low / MOST_TWIST <= high <= low * MOST_TWIST:
        return ""
    return KEYS[power.index(low, 0, 4)][power.index(high, 4) - 4]


def is_tone(pcm: bytes) -> bool:
    """Tell whether 25 ms of 16-bit samples are a key or a beep, and no voice."""
    return _is_beep(pcm) or key_of(pcm) != ""


def _is_beep(pcm: bytes) -> bool:
    """Tell whether 16-bit samples are a single steady tone above 350 Hz: a beep, a busy line, a fax, an intercept tone.

    The neighbours of a sample of a sine wave have the sample itself, times the cosine of the step, for their mean.
    Below 700 Hz that is asked at 2 kHz, where a low voice and its harmonics differ enough.
    """
    cosine, rest = neighbours(pcm)
    if abs(cosine) < HIGH_COSINE:
        return rest < BEEP_REST
    cosine, rest = neighbours(halved(halved(pcm)))
    return abs(cosine) < LOW_COSINE and rest < BEEP_REST


def _power(pcm: bytes, sine: bytes, cosine: bytes) -> float:
    return (projection(pcm, sine) ** 2 + projection(pcm, cosine) ** 2) * (AMPLITUDE * AMPLITUDE / 2)


class ToneDetector:
    """Hears keys in a stream of mu-law."""

    def __init__(self, least_purity: float = LEAST_PURITY) -> None:
        """`least_purity`: least share of the energy in the two frequencies; less finds keys under speech, and more."""
        self._least_purity = least_purity
        self._pcm = b""
        self._key = ""
        self._seen = 0
        self._digit = ""

    def feed(self, audio: bytes) -> str:
        """Take audio of any length; return the digits that were proven in it, in order."""
        pcm = self._pcm + to_pcm(audio)
        digits = ""
        at = 0
        while at + KEY_BYTES <= len(pcm):
            digits += self._step(key_of(pcm[at : at + KEY_BYTES], self._least_purity))
            at += 2 * STEP
        self._pcm = pcm[at:]
        return digits

    def _step(self, key: str) -> str:
        self._seen = self._seen + 1 if key == self._key else 1
        self._key = key
        if self._seen < ALIKE or key == self._digit:
            return ""
        self._digit = key
        return key
