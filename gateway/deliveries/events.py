"""The events that a business is told of, and the one envelope that all of them have; `README.md` shows each."""

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Literal, TypeAlias

from gateway.store.rows import DeliveryRow
from gateway.tools.envelope import head

__all__ = ["MOST_BYTES", "EventType", "delivery_id", "dumps", "envelope", "fitting", "row"]

EventType: TypeAlias = Literal[
    "call.started", "transcript.turn", "call.ended", "callback.requested", "caller.opted_out", "tool.unknown"
]
MOST_BYTES = 256 * 1024
"""The longest body."""
MOST_DATA_BYTES = MOST_BYTES - 1024
KEY_CHARS = 40


def delivery_id(call_id: str, kind: EventType, key: str = "") -> str:
    """Return the id of an event: the same for the same event, whoever tells of it. `key` tells several of a call apart.

    It is the `webhook-id`, so it holds no full stop, which Standard Webhooks puts between what is signed.
    """
    if key and (len(key) > KEY_CHARS or not key.isascii() or not key.replace("_", "").replace("-", "").isalnum()):
        key = hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()[:32]
    parts = (call_id.replace(".", "_"), kind.replace(".", "_"), key)
    return ":".join(part for part in parts if part)


def envelope(id_: str, kind: EventType, at: datetime, data: Mapping[str, object]) -> str:
    """Return the body of a delivery."""
    return dumps({**head(kind, id_, at), "data": data})


def row(
    kind: EventType,
    call_id: str,
    agent: str,
    to: "tuple[str, str | None]",
    at: datetime,
    key: str,
    data: Mapping[str, object],
) -> DeliveryRow:
    """Return the row of an event that is due now. `to` is the URL and the reference to its secret.

    Of data that cannot be sent only the call is left: that it happened is told all the same.
    """
    id_ = delivery_id(call_id, kind, key)
    if not fitting(data, MOST_DATA_BYTES):
        data = {"call": data.get("call")}
    return DeliveryRow(id_, kind, call_id, agent, to[0], to[1], envelope(id_, kind, at, data), at, at)


def fitting(value: object, most_bytes: int) -> bool:
    """Tell whether a value is JSON of at most so many bytes."""
    try:
        return len(dumps(value).encode()) <= most_bytes
    except (TypeError, ValueError, RecursionError):
        return False


def dumps(value: object) -> str:
    """Return JSON that can be sent as UTF-8, whatever a model or a caller's name holds. Raises for what is no JSON."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    try:
        text.encode()
    except UnicodeEncodeError:  # half a surrogate pair cannot be sent as UTF-8; escaped it can
        text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return text
