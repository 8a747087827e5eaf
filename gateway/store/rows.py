"""What is written to the store and read back from it. Times are aware datetimes, kept in UTC."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Literal, TypeAlias, TypedDict

from gateway.errors import GatewayError

__all__ = [
    "AttemptRow",
    "CallChanges",
    "CallEnd",
    "CallRow",
    "CallbackRow",
    "DeliveryRow",
    "InvocationRow",
    "JournalEntry",
    "JsonValue",
    "StoreError",
    "StoredAttempt",
    "StoredCall",
    "StoredCallback",
    "StoredDelivery",
    "StoredInvocation",
]

JsonValue: TypeAlias = "str | int | float | bool | None | Sequence[JsonValue] | Mapping[str, JsonValue]"


class StoreError(GatewayError):
    """The store cannot do what was asked now; the message says what and, where it helps, what to do."""


@dataclass(slots=True, frozen=True)
class JournalEntry:
    """One event, command or note of one call."""

    call_id: str
    seq: int
    """Counts from 0 without gaps; a gap in what is read back means that the store had to drop rows."""
    at_s: float
    """Monotonic seconds since the call was offered."""
    direction: Literal["<", ">", "="]
    """'<' event into the core, '>' command out of it, '=' note."""
    kind: str
    data: Mapping[str, JsonValue]


@dataclass(slots=True, frozen=True)
class CallRow:
    """A call at the moment it is offered."""

    call_id: str
    carrier: str
    carrier_call_id: str
    direction: Literal["inbound", "outbound"]
    agent: str
    from_number: str
    to_number: str
    offered_at: datetime
    agents_hash: str = ""
    """Identifies the agents file that the call runs with."""


class CallChanges(TypedDict, total=False):
    """Columns that `Store.call_updated` may change, also after the end (figures that are worked out later)."""

    carrier_call_id: str
    agent: str
    answered_at: datetime
    usage: Mapping[str, JsonValue]
    cost_usd: Decimal | None
    latency: Mapping[str, JsonValue]
    recording_path: str
    agents_hash: str


@dataclass(slots=True, frozen=True)
class CallEnd:
    """The one end record of a call; None means not known (yet)."""

    call_id: str
    ended_at: datetime
    end_reason: str
    duration_ms: int
    end_detail: str = ""
    usage: Mapping[str, JsonValue] | None = None
    cost_usd: Decimal | None = None
    latency: Mapping[str, JsonValue] | None = None
    recording_path: str | None = None


@dataclass(slots=True, frozen=True)
class StoredCall:
    """A call as it is in the store; `end_reason` is None while it lives."""

    call_id: str
    carrier: str
    carrier_call_id: str
    direction: str
    agent: str
    from_number: str
    to_number: str
    carrier_state: str | None
    carrier_sequence: int | None
    offered_at: datetime
    answered_at: datetime | None
    ended_at: datetime | None
    end_reason: str | None
    end_detail: str | None
    duration_ms: int | None
    usage: Mapping[str, JsonValue] | None
    cost_usd: Decimal | None
    latency: Mapping[str, JsonValue] | None
    recording_path: str | None
    agents_hash: str
    owner: str
    """The process that took the call: `node/boot`."""


@dataclass(slots=True, frozen=True)
class AttemptRow:
    """The intent to dial once, committed before the carrier is asked."""

    attempt_id: str
    carrier: str
    agent: str
    from_number: str
    to_number: str
    created_at: datetime
    call_id: str | None = None
    state: str = "dialing"


@dataclass(slots=True, frozen=True)
class StoredAttempt:
    """An attempt as it is in the store."""

    attempt_id: str
    call_id: str | None
    carrier: str
    agent: str
    from_number: str
    to_number: str
    state: str
    carrier_call_id: str | None
    carrier_sequence: int | None
    detail: str | None
    created_at: datetime
    updated_at: datetime
    owner: str


@dataclass(slots=True, frozen=True)
class InvocationRow:
    """The intent to carry out one function call that changes something, committed before the business hears of it."""

    key: str
    """`ToolRequest.key`: the carrier's call id and the model's id of the function call."""
    message_id: str
    """`gateway.tools.request.message_id` of the key; unique too."""
    call_id: str
    carrier_call_id: str
    tool_call_id: str
    agent: str
    tool: str
    from_number: str
    arguments: str
    """Canonical JSON; kept until the outcome is known."""
    arguments_hash: str
    """SHA-256 of it, hex."""
    idempotent: bool
    created_at: datetime
    state: str = "intended"
    """intended, pending, done, failed or unknown; see `states.py`."""


@dataclass(slots=True, frozen=True)
class StoredInvocation:
    """A function call as it is in the ledger."""

    key: str
    message_id: str
    call_id: str
    carrier_call_id: str
    tool_call_id: str
    agent: str
    tool: str
    from_number: str
    arguments: str | None
    arguments_hash: str
    idempotent: bool
    state: str
    output: str | None
    """JSON text for the model, once there is one."""
    detail: str | None
    created_at: datetime
    updated_at: datetime
    owner: str


@dataclass(slots=True, frozen=True)
class DeliveryRow:
    """An event on its way to the business."""

    delivery_id: str
    """`webhook-id` of every attempt; derived from the call and the event, so that it is never there twice."""
    type: str
    """call.started, transcript.turn, call.ended, …"""
    call_id: str
    agent: str
    url: str
    secret: str | None
    """Reference to the signing secret (env:NAME, file:/path), never the secret; None: the gateway's own."""
    body: str
    """JSON text, sent as it is."""
    created_at: datetime
    next_at: datetime


@dataclass(slots=True, frozen=True)
class StoredDelivery:
    """An event as it is in the outbox."""

    delivery_id: str
    type: str
    call_id: str
    agent: str
    url: str
    secret: str | None
    body: str
    state: str
    """waiting, delivered or dead."""
    attempts: int
    next_at: datetime
    detail: str | None
    """What became of the last attempt: a status or the kind of failure; no content."""
    created_at: datetime
    updated_at: datetime
    owner: str


@dataclass(slots=True, frozen=True)
class CallbackRow:
    """A call that a caller asked for."""

    callback_id: str
    call_id: str
    agent: str
    to_number: str
    from_number: str
    """Our number that is to be shown."""
    due_at: datetime
    reason: str
    zone: str | None
    created_at: datetime
    tries: int = 3
    """How often it is tried when nobody answers."""


@dataclass(slots=True, frozen=True)
class StoredCallback:
    """A call that was asked for, and what became of it."""

    callback_id: str
    call_id: str
    agent: str
    to_number: str
    from_number: str
    due_at: datetime
    reason: str
    zone: str | None
    tries: int
    state: str
    """waiting, placed, failed or dropped."""
    attempts: int
    """The number of the try that is being made; 0: none was begun."""
    detail: str | None
    created_at: datetime
    updated_at: datetime
    owner: str
