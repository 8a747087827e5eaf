"""Keys of the caller: told to the model as text, or taken by a collector.

A collector takes keys until the entry is complete (as many as wanted, or the terminator), a pause between two keys is
too long, or nothing comes in time; an incomplete entry is asked for again a few times. While a secure one is open,
and a moment longer, what the caller says and keys is hidden: the model hears silence, no key goes anywhere but into
the entry. In-band tones of the keys are in the caller's audio (ITU-T Q.23), which is why the audio is hidden too.
"""

from dataclasses import dataclass
from enum import Enum

from gateway.core.operator import CollectDigits

__all__ = ["KEY_S", "Collector", "Entry", "Keys", "Step"]

KEY_S = 0.2
"""What one key takes when it is sent, with the pause after it."""
GAP_S = 1.5
"""Pause after which keys that nobody collects are told to the model."""
MOST_KEYS = 64
"""Keys told at once; a caller who holds a key down sends many."""
HIDDEN_S = 1.0
"""How much longer a secure collector hides what the caller says: the last key's tone may still be on its way."""
LATE_KEYS_S = 4.0
"""A key that comes within this time after a secure entry, or after another such key, belongs to what was keyed in: the
entry was shorter than the number, or its time ran out."""


class Keys:
    """Keys on their way to the model; they are told together."""

    def __init__(self) -> None:
        self._digits = ""
        self._at = 0.0

    @property
    def deadline(self) -> float | None:
        return self._at + GAP_S if self._digits else None

    @property
    def waiting(self) -> bool:
        return bool(self._digits)

    def press(self, digit: str, now: float) -> None:
        self._digits = (self._digits + digit)[:MOST_KEYS]
        self._at = now - GAP_S if digit == "#" else now

    def take(self) -> str:
        """Return what was pressed and forget it."""
        digits, self._digits = self._digits, ""
        return digits


class Step(Enum):
    """What a collector wants after a key or a timeout."""

    MORE = "more"
    AGAIN = "again"
    """The entry was incomplete: ask the caller once more."""
    DONE = "done"
    FAILED = "failed"


@dataclass(slots=True, frozen=True)
class Entry:
    """Who waits for the digits."""

    collect: CollectDigits
    tool_call_id: str = ""
    """The function call to answer; "" when an operator asked."""
    command_id: str = ""
    """The operator's command; "" when the model asked."""


class Collector:
    """One entry of keys."""

    def __init__(self, entry: Entry, now: float) -> None:
        self.entry = entry
        self.digits = ""
        self._retries = entry.collect.retries
        self._until_s = now + entry.collect.total_s

    @property
    def deadline(self) -> float:
        return self._until_s

    def prompting(self, now: float) -> None:
        """The caller is still being told what to key in: the time has not begun."""
        if not self.digits:
            self._until_s = now + self.entry.collect.total_s

    def press(self, digit: str, now: float) -> Step:
        rules = self.entry.collect
        if digit == rules.terminator:
            return self._judge(now)
        self.digits += digit
        if len(self.digits) >= rules.max_digits:
            return Step.DONE
        self._until_s = now + rules.between_s
        return Step.MORE

    def expire(self, now: float) -> Step:
        """The time is over. Call at `deadline`."""
        return self._judge(now)

    def _judge(self, now: float) -> Step:
        if len(self.digits) >= max(1, self.entry.collect.min_digits):
            return Step.DONE
        self.digits = ""
        if self._retries <= 0:
            return Step.FAILED
        self._retries -= 1
        self._until_s = now + self.entry.collect.total_s
        return Step.AGAIN
