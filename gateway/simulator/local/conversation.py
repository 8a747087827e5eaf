"""The conversation as the brain reads it: Realtime items turned into a few plain types."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gateway.simulator.local.tools import Value

__all__ = ["Called", "Entry", "Line", "Returned", "read_items"]

MAX_ITEMS = 400
MAX_LINE_CHARS = 2000


@dataclass(slots=True, frozen=True)
class Line:
    """What one side said."""

    from_caller: bool
    text: str


@dataclass(slots=True, frozen=True)
class Called:
    """A function call we made."""

    tool_call_id: str
    name: str
    arguments: Mapping[str, Value]


@dataclass(slots=True, frozen=True)
class Returned:
    """What the client answered to it."""

    tool_call_id: str
    output: str


Entry = Line | Called | Returned


def read_items(items: Sequence[Mapping[str, object]]) -> list[Entry]:
    """Return the last 400 items that matter; system messages, and shapes we do not know, are passed over."""
    return [entry for item in items[-MAX_ITEMS:] if (entry := _entry(item))]


def _entry(item: Mapping[str, object]) -> Entry | None:
    match item.get("type", "message"):
        case "message" if item.get("role") in {"user", "assistant"}:
            return Line(item["role"] == "user", _said(item.get("content")))
        case "function_call":
            return Called(_text(item, "call_id"), _text(item, "name"), _arguments(_text(item, "arguments")))
        case "function_call_output":
            return Returned(_text(item, "call_id"), _text(item, "output"))
    return None


def _said(content: object) -> str:
    if not isinstance(content, Sequence) or isinstance(content, str):
        return ""
    parts = [part for part in content if isinstance(part, Mapping)]
    return " ".join(_text(part, "transcript") or _text(part, "text") for part in parts).strip()[:MAX_LINE_CHARS]


def _text(source: Mapping[str, object], key: str) -> str:
    value = source.get(key)
    return value if isinstance(value, str) else ""


def _arguments(text: str) -> dict[str, Value]:
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(parsed, dict):
        return {}
    return {str(k): v for k, v in parsed.items() if isinstance(v, str | int | float | bool)}
