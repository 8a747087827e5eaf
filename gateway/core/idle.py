"""A caller who gives no sign any more: prompts, then a goodbye.

Theory. The clock is the wall's, and it stops only while the agent is audible or something is being done for the
caller. Neither comfort noise nor hold music resets it, whatever the turn detection makes of them: a sign of life is a
word, a key, or, where nothing is transcribed, a voice. Speech that goes on for MOST_SPEECH_S without ending is no
speech.
"""

from enum import Enum

from gateway.core.plan import Idle

__all__ = ["IdleClock", "IdleStep"]

MOST_SPEECH_S = 60.0


class IdleStep(Enum):
    PROMPT = "prompt"
    GOODBYE = "goodbye"


class IdleClock:
    """Counts the seconds in which nothing happens."""

    def __init__(self, rules: Idle) -> None:
        self._rules = rules
        self._counted_s = 0.0
        self._since_s: float | None = None
        """Since when it runs; None while it stands."""
        self._speech_s: float | None = None
        self.said = 0
        """Prompts since the last sign of life."""

    @property
    def deadline(self) -> float | None:
        if self._since_s is None:
            return None
        due = self._since_s + self._rules.after_s - self._counted_s
        return due if self._speech_s is None else max(due, self._speech_s + MOST_SPEECH_S)

    def run(self, now: float, *, idle: bool, speech: bool) -> None:
        """Let it run or stand. `idle`: nothing is said or done for the caller; `speech`: the server hears some."""
        if not idle and self._since_s is not None:
            self._counted_s += now - self._since_s
            self._since_s = None
        elif idle and self._since_s is None:
            self._since_s = now
        if not speech:
            self._speech_s = None
        elif self._speech_s is None:
            self._speech_s = now

    def sign(self, now: float) -> None:
        """The caller is there."""
        self.said = 0
        self._restart(now)

    def judge(self, now: float) -> IdleStep | None:
        """Return what is due by now; what was due is counted as done."""
        deadline = self.deadline
        if deadline is None or now < deadline:
            return None
        self._restart(now)
        if self.said >= len(self._rules.prompts):
            return IdleStep.GOODBYE
        self.said += 1
        return IdleStep.PROMPT

    def prompt(self) -> str:
        """Return the prompt that is due after `judge`."""
        return self._rules.prompts[self.said - 1]

    def _restart(self, now: float) -> None:
        self._counted_s = 0.0
        if self._since_s is not None:
            self._since_s = now
        if self._speech_s is not None:
            self._speech_s = now
