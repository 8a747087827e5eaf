"""What we said ourselves is no caller; a caller who speaks over it is one."""

import pytest

from gateway.core.events import VoiceStarted
from gateway.hearing import Ear
from gateway.hearing.pcm import to_pcm
from gateway.simulator.clips import load_clips
from tests.hearing.sounds import frames, mixed, payload, scaled, silence

CLIPS = load_clips()
AGENT = silence(0.3) + b"".join(to_pcm(clip.audio) for clip in CLIPS.values())
LEAD_S = 0.4


def echo(gain_db: float, delay_s: float) -> bytes:
    return scaled((silence(delay_s) + AGENT)[: len(AGENT)], gain_db)


def listen(heard: bytes, sent: bytes, ear: Ear | None = None, bunch: int = 1) -> list[float]:
    """Return when a voice was told, with `sent` going out in pieces of 200 ms, 400 ms ahead.

    Of each `bunch` frames all come with the last.
    """
    ear, told, pieces = ear or Ear(), [], list(frames(sent, 1600))
    for number, (frame, due) in enumerate(frames(heard)):
        now = due + 0.02 * (bunch - 1 - number % bunch)
        while pieces and pieces[0][1] - 0.2 < now - 0.02 + LEAD_S:
            ear.played(pieces.pop(0)[0], now - 0.02)
        told += [now for event in ear.caller(frame, now) if isinstance(event, VoiceStarted)]
    return told


@pytest.mark.parametrize(
    ("gain_db", "delay_s"), [(-12, 0.0), (-12, 0.25), (-14, 0.2), (-20, 0.12), (-20, 0.03), (-26, 0.395)]
)
def test_our_own_echo_is_no_voice(gain_db: float, delay_s: float) -> None:
    assert listen(echo(gain_db, delay_s), AGENT) == []


def test_our_own_echo_is_no_voice_when_frames_come_in_bunches() -> None:
    assert listen(echo(-14, 0.13), AGENT, bunch=4) == []


def test_the_same_sound_is_a_voice_when_we_did_not_send_it() -> None:
    assert listen(echo(-14, 0.2), b"")


@pytest.mark.parametrize(("gain_db", "delay_s"), [(-14, 0.2), (-20, 0.12), (-90, 0.0)])
def test_a_caller_is_heard_over_our_voice_and_its_echo(gain_db: float, delay_s: float) -> None:
    caller = silence(2.5) + to_pcm(CLIPS["barge-03-am_michael"].audio)
    told = listen(mixed(caller, echo(gain_db, delay_s)[: len(caller)].ljust(len(caller), b"\0")), AGENT)
    assert told and 2.6 < told[0] < 2.95


def test_a_caller_is_heard_over_our_first_words() -> None:
    caller = silence(0.5) + to_pcm(CLIPS["barge-03-am_michael"].audio)
    told = listen(mixed(caller, echo(-20, 0.12)[: len(caller)]), AGENT)
    assert told and told[0] < 0.9


def test_what_was_cleared_has_no_echo() -> None:
    ear = Ear()
    ear.played(payload(AGENT), 0.0)
    ear.cleared(0.2)
    assert listen(echo(-14, 0.2), b"", ear)


def test_a_new_answer_begins_at_once_after_a_clear() -> None:
    ear = Ear()
    ear.played(payload(2 * AGENT), 0.0)
    ear.cleared(0.0)
    assert listen(echo(-14, 0.2), AGENT, ear) == []


def test_an_hour_sent_at_once_is_bounded() -> None:
    ear = Ear()
    minute = payload(silence(60))
    for _ in range(5):
        ear.played(minute, 0.0)
    assert listen(silence(1), b"", ear) == []
