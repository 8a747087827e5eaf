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
    "JournalEntry",
    "JsonValue",
    "StoreError",
    "StoredAttempt",
    "StoredCall",
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
