"""Bad lines and loud rooms, seeded; nothing of it where it is not asked for."""

import base64
import math
from typing import Any

import pytest

from gateway.simulator.carrier import (
    Backchannel,
    BargeIn,
    CallReport,
    Dtmf,
    HangUp,
    Key,
    LineModel,
    Pause,
    Say,
    Script,
    Surroundings,
    Wait,
    key_tone,
    tone,
)
from gateway.simulator.carrier.loudness import level_dbfs, speech_level_dbfs, to_pcm
from gateway.simulator.carrier.tones import KEYS
from tests.simulator.carrier.application import Application, Peer
from tests.simulator.carrier.test_calls import LONG, SPEECH, call

QUIET = Script([Pause(3.0), HangUp()])


class Listener:
    """An application that plays `audio` and keeps what the caller sent."""

    def __init__(self, audio: bytes = b"") -> None:
        self.audio = audio
        self.sent = bytearray()
        self.events: list[Any] = []

    async def __call__(self, peer: Peer) -> None:
        await peer.until("start")
        if self.audio:
            await peer.play(self.audio)
        while True:
            message: Any = await peer.receive()
            self.events.append(message)
            if message["event"] == "media":
                self.sent += base64.b64decode(message["media"]["payload"])


def power(audio: bytes, hz: float) -> float:
    """Return the share of a tone in the power of some audio (Goertzel)."""
    pcm = memoryview(to_pcm(audio)).cast("h")
    step = 2 * math.pi * hz / 8000
    one, two = 0.0, 0.0
    for sample in pcm:
        one, two = sample + 2 * math.cos(step) * one - two, one
    total = sum(sample * sample for sample in pcm) * len(pcm) / 2
    return (one * one + two * two - 2 * math.cos(step) * one * two) / total if total else 0.0


def test_our_audio_comes_back_as_echo_softer_and_later() -> None:
    listener = Listener(SPEECH)
    report = call(Application(listener), QUIET, surroundings=Surroundings(echo_db=-20, echo_delay_ms=125))
    start = next(n for n, byte in enumerate(listener.sent) if byte not in (0xFF, 0x7F)) / 8000
    first = report.media.first_audio_s
    assert first is not None
    assert start == pytest.approx(first + 0.125, abs=0.001)
    back = bytes(listener.sent[round(start * 8000) :][: len(SPEECH)])
    assert level_dbfs(back) == pytest.approx(level_dbfs(SPEECH) - 20, abs=0.3)
    assert power(back, 440) > 0.95
    assert report.media.said == []


def test_noise_has_the_level_asked_for_and_speech_is_added_to_it() -> None:
    noise = tone(200, 777, 0.3)
    listener = Listener()
    script = Script([Pause(2.0), Say(SPEECH), Pause(1.0), HangUp()])
    report = call(Application(listener), script, surroundings=Surroundings(noise=noise, noise_dbfs=-40))
    assert level_dbfs(bytes(listener.sent[1600:9600])) == pytest.approx(-40, abs=0.3)
    assert bytes(report.media.said[0].audio) == SPEECH
    assert SPEECH not in bytes(listener.sent)
    spoken = bytes(listener.sent[16_800:23_000])
    assert power(spoken, 440) > 0.95
    assert level_dbfs(spoken) == pytest.approx(level_dbfs(SPEECH), abs=0.2)


def test_noise_can_be_measured_against_the_callers_speech() -> None:
    halting = tone(440, 500, 0.2) + b"\xff" * 8000
    listener = Listener()
    script = Script([Pause(1.0), Say(halting), HangUp()])
    call(Application(listener), script, surroundings=Surroundings(noise=tone(200, 500), noise_snr_db=15))
    assert level_dbfs(bytes(listener.sent[800:7200])) == pytest.approx(speech_level_dbfs([halting]) - 15, abs=0.3)
    assert speech_level_dbfs([halting]) == pytest.approx(level_dbfs(halting[:4000]), abs=0.1)


def test_noise_has_one_level() -> None:
    with pytest.raises(ValueError, match="not both"):
        Surroundings(noise=b"\1", noise_dbfs=-40, noise_snr_db=10)


def test_late_marks_come_in_order_after_the_playing_and_the_seed_decides() -> None:
    async def marks(peer: Peer) -> None:
        await peer.until("start")
        for number in range(40):
            await peer.play(SPEECH[:320])
            await peer.mark(str(number))
        while True:
            await peer.receive()

    line = LineModel(late_marks_ms=150)
    first, second = (call(Application(marks), QUIET, line=line) for _ in range(2))
    assert first == second
    assert [mark.name for mark in first.media.marks] == [str(number) for number in range(40)]
    begin = first.media.first_audio_s
    assert begin is not None
    late = [mark.at_s - begin - 0.04 * (number + 1) for number, mark in enumerate(first.media.marks)]
    assert min(late) >= 0
    assert 0.05 < max(late) <= 0.15 + 1e-6


def test_an_echo_under_way_when_the_clear_arrives_comes_after_those_of_the_cleared() -> None:
    async def races(peer: Peer) -> None:
        await peer.until("start")
        await peer.play(SPEECH[:160])
        await peer.mark("played")
        await peer.play(LONG)
        await peer.mark("cleared")
        for _ in range(3):
            await peer.until("media")
        await peer.send("clear")
        while True:
            await peer.receive()

    report = call(Application(races), QUIET, line=LineModel(late_marks_ms=2000))
    assert [(mark.name, mark.detail) for mark in report.media.marks] == [("cleared", "cleared"), ("played", "played")]


