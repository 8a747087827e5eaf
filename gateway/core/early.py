"""Caller audio that the model could not hear yet: the newest is kept, two seconds unless told otherwise."""

from collections import deque

from gateway.core.audio import AudioFormat, payload_ms
from gateway.core.commands import AppendAudio

__all__ = ["EarlyAudio"]

KEPT_MS = 2000.0


class EarlyAudio:
    """Keeps the newest frames; the oldest make room."""

    def __init__(self, kept_ms: float = KEPT_MS) -> None:
        self._kept_ms = kept_ms
        self._audio = AudioFormat.PCMU
        self._frames: deque[tuple[str, float]] = deque()
        self._ms = 0.0

    def keep(self, payload: str, audio: AudioFormat = AudioFormat.PCMU) -> None:
        """Keep a frame; those of another format than the newest are forgotten: the model would hear noise."""
        if audio is not self._audio:
            self._audio = audio
            self._clear()
        ms = payload_ms(payload, audio)
        self._frames.append((payload, ms))
        self._ms += ms
        self._forget(self._kept_ms)

    def release(self, audio: AudioFormat = AudioFormat.PCMU, newest_ms: float | None = None) -> list[AppendAudio]:
        """Hand over what is in a format, oldest first, and forget everything; or only the newest so many ms of it."""
        if audio is not self._audio:
            self._clear()
        if newest_ms is not None:
            self._forget(newest_ms)
        frames = [AppendAudio(payload) for payload, _ in self._frames]
        self._clear()
        return frames

    def _clear(self) -> None:
        self._frames.clear()
        self._ms = 0.0

    def _forget(self, kept_ms: float) -> None:
        while self._ms > kept_ms:
            self._ms -= self._frames.popleft()[1]
