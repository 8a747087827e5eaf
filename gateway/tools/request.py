"""One function call on its way to whoever carries it out, and what came of it."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from gateway.tools.catalogue import CatalogueTool

__all__ = ["CallFacts", "Executor", "ToolOutcome", "ToolRequest", "ledger_key", "message_id"]

MAX_ID_CHARS = 96
"""A longer id of a model, or one that no HTTP header takes, is known by its hash."""


@dataclass(slots=True, frozen=True)
class CallFacts:
    """What a business is told about the telephone call."""

    call_id: str
    agent: str
    direction: str
    """inbound or outbound."""
    from_number: str
    to_number: str
    metadata: Mapping[str, object] = field(default_factory=dict)
    carrier: str = ""
    carrier_call_id: str = ""
    """The carrier's id of the telephone call: the same before and after our process or its stream was lost."""

    @property
    def phone_call(self) -> str:
        """What stays the same when the telephone call goes on in another call of ours."""
        return self.carrier_call_id or self.call_id


@dataclass(slots=True, frozen=True)
class ToolRequest:
    """One function call to carry out; `arguments` have been checked, and hold what the file fixes."""

    call: CallFacts
    tool: CatalogueTool
    tool_call_id: str
    arguments: Mapping[str, object]
    variables: Mapping[str, object] = field(default_factory=dict)
    """What earlier answers of the business asked to be remembered for this call."""
    sent_before: bool = False
    """Whether a process that is dead now may have sent it: then nothing but an answer says that it was not done."""

    @property
    def key(self) -> str:
        """The ledger's key and the Idempotency-Key: one per function call of a telephone call, whatever happens."""
        return ledger_key(self.call, self.tool_call_id)


@dataclass(slots=True, frozen=True)
class ToolOutcome:
    """How it went."""

    ok: bool
    output: str
    """JSON text for the model: the result, or {"error": {"message": …}} it can talk about."""
    detail: str
    """For the journal: what happened, without secrets and content."""
    elapsed_ms: int = 0
    pending: bool = False
    """The business works on it; the result comes later."""
    unknown: bool = False
    """Not ok, and nobody can say whether the business did it."""
    say: str = ""
    variables: Mapping[str, object] = field(default_factory=dict)
    action: Literal["hang_up", "transfer"] | None = None
    target: str = ""
    """transfer: name of a transfer target of the agent."""
    key: str = ""
    """The ledger's key under which a later result will come; "" for the function call's own."""

    @property
    def state(self) -> str:
        """The state of the ledger that it leads to."""
        if self.pending:
            return "pending"
        if self.unknown:
            return "unknown"
        return "done" if self.ok else "failed"


class Executor(Protocol):
    """Carries function calls out: webhooks, operations of an OpenAPI document, tools of MCP servers."""

    async def invoke(self, request: ToolRequest) -> ToolOutcome:
        """Carry out one function call within the tool's `timeout_s`; raises nothing but cancellation."""


def ledger_key(call: CallFacts, tool_call_id: str) -> str:
    """Return what a function call is known by in the ledger and to the business: ASCII, bounded."""
    name = tool_call_id
    if len(name) > MAX_ID_CHARS or not name.isascii() or not name.isprintable() or " " in name:
        name = "sha256-" + hashlib.sha256(name.encode(errors="replace")).hexdigest()
    return f"{call.phone_call}:{name}"


def message_id(key: str) -> str:
    """Return the id by which a business names a function call in its late result (`webhook-id` of the request)."""
    return f"msg_{hashlib.sha256(key.encode()).hexdigest()[:32]}"
