"""Carries function calls out by tools of MCP servers.

Again only where that is safe, as for webhooks: a call that never left once more, for every tool; after that only what
changes nothing, or what the server does once per idempotency key. A write whose answer is lost is `unknown`, an
idempotent one too when its tries are used up: what the model calls again has another key.
"""

import asyncio
import random
from collections.abc import Mapping
from dataclasses import dataclass, replace

from gateway.agents.policy import ToolPolicy
from gateway.tools.envelope import tool_call
from gateway.tools.mcp.faults import Fault, McpFault
from gateway.tools.mcp.listing import McpTarget
from gateway.tools.mcp.results import read_result
from gateway.tools.mcp.servers import McpServers
from gateway.tools.replies import error_text, json_text
from gateway.tools.request import ToolOutcome, ToolRequest

__all__ = ["McpInvoker"]

MAX_TRIES = 3
MAX_TRIES_UNSENT = 2
"""For what may not be repeated once it has left."""
PAUSE_S = 0.1
"""Before the second try, and up to as much again by chance; twice that before the third."""
LEAST_TRY_S = 0.2
"""A try is not begun with less time left."""
UP_S = 2.0
"""A call waits so long for a server that is down; one that is repeated waits as long as it may."""

MAYBE_DONE = frozenset({Fault.LOST, Fault.UNAVAILABLE, Fault.BROKEN, Fault.TOO_LONG})
PASSING = frozenset({Fault.LOST, Fault.UNAVAILABLE, Fault.THROTTLED})

MESSAGES = {
    Fault.NOT_SENT: "The system cannot be reached just now",
    Fault.REFUSED: "The system refused the request",
    Fault.THROTTLED: "The system is too busy just now",
    Fault.UNAVAILABLE: "The system reported a failure",
    Fault.LOST: "The system broke off the connection",
    Fault.BROKEN: "The system reported a failure",
    Fault.TOO_LONG: "The system's answer is too long",
}
NOT_IN_TIME = "The system did not answer in time"
NOTHING_DONE = "Nothing was done. Tell the caller so, and offer another way."
OFFER = "Tell the caller so, and offer another way."
NOT_KNOWN = (
    "It is not known whether it was done. Do not call this again. Tell the caller that it is not certain, "
    "and offer another way."
)


class McpInvoker:
    """The executor of `ToolKind.MCP`."""

    def __init__(self, servers: McpServers) -> None:
        self._servers = servers

    async def invoke(self, request: ToolRequest) -> ToolOutcome:
        """Carry out one function call. Takes at most the tool's `timeout_s`; raises nothing but cancellation."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        tries = _Tries(self._servers, request, begun + request.tool.policy.timeout_s, maybe_done=request.sent_before)
        outcome = await tries.outcome()
        detail = outcome.detail + ("" if tries.number < 2 else f", tried {tries.number} times")
        elapsed_ms = round((loop.time() - begun) * 1000)
        return replace(outcome, detail=detail, elapsed_ms=elapsed_ms)


@dataclass(slots=True)
class _Tries:
    servers: McpServers
    request: ToolRequest
    deadline: float
    number: int = 0
    maybe_done: bool = False
    """Whether a try may have been carried out that nobody will hear of."""

    async def outcome(self) -> ToolOutcome:
        policy = self.request.tool.policy
        try:
            async with asyncio.timeout_at(self.deadline):
                answer = await self._until_answered()
        except TimeoutError:
            detail = f"no answer within {policy.timeout_s:g} s"
            if self.number == 0:
                return self._told(McpFault(Fault.NOT_SENT, detail), MESSAGES[Fault.NOT_SENT])
            return self._told(McpFault(Fault.LOST if self.maybe_done else Fault.NOT_SENT, detail), NOT_IN_TIME)
        if isinstance(answer, McpFault):
            return self._told(answer, MESSAGES[answer.fault])
        read = read_result(answer, write=policy.effect == "write")
        return ToolOutcome(read.ok, read.output, read.detail)

    async def _until_answered(self) -> Mapping[str, object] | McpFault:
        while True:
            answer = await self._try()
            if not isinstance(answer, McpFault):
                return answer
            pause_s = _pause_s(self.request.tool.policy, answer, self.number, self._left_s())
            if pause_s is None:
                return answer
            await asyncio.sleep(pause_s)

    async def _try(self) -> Mapping[str, object] | McpFault:
        target = self.request.tool.target
        assert isinstance(target, McpTarget)
        patience_s = min(UP_S, self._left_s()) if not self.maybe_done else self._left_s()
        if not await self.servers.wait_up(target, patience_s):
            self.number += 1
            return McpFault(Fault.NOT_SENT, "the server is not running")
        self.number += 1
        before, self.maybe_done = self.maybe_done, True  # should the deadline come now, nobody knows
        answer = await self.servers.call(target, self.request.arguments, _meta(self.request, self.number))
        self.maybe_done = before or (isinstance(answer, McpFault) and answer.fault in MAYBE_DONE)
        return answer

    def _left_s(self) -> float:
        return max(self.deadline - asyncio.get_running_loop().time(), 0.0)

    def _told(self, fault: McpFault, message: str) -> ToolOutcome:
        if self.maybe_done and self.request.tool.policy.effect == "write":
            error = {"message": f"{message}. {NOT_KNOWN}", "outcome": "unknown"}
            return ToolOutcome(False, json_text({"error": error}), fault.detail, unknown=True)
        if fault.told:
            return ToolOutcome(False, error_text(fault.told), fault.detail)
        done = OFFER if fault.fault in MAYBE_DONE else NOTHING_DONE
        return ToolOutcome(False, error_text(f"{message}. {done}"), fault.detail)


def _pause_s(policy: ToolPolicy, fault: McpFault, number: int, left_s: float) -> float | None:
    """Return how long to wait before the next try; None when there is none."""
    repeatable = policy.effect == "read" or policy.idempotent
    if number >= (MAX_TRIES if repeatable else MAX_TRIES_UNSENT):
        return None
    if fault.fault is not Fault.NOT_SENT and not (repeatable and fault.fault in PASSING):
        return None
    pause_s = max(PAUSE_S * 2 ** (number - 1) * random.uniform(1, 2), fault.retry_after_s or 0.0)
    return pause_s if pause_s + LEAST_TRY_S <= left_s else None


def _meta(request: ToolRequest, attempt: int) -> dict[str, object]:
    """Return what goes along with the arguments: the key by which a server does a thing once, and whose call it is."""
    call = tool_call(request.call, request.call.metadata)
    return {"idempotency_key": request.key, "attempt": attempt, "call": call}
