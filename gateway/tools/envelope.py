"""What all messages to businesses have in common: their head, how they tell times, and whose call it is."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Protocol

__all__ = ["ShownCall", "event_call", "head", "stamp", "tool_call"]

API_VERSION = "1"


class ShownCall(Protocol):
    """A telephone call: `CallFacts`, or its row in the store."""

    @property
    def call_id(self) -> str: ...
    @property
    def direction(self) -> str: ...
    @property
    def from_number(self) -> str: ...
    @property
    def to_number(self) -> str: ...
    @property
    def agent(self) -> str: ...
    @property
    def carrier(self) -> str: ...
    @property
    def carrier_call_id(self) -> str: ...


def head(kind: str, id_: str, at: datetime) -> dict[str, object]:
    """Return the fields before `data`. `id_` is the `webhook-id` too."""
    return {"type": kind, "id": id_, "timestamp": stamp(at), "api_version": API_VERSION}


def stamp(at: datetime) -> str:
    """Return a time as businesses are told it: RFC 3339, UTC, to the millisecond."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def tool_call(call: ShownCall, metadata: Mapping[str, object]) -> dict[str, object]:
    """Return the call as a function call tells it."""
    return {
        "id": call.call_id,
        "direction": call.direction,
        "from": call.from_number,
        "to": call.to_number,
        "agent": call.agent,
        "metadata": dict(metadata),
    }


def event_call(call: ShownCall, metadata: Mapping[str, object]) -> dict[str, object]:
    """Return the call as events and the look-up tell it: the same, and the carrier's word for it."""
    return {**tool_call(call, metadata), "carrier": call.carrier, "carrier_call_id": call.carrier_call_id}
