"""Reads a carrier's JSON text frames, bounded. Pure; raises nothing but `RemoteProtocolError`."""

import re
from collections.abc import Mapping
from typing import Any

from pydantic_core import from_json

from gateway.core.events import Dtmf
from gateway.errors import RemoteProtocolError

__all__ = ["MAX_TEXT", "dtmf", "parsed", "text"]

MAX_MESSAGE_CHARS = 64 * 1024
"""Longest message taken; the socket refuses larger frames itself."""
MAX_TEXT = 128
"""Longest id, name or token taken."""

_is_digit = re.compile(r"[0-9*#A-D]").fullmatch


def parsed(frame: str) -> Mapping[str, Any]:
    """Return the object that a frame is."""
    if len(frame) > MAX_MESSAGE_CHARS:
        raise RemoteProtocolError(f"message of {len(frame)} characters is over the bound")
    try:
        message = from_json(frame)
    except ValueError:
        raise RemoteProtocolError("expected JSON, got something else") from None
    if not isinstance(message, dict):
        raise RemoteProtocolError("expected an object")
    return message


def text(message: Mapping[str, Any], key: str) -> str:
    """Return a text that must be there, neither empty nor longer than `MAX_TEXT`."""
    value = message.get(key)
    if not isinstance(value, str) or not value or len(value) > MAX_TEXT:
        raise RemoteProtocolError(f"expected a text of 1 to {MAX_TEXT} characters as {key}")
    return value


def dtmf(message: Mapping[str, Any], key: str) -> Dtmf:
    """Return the key that the caller pressed."""
    digit = text(message, key)
    if _is_digit(digit) is None:
        raise RemoteProtocolError(f"dtmf: expected one of 0-9 * # A-D as {key}")
    return Dtmf(digit)
