"""What the formats have in common, and the notes on what one of them cannot hold."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, Literal, NoReturn, TypeVar

__all__ = [
    "Converted",
    "Entry",
    "FunctionCall",
    "FunctionResult",
    "Json",
    "Message",
    "Notes",
    "Role",
    "fit_name",
    "listed",
    "mapping",
    "parse_object",
    "require_pairs",
    "short_ids",
    "string",
]

Json = dict[str, object]
Role = Literal["system", "developer", "user", "assistant"]
T = TypeVar("T")


@dataclass(slots=True, frozen=True)
class Converted(Generic[T]):
    """What came of a conversion."""

    value: T
    notes: tuple[str, ...] = ()
    """A sentence for whatever could not be carried over, with its place in the source, counted from 0."""


@dataclass(slots=True, frozen=True)
class Message:
    """What somebody said or was told; the parts are text."""

    role: Role
    parts: tuple[str, ...]


@dataclass(slots=True, frozen=True)
class FunctionCall:
    """A call the model made. `arguments` is JSON text, as the model wrote it."""

    tool_call_id: str
    name: str
    arguments: str


@dataclass(slots=True, frozen=True)
class FunctionResult:
    """What a call brought."""

    tool_call_id: str
    output: str


Entry = Message | FunctionCall | FunctionResult


@dataclass(slots=True)
class Notes:
    """Collects notes; `at` is where the reader is."""

    at: str = ""
    taken: list[str] = field(default_factory=list)

    def add(self, sentence: str) -> None:
        """Keep a sentence, once."""
        note = f"{self.at}: {sentence}" if self.at else sentence
        if note not in self.taken:
            self.taken.append(note)


def mapping(value: object) -> Mapping[str, object]:
    """Return a JSON object as it is, anything else as an empty one."""
    return value if isinstance(value, Mapping) else {}


def listed(value: object) -> Sequence[object]:
    """Return a JSON array as it is, anything else as an empty one."""
    return value if isinstance(value, list | tuple) else ()


def string(value: object) -> str:
    """Return a text as it is, anything else as an empty one."""
    return value if isinstance(value, str) else ""


def fit_name(name: str, notes: Notes) -> str:
    """Return a function's name in the 64 letters that the API takes, and note a change; "" when there is none."""
    fit = re.sub(r"[^a-zA-Z0-9_-]", "_", name)[:64]
    if fit != name:
        notes.add(f"the function's name {name[:80]!r} is not one the API takes; it is {fit!r} now")
    return fit


def short_ids(entries: Sequence[Entry], longest: int, notes: Notes) -> list[Entry]:
    """Return the entries with every tool_call_id no longer than the target takes; a call and its result keep pace."""
    notes.at = ""
    kept: list[Entry] = []
    for entry in entries:
        if isinstance(entry, Message) or len(entry.tool_call_id) <= longest:
            kept.append(entry)
            continue
        short = "call_" + hashlib.sha256(entry.tool_call_id.encode(errors="replace")).hexdigest()[:24]
        notes.add(f"the tool call id {entry.tool_call_id[:80]!r} is over {longest} characters; it is {short!r} now")
        match entry:
            case FunctionCall():
                kept.append(FunctionCall(short, entry.name, entry.arguments))
            case FunctionResult():
                kept.append(FunctionResult(short, entry.output))
    return kept


def require_pairs(entries: Sequence[Entry], notes: Notes) -> list[Entry]:
    """Return the entries without results that no call asked for; the APIs refuse those. Notes calls without a result,
    which the next answer has to live with, and later results of a call that has one."""
    notes.at = ""
    asked: dict[str, bool] = {}
    kept: list[Entry] = []
    for entry in entries:
        match entry:
            case FunctionCall():
                if entry.tool_call_id in asked:
                    notes.add(f"there are two calls {entry.tool_call_id!r}; the later one is left out")
                    continue
                asked[entry.tool_call_id] = False
            case FunctionResult() if entry.tool_call_id not in asked:
                notes.add(f"a result answers no call before it ({entry.tool_call_id!r}); it is left out")
                continue
            case FunctionResult() if asked[entry.tool_call_id]:
                notes.add(f"the call {entry.tool_call_id!r} has two results; the later one is left out")
                continue
            case FunctionResult():
                asked[entry.tool_call_id] = True
        kept.append(entry)
    for tool_call_id, answered in asked.items():
        if not answered:
            notes.add(f"the call {tool_call_id!r} has no result; HTTP APIs refuse it so")
    return kept


def parse_object(text: str) -> Json | None:
    """Return the JSON object in a text; None for anything else, also where only Python would take it for JSON."""
    try:
        value = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)
