"""JSON as it crosses the wire, read defensively."""

import json
from typing import Any, TypeAlias

from pydantic_core import from_json

from gateway.simulator.model.refusals import Refused

__all__ = ["Json", "read"]

Json: TypeAlias = dict[str, Any]

MAX_DEPTH = 64
"""No event of the API nests deeper than a tool's JSON schema, and those stay far below this."""


def read(frame: str | bytes) -> Json:
    """Return the event in one frame. Raises `Refused` (non-fatal, as the service answers) when it is none."""
    if not isinstance(frame, str):
        raise Refused("invalid_event", "Binary frames are not supported. Send one JSON object per text frame.")
    try:
        value = from_json(frame, allow_inf_nan=False, cache_strings="keys")
    except ValueError:
        raise Refused("invalid_event", "We could not parse the JSON body of your event.") from None
    if not isinstance(value, dict):
        raise Refused("invalid_event", "Expected a JSON object with a 'type'.")
    if frame.count("{") + frame.count("[") > MAX_DEPTH and _too_deep(value):
        raise Refused("invalid_event", f"The event nests deeper than {MAX_DEPTH} levels.")
    if "\\ud" in frame or "\\uD" in frame:
        _refuse_lone_surrogates(value)
    return value


def _too_deep(value: Json) -> bool:
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH):
        level = [child for node in level for child in _children(node) if isinstance(child, (dict, list))]
        if not level:
            return False
    return True


def _children(node: Any) -> list[Any]:
    return list(node.values()) if isinstance(node, dict) else list(node)


def _refuse_lone_surrogates(value: Json) -> None:
    # They decode from JSON but cannot be sent on as UTF-8, so an echo of them would break the peer.
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise Refused("invalid_event", "The event holds a string that is not valid Unicode.") from None
