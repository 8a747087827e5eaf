"""An ear hears voices and nothing else; real clips of the simulator, computed noise."""

import pytest

from gateway.core.events import VoiceStarted
from gateway.hearing import Ear, EarOptions
from gateway.hearing.pcm import to_pcm
from gateway.simulator.clips import load_clips
from tests.hearing.sounds import frames, mixed, noise, payload, scaled, silence, tone, voices

CLIPS = load_clips()
NAMES = ("order-01-am_michael", "barge-02-am_michael", "bill-03-af_heart", "yes-02-am_michael", "order-08-bm_george")


def said(name: str, before_s: float = 1.0, after_s: float = 0.5) -> bytes:
    return silence(before_s) + to_pcm(CLIPS[name].audio) + silence(after_s)


def starts(told: list[tuple[str, float, float]]) -> list[float]:
    return [now for kind, _, now in told if kind == "started"]


@pytest.mark.parametrize("name", NAMES)
def test_a_voice_is_told_soon_after_it_began_and_soon_after_it_ended(name: str) -> None:
    told = voices(said(name))
    begin, end = 1 + CLIPS[name].speech_ms[0][0] / 1000, 1 + CLIPS[name].speech_ms[-1][1] / 1000
    kind, at_s, now = told[0]
    assert kind == "started" and abs(at_s - begin) < 0.1 and now - begin < 0.3
    kind, ended_s, now = told[-1]
    assert kind == "stopped" and abs(ended_s - end) < 0.25 and now == pytest.approx(ended_s + 0.16, abs=0.021)


def test_starts_and_stops_take_turns() -> None:
    told = voices(b"".join(said(name) for name in NAMES))
    assert [kind for kind, _, _ in told] == ["started", "stopped"] * (len(told) // 2)
    times = [at for _, at, _ in told]
    assert times == sorted(times)


def test_a_voice_is_heard_from_its_proof_to_its_hang_over() -> None:
    ear = Ear()
    heard = [ear.voice for frame, now in frames(said("yes-02-am_michael")) if ear.caller(frame, now) or True]
    assert heard.index(True) * 0.02 > 1.1 and not heard[-1]


@pytest.mark.parametrize("size", [80, 160, 240, 37, 1600])
def test_frames_of_any_length_give_the_same_voices(size: int) -> None:
    told = voices(said("order-01-am_michael"), size=size)
    usual = voices(said("order-01-am_michael"))
    assert [kind for kind, _, _ in told] == [kind for kind, _, _ in usual]
    assert [at for _, at, _ in told] == pytest.approx([at for _, at, _ in usual], abs=0.005)


def test_a_jitter_of_the_frames_does_not_move_the_voice() -> None:
    ear, told = Ear(), []
    for number, (frame, now) in enumerate(frames(said("order-01-am_michael"))):
        told += ear.caller(frame, now + 0.02 * (number % 3))
    assert isinstance(told[0], VoiceStarted) and told[0].at_s == pytest.approx(1.1, abs=0.1)


@pytest.mark.parametrize("level_db", [-55, -40, -26])
def test_noise_is_no_voice(level_db: float) -> None:
    assert not voices(noise(4, level_db))


def test_noise_that_begins_in_mid_call_is_no_voice() -> None:
    assert not voices(silence(2) + noise(3, -30) + silence(1))


@pytest.mark.parametrize("snr_db", [20, 10])
def test_a_voice_over_noise_is_heard_and_ends(snr_db: float) -> None:
    told = voices(mixed(said("order-01-am_michael", 2, 1), noise(3, -22 - snr_db)))
    assert starts(told)[0] < 2.4 and told[-1][0] == "stopped"


def test_a_soft_voice_on_a_quiet_line_is_heard() -> None:
    assert len(starts(voices(scaled(said("order-01-am_michael"), -20)))) > 0


def test_clicks_and_short_sounds_are_no_voice() -> None:
    click = b"\xff\x7f" * 20 + silence(0.3)
    knock = noise(0.03, -12) + silence(0.4)
    hum = tone(0.035, 150, 300, 450) + silence(0.4)
    assert not voices(silence(1) + 5 * click + 5 * knock + 5 * hum)


@pytest.mark.parametrize(
    "hz", [(440,), (1000,), (2100,), (480, 620), (440, 480), (425,), (697, 1209), (852, 1336), (941, 1633)]
)
def test_keys_and_the_tones_of_networks_are_no_voice(hz: tuple[float, ...]) -> None:
    assert not voices(silence(1) + tone(0.5, *hz) + silence(0.3) + tone(0.05, *hz) + silence(0.3))


@pytest.mark.parametrize("offset", range(0, 160, 20))
def test_keys_in_quick_succession_are_no_voice(offset: int) -> None:
    five, gap = tone(0.05, 770, 1336), silence(0.05)
    assert not voices(silence(1) + bytes(2 * offset) + 10 * (five + gap))


def test_who_speaks_on_and_on_in_a_noisy_room_is_heard_to_the_end() -> None:
    words = b"".join(to_pcm(clip.audio[1000:-2000]) for clip in CLIPS.values())
    room = silence(1) + mixed(words, noise(5, -43))
    ear = Ear()
    heard = [ear.voice for frame, now in frames(room) if ear.caller(frame, now) or True]
    assert sum(heard[100:]) > 0.85 * len(heard[100:])


def test_a_voice_ends_when_no_frames_come_any_more() -> None:
    ear = Ear()
    pcm = said("order-01-am_michael")
    for frame, now in frames(pcm[: 2 * 8000 * 2]):
        ear.caller(frame, now)
    assert ear.voice
    told = ear.caller(payload(silence(0.02)), 5.0)
    assert len(told) == 1 and not ear.voice


@pytest.mark.parametrize("wrong", ["", "=", "abc", "%%%%", "\u00e4\u00f6", "A" * 200_001])
def test_a_frame_that_cannot_be_read_is_passed_over(wrong: str) -> None:
    ear = Ear()
    assert ear.caller(wrong, 1.0) == []
    ear.played(wrong, 1.0)
    assert ear.caller(payload(silence(0.02)), 1.02) == []


def test_a_longer_proof_starts_later() -> None:
    quick, slow = (
        starts(voices(said("order-01-am_michael"), Ear(EarOptions(start_ms=start_ms, start_within_ms=200))))[0]
        for start_ms in (60, 160)
    )
    assert quick + 0.05 < slow


def test_the_hang_over_bridges_pauses() -> None:
    pcm = silence(1) + 2 * (to_pcm(CLIPS["barge-02-am_michael"].audio)[: -2 * 1600])
    assert len(starts(voices(pcm, Ear(EarOptions(hang_ms=800))))) == 1
    assert len(starts(voices(pcm))) > 1