def test_stop_can_overtake_the_last_media() -> None:
    listener = Listener()
    call(Application(listener), Script([Pause(0.5), HangUp()]), line=LineModel(media_after_stop=2))
    assert [message["event"] for message in listener.events[-4:]] == ["media", "stop", "media", "media"]
    numbers = [int(message["sequenceNumber"]) for message in listener.events[-4:]]
    assert numbers == [numbers[0], numbers[0] + 3, numbers[0] + 1, numbers[0] + 2]


@pytest.mark.parametrize("key", KEYS)
def test_key_tones_are_clean(key: str) -> None:
    audio = key_tone(key)
    low = [power(audio, hz) for hz in (697, 770, 852, 941)]
    high = [power(audio, hz) for hz in (1209, 1336, 1477, 1633)]
    assert KEYS[low.index(max(low)) * 4 + high.index(max(high))] == key
    assert max(low) == pytest.approx(0.5, abs=0.05)
    assert max(high) == pytest.approx(0.5, abs=0.05)
    assert len(audio) == 800
    assert level_dbfs(audio) == pytest.approx(-10 - 3.17 - 3.01, abs=0.2)


def test_keys_are_pressed_in_mid_sentence() -> None:
    listener = Listener()
    script = Script([Pause(0.5), Say(LONG, keys=[Key(1000, "4"), Key(2500, "2")]), HangUp()])
    report = call(Application(listener), script)
    digits = [n for n, message in enumerate(listener.events) if message["event"] == "dtmf"]
    assert [listener.events[n]["dtmf"]["digit"] for n in digits] == ["4", "2"]
    assert [sum(event["event"] == "media" for event in listener.events[:n]) * 20 for n in digits] == pytest.approx(
        [1500, 3000], abs=40
    )
    assert LONG in bytes(listener.sent)
    assert [(deed.name, deed.detail) for deed in report.deeds] == [("say", "5000"), ("dtmf", "2"), ("hang_up", "")]


def test_keys_can_be_heard_in_the_callers_audio() -> None:
    listener = Listener()
    script = Script([Pause(0.5), Dtmf("5", in_band=True), Say(LONG, keys=[Key(1000, "7")], in_band=True), HangUp()])
    report = call(Application(listener), script)
    assert key_tone("5") in bytes(listener.sent)
    assert bytes(report.media.said[0].audio) == LONG
    start = bytes(listener.sent).index(LONG[:400])
    during = bytes(listener.sent[start + 8160 : start + 8640])
    assert power(during, 852) > 0.05
    assert power(during, 330) > 0.3


def test_a_backchannel_is_said_while_the_agent_talks_and_is_no_turn() -> None:
    script = Script([Backchannel(tone(200, 300), 1500), Wait("agent_done"), HangUp()])
    report = call(Application(Listener(LONG)), script)
    assert report.script_error is None
    first = report.media.first_audio_s
    assert first is not None
    (said,) = report.media.said
    assert said.start_s == pytest.approx(first + 1.5, abs=0.03)
    assert bytes(said.audio) == tone(200, 300)
    assert report.duration_s == pytest.approx(first + 5.6, abs=0.05)
    assert [deed.name for deed in report.deeds] == ["backchannel", "hang_up"]


def test_a_backchannel_that_finds_no_turn_is_left_out() -> None:
    report = call(Application(), Script([Backchannel(SPEECH, 500), Pause(2.0), HangUp()]))
    assert report.media.said == []
    assert report.ended_by == "caller"


def test_a_barge_in_at_a_drawn_instant_is_exact_to_the_millisecond() -> None:
    script = Script([BargeIn(tone(600, 400), 500, latest_ms=2500), HangUp()])
    first, second = (call(Application(Listener(LONG)), script) for _ in range(2))
    assert first == second
    (deed, _) = first.deeds
    begin = first.media.first_audio_s
    assert begin is not None
    heard_ms = (deed.at_s - begin) * 1000
    assert 500 <= heard_ms <= 2500
    assert heard_ms == pytest.approx(round(heard_ms), abs=1e-3)
    (said,) = first.media.said
    lead = said.audio.index(tone(600, 400)[:100])
    # The first sample of a sine is silence.
    assert said.start_s + lead / 8000 == pytest.approx(deed.at_s, abs=0.0003)


def test_what_a_caller_draws_follows_from_the_calls_seed_and_not_from_the_line() -> None:
    def deed(**more: Any) -> float:
        script = Script([BargeIn(tone(600, 400), 500, latest_ms=2500), HangUp()])
        report = call(Application(Listener(LONG)), script, **more)
        return report.deeds[0].at_s - (report.media.first_audio_s or 0)

    perfect, bad = deed(seed=3), deed(seed=3, line=LineModel(jitter_ms=40, late_marks_ms=50))
    assert perfect == pytest.approx(bad, abs=1e-6)
    assert perfect != deed(seed=4)


def test_the_caller_hangs_up_at_a_given_time_whatever_goes_on() -> None:
    report = call(Application(), Script([Wait("agent_done")], hang_up_at_s=4.5))
    assert (report.ended_by, report.script_error, report.duration_s) == ("caller", None, 4.5)


def test_a_perfect_line_and_a_quiet_room_pass_every_byte() -> None:
    listener = Listener(SPEECH)
    report: CallReport = call(
        Application(listener),
        Script([Say(SPEECH), Pause(1.0), HangUp()]),
        line=LineModel(),
        surroundings=Surroundings(),
    )
    assert SPEECH in bytes(listener.sent)
    assert bytes(listener.sent).replace(SPEECH, b"").strip(b"\xff") == b""
    assert report.media.played_bytes() == SPEECH
