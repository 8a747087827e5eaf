"""eSpeak NG through ctypes: the library and its data come in the `espeakng-loader` wheel.

The library keeps one synthesiser in global variables and is not re-entrant: one `Espeak` a process, used from one
thread. Reference: eSpeak NG, `speak_lib.h`.
"""

import ctypes
from pathlib import Path

import numpy as np

from gateway.errors import ConfigError
from gateway.simulator.local.audio import Samples

__all__ = ["Espeak"]

SYNCHRONOUS = 2
DONT_EXIT = 0x8000
UTF8 = 1
RATE, PITCH, PITCH_RANGE, WORD_GAP = 1, 3, 4, 7
POS_CHARACTER = 1
MAX_SECONDS = 120

CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


class Espeak:
    """One synthesiser; `say` must always be called from the same thread."""

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
        self._chunks: list[Samples] = []
        self._samples = 0
        # The library keeps the pointer; ours must live as long.
        self._callback = CALLBACK(self._receive)
        self.sample_hz = int(self._lib.espeak_Initialize(SYNCHRONOUS, 0, str(data).encode(), DONT_EXIT))
        if self.sample_hz <= 0:
            raise ConfigError(f"eSpeak NG finds no voice data in {data}")
        self._lib.espeak_SetSynthCallback(self._callback)

    def say(
        self, text: str, *, voice: str, words_per_minute: int, pitch: int, pitch_range: int = 50, word_gap: int = 0
    ) -> Samples:
        """Return the speech at `sample_hz`. Pitch and its range are 0 to 100, the word gap is in 10 ms."""
        self._chunks, self._samples = [], 0
        if self._lib.espeak_SetVoiceByName(voice.encode()) != 0:
            raise ConfigError(f"eSpeak NG has no voice {voice!r}")
        for parameter, value in (
            (RATE, words_per_minute),
            (PITCH, pitch),
            (PITCH_RANGE, pitch_range),
            (WORD_GAP, word_gap),
        ):
            self._lib.espeak_SetParameter(parameter, value, 0)
        encoded = text.encode() + b"\0"
        self._lib.espeak_Synth(encoded, len(encoded), 0, POS_CHARACTER, 0, UTF8, None, None)
        return np.concatenate(self._chunks) if self._chunks else np.zeros(0, dtype=np.float32)

    def _receive(self, wave: "ctypes._Pointer[ctypes.c_short]", count: int, _events: int | None) -> int:
        if wave and count > 0:
            self._chunks.append(np.ctypeslib.as_array(wave, shape=(count,)).astype(np.float32) / np.float32(32768))
            self._samples += count
        return int(self._samples > MAX_SECONDS * self.sample_hz)
