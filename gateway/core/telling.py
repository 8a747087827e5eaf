"""What the agent has said and the caller is still to hear: only what was heard has told or asked them anything.

The model generates much faster than it is heard, and the usual interruption comes when the response is long complete.
So a response counts as told when nothing of it plays any more, and most of its last item was heard.
"""

from dataclasses import dataclass

from gateway.core.state import CallState

__all__ = ["Telling"]

HEARD_SHARE = 0.75
"""How much of the last item must be heard: people answer a question before its last word."""
MOST = 16
"""Responses that are waited for; the oldest are forgotten."""


@dataclass(slots=True, frozen=True)
class _Said:
    response_id: str
    item_id: str
    completed: bool


class Telling:
    """The account of responses that are done and play, or wait to."""

    def __init__(self, state: CallState) -> None:
        self._state = state
        self._said: list[_Said] = []

    def done(self, response_id: str, item_id: str, *, completed: bool) -> None:
        """A response that could be heard is done; `item_id`: its last."""
        self._said = [*self._said, _Said(response_id, item_id, completed)][-MOST:]

    def settle(self) -> list[str]:
        """Return the responses that the caller has heard by now; with them the outputs are told that they saw."""
        state = self._state
        over = [said for said in self._said if not state.playout.plays(said.response_id)]
        if not over:
            return []
        self._said = [said for said in self._said if said not in over]
        heard = [said for said in over if state.conversation.heard_share(said.item_id) >= HEARD_SHARE]
        self._tell(heard)
        return [said.response_id for said in heard]

    def expect_heard(self) -> None:
        """The model is lost: what plays goes on playing, and a new session need not say it again."""
        self._tell(self._said)

    def _tell(self, heard: list[_Said]) -> None:
        for said in heard:
            if said.completed:
                self._state.tool_calls.told_by(said.response_id)
