"""Caller audio that came before the model could hear it: the last two seconds are kept."""

from collections import deque

from gateway.core.audio import payload_ms
from gateway.core.commands import AppendAudio

__all__ = ["EarlyAudio"]

KEPT_MS = 2000.0


class EarlyAudio:
    """Keeps the newest frames; the oldest make room."""

    def __init__(self) -> None:
        self._frames: deque[str] = deque()
        self._ms = 0.0

    def keep(self, payload: str) -> None:
        self._frames.append(payload)
        self._ms += payload_ms(payload)
        while self._ms > KEPT_MS:
            self._ms -= payload_ms(self._frames.popleft())

    def release(self) -> list[AppendAudio]:
        """Hand everything over, oldest first, and forget it."""
        frames = [AppendAudio(payload) for payload in self._frames]
        self._frames.clear()
        self._ms = 0.0
        return frames
