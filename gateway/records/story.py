"""What a call retold consists of, and how a journal's fields are read: they may be missing or strange."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from gateway.store import JsonValue

__all__ = [
    "Interruption",
    "Latency",
    "Line",
    "Timeline",
    "ToolWait",
    "Who",
    "brief",
    "clean",
    "number",
    "parts",
    "text",
]

Who: TypeAlias = Literal["caller", "agent", "tool", "model", "gateway"]
TEXT_LIMIT = 2_000
BRIEF_LIMIT = 200


@dataclass(slots=True, frozen=True)
class Line:
    """One line of the story; times are seconds since the call was offered."""

    at_s: float
    who: Who
    kind: str
    """A word for the reader and for filters: said, unheard, speech_started, barge_in, tool_call, transfer, error …

    Of functions: tool_call, tool_result, tool_pending, tool_repeated, tool_cancelled, tool_timeout, tool_say,
    tool_wants, tool_action, tool_action_refused, tool_refused, confirmation_asked, confirmed, confirmation_refused,
    filler, claim_unbacked, claim_corrected.
    """
    what: str
    ms: int | None = None
    """A duration or latency that belongs to it."""


@dataclass(slots=True, frozen=True)
class ToolWait:
    """The time from a tool's call to its result, or until nobody waited any more."""

    name: str
    begin_s: float
    end_s: float | None
    ok: bool | None
    """None, like `end_s`, when no result came."""
    pending_s: float | None = None
    """When the business promised a later result; the agent went on with that."""
    ended: Literal["", "timed_out", "given_up"] = ""
    """Why nobody waited any more; "" for a result."""


@dataclass(slots=True, frozen=True)
class Interruption:
    """A barge-in, and how much of the item that was playing had been heard by then."""

    at_s: float
    heard_ms: int | None


@dataclass(slots=True, frozen=True)
class Latency:
    """A turn's latency as the call itself measured it, at the agent's first audio."""

    at_s: float
    ms: int


@dataclass(slots=True, frozen=True)
class Timeline:
    """The whole call."""

    call_id: str
    lines: tuple[Line, ...]
    tools: tuple[ToolWait, ...]
    barge_ins: tuple[Interruption, ...]
    latencies: tuple[Latency, ...]
    recorded_from_s: float
    """When the media stream began, which is where its recording begins."""


def number(data: Mapping[str, JsonValue], name: str) -> float | None:
    value = data.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def text(data: Mapping[str, JsonValue], name: str) -> str:
    value = data.get(name)
    return "" if value is None else clean(str(value))


def parts(data: Mapping[str, JsonValue], name: str) -> list[Mapping[str, JsonValue]]:
    """Return the objects of a list."""
    value = data.get(name)
    if isinstance(value, str) or not isinstance(value, Sequence):
        return []
    return [part for part in value if isinstance(part, Mapping)]


def brief(words: str) -> str:
    """Return the beginning of a text that is somebody's data, and more of it than a line needs."""
    return words if len(words) <= BRIEF_LIMIT else words[:BRIEF_LIMIT].rstrip() + "…"


def clean(words: str) -> str:
    """Return `words` on one line, bounded, without control characters: a transcript must not steer a terminal."""
    return "".join(letter if letter.isprintable() else " " for letter in words[:TEXT_LIMIT])
