"""When a moment of the model's input was heard.

The API counts in ms of the audio that was appended in the session, the journal in seconds since the offer. Audio is
appended as it comes, so that the two run alike; after a pause or in a burst (audio that was kept back) they do not,
and so points of both are kept. Realtime API, `input_audio_buffer.speech_started`.
"""

from collections import deque

__all__ = ["AudioClock"]

POINT_MS = 100.0
KEPT_POINTS = 100
"""Ten seconds; a start of speech is reported within one."""


class AudioClock:
    """Of one model session at a time."""

    def __init__(self) -> None:
        self._points: deque[tuple[float, float]] = deque(maxlen=KEPT_POINTS)
        self._ms = 0.0
        self._now = 0.0

    def restart(self) -> None:
        """A new session counts from 0."""
        self._points.clear()
        self._ms = 0.0

    def append(self, ms: float, now: float) -> None:
        """Count audio that goes to the model now; its last sample was heard just before."""
        if not self._points:
            self._points.append((0.0, now - ms / 1000))
        self._ms += ms
        self._now = now
        if self._ms - self._points[-1][0] >= POINT_MS:
            self._points.append((self._ms, now))

    def time_of(self, ms: float) -> float | None:
        """Return when this moment was heard, on the loop's clock; None before any audio."""
        if not self._points:
            return None
        since = None
        for at_ms, at_s in (*self._points, (self._ms, self._now)):
            if at_ms >= ms:
                exact = at_s - (at_ms - ms) / 1000
                return exact if since is None else max(exact, since)
            since = at_s
        return since
