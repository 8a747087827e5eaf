"""The tones of keys, measured as a receiver would."""

import cmath
import math

import pytest

from gateway.carriers import tones
from gateway.hearing.tones import ToneDetector

ALL_HZ = tones.LOW_HZ + tones.HIGH_HZ
SOUNDING = 800
FULL_SCALE_DBM0 = 3.17

RATE_HZ = 8000


def linear(ulaw: bytes) -> list[int]:
    """Decode ITU-T G.711 mu-law, by its definition."""
    samples = []
    for byte in ulaw:
        code = ~byte & 0xFF
        magnitude = ((code & 0x0F) << 3) + 0x84 << (code >> 4 & 7)
        samples.append((0x84 - magnitude) if code & 0x80 else magnitude - 0x84)
    return samples


def level_dbm0(samples: list[int], hz: float) -> float:
    """The level of one frequency, over whole periods of all eight as nearly as 100 ms allow."""
    turn = cmath.exp(-2j * math.pi * hz / RATE_HZ)
    amplitude = 2 * abs(sum(value * turn**at for at, value in enumerate(samples))) / len(samples)
    return 20 * math.log10(max(amplitude, 1e-9) / 32767) + FULL_SCALE_DBM0


@pytest.mark.parametrize("digit", tones.KEYS)
def test_a_key_is_its_two_tones_at_ten_below_and_nothing_else(digit: str) -> None:
    samples = linear(tones.key(digit)[:SOUNDING])
    row, column = divmod(tones.KEYS.index(digit), 4)
    mine = {tones.LOW_HZ[row], tones.HIGH_HZ[column]}
    levels = {hz: level_dbm0(samples, hz) for hz in ALL_HZ}
    assert all(abs(levels[hz] + 10) < 0.3 for hz in mine)
    assert all(levels[hz] < -30 for hz in ALL_HZ if hz not in mine)


def test_the_keys_are_those_of_the_keypad() -> None:
    wanted = {
        "1": [697, 1209],
        "5": [770, 1336],
        "9": [852, 1477],
        "0": [941, 1336],
        "*": [941, 1209],
        "D": [941, 1633],
    }
    for digit, pair in wanted.items():
        samples = linear(tones.key(digit)[:SOUNDING])
        assert [hz for hz in ALL_HZ if level_dbm0(samples, hz) > -12] == pair


def test_a_key_lasts_100_ms_and_pauses_100_ms() -> None:
    whole = tones.key("7")
    assert len(whole) == 1600 == tones.KEY_S * RATE_HZ
    assert set(whole[SOUNDING:]) == {0xFF}
    assert linear(whole[SOUNDING:]) == [0] * 800


def test_no_sample_is_near_clipping() -> None:
    assert max(abs(value) for digit in tones.KEYS for value in linear(tones.key(digit))) < 16_000


@pytest.mark.parametrize("digits", ["0123456789*#ABCD", "1111", "4711#", "99"])
def test_keys_in_a_row_are_heard_one_by_one(digits: str) -> None:
    audio = b"".join(tones.key(digit) for digit in digits)
    assert ToneDetector().feed(b"\xff" * 800 + audio + b"\xff" * 800) == digits
