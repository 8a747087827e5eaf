"""Call Control webhooks to events; the state that goes along with a call and comes back in each of them. Pure.

`client_state` is ours: base64 of a short JSON object. It reaches whichever process gets the event, so what is to follow
an event is known even by one that has never heard of the call. It is believed because the webhook is signed.
"""

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from pydantic_core import from_json

from gateway.errors import RemoteProtocolError

__all__ = ["Event", "decode", "pack"]

MAX_STATE_CHARS = 4000
MAX_TEXT = 256
NOTHING: Mapping[str, str] = MappingProxyType({})

_is_id = re.compile(r"[A-Za-z0-9_.:=+/-]{1,256}").fullmatch


@dataclass(slots=True, frozen=True)
class Event:
    """What Telnyx tells of a call. Events repeat, overlap and come out of order."""

    event_id: str
    """The same in every delivery."""
    kind: str
    """`call.initiated`, `streaming.failed` …"""
    call_id: str
    """`call_control_id` of the leg it is about."""
    attempt: int
    """Which delivery this is, from 1."""
    said: Mapping[str, str]
    """The payload's texts."""
    state: Mapping[str, str] = field(default_factory=lambda: NOTHING)
    """Our `client_state`; empty where there is none, or another's."""

    def get(self, key: str) -> str:
        """Return a text of the payload; "" where there is none."""
        return self.said.get(key, "")


def decode(body: bytes) -> Event | None:
    """Return the event; None for one that is about no call. Raises `RemoteProtocolError`."""
    try:
        message = from_json(body)
    except ValueError:
        raise RemoteProtocolError("expected JSON, got something else") from None
    data = _object(message, "data")
    payload = _object(data, "payload")
    event_id, kind, call_id = data.get("id"), data.get("event_type"), payload.get("call_control_id")
    if not isinstance(event_id, str) or not isinstance(kind, str) or not _is_id(event_id) or len(kind) > MAX_TEXT:
        raise RemoteProtocolError("expected an id and a type of the event")
    if not isinstance(call_id, str):
        return None
    if not _is_id(call_id):
        raise RemoteProtocolError("expected letters, digits and _.:=+/- as call_control_id")
    meta = message.get("meta")
    attempt = meta.get("attempt") if isinstance(meta, dict) else 1
    said = {str(key): value[:MAX_TEXT] for key, value in payload.items() if isinstance(value, str)}
    number = attempt if isinstance(attempt, int) and 0 < attempt < 100 else 1
    return Event(event_id, kind, call_id, number, said, _state(payload.get("client_state")))


def pack(**state: str) -> str:
    """Return a `client_state`."""
    return base64.b64encode(json.dumps({key: value for key, value in state.items() if value}).encode()).decode()


def _state(text: object) -> Mapping[str, str]:
    if not isinstance(text, str) or len(text) > MAX_STATE_CHARS:
        return NOTHING
    try:
        state = from_json(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError):
        return NOTHING
    if not isinstance(state, dict):
        return NOTHING
    return {str(key): value[:MAX_TEXT] for key, value in state.items() if isinstance(value, str)}


def _object(message: Any, key: str) -> Mapping[str, Any]:
    value = message.get(key) if isinstance(message, dict) else None
    if not isinstance(value, dict):
        raise RemoteProtocolError(f"expected an object as {key}")
    return value
