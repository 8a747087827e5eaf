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
        self._frames: deque[tuple[str, float]] = deque()
        self._ms = 0.0

    def keep(self, payload: str, audio: AudioFormat = AudioFormat.PCMU) -> None:
        ms = payload_ms(payload, audio)
        self._frames.append((payload, ms))
        self._ms += ms
        self._forget(self._kept_ms)

    def release(self, newest_ms: float | None = None) -> list[AppendAudio]:
        """Hand everything over, oldest first, and forget it; or only the newest so many ms of it."""
        if newest_ms is not None:
            self._forget(newest_ms)
        frames = [AppendAudio(payload) for payload, _ in self._frames]
        self._frames.clear()
        self._ms = 0.0
        return frames

    def _forget(self, kept_ms: float) -> None:
        while self._ms > kept_ms:
            self._ms -= self._frames.popleft()[1]
