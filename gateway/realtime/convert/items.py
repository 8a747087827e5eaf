"""Items of the Realtime API (GA) and of the Responses API, which are much alike.

Which part a role may have, both say the same: system and user `input_text`, assistant `output_text`. Only Responses has
a developer. Realtime API, *conversation item*; Responses API, *input*.
"""

import hashlib
from collections.abc import Mapping, Sequence

from gateway.realtime.convert.neutral import (
    Entry,
    FunctionCall,
    FunctionResult,
    Json,
    Message,
    Notes,
    Role,
    fit_name,
    listed,
    mapping,
    require_pairs,
    short_ids,
    string,
)

__all__ = ["read_items", "write_realtime", "write_responses"]

MAX_REALTIME_ID_CHARS = 32
"""Reported by users; the reference says nothing."""
MAX_RESPONSES_ID_CHARS = 64
"""The API refuses longer ones: "string too long. Expected a string with maximum length 64"."""
ROLES: dict[str, Role] = {"system": "system", "developer": "developer", "user": "user", "assistant": "assistant"}
TEXTS = ("input_text", "output_text", "text")
AUDIO = ("input_audio", "output_audio", "audio")
NOT_CARRIED = {
    "input_image": "an image cannot be carried over",
    "input_file": "a file cannot be carried over",
    "refusal": "a refusal cannot be carried over",
}


def read_items(items: Sequence[object], notes: Notes) -> list[Entry]:
    """Return what items of either API say. Ids of items, which belong to a server, are not carried over."""
    entries: list[Entry] = []
    for index, value in enumerate(items):
        notes.at = f"item {index}"
        item = mapping(value)
        kind = string(item.get("type")) or ("message" if "role" in item else "")
        if item.get("status") in ("incomplete", "in_progress"):
            notes.add("it was not completed; what there is of it is carried over")
        match kind:
            case "message":
                entries += _message(item, notes)
            case "function_call":
                entries += _call(item, notes)
            case "function_call_output":
                entries += _result(item, notes)
            case _:
                notes.add(f"an item of type {kind[:40]!r} cannot be carried over")
    return entries


def write_realtime(entries: Sequence[Entry], notes: Notes) -> list[Json]:
    """Return items for `conversation.item.create`."""
    left = require_pairs(short_ids(entries, MAX_REALTIME_ID_CHARS, notes), notes)
    if any(isinstance(entry, Message) and entry.role == "developer" for entry in left):
        notes.add("the Realtime API has no developer; its messages are the system's now")
    return [_realtime_message(entry) if isinstance(entry, Message) else _function_item(entry) for entry in left]


def write_responses(entries: Sequence[Entry], notes: Notes) -> list[Json]:
    """Return items for `input`."""
    left = require_pairs(short_ids(entries, MAX_RESPONSES_ID_CHARS, notes), notes)
    return [_responses_message(entry) if isinstance(entry, Message) else _function_item(entry) for entry in left]


def _realtime_message(entry: Message) -> Json:
    kind = "output_text" if entry.role == "assistant" else "input_text"
    role = "system" if entry.role == "developer" else entry.role
    return {"type": "message", "role": role, "content": [{"type": kind, "text": text} for text in entry.parts]}


def _responses_message(entry: Message) -> Json:
    if entry.role != "assistant":
        parts = [{"type": "input_text", "text": text} for text in entry.parts]
        return {"type": "message", "role": entry.role, "content": parts}
    if len(entry.parts) == 1:
        return {"type": "message", "role": "assistant", "content": entry.parts[0]}
    # several parts are an output message, which has to have an id
    mark = hashlib.sha256("\0".join(entry.parts).encode(errors="replace")).hexdigest()[:32]
    return {
        "type": "message",
        "role": "assistant",
        "id": f"msg_{mark}",
        "status": "completed",
        "content": [{"type": "output_text", "text": text, "annotations": []} for text in entry.parts],
    }


def _function_item(entry: FunctionCall | FunctionResult) -> Json:
    if isinstance(entry, FunctionCall):
        return {
            "type": "function_call",
            "call_id": entry.tool_call_id,
            "name": entry.name,
            "arguments": entry.arguments,
        }
    return {"type": "function_call_output", "call_id": entry.tool_call_id, "output": entry.output}


def _message(item: Mapping[str, object], notes: Notes) -> list[Entry]:
    role = string(item.get("role"))
    if role not in ROLES:
        notes.add(f"the role {role[:40]!r} cannot be carried over")
        return []
    content = item.get("content")
    parts = (content,) if isinstance(content, str) and content else _texts(content, notes)
    if not parts:
        notes.add("it has no text; it is left out")
        return []
    return [Message(ROLES[role], parts)]


def _texts(content: object, notes: Notes) -> tuple[str, ...]:
    texts = []
    for part in map(mapping, listed(content)):
        kind = string(part.get("type"))
        if kind in TEXTS:
            texts.append(string(part.get("text")))
        elif kind in AUDIO and string(part.get("transcript")):
            notes.add("audio is carried over as its transcript")
            texts.append(string(part.get("transcript")))
        elif kind in AUDIO:
            notes.add("audio without a transcript cannot be carried over")
        else:
            notes.add(NOT_CARRIED.get(kind, f"content of type {kind[:40]!r} cannot be carried over"))
    return tuple(text for text in texts if text)


def _call(item: Mapping[str, object], notes: Notes) -> list[Entry]:
    tool_call_id, name = string(item.get("call_id")), fit_name(string(item.get("name")), notes)
    if not tool_call_id or not name:
        notes.add("a function call without call_id or name cannot be carried over")
        return []
    return [FunctionCall(tool_call_id, name, string(item.get("arguments")))]


def _result(item: Mapping[str, object], notes: Notes) -> list[Entry]:
    tool_call_id = string(item.get("call_id"))
    if not tool_call_id:
        notes.add("a result without call_id cannot be carried over")
        return []
    output = item.get("output")
    if isinstance(output, str):
        return [FunctionResult(tool_call_id, output)]
    texts = _texts(output, notes)
    if len(texts) > 1:
        notes.add("the parts of a result were joined")
    return [FunctionResult(tool_call_id, "\n".join(texts))]
