"""Function calls of a call: each is invoked once and answered once.

RUNNING → ANSWERED → ACCEPTED (the model has the output). A result that comes twice, or for a call nobody made, is
not passed on. At its deadline a running call is answered with an error that the model can talk about; what comes
later is late and ignored.
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


class ToolCalls:
    """The account of function calls."""

    def __init__(self) -> None:
        self._calls: OrderedDict[str, ToolCall] = OrderedDict()
        self._held: dict[str, str] = {}

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

    def answer(self, tool_call_id: str) -> ToolCall | None:
        """Mark a running call as answered and return it; None for a duplicate, late or unknown one."""
        call = self._calls.get(tool_call_id)
        if call is None or call.state is not ToolCallState.RUNNING:
            return None
        call.state = ToolCallState.ANSWERED
        return call

    def expired(self, now: float) -> list[ToolCall]:
        """Return the running calls whose deadline has come."""
        return [call for call in self.running() if call.deadline <= now]

    def accepted(self, tool_call_id: str) -> None:
        """The output joined the model's conversation."""
        call = self._calls.get(tool_call_id)
        if call is not None and call.state is ToolCallState.ANSWERED:
            call.state = ToolCallState.ACCEPTED

    def unaccepted(self, response_id: str) -> set[str]:
        """Return the ids of a response's calls whose outputs the model has not confirmed."""
        calls = (call for call in self._calls.values() if call.response_id == response_id)
        return {call.tool_call_id for call in calls if call.state is not ToolCallState.ACCEPTED}

    def hold(self, tool_call_id: str, output: str) -> None:
        """Keep an output until there is a session again."""
        self._held[tool_call_id] = output

    def release_held(self) -> list[tuple[str, str]]:
        """Hand over the kept outputs as (tool_call_id, output), oldest first."""
        held = list(self._held.items())
        self._held.clear()
        return held

    def unanswered(self) -> list[ToolCall]:
        """Return the calls whose output a new session has still to get: running, or kept."""
        return [c for c in self._calls.values() if c.state is ToolCallState.RUNNING or c.tool_call_id in self._held]

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
