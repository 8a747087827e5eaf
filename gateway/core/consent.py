"""Functions that are carried out only after the caller has agreed.

The model calls once: nothing runs, and it is told to read back and to ask. It calls again with the same arguments:
that runs if meanwhile the caller has heard the agent ask and after that has taken a turn, or has pressed 1. Asking is
what the model says in its own words when it knows that it has to ask; a filler or an announcement asks nothing. What
the caller said the model understands better than a word list could; the rule here is that nobody is bound who was not
asked. So an agreement that the conversation has left behind counts no more, and a key agrees to what was asked last.
"""

import json
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from gateway.core.plan import Confirmation
from gateway.core.toolcalls import ToolCall, ToolCalls, ToolCallState, canonical

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
    tool_call_id: str
    """The function call that was not carried out."""
    asked_by: str = ""
    """The response of the agent that asks."""
    put: bool = False
    """The caller has heard it."""
    agreed: bool = False
    left: bool = False
    """The agent has spoken of something since the caller agreed."""


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
            self._questions[name] = _Question(confirmation, call.tool_call_id)
            while len(self._questions) > MOST:
                self._questions.popitem(last=False)
        return _not_yet(call.name, confirmation)

    def agent_spoke(self, response_id: str, tool_calls: ToolCalls, *, ours: bool) -> None:
        """The model has spoken in its own words: it asks what it knew by then that it has to ask.

        `ours`: we asked for the response, after the output that says so was sent; the server may not have confirmed it.
        """
        for question in self._questions.values():
            call = tool_calls.find(question.tool_call_id)
            knew = ours or call is None or call.state is ToolCallState.TOLD or call.seen_by == response_id
            if knew and not question.put:
                question.asked_by = response_id

    def heard(self, response_id: str) -> None:
        """The caller has heard what a response said. A new question takes the place of those without an answer."""
        asked = [q for q in self._questions.values() if q.asked_by == response_id and not q.put]
        for question in self._questions.values():
            question.left = question.agreed
        if asked:
            self._forget(lambda question: question.put and not question.agreed)
        for question in asked:
            question.put = True

    def caller_spoke(self) -> None:
        """The caller has finished a turn."""
        self._forget(lambda question: question.left)
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

    def _forget(self, over: Callable[[_Question], bool]) -> None:
        for name in [name for name, question in self._questions.items() if over(question)]:
            del self._questions[name]

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
