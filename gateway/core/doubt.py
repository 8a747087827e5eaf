"""Reversible barge-in: is this an interruption, or a cough, an echo, a "mm-hm"?

Theory. Two ears listen: the server's turn detection and our own, which knows what we are playing and so does not take
its echo for a voice. As soon as our ear hears a voice while the agent is audible, play-out is held: to the caller the
agent stops at once, and nothing is lost. Then

* the voice falls silent before `confirm_ms`, and stays so for SETTLE_S: RESUME, the agent goes on where the caller
  left off. When the transcript comes, a short "stop" is an interruption all the same, only a later one;
* it falls silent later, and the server has heard it too: the hold lasts until its words are known. Words of listening,
  or none: RESUME; others, or no transcript within WORDS_S: CONFIRM, it was an interruption;
* it goes on for SURE_S and the server hears it too: CONFIRM, whatever the words;
* the server hears speech and our ear does not: nothing is held; it is our echo, or the line.
"""

from enum import Enum

from gateway.core.plan import ReversibleBargeIn

__all__ = ["Doubt", "Verdict"]

SETTLE_S = 0.2
"""Quiet after a short voice before the agent goes on; a second syllable within it belongs to the first."""
SURE_S = 1.6
"""Nobody listens aloud for so long."""
WORDS_S = 1.5
"""Longest wait for the transcript of what was said into the agent's words."""
MOST_S = 6.0
"""Longest hold on the word of our own ear alone."""


class Verdict(Enum):
    NOTHING = "nothing"
    HOLD = "hold"
    RESUME = "resume"
    CONFIRM = "confirm"


class Doubt:
    """One at a time. The caller of these methods carries the verdict out and asks again at `deadline`."""

    def __init__(self, rules: ReversibleBargeIn, *, transcribes: bool) -> None:
        self._confirm_s = rules.confirm_ms / 1000
        self._sure_s = max(SURE_S, self._confirm_s) if transcribes else self._confirm_s
        self._voice = False
        self._since_s: float | None = None
        """When the voice that is in doubt began; None: there is no doubt."""
        self._ended_s = 0.0
        """When it fell silent, and when that was found."""
        self._quiet_s = 0.0
        self._server_hears = False
        self._server_heard = False
        """Whether the server has heard anything of what is in doubt."""
        self.voiced = False
        """Whether our ear heard a voice in what the server heard last, or just before."""

    @property
    def open(self) -> bool:
        return self._since_s is not None

    @property
    def voice(self) -> bool:
        """Whether our own ear hears the caller now."""
        return self._voice

    @property
    def awaits_words(self) -> bool:
        """Whether the voice has fallen silent, was long enough, and its words will decide."""
        long_enough = self._since_s is not None and self._ended_s - self._since_s >= self._confirm_s
        return long_enough and not self._voice and self._server_heard

    @property
    def deadline(self) -> float | None:
        if self._since_s is None:
            return None
        if not self._voice:
            return self._quiet_s + (WORDS_S if self.awaits_words else SETTLE_S)
        return self._since_s + (self._sure_s if self._server_hears else max(self._sure_s, MOST_S))

    def voice_started(self, at_s: float, now: float, *, audible: bool) -> Verdict:
        """Our ear hears a voice since `at_s`; `audible`: the agent speaks or is about to."""
        self._voice = self.voiced = True
        if self._since_s is not None or not audible:
            return Verdict.NOTHING
        self._since_s = min(at_s, now)
        self._server_heard = self._server_hears
        return Verdict.HOLD

    def voice_stopped(self, ended_s: float, now: float) -> None:
        self._voice = False
        self._ended_s = min(ended_s, now)
        self._quiet_s = now

    def speech_started(self) -> None:
        """The server hears speech."""
        self._server_hears = self._server_heard = True
        self.voiced = self._voice or self.open

    def turn_began(self) -> None:
        """The server hears speech while nobody else speaks: nothing is in doubt but whether there is a voice."""
        self.voiced = self._voice

    def speech_stopped(self) -> None:
        self._server_hears = False

    def judge(self, now: float) -> Verdict:
        """Return what has become clear by now, and forget the doubt if something has."""
        deadline = self.deadline
        if deadline is None or now < deadline:
            return Verdict.NOTHING
        confirmed = self.awaits_words or (self._voice and self._server_hears)
        self._since_s = None
        return Verdict.CONFIRM if confirmed else Verdict.RESUME

    def decide(self, *, interruption: bool) -> Verdict:
        """The words are known: forget the doubt, if there is one."""
        if self._since_s is None:
            return Verdict.NOTHING
        self._since_s = None
        return Verdict.CONFIRM if interruption else Verdict.RESUME

    def forget(self) -> None:
        """There is nothing more to hold. The server may still hear the same speech: it says so only at its start."""
        self._since_s = None

    def reset(self) -> None:
        """The model is gone, and with it what it heard."""
        self._since_s = None
        self._server_hears = self._server_heard = False
