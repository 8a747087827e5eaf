"""Reversible barge-in: is this an interruption, or a cough, an echo, a "mm-hm"?

Theory. Two ears listen: the server's turn detection and our own, which knows what we are playing and so does not take
its echo for a voice. As soon as our ear hears a voice while the agent is audible, play-out is held: to the caller the
agent stops at once, and nothing is lost. Then

* the voice goes on for `confirm_ms`, and the server hears it too: CONFIRM, it was an interruption;
* the voice falls silent before that, and stays so for SETTLE_S: RESUME, the agent goes on where the caller left off;
* the server hears speech and our ear does not: nothing is held; it is our echo, or the line.

What the server took for a turn is then judged once more by its words when the transcript comes: a short "stop" is an
interruption too, only a later one.
"""

import re
from enum import Enum

from gateway.core.plan import ReversibleBargeIn

__all__ = ["Doubt", "Verdict", "only_backchannels"]

SETTLE_S = 0.2
"""Quiet after a short voice before the agent goes on; a second syllable within it belongs to the first."""
MOST_S = 6.0
"""Longest hold on the word of our own ear alone."""


class Verdict(Enum):
    NOTHING = "nothing"
    HOLD = "hold"
    RESUME = "resume"
    CONFIRM = "confirm"


class Doubt:
    """One at a time. The caller of these methods carries the verdict out and asks again at `deadline`."""

    def __init__(self, rules: ReversibleBargeIn) -> None:
        self._confirm_s = rules.confirm_ms / 1000
        self._voice = False
        self._since_s: float | None = None
        """When the voice that is in doubt began; None: there is no doubt."""
        self._quiet_s = 0.0
        """When it was found to have fallen silent."""
        self._server_hears = False

    @property
    def open(self) -> bool:
        return self._since_s is not None

    @property
    def voice(self) -> bool:
        """Whether our own ear hears the caller now."""
        return self._voice

    @property
    def deadline(self) -> float | None:
        if self._since_s is None:
            return None
        if not self._voice:
            return self._quiet_s + SETTLE_S
        return self._since_s + (self._confirm_s if self._server_hears else max(self._confirm_s, MOST_S))

    def voice_started(self, at_s: float, now: float, *, audible: bool) -> Verdict:
        """Our ear hears a voice since `at_s`; `audible`: the agent speaks or is about to."""
        self._voice = True
        if self._since_s is not None:
            return Verdict.NOTHING
        if not audible:
            return Verdict.NOTHING
        self._since_s = min(at_s, now)
        return Verdict.HOLD

    def voice_stopped(self, now: float) -> Verdict:
        self._voice = False
        self._quiet_s = now
        return Verdict.NOTHING

    def speech_started(self) -> None:
        """The server hears speech."""
        self._server_hears = True

    def speech_stopped(self) -> None:
        self._server_hears = False

    def judge(self, now: float) -> Verdict:
        """Return what has become clear by now, and forget the doubt if something has."""
        deadline = self.deadline
        if deadline is None or now < deadline:
            return Verdict.NOTHING
        confirmed = self._voice and self._server_hears
        self._since_s = None
        return Verdict.CONFIRM if confirmed else Verdict.RESUME

    def reset(self) -> None:
        """There is nothing more to hold: the agent was silenced, or the model is gone."""
        self._since_s = None
        self._server_hears = False


def only_backchannels(text: str, words: frozenset[str]) -> bool:
    """Return whether a transcript holds nothing but words of listening; true for one without words."""
    said = re.findall(r"[^\W_]+", text.lower().replace("-", "").replace("'", ""))
    return all(word in words for word in said)
