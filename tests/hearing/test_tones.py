"""Keys are heard as a telephone receiver must hear them, and never in speech."""

import pytest

from gateway.hearing import ToneDetector
from gateway.hearing.pcm import to_pcm
from gateway.simulator.clips import load_clips
from tests.hearing.sounds import mixed, noise, scaled, silence, tone, ulaw

LOW, HIGH = (697, 770, 852, 941), (1209, 1336, 1477, 1633)
KEYS = "123A456B789C*0#D"


def key(digit: str, on_s: float = 0.1, level_db: float = -16.0, twist_db: float = 0.0) -> bytes:
    row, column = divmod(KEYS.index(digit), 4)
    half = level_db - 3.01
    low = tone(on_s, LOW[row], level_db=half - twist_db / 2)
    return mixed(low, tone(on_s, HIGH[column], level_db=half + twist_db / 2))


def keyed(digits: str, on_s: float = 0.1, off_s: float = 0.1, level_db: float = -16.0, twist_db: float = 0.0) -> bytes:
    return silence(0.1) + b"".join(key(digit, on_s, level_db, twist_db) + silence(off_s) for digit in digits)


def test_all_sixteen_keys_are_heard_in_order() -> None:
    assert ToneDetector().feed(ulaw(keyed(KEYS))) == KEYS


@pytest.mark.parametrize(
    ("on_s", "off_s", "level_db", "twist_db"),
    [(0.05, 0.05, -16, 0), (0.04, 0.06, -16, 0), (0.08, 0.08, -9, 0), (0.1, 0.1, -42, 0), (0.08, 0.08, -16, 4)]
    + [(0.08, 0.08, -16, -6)],
)
def test_fast_loud_soft_and_twisted_keys_are_heard(on_s: float, off_s: float, level_db: float, twist_db: float) -> None:
    assert ToneDetector().feed(ulaw(keyed("8005550199", on_s, off_s, level_db, twist_db))) == "8005550199"


@pytest.mark.parametrize(
    ("on_s", "level_db", "twist_db"), [(0.02, -16, 0), (0.023, -16, 0), (0.1, -64, 0), (0.1, -16, 14)]
)
def test_short_faint_and_lopsided_tones_are_no_keys(on_s: float, level_db: float, twist_db: float) -> None:
    assert ToneDetector().feed(ulaw(keyed("135", on_s, 0.12, level_db, twist_db))) == ""


@pytest.mark.parametrize("hz", [(440,), (1000,), (480, 620), (1400,), (697,), (697, 770), (1209, 1336)])
def test_other_tones_are_no_keys(hz: tuple[float, ...]) -> None:
    assert ToneDetector().feed(ulaw(tone(1, *hz))) == ""


@pytest.mark.parametrize("size", [1, 37, 160, 801])
def test_pieces_of_any_length_give_the_same_keys(size: int) -> None:
    detector, audio = ToneDetector(), ulaw(keyed("4271#"))
    assert "".join(detector.feed(audio[at : at + size]) for at in range(0, len(audio), size)) == "4271#"


def test_keys_over_noise_are_heard() -> None:
    assert ToneDetector().feed(ulaw(mixed(keyed("4271#"), noise(2, -31)))) == "4271#"


def test_a_key_held_down_is_one_digit() -> None:
    assert ToneDetector().feed(ulaw(keyed("7", 2.0))) == "7"


def test_no_speech_holds_a_key_however_little_purity_is_asked_for() -> None:
    speech = b"".join(clip.audio for clip in load_clips().values())
    assert ToneDetector(0.5).feed(speech) == ""


def test_a_key_under_a_voice_is_found_when_less_purity_is_asked_for() -> None:
    keys = keyed("4271#")
    voice = scaled(to_pcm(load_clips()["order-08-bm_george"].audio), -6)[: len(keys)]
    assert ToneDetector(0.5).feed(ulaw(mixed(keys, voice))) == "4271#"
