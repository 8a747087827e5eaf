"""Functions that are carried out only after the caller was asked.

The model calls once: nothing runs, and it is told to read back and to ask. It calls again with the same arguments:
that runs if meanwhile the caller has heard the agent ask and after that has pressed 1, or has taken a turn that does
not plainly refuse (`refusal.py`). Asking is what the model says in its own words when it knows that it has to ask; a
filler or an announcement asks nothing.

So what is sure is: by key, that the caller pressed 1 after the question. Spoken, that the caller was asked, has spoken
since, and did not plainly refuse in words that were known before the model's second call; whether what was said agrees
the model judges, and words that are transcribed later stop nothing.

An answer counts for the newest question of its kind, and for no other: what one response of the model called together
is one question. What the conversation has left behind is forgotten, and has to be asked anew.
"""

import json
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from gateway.core.commands import Record
from gateway.core.plan import Confirmation
from gateway.core.refusal import refuses
from gateway.core.toolcalls import ToolCall, ToolCalls, ToolCallState, canonical
from gateway.core.words import has_words

__all__ = ["Consents"]

KEY = "1"
MOST = 16
"""Questions that are open at once; the oldest are forgotten."""


@dataclass(slots=True)
class _Question:
    confirmation: Confirmation
    tool_call_id: str
    """The function call that was not carried out."""
    tool: str
    called_by: str
    """The response that called it."""
    asked_by: str = ""
    """The response of the agent that asks."""
    put: bool = False
    """The caller has heard it."""
    agreed: bool = False
    left: bool = False
    """The agent has spoken of something since the caller agreed."""

    def record(self, kind: str, **more: str) -> Record:
        return Record(
            kind, {"by": self.confirmation.value, "tool": self.tool, "tool_call_id": self.tool_call_id, **more}
        )


class Consents:
    """The account of what the caller was asked to agree to."""

    def __init__(self) -> None:
        self._questions: OrderedDict[tuple[str, str], _Question] = OrderedDict()
        """Newest last."""
        self._turns = 0
        """Turns of the caller that were counted."""
        self._refused = False
        """Whether words that came since what was heard was last noted refuse: of a turn that they make one."""

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
            self._questions[name] = _Question(confirmation, call.tool_call_id, call.name, call.response_id)
            while len(self._questions) > MOST:
                self._questions.popitem(last=False)
        elif not question.put:
            # Called again before it was asked: it is what will be asked now.
            question.called_by = call.response_id
            self._questions.move_to_end(name)
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

    def note(self, turns: int, heard: list[str]) -> list[Record] | None:
        """Note how many turns the caller has taken, and which responses were heard; None when no turn was new.

        In this order: a turn that ended before the question was heard answers nothing.
        """
        spoken = self._caller_spoke() if turns != self._turns else None
        self._turns, self._refused = turns, False
        for response_id in heard:
            self._heard(response_id)
        return spoken

    def caller_said(self, text: str) -> list[Record]:
        """The words of a turn are known; they may show that it was no agreement. Then it has to be asked anew."""
        if not refuses(text):
            return []
        self._refused = True
        refused = [q for q in self._questions.values() if q.put and q.confirmation is Confirmation.SPOKEN]
        if not has_words(text):
            for question in refused:
                question.agreed = False  # that was no answer: the question stands
            return []
        self._forget(lambda question: question in refused)
        return [question.record("confirmation_refused") for question in refused]

    def pressed(self, digit: str) -> list[Record]:
        """The caller has pressed a key; return to what that agrees."""
        if digit != KEY:
            return []
        agreed = self._agree(Confirmation.KEY)
        if agreed:
            self._forget(lambda question: question.left)
        return [question.record("confirmed", key=digit) for question in agreed]

    def _caller_spoke(self) -> list[Record]:
        self._forget(lambda question: question.left)
        if self._refused:
            return []
        return [question.record("confirmed") for question in self._agree(Confirmation.SPOKEN)]

    def _heard(self, response_id: str) -> None:
        """The caller has heard what a response said. A new question takes the place of all before it."""
        asked = [q for q in self._questions.values() if q.asked_by == response_id and not q.put]
        for question in self._questions.values():
            question.left = question.agreed
        if asked:
            self._forget(lambda question: question.put)
        for question in asked:
            question.put = True

    def _forget(self, over: Callable[[_Question], bool]) -> None:
        for name in [name for name, question in self._questions.items() if over(question)]:
            del self._questions[name]

    def _agree(self, by: Confirmation) -> list[_Question]:
        """Take the answer to the newest question; older ones of its kind are not asked any more."""
        waiting = [q for q in self._questions.values() if q.put and not q.agreed and q.confirmation is by]
        agreed = [q for q in waiting if q.called_by == waiting[-1].called_by]
        for question in agreed:
            question.agreed = True
        self._forget(lambda question: question in waiting and not question.agreed)
        return agreed


def _not_yet(name: str, confirmation: Confirmation) -> str:
    how = "to press 1 on the telephone" if confirmation is Confirmation.KEY else "whether that is right"
    return json.dumps(
        {
            "status": "not done yet: the caller has to agree first",
            "next": f"Tell the caller what you are about to do, with its details, and ask them {how}. When they have "
            f"agreed, call {name} again with exactly the same arguments. If they do not agree, do not call it.",
        }
    )
