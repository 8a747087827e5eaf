"""Early reply: the model answers after a short silence, the caller hears it only once the turn proves to be over.

Theory. The server's turn detection waits for a short silence (200 ms), so that the model begins to think early. Half
of such silences are pauses for breath. So the gate closes when a turn seems over, and while it is closed the answer's
audio stays in the play-out and its function calls stay here. Our own ear measures the silence: when it has lasted
`confirm_ms` since the voice ended, the gate opens. When the server hears the caller go on before that, the answer is
dropped: nothing was heard, no tool has run. Where the words of the turn are known by then they are a second judge:
after a statement that seems unfinished ("my number is") the silence has to last `unfinished_ms`.

While our ear hears a voice the silence has not begun; that is bounded, because the ear may take noise for a voice.
"""

from dataclasses import dataclass

from gateway.core.events import FunctionCall
from gateway.core.plan import EarlyReply
from gateway.core.words import seems_unfinished

__all__ = ["Gate", "HeldCalls"]

WORDS_MS = 250
"""How much longer than `confirm_ms` the words are waited for where the caller is transcribed."""
TAIL_S = 0.6
"""The server finds the end of a voice later than our ear, by at most so much beside its own silence."""
MOST_S = 3.0
"""Longest time closed after the server found the turn to be over, whatever our own ear hears."""


@dataclass(slots=True, frozen=True)
class HeldCalls:
    """The function calls of one response that is behind the gate."""

    response_id: str
    calls: tuple[FunctionCall, ...]


class Gate:
    """Open unless a turn has just seemed to end."""

    def __init__(self, rules: EarlyReply, *, transcribes: bool) -> None:
        self._rules = rules
        self._transcribes = transcribes
        self._closed_s: float | None = None
        self._voice = False
        self._silent_s = 0.0
        """When the caller fell silent, by our own ear."""
        self._item_id = ""
        self._silence_ms = 0
        """How long the silence has to last, by what is known of the words."""
        self._held: list[HeldCalls] = []

    @property
    def closed(self) -> bool:
        return self._closed_s is not None

    @property
    def deadline(self) -> float | None:
        """When it opens if nothing is heard any more."""
        if self._closed_s is None:
            return None
        most = self._closed_s + MOST_S
        return most if self._voice else min(self._silent_s + self._silence_ms / 1000, most)

    def voice_started(self) -> None:
        self._voice = True

    def voice_stopped(self, ended_s: float) -> None:
        self._voice = False
        self._silent_s = ended_s

    def close(self, item_id: str, now: float) -> None:
        """The server found the turn to be over."""
        self._closed_s = now
        self._item_id = item_id
        self._silence_ms = self._rules.confirm_ms + (WORDS_MS if self._transcribes else 0)
        server_s = now - self._rules.server_silence_ms / 1000
        if server_s - self._silent_s > TAIL_S:
            # Our ear has not heard this voice: then the server's word counts.
            self._silent_s = server_s

    def words(self, item_id: str, text: str) -> None:
        """The words of a turn are known."""
        if item_id == self._item_id:
            longest_ms = max(self._rules.unfinished_ms, self._rules.confirm_ms)
            self._silence_ms = longest_ms if seems_unfinished(text) else self._rules.confirm_ms

    def keep(self, held: HeldCalls) -> None:
        """Hold function calls of a response that is behind the gate."""
        self._held.append(held)

    def open(self) -> list[HeldCalls]:
        """The turn is over: return the calls that may run now, in order."""
        self._closed_s = None
        held, self._held = self._held, []
        return held

    def held_s(self, now: float) -> float:
        """Return for how long it has been closed."""
        return now - self._closed_s if self._closed_s is not None else 0.0
