"""Named deadlines of a call: at most one of each, and the earliest says when the next tick is due."""

from enum import Enum

__all__ = ["Deadlines", "Timer"]


class Timer(Enum):
    START = "start"
    """The media stream must start."""
    BRIEF = "brief"
    """What is known about the caller must be here."""
    CONNECT = "connect"
    """The model must be ready."""
    RECOVER = "recover"
    """The new session must be ready."""
    SILENCE = "silence"
    """The model must answer."""
    WISH = "wish"
    """The server may begin a response by itself until then."""
    WORDS = "words"
    """The words of a turn in which our own ear heard no voice must be known."""
    TURN = "turn"
    """The caller's turn is over, by our own ear."""
    BUSY = "busy"
    """A response that we were not told of must have ended."""
    HIDDEN = "hidden"
    """What a secure collector still hides."""
    LATE_KEYS = "late_keys"
    """Keys that a secure collector still hides."""
    RING = "ring"
    """The next ring of the ring-back tone."""
    GOODBYE = "goodbye"
    """The goodbye must have been heard."""
    DURATION = "duration"
    """The longest a call may take."""
    LEG = "leg"
    """The stream must have ended after we asked for it."""


class Deadlines:
    """A handful of timers as values; nothing runs here."""

    def __init__(self) -> None:
        self._at: dict[Timer, float] = {}

    @property
    def earliest(self) -> float | None:
        return min(self._at.values(), default=None)

    def set(self, timer: Timer, at: float) -> None:
        self._at[timer] = at

    def clear(self, *timers: Timer) -> None:
        for timer in timers:
            self._at.pop(timer, None)

    def clear_all(self, *kept: Timer) -> None:
        self._at = {timer: at for timer, at in self._at.items() if timer in kept}

    def is_set(self, timer: Timer) -> bool:
        return timer in self._at

    def due(self, now: float) -> list[Timer]:
        """Return the timers that have come, earliest first, and forget them."""
        due = sorted((t for t, at in self._at.items() if at <= now), key=lambda t: self._at[t])
        for timer in due:
            del self._at[timer]
        return due
