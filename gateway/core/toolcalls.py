"""Function calls of a call: each is invoked once and answered once.

RUNNING → ANSWERED → ACCEPTED (the model has the output) → TOLD (it has spoken with it). A result that comes twice,
or for a call nobody made, is not passed on. Until a response that saw the output is done, a new session is told of
call and output again: a model that knew neither would call once more; where it does so all the same, with equal
arguments, it gets that output and nothing runs. At its deadline a running call is answered with an error that the
model can talk about; what comes later is late and ignored. A business may answer with a promise, or with an error that
turns out to be none: the model is told that, and of the result when it comes, once (`invoking.py`).
"""

import json
from collections import OrderedDict
from dataclasses import dataclass
from enum import Enum

from gateway.core.events import FunctionCall, PastCall

__all__ = ["BEFORE", "ToolCall", "ToolCalls", "ToolCallState", "canonical", "error_output"]

BEFORE = "before"
"""Stands for the responses of function calls that were made before this call of ours began."""

KEPT_CALLS = 256
"""Answered calls that are remembered to recognise duplicates."""
KEPT_RESPONSES = 16
"""Responses of which is remembered what they did not see."""


class ToolCallState(Enum):
    RUNNING = "running"
    ANSWERED = "answered"
    ACCEPTED = "accepted"
    TOLD = "told"


@dataclass(slots=True)
class ToolCall:
    """One function call of the model."""

    tool_call_id: str
    name: str
    arguments: str
    response_id: str
    deadline: float
    """When it is answered with an error, on the call's clock."""
    state: ToolCallState = ToolCallState.RUNNING
    output: str = ""
    """What it was answered with; kept until the model has spoken with it."""
    seen_by: str = ""
    """The response that was created after the model accepted the output."""
    repeated: bool = False
    """Whether the model made it again."""
    session: int = 0
    """Which of the call's model sessions made it; 0: one before this call of ours began."""
    promised_until: float | None = None
    """By when the result must come that the business has promised; None when it owes none."""
    follows: str = ""
    """An equal call, by its id, whose output is this one's too; its own id when nothing was carried out for it."""


