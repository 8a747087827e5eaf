"""Ears and mouths for `gateway talk`: files on the loop's clock, or the machine's own sound devices.

All audio is 8 kHz mu-law, 8 bytes a millisecond, in frames of 20 ms.
"""

import asyncio
import importlib
import struct
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, MutableSequence
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Protocol, Self

from gateway.errors import ConfigError
from gateway.records.pcm import to_pcm
from gateway.simulator.carrier.wav import mulaw_wav

__all__ = ["FileMicrophone", "FileSpeaker", "Sounds", "read_speech"]

RATE = 8000
FRAME = 160
FRAME_S = FRAME / RATE
SILENCE = b"\xff"
MAX_BYTES = 64 << 20
PCM, MULAW, EXTENSIBLE = 1, 7, 0xFFFE
QUIET_S = 3.0
"""After the last of the file and of the answer, silence this long ends the conversation."""
LISTEN_FRAMES = 500
NO_NUMPY = "converting PCM needs the speech packages: run `uv sync --group speech`, or give 8 kHz mu-law"
PATIENCE_S = 30.0
"""How long after the end of the file an answer is waited for."""


def read_speech(path: Path) -> bytes:
    """Return a .ulaw or WAV file as mu-law; of two channels the left one. Raises `ConfigError`."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    if len(data) > MAX_BYTES:
        raise ConfigError(f"{path} is larger than {MAX_BYTES >> 20} MiB")
    speech = _from_wav(path, data) if data[:4] == b"RIFF" else data
    if not speech or (data[:4] != b"RIFF" and path.suffix not in (".ulaw", ".ul", ".mulaw")):
        raise ConfigError(f"{path} is no WAV file and no raw mu-law (.ulaw)")
    return speech


def _from_wav(path: Path, data: bytes) -> bytes:
    chunks = _chunks(data)
    form, samples = chunks.get(b"fmt ", b""), chunks.get(b"data", b"")
    if len(form) < 16 or not samples:
        raise ConfigError(f"{path} is a damaged WAV file")
    kind, channels, rate, _, _, bits = struct.unpack("<HHIIHH", form[:16])
    if kind == EXTENSIBLE and len(form) >= 26:
        kind = struct.unpack("<H", form[24:26])[0]
    if channels not in (1, 2) or not RATE <= rate <= 192_000 or (kind, bits) not in ((PCM, 16), (MULAW, 8)):
        raise ConfigError(f"{path}: expected 16 bit PCM or mu-law, one or two channels, at 8000 Hz or more")
    if kind == MULAW and rate == RATE:
        return samples[::channels]
    if kind == MULAW:
        raise ConfigError(f"{path}: mu-law must be at 8000 Hz, this is at {rate} Hz")
    return _from_pcm(samples[: len(samples) // (2 * channels) * 2 * channels], channels, rate)


def _chunks(data: bytes) -> dict[bytes, bytes]:
    """Return the chunks of a RIFF file by name; the first of a name counts, and a cut last one as far as it goes."""
    found: dict[bytes, bytes] = {}
    at = 12
    while at + 8 <= len(data) and len(found) < 100:
        name, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        found.setdefault(name, data[at + 8 : at + 8 + size])
        at += 8 + size + size % 2
    return found


def _from_pcm(samples: bytes, channels: int, rate: int) -> bytes:
    try:
        import numpy as np

        from gateway.simulator.local.audio import encode, resample
    except ImportError:
        raise ConfigError(NO_NUMPY) from None
    left = np.frombuffer(samples, dtype="<i2")[::channels].astype(np.float32) / np.float32(32768)
    return encode(resample(left, rate, RATE))


class FileSpeaker:
    """Plays into the air: knows by the loop's clock what would have been heard. Make it inside a running loop."""

    def __init__(self) -> None:
        self.answered = False
        self._track = bytearray()
        self._loop = asyncio.get_running_loop()
        self._begun = self._loop.time()
        self._items: list[tuple[str, int]] = []

    @property
    def _now(self) -> int:
        return round((self._loop.time() - self._begun) * RATE)

    @property
    def quiet_s(self) -> float:
        """How long nothing has been played; negative while there is something left to play."""
        return (self._now - len(self._track)) / RATE

    def play(self, item_id: str, audio: bytes) -> None:
        self.answered = True
        self._track += SILENCE * max(0, self._now - len(self._track))
        if not self._items or item_id != self._items[-1][0]:
            self._items.append((item_id, len(self._track)))
        self._track += audio

    def stop(self) -> tuple[str, int] | None:
        """Drop what was not heard; return the item that was cut off and how many ms of it were heard."""
        now = self._now
        if now >= len(self._track):
            return None
        del self._track[now:]
        item_id, begin = next(((item, at) for item, at in reversed(self._items) if now - at >= 8), ("", 0))
        return (item_id, (now - begin) // 8) if item_id else None

    def write(self, path: Path, said: bytes) -> None:
        """Write a two-channel WAV: what was said left, what was heard right. Raises `ConfigError`."""
        both = bytearray(SILENCE * (2 * max(len(said), len(self._track))))
        both[0 : 2 * len(said) : 2] = said
        both[1 : 2 * len(self._track) : 2] = self._track
        try:
            path.write_bytes(mulaw_wav(bytes(both), 2))
        except OSError as error:
            raise ConfigError(f"{path} cannot be written: {error.strerror}") from None


class _Playing(Protocol):
    answered: bool

    @property
    def quiet_s(self) -> float: ...


class FileMicrophone:
    """Speaks a file in real time, then listens in silence until the answer is over."""

    def __init__(self, speech: bytes, speaker: _Playing) -> None:
        self._speech = speech
        self._speaker = speaker

    async def frames(self) -> AsyncIterator[bytes]:
        """Yield a frame each 20 ms, on an absolute schedule."""
        loop = asyncio.get_running_loop()
        begun, number = loop.time(), 0
        while not self._over(number * FRAME_S):
            yield self._speech[number * FRAME : (number + 1) * FRAME].ljust(FRAME, SILENCE)
            number += 1
            await asyncio.sleep(begun + number * FRAME_S - loop.time())

    def _over(self, at_s: float) -> bool:
        silent_s = at_s - len(self._speech) / RATE
        finished = self._speaker.answered and self._speaker.quiet_s > QUIET_S
        return silent_s > QUIET_S and (finished or silent_s > PATIENCE_S)


class Sounds:
    """The machine's microphone and speaker, by the `sounddevice` package. Use as a context manager, inside a loop."""

    def __init__(self, device: ModuleType | None = None) -> None:
        """`device` is the sounddevice module. Raises `ConfigError` when it, numpy or its library is missing."""
        self._device = device or _sounddevice()
        self._encode = _pcm_encoder()
        self._loop = asyncio.get_running_loop()
        self._frames: asyncio.Queue[bytes] = asyncio.Queue()
        self._waiting: deque[tuple[str, bytes]] = deque()
        self._item = ""
        self._heard_bytes = 0
        self._lock = threading.Lock()  # the sound card calls from a thread of its own
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        try:
            stream = self._device.RawStream(
                samplerate=RATE, blocksize=FRAME, channels=1, dtype="int16", callback=self._on_block
            )
            self._stack.enter_context(stream)
        except self._device.PortAudioError as error:
            raise ConfigError(f"no microphone and speaker can be opened: {error}; or give a WAV file") from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    async def frames(self) -> AsyncIterator[bytes]:
        """Yield what the microphone hears, for ever."""
        while True:
            yield await self._frames.get()

    def play(self, item_id: str, audio: bytes) -> None:
        with self._lock:
            self._waiting += [(item_id, audio[at : at + FRAME]) for at in range(0, len(audio), FRAME)]

    def stop(self) -> tuple[str, int] | None:
        """As `FileSpeaker.stop`."""
        with self._lock:
            if not self._waiting:
                return None
            self._waiting.clear()
            return (self._item, self._heard_bytes // 8) if self._heard_bytes >= 8 else None

    def _on_block(self, heard: bytes, played: MutableSequence[int], *_: object) -> None:
        """Take 20 ms and give 20 ms; called by the sound card's thread."""
        self._loop.call_soon_threadsafe(self._keep, self._encode(bytes(heard)))
        with self._lock:
            item_id, audio = self._waiting.popleft() if self._waiting else (self._item, b"")
            if item_id != self._item:
                self._item, self._heard_bytes = item_id, 0
            self._heard_bytes += len(audio)
        played[:] = to_pcm(audio.ljust(FRAME, SILENCE))

    def _keep(self, frame: bytes) -> None:
        # What nobody takes for ten seconds is dropped.
        if self._frames.qsize() < LISTEN_FRAMES:
            self._frames.put_nowait(frame)


def _pcm_encoder() -> Callable[[bytes], bytes]:
    """Return what makes mu-law of 16 bit samples. Raises `ConfigError`."""
    try:
        import numpy as np

        from gateway.simulator.local.audio import encode
    except ImportError:
        raise ConfigError(NO_NUMPY) from None
    return lambda pcm: encode(np.frombuffer(pcm, dtype="<i2").astype(np.float32) / np.float32(32768))


def _sounddevice() -> ModuleType:
    try:
        return importlib.import_module("sounddevice")
    except ImportError:
        raise ConfigError(
            "talking with the microphone needs the sounddevice package: `uv run --with sounddevice gateway talk`; "
            "or give a WAV file"
        ) from None
    except OSError:
        raise ConfigError("sounddevice cannot find PortAudio: install libportaudio2, or give a WAV file") from None
