"""The ledger of writes: what the desk needs of a store, and what a row of it means for the model.

intended → pending → done | failed | unknown, forward only; unknown may still become done or failed.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Protocol

from gateway.store.rows import InvocationRow, StoredCall, StoredInvocation
from gateway.tokens import without_tokens
from gateway.tools.replies import IN_PROGRESS, error_text
from gateway.tools.request import ToolOutcome, ToolRequest, message_id

__all__ = [
    "FINAL",
    "NOT_KEPT",
    "UNKNOWN",
    "REPEATED",
    "Ledger",
    "canonical",
    "digest",
    "intent",
    "is_repetition",
    "outcome_of",
    "repeated_key",
    "repetition",
]

FINAL = frozenset({"done", "failed"})
"""States that nothing changes any more."""

NOT_KEPT = error_text(
    "this was not done: changes cannot be put on record at the moment. Tell the caller, and offer another way."
)
UNKNOWN = error_text(
    "it is not known whether this was done: the system's answer was lost. Do not call it again. Tell the caller that "
    "you cannot confirm it, and offer another way to find out."
)


REPEAT = "repeat_of"
REPEATED = "repeat of "
"""Begins the detail of a write that was answered with what came of an earlier one; its key follows."""


class Ledger(Protocol):
    """The part of a store that holds writes. Coroutines raise `StoreError`."""

    async def begin_invocation(self, row: InvocationRow) -> StoredInvocation | None:
        """Commit the intent and return None; return what is there under its key, nothing written."""

    def end_invocation(self, key: str, state: str, output: str | None, detail: str = "") -> None:
        """Write down what became of it, forward only; neither blocks nor raises."""

    async def get_invocation(self, key: str) -> StoredInvocation | None: ...

    async def invocation_by_message(self, message_id: str) -> StoredInvocation | None: ...

    async def invocations_of(self, carrier_call_id: str) -> list[StoredInvocation]: ...

    async def open_invocations(self) -> list[StoredInvocation]:
        """Return the calls that a process which is dead left intended."""

    async def count_invocations(self, agent: str, tool: str, from_number: str, since: datetime) -> int: ...

    async def calls_of(self, carrier_call_id: str) -> list[StoredCall]: ...

    async def flush(self) -> None: ...


def canonical(arguments: Mapping[str, object]) -> str:
    """Return the one way to write these arguments: keys sorted, no blanks."""
    return json.dumps(arguments, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(text: str) -> str:
    """Return the SHA-256 of canonical arguments."""
    return hashlib.sha256(text.encode()).hexdigest()


def intent(request: ToolRequest) -> InvocationRow:
    """Return the row that is committed before a write leaves.

    Tokens of secrets are left out: they are worth nothing once this process is gone, so such a write is not sent again.
    """
    arguments, call = canonical(request.arguments), request.call
    kept = without_tokens(arguments)
    return InvocationRow(
        key=request.key,
        message_id=message_id(request.key),
        call_id=call.call_id,
        carrier_call_id=call.phone_call,
        tool_call_id=request.tool_call_id,
        agent=call.agent,
        tool=request.tool.name,
        from_number=call.from_number,
        arguments=kept,
        arguments_hash=digest(arguments),
        idempotent=request.tool.policy.idempotent and kept == arguments,
        created_at=datetime.now(UTC),
    )


def repetition(request: ToolRequest, of: str) -> InvocationRow:
    """Return the row of a write that only repeats the one of key `of`: nobody sends it, now or after a crash."""
    return replace(intent(request), state="pending", idempotent=False, arguments=canonical({REPEAT: of}))


def repeated_key(row: StoredInvocation) -> str | None:
    """Return the key of the write that a row only repeats, while what came of that is open."""
    if row.state != "pending" or row.arguments is None or digest(row.arguments) == row.arguments_hash:
        return None  # its arguments are its own
    key = json.loads(row.arguments).get(REPEAT)
    return key if isinstance(key, str) else None


def is_repetition(row: StoredInvocation) -> bool:
    """Tell whether a row stands for no write of its own."""
    return (row.detail or "").startswith(REPEATED) or repeated_key(row) is not None


def outcome_of(row: StoredInvocation) -> ToolOutcome:
    """Return what a row that is not `intended` tells the model."""
    detail = f"from the ledger: {row.state}"
    match row.state:
        case "done":
            return ToolOutcome(True, row.output or "null", detail)
        case "failed":
            return ToolOutcome(False, row.output or error_text("the system refused the request"), detail)
        case "pending":
            return ToolOutcome(True, IN_PROGRESS, detail, pending=True)
        case _:
            return ToolOutcome(False, row.output or UNKNOWN, detail, unknown=True)
