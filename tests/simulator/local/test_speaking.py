import asyncio
import shutil
from pathlib import Path

import pytest

from gateway.errors import ConfigError
from gateway.simulator.local.engine import LocalEngine
from gateway.simulator.local.wer import digits_of, word_errors

pytestmark = pytest.mark.e2e

REPLIES = [
    "Okay. Order 4 2 7: the status is shipped, and the expected arrival is Tuesday, November 24th.",
    "Okay. Order 9 1 5 3: the status is delivered. What else can I do for you?",
    "Hello, thank you for calling. How can I help you?",
    "Could you tell me the order number, please?",
    "Sure, go ahead. What would you like to know?",
    "Thank you for calling. Bye bye!",
    "I did not understand you. Please say that again.",
    "I am sorry, that did not work. Can I help you with something else?",
    "Your appointment is booked for Thursday at three thirty in the afternoon.",
    "I am a computer, but I will do my best to help you. What can I do for you?",
]


def test_replies_are_recognised_back(engine: LocalEngine) -> None:
    async def round_trip() -> list[str]:
        return [await engine.transcribe(await engine.speak(text, "cedar"), "", 1) for text in REPLIES]

    heard = asyncio.run(round_trip())
    counts = [word_errors(text, back) for text, back in zip(REPLIES, heard, strict=True)]
    errors, words = (sum(column) for column in zip(*counts, strict=True))
    assert errors / words <= 0.2, heard
    assert "shipped" in heard[0]
    assert "9153" in digits_of(heard[1])


def test_speech_has_the_level_of_a_telephone_line(engine: LocalEngine) -> None:
    import numpy as np

    from gateway.simulator.local.audio import decode

    samples = decode(asyncio.run(engine.speak(REPLIES[0], "alloy")))
    assert 3 < samples.size / 8000 < 12
    loud = samples[np.abs(samples) > 0.02]
    assert -23 < 20 * np.log10(np.sqrt(np.mean(np.square(loud)))) < -17
    assert np.max(np.abs(samples)) < 0.95


def test_voices_sound_different_and_unknown_ones_speak(engine: LocalEngine) -> None:
    async def say() -> list[bytes]:
        return [
            await engine.speak("Good morning.", voice) for voice in ("cedar", "marin", "alloy", "ash", "no such voice")
        ]

    spoken = asyncio.run(say())
    assert len(set(spoken)) == 4
    assert spoken[4] == spoken[0]


def test_the_same_text_gives_the_same_bytes(engine: LocalEngine) -> None:
    async def twice() -> tuple[bytes, bytes]:
        first, _, second = await asyncio.gather(
            *(engine.speak(text, "cedar") for text in ("One.", "Two, three.", "One."))
        )
        return first, second

    first, second = asyncio.run(twice())
    assert first == second


@pytest.mark.parametrize("text", ["", " \n", "***", "\x00\x07"])
def test_nothing_to_say_is_no_audio(engine: LocalEngine, text: str) -> None:
    assert asyncio.run(engine.speak(text, "cedar")) == b""


def test_hostile_text_is_bounded_and_spoken(engine: LocalEngine) -> None:
    text = "<speak><audio src='file:///etc/passwd'/> [[x]] -f --help \ud800 \x00 日本 " * 2000
    assert 0 < len(asyncio.run(engine.speak(text, "cedar"))) <= 400 * 8000


@pytest.mark.parametrize("name", ["tone", "espeak-library"])
def test_a_speaker_can_be_asked_for_by_name(speech_packages: None, name: str) -> None:
    from gateway.simulator.local.tts import choose_speaker

    speaker = choose_speaker(name)
    assert speaker.name == name
    assert speaker.say("Hello there.", "cedar").size > 2000


@pytest.mark.parametrize("name", ["flite", "espeak-ng"])
def test_a_program_of_the_system_speaks_when_there_is_one(speech_packages: None, name: str) -> None:
    from gateway.simulator.local.tts import choose_speaker

    if shutil.which(name):
        assert choose_speaker(name).say("-h hello there.", "marin").size > 2000
    else:
        with pytest.raises(ConfigError, match="not on PATH"):
            choose_speaker(name)


def test_a_deep_installation_path_does_not_silence_the_library(speech_packages: None, tmp_path: Path) -> None:
    import espeakng_loader

    from gateway.simulator.local.espeak import Espeak, Manner

    deep = tmp_path / ("d" * 100) / ("e" * 100)
    deep.mkdir(parents=True)
    data = deep / "espeak-ng-data"
    data.symlink_to(espeakng_loader.get_data_path(), target_is_directory=True)
    other = Espeak(Path(espeakng_loader.get_library_path()), Path(espeakng_loader.get_data_path()))
    espeak = Espeak(Path(espeakng_loader.get_library_path()), data)
    assert espeak.say("Hello there.", Manner("en-us+edward2")).size > 4000
    with pytest.raises(ConfigError, match="no voice 'xx-nowhere'"):
        espeak.say("Hello there.", Manner("xx-nowhere"))
    # The library is the process's: another object takes it over and hands it back.
    del espeak
    assert other.say("Hello there.", Manner("en-us+f4")).size > 4000


def test_a_program_that_fails_is_passed_over(
    speech_packages: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gateway.simulator.local.tts import choose_speaker

    for name in ("flite", "espeak-ng"):
        (tmp_path / name).write_text("#!/bin/sh\nexit 127\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert choose_speaker().name in {"piper", "espeak-library"}
    with pytest.raises(ConfigError, match="the speech program failed"):
        choose_speaker("flite")


def test_an_unknown_speaker_is_refused_with_the_choices(speech_packages: None) -> None:
    from gateway.simulator.local.tts import choose_speaker

    with pytest.raises(ConfigError, match="no speaker 'siri'.*espeak-library"):
        choose_speaker("siri")


def test_mu_law_survives_decoding_and_encoding(speech_packages: None) -> None:
    from gateway.simulator.local.audio import decode, encode

    every = bytes(range(256))
    # 0x7F is the second zero of G.711.
    assert encode(decode(every)) == every.replace(b"\x7f", b"\xff")
    assert (decode(b"\x00\x80\xff") * 32768).tolist() == [-32124, 32124, 0]
