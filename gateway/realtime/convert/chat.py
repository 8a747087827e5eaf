"""Messages of the HTTP chat completions API."""

import json
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

__all__ = ["MAX_CALL_ID_CHARS", "read_chat", "write_chat"]

MAX_CALL_ID_CHARS = 40
"""The API refuses longer ones: "string too long. Expected a string with maximum length 40"."""
ROLES: dict[str, Role] = {"system": "system", "developer": "developer", "user": "user", "assistant": "assistant"}
NOT_CARRIED = {
    "image_url": "an image cannot be carried over",
    "input_audio": "audio without a transcript cannot be carried over",
    "file": "a file cannot be carried over",
    "refusal": "a refusal cannot be carried over",
}
LOST_KEYS = {
    "name": "the name of who speaks cannot be carried over",
    "refusal": "a refusal cannot be carried over",
    "audio": "audio without a transcript cannot be carried over",
    "function_call": "function_call, the predecessor of tool_calls, cannot be carried over",
}


def read_chat(messages: Sequence[object], notes: Notes) -> list[Entry]:
    """Return what chat messages say."""
    entries: list[Entry] = []
    for index, item in enumerate(messages):
        notes.at = f"message {index}"
        message = mapping(item)
        role = string(message.get("role"))
        for key, sentence in LOST_KEYS.items():
            if message.get(key) is not None:
                notes.add(sentence)
        if role == "tool":
            entries += _result(message, notes)
        elif role in ROLES:
            calls = list(_calls(message, notes)) if role == "assistant" else []
            parts = _texts(message.get("content"), notes)
            if parts:
                entries.append(Message(ROLES[role], parts))
            elif not calls:
                notes.add("it has no text; it is left out")
            entries += calls
        else:
            notes.add(f"the role {role[:40]!r} cannot be carried over")
    return entries


def write_chat(entries: Sequence[Entry], notes: Notes) -> list[Json]:
    """Return chat messages. The API wants the results of a call right behind it, so later ones are moved there."""
    left = require_pairs(short_ids(entries, MAX_CALL_ID_CHARS, notes), notes)
    results = {entry.tool_call_id: index for index, entry in enumerate(left) if isinstance(entry, FunctionResult)}
    messages: list[Json] = []
    index = 0
    while index < len(left):
        entry = left[index]
        index += 1
        if isinstance(entry, FunctionResult):
            continue  # stands behind its call already
        calls: list[FunctionCall] = [entry] if isinstance(entry, FunctionCall) else []
        may_call = isinstance(entry, FunctionCall) or entry.role == "assistant"
        while may_call and index < len(left) and isinstance(following := left[index], FunctionCall):
            calls.append(following)
            index += 1
        messages.append(_message(entry, calls))
        places = sorted(results[call.tool_call_id] for call in calls if call.tool_call_id in results)
        messages += [_tool_message(left[place]) for place in places]
        if places and places != list(range(index, index + len(places))):
            notes.add("the result of a call came later than right behind it; it was moved there")
    return messages


def _message(entry: Message | FunctionCall, calls: Sequence[FunctionCall]) -> Json:
    if isinstance(entry, FunctionCall):
        message: Json = {"role": "assistant", "content": None}
    else:
        content: object = entry.parts[0] if len(entry.parts) == 1 else [_part(text) for text in entry.parts]
        message = {"role": entry.role, "content": content}
    if calls:
        message["tool_calls"] = [
            {
                "id": call.tool_call_id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for call in calls
        ]
    return message


def _tool_message(entry: Entry) -> Json:
    assert isinstance(entry, FunctionResult)
    return {"role": "tool", "tool_call_id": entry.tool_call_id, "content": entry.output}


def _part(text: str) -> Json:
    return {"type": "text", "text": text}


def _texts(content: object, notes: Notes) -> tuple[str, ...]:
    if isinstance(content, str):
        return (content,) if content else ()
    texts = []
    for part in map(mapping, listed(content)):
        kind = string(part.get("type"))
        if kind == "text":
            texts.append(string(part.get("text")))
        else:
            notes.add(NOT_CARRIED.get(kind, f"content of type {kind[:40]!r} cannot be carried over"))
    return tuple(text for text in texts if text)


def _calls(message: Mapping[str, object], notes: Notes) -> list[FunctionCall]:
    calls = []
    for call in map(mapping, listed(message.get("tool_calls"))):
        function = mapping(call.get("function"))
        tool_call_id = string(call.get("id"))
        name = fit_name(string(function.get("name")), notes)
        if call.get("type", "function") != "function" or not name or not tool_call_id:
            notes.add("a tool call that is no function call with an id cannot be carried over")
            continue
        arguments = function.get("arguments")
        text = arguments if isinstance(arguments, str) else json.dumps(arguments or {}, separators=(",", ":"))
        calls.append(FunctionCall(tool_call_id, name, text))
    return calls


def _result(message: Mapping[str, object], notes: Notes) -> list[Entry]:
    tool_call_id = string(message.get("tool_call_id"))
    if not tool_call_id:
        notes.add("a tool message without tool_call_id cannot be carried over")
        return []
    texts = _texts(message.get("content"), notes)
    if len(texts) > 1:
        notes.add("the parts of a result were joined")
    return [FunctionResult(tool_call_id, "\n".join(texts))]
