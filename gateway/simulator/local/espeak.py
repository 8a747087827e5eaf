"""eSpeak NG through ctypes: the library and its data come in the `espeakng-loader` wheel.

The library keeps one synthesiser in global variables and is not re-entrant, hence the lock: it is the process's, as
the library is. Reference: eSpeak NG, `speak_lib.h`.
"""

import ctypes
import shutil
import tempfile
import threading
import weakref
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gateway.errors import ConfigError
from gateway.simulator.local.audio import Samples

__all__ = ["Espeak", "Manner"]

SYNCHRONOUS = 2
DONT_EXIT = 0x8000
UTF8 = 1
RATE, PITCH, PITCH_RANGE, WORD_GAP = 1, 3, 4, 7
POS_CHARACTER = 1
MAX_SECONDS = 120
MAX_PATH_BYTES = 100
LIBRARY_LOCK = threading.Lock()

CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


@dataclass(slots=True, frozen=True)
class Manner:
    """How to say it."""

    voice: str
    """Language and variant, as in "en-us+f2"."""
    words_per_minute: int = 140
    pitch: int = 50
    """0 to 100, as is the range."""
    pitch_range: int = 80
    word_gap: int = 2
    """Silence between words, in 10 ms."""

    def parameters(self) -> tuple[tuple[int, int], ...]:
        return (
            (RATE, self.words_per_minute),
            (PITCH, self.pitch),
            (PITCH_RANGE, self.pitch_range),
            (WORD_GAP, self.word_gap),
        )


class Espeak:
    """One synthesiser. `say` blocks, and waits for its turn when another is speaking."""

    def __init__(self, library: Path, data: Path) -> None:
        """Raises ConfigError when the library cannot be loaded or finds no data."""
        try:
            self._lib = ctypes.CDLL(str(library))
        except OSError as error:
            raise ConfigError(f"the eSpeak NG library {library} cannot be loaded: {error}") from error
        self._lib.espeak_SetVoiceByName.argtypes = [ctypes.c_char_p]
        self._lib.espeak_Synth.argtypes = [
            ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint, ctypes.c_int,
            ctypes.c_uint, ctypes.c_uint, ctypes.c_void_p, ctypes.c_void_p,
        ]  # fmt: skip
        self._lib.espeak_Info.restype = ctypes.c_char_p
        self._data = str(self._short(data)).encode()
        with LIBRARY_LOCK:
            self.sample_hz = self._initialise()
        if self.sample_hz <= 0:
            raise ConfigError(f"eSpeak NG finds no voice data in {data}")

    def _initialise(self) -> int:
        return int(self._lib.espeak_Initialize(SYNCHRONOUS, 0, self._data, DONT_EXIT))

    def _claim(self) -> None:
        """Point the library to our data again when another object has pointed it elsewhere since."""
        found = ctypes.c_char_p()
        self._lib.espeak_Info(ctypes.byref(found))
        if not (found.value or b"").startswith(self._data):
            self._initialise()

    def _short(self, data: Path) -> Path:
        """Return a path the library can take: it keeps file names in buffers of 160 bytes, and a virtual environment
        may lie deeper. The link lives as long as this object."""
        if len(str(data).encode()) <= MAX_PATH_BYTES:
            return data
        folder = tempfile.mkdtemp(prefix="espeak-")
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        link = Path(folder) / "espeak-ng-data"
        link.symlink_to(data, target_is_directory=True)
        return link

    def say(self, text: str, manner: Manner) -> Samples:
        """Return the speech at `sample_hz`, at most 120 s of it. Raises ConfigError when there is no such voice."""
        chunks: list[Samples] = []
        limit = MAX_SECONDS * self.sample_hz

        def receive(wave: "ctypes._Pointer[ctypes.c_short]", count: int, _events: int | None) -> int:
            if wave and count > 0:
                chunks.append(np.ctypeslib.as_array(wave, shape=(count,)).astype(np.float32) / np.float32(32768))
            return int(sum(chunk.size for chunk in chunks) > limit)

        callback = CALLBACK(receive)
        encoded = text.replace("\0", " ").encode(errors="replace") + b"\0"
        with LIBRARY_LOCK:
            self._claim()
            self._lib.espeak_SetSynthCallback(callback)
            if self._lib.espeak_SetVoiceByName(manner.voice.encode()) != 0:
                raise ConfigError(f"eSpeak NG has no voice {manner.voice!r}")
            for parameter, value in manner.parameters():
                self._lib.espeak_SetParameter(parameter, value, 0)
            self._lib.espeak_Synth(encoded, len(encoded), 0, POS_CHARACTER, 0, UTF8, None, None)
        return np.concatenate(chunks) if chunks else np.zeros(0, dtype=np.float32)
