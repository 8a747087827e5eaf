"""Functions that are carried out only after the caller has agreed.

The model calls once: nothing runs, and it is told to read back and to ask. It calls again with the same arguments:
that runs if meanwhile the agent has spoken and after that the caller has, or has pressed 1. What the caller said the
model understands better than a word list could; the rule here is that nobody is bound who was not asked.
"""

import json
from collections import OrderedDict
from dataclasses import dataclass

from gateway.core.plan import Confirmation
from gateway.core.toolcalls import ToolCall, canonical

__all__ = ["Consents"]

KEY = "1"
MOST = 16
"""Questions that are open at once; the oldest are forgotten."""
DENIALS = frozenset(
    "no nope nah not wait stop dont cancel nein nicht halt warte non pas attends niente aspetta espera nao nee".split()
)
"""What consists of such words alone is no agreement."""


@dataclass(slots=True)
class _Question:
    confirmation: Confirmation
    response_id: str
    """The response that made the call."""
    put: bool = False
    """The agent has spoken since."""
    agreed: bool = False


class Consents:
    """The account of what the caller was asked to agree to."""

    def __init__(self) -> None:
        self._questions: OrderedDict[tuple[str, str], _Question] = OrderedDict()

    def missing(self, call: ToolCall, confirmation: Confirmation) -> str:
        """Return what the model gets in place of a result; "" when the caller has agreed, once per question."""
        if confirmation is Confirmation.NONE:
            return ""
        name = (call.name, canonical(call.arguments))
        question = self._questions.get(name)
        if question is not None and question.agreed:
            del self._questions[name]
            return ""
        if question is None:
            self._questions[name] = _Question(confirmation, call.response_id)
            while len(self._questions) > MOST:
                self._questions.popitem(last=False)
        return _not_yet(call.name, confirmation)

    def agent_spoke(self, response_id: str) -> None:
        """A response of the agent was audible."""
        for question in self._questions.values():
            question.put = question.put or question.response_id != response_id

    def caller_spoke(self) -> None:
        """The caller has finished a turn."""
        self._agree(Confirmation.SPOKEN)

    def caller_said(self, text: str) -> None:
        """The words of a turn are known; they may show that it was no agreement."""
        words = ["".join(c for c in word if c.isalpha()) for word in text.lower().split()]
        if all(word in DENIALS for word in words if word):
            for question in self._questions.values():
                if question.confirmation is Confirmation.SPOKEN:
                    question.agreed = False

    def pressed(self, digit: str) -> bool:
        """The caller has pressed a key; return whether that was an agreement."""
        return digit == KEY and self._agree(Confirmation.KEY)

    def _agree(self, by: Confirmation) -> bool:
        waiting = [q for q in self._questions.values() if q.put and not q.agreed and q.confirmation is by]
        for question in waiting:
            question.agreed = True
        return bool(waiting)


def _not_yet(name: str, confirmation: Confirmation) -> str:
    how = "to press 1 on the telephone" if confirmation is Confirmation.KEY else "whether that is right"
    return json.dumps(
        {
            "status": "not done yet: the caller has to agree first",
            "next": f"Tell the caller what you are about to do, with its details, and ask them {how}. When they have "
            f"agreed, call {name} again with exactly the same arguments. If they do not agree, do not call it.",
        }
    )
