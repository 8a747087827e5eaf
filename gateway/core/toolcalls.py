"""Function calls of a call: each is invoked once and answered once.

RUNNING → ANSWERED → ACCEPTED (the model has the output) → TOLD (it has spoken with it). A result that comes twice,
or for a call nobody made, is not passed on. Until a response that saw the output is done, a new session is told of
call and output again: a model that knew neither would call once more. At its deadline a running call is answered
with an error that the model can talk about; what comes later is late and ignored.
"""

import json
from collections import OrderedDict
from dataclasses import dataclass
from enum import Enum

from gateway.core.commands import InvokeTool
from gateway.core.events import FunctionCall

__all__ = ["ToolCall", "ToolCalls", "ToolCallState", "error_output"]

KEPT_CALLS = 256
"""Answered calls that are remembered to recognise duplicates."""


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


class ToolCalls:
    """The account of function calls."""

    def __init__(self) -> None:
        self._calls: OrderedDict[str, ToolCall] = OrderedDict()

    @property
    def deadline(self) -> float | None:
        return min((call.deadline for call in self.running()), default=None)

    def running(self) -> list[ToolCall]:
        """Return the calls without an answer, oldest first."""
        return [call for call in self._calls.values() if call.state is ToolCallState.RUNNING]

    def start(self, call: FunctionCall, response_id: str, deadline_s: float, now: float) -> list[InvokeTool]:
        """Begin a call; one whose id is known is not run again."""
        if call.tool_call_id in self._calls:
            return []
        self._calls[call.tool_call_id] = ToolCall(
            call.tool_call_id, call.name, call.arguments, response_id, now + deadline_s
        )
        self._forget_answered()
        return [InvokeTool(call.tool_call_id, call.name, call.arguments, deadline_s)]

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
        """A response was created: it answers every output that the model has."""
        for call in self._calls.values():
            if call.state is ToolCallState.ACCEPTED:
                call.seen_by = response_id

    def told_by(self, response_id: str) -> None:
        """A response was completed, and with it the answers to the outputs that it saw."""
        for call in self._calls.values():
            if call.state is ToolCallState.ACCEPTED and call.seen_by == response_id:
                call.state = ToolCallState.TOLD
                call.output = ""

    def unaccepted(self, response_id: str) -> set[str]:
        """Return the ids of a response's calls whose outputs the model has not confirmed."""
        calls = (call for call in self._calls.values() if call.response_id == response_id)
        return {c.tool_call_id for c in calls if c.state in (ToolCallState.RUNNING, ToolCallState.ANSWERED)}

    def untold(self) -> list[ToolCall]:
        """Return the calls that a new session has to know: running, or answered and not yet spoken of."""
        return [call for call in self._calls.values() if call.state is not ToolCallState.TOLD]

    def submit_again(self) -> list[ToolCall]:
        """Return the answered calls whose outputs a new session has to get, oldest first."""
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
            oldest = next((c for c in self._calls.values() if c.state is not ToolCallState.RUNNING), None)
            if oldest is None:
                return
            del self._calls[oldest.tool_call_id]


def error_output(message: str) -> str:
    """Return a function output that tells the model what went wrong."""
    return json.dumps({"error": message})
