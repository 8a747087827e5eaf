"""Whose turn it is, how long the caller waited for an answer, and what a commit of ours would take."""

from collections.abc import Iterable

from gateway.core.commands import AppendAudio

__all__ = ["InputBuffer", "TurnClock"]

LEAST_CHARACTERS = 1068
"""Base64 of 100 ms: the server refuses to commit less (`input_audio_buffer_commit_empty`)."""


class TurnClock:
    """Caller speech as the model's turn detection reports it."""

    def __init__(self) -> None:
        self.speaking = False
        self.taken = 0
        """Turns of the caller that are over; an echo or a word of listening is none."""
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


class InputBuffer:
    """What the server heard since the last commit; used in manual turn-taking only."""

    def __init__(self) -> None:
        self._characters = 0
        self.turn_kept = False
        """The caller ended a turn while the model was to hear nothing; it ends once the model has heard it."""

    @property
    def enough(self) -> bool:
        """Whether there is something to commit."""
        return self._characters >= LEAST_CHARACTERS

    def sent(self, appended: Iterable[AppendAudio]) -> None:
        self._characters += sum(len(frame.payload) for frame in appended)

    def committed(self) -> None:
        self._characters = 0

    def unknown(self) -> None:
        """The server has committed by itself so far: what is left in its buffer only it knows."""
        self._characters = LEAST_CHARACTERS
        self.turn_kept = False
