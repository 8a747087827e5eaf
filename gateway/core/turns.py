"""Whose turn it is, and how long the caller waited for an answer."""

__all__ = ["TurnClock"]


class TurnClock:
    """Caller speech as the model's turn detection reports it."""

    def __init__(self) -> None:
        self.speaking = False
        self._ended_s: float | None = None

    def started(self) -> None:
        self.speaking = True
        self._ended_s = None

    def stopped(self, ended_s: float) -> None:
        """`ended_s`: when the caller fell silent, that is before the silence which proved it."""
        self.speaking = False
        self._ended_s = ended_s

    def answered(self, now: float) -> int | None:
        """Return the voice-to-voice latency in ms at the first audio of an answer, else None."""
        if self._ended_s is None:
            return None
        latency_ms = round((now - self._ended_s) * 1000)
        self._ended_s = None
        return latency_ms

    def reset(self) -> None:
        self.speaking = False
        self._ended_s = None