class ToolCalls:
    """The account of function calls."""

    def __init__(self) -> None:
        self._calls: OrderedDict[str, ToolCall] = OrderedDict()
        self._session = 1
        self._unseen: OrderedDict[str, frozenset[str]] = OrderedDict()
        """By response: the calls whose outputs it did not see, because the model got them later."""
        self.unattended = 0
        """Calls of the business that the model made since somebody last spoke to it; see `invoking.py`."""

    @property
    def deadline(self) -> float | None:
        running = (call.deadline for call in self.running())
        promised = (call.promised_until for call in self._calls.values() if call.promised_until is not None)
        return min((*running, *promised), default=None)

    def running(self) -> list[ToolCall]:
        """Return the calls without an answer, oldest first."""
        return [call for call in self._calls.values() if call.state is ToolCallState.RUNNING]

    def find(self, tool_call_id: str) -> ToolCall | None:
        return self._calls.get(tool_call_id)

    def of(self, response_id: str) -> list[ToolCall]:
        """Return the calls of a response, oldest first."""
        return [call for call in self._calls.values() if call.response_id == response_id]

    def start(self, call: FunctionCall, response_id: str, deadline_s: float, now: float) -> ToolCall | None:
        """Begin a call and return it; None for one whose id is known: it is not run again."""
        if call.tool_call_id in self._calls:
            return None
        begun = ToolCall(
            call.tool_call_id, call.name, call.arguments, response_id, now + deadline_s, session=self._session
        )
        self._calls[call.tool_call_id] = begun
        self._forget_answered()
        return begun

    def remember(self, past: PastCall, deadline: float) -> None:
        """Take over a call that was made before this call of ours began; without an output it counts as running."""
        known = past.output is not None
        self._calls[past.tool_call_id] = ToolCall(
            past.tool_call_id,
            past.name,
            past.arguments,
            BEFORE,
            deadline,
            state=ToolCallState.ANSWERED if known else ToolCallState.RUNNING,
            output=past.output or "",
        )
        self._forget_answered()

    def twin_of(self, call: ToolCall) -> ToolCall | None:
        """Return an equal call of another response whose result this one shares.

        That is one whose output the response did not see, because it has none yet or got it while the response was
        being made; or one of an earlier session of which the caller has not been told, once.
        """
        unseen = self._unseen.get(call.response_id, frozenset())
        followed = {other.follows: other.response_id for other in self._calls.values() if other.follows}
        for other in self._calls.values():
            if (
                other.name != call.name
                or other.follows
                or call.response_id in (other.response_id, followed.get(other.tool_call_id))
            ):
                continue
            waits = other.state is ToolCallState.RUNNING or other.promised_until is not None
            earlier = other.session < call.session and other.tool_call_id not in followed
            shares = waits or other.tool_call_id in unseen or (earlier and other.state is not ToolCallState.TOLD)
            if shares and canonical(other.arguments) == canonical(call.arguments):
                return other
        return None

    def followers(self, tool_call_id: str) -> list[ToolCall]:
        """Return the running calls that get the output of this one."""
        return [call for call in self.running() if call.follows == tool_call_id]

    def kept_promise(self, tool_call_id: str) -> ToolCall | None:
        """The promised result has come: return its call, once."""
        call = self._calls.get(tool_call_id)
        if call is None or call.promised_until is None:
            return None
        call.promised_until = None
        return call

    def broken_promises(self, now: float) -> list[ToolCall]:
        """Return the calls whose promised result has not come in time."""
        return [c for c in self._calls.values() if c.promised_until is not None and c.promised_until <= now]

    def repeated(self, tool_call_id: str, response_id: str) -> bool:
        """Return whether a second response makes an answered call. True once per call: a model may do it for ever."""
        call = self._calls.get(tool_call_id)
        if call is None or call.repeated or call.response_id == response_id or call.state is ToolCallState.RUNNING:
            return False
        call.repeated = True
        return True

    def answer(self, tool_call_id: str, output: str) -> ToolCall | None:
        """Mark a running call as answered and return it; None for a duplicate, late or unknown one."""
        call = self._calls.get(tool_call_id)
        if call is None or call.state is not ToolCallState.RUNNING:
            return None
        call.state = ToolCallState.ANSWERED
        call.output = output
        return call

    def expired(self, now: float) -> list[ToolCall]:
        """Return the running calls whose deadline has come."""
        return [call for call in self.running() if call.deadline <= now]

    def accepted(self, tool_call_id: str) -> None:
        """The output joined the model's conversation."""
        call = self._calls.get(tool_call_id)
        if call is not None and call.state is ToolCallState.ANSWERED:
            call.state = ToolCallState.ACCEPTED

    def seen_by(self, response_id: str) -> None:
        """A response was created: it answers every output that the model has, and knows no other."""
        unseen = set()
        for call in self._calls.values():
            if call.state is ToolCallState.ACCEPTED:
                call.seen_by = response_id
            elif call.state is not ToolCallState.TOLD:
                unseen.add(call.tool_call_id)
        self._unseen[response_id] = frozenset(unseen)
        while len(self._unseen) > KEPT_RESPONSES:
            self._unseen.popitem(last=False)

    def told_by(self, response_id: str) -> None:
        """A response was completed, and with it the answers to the outputs that it saw."""
        for call in self._calls.values():
            if call.state is ToolCallState.ACCEPTED and call.seen_by == response_id:
                call.state = ToolCallState.TOLD
                if call.promised_until is None:
                    call.output = ""

    def unaccepted(self, response_id: str) -> set[str]:
        """Return the ids of a response's calls whose outputs the model has not confirmed."""
        calls = (call for call in self._calls.values() if call.response_id == response_id)
        return {c.tool_call_id for c in calls if c.state in (ToolCallState.RUNNING, ToolCallState.ANSWERED)}

    def untold(self) -> list[ToolCall]:
        """Return the calls that a new session has to know: running, or answered and not yet spoken of."""
        return [call for call in self._calls.values() if call.state is not ToolCallState.TOLD]

    def submit_again(self) -> list[ToolCall]:
        """Begin a new session: return the answered calls whose outputs it has to get, oldest first."""
        self._session += 1
        calls = [call for call in self.untold() if call.state is not ToolCallState.RUNNING]
        for call in calls:
            call.state = ToolCallState.ANSWERED
            call.seen_by = ""
        return calls

    def waiting_for(self, response_id: str) -> bool:
        """Return whether a call of this response still runs."""
        return any(call.response_id == response_id for call in self.running())

    def _forget_answered(self) -> None:
        while len(self._calls) > KEPT_CALLS:
            settled = (c for c in self._calls.values() if c.promised_until is None)
            oldest = next((c for c in settled if c.state is not ToolCallState.RUNNING), None)
            if oldest is None:
                return
            del self._calls[oldest.tool_call_id]


def canonical(arguments: str) -> str:
    """Return arguments in the one form in which equal ones are equal texts."""
    try:
        return json.dumps(json.loads(arguments or "{}"), sort_keys=True, separators=(",", ":"))
    except (ValueError, RecursionError):
        return arguments


def error_output(message: str) -> str:
    """Return a function output that tells the model what went wrong."""
    return json.dumps({"error": message})
