"""Converts messages, tools and tool results between HTTP chat completions, Responses, Realtime and MCP, both ways.

Pure, and without any of their packages. Nothing is dropped silently: each conversion returns what it made, and a
sentence for what the target cannot hold (images, audio without a transcript, refusals, reasoning …).

An agent that answers in a chat today moves to the telephone so::

    start = convert.from_chat(
        [
            {"role": "system", "content": "You take orders for a pizzeria."},
            {"role": "user", "content": "Is Margherita available?"},
            {"role": "assistant", "content": None, "tool_calls": [
                {"id": "call_1", "type": "function",
                 "function": {"name": "stock", "arguments": "{\\"pizza\\":\\"margherita\\"}"}}]},
            {"role": "tool", "tool_call_id": "call_1", "content": "{\\"left\\":3}"},
        ],
        [{"type": "function", "function": {"name": "stock", "parameters": {"type": "object", "properties": {}}}}],
    )
    start.value.instructions  # → session.update: "You take orders for a pizzeria."
    start.value.tools         # → session.update: [{"type": "function", "name": "stock", …}]
    start.value.items         # → conversation.item.create, one each: message, function_call, function_call_output
    start.notes               # → (): nothing was lost
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, assert_never

from gateway.realtime.convert.chat import read_chat, write_chat
from gateway.realtime.convert.items import read_items, write_realtime, write_responses
from gateway.realtime.convert.neutral import Converted, FunctionResult, Json, Message, Notes
from gateway.realtime.convert.results import mcp_result, output_of_mcp
from gateway.realtime.convert.tools import ToolFormat, read_tools, write_tools

__all__ = [
    "Conversation",
    "Converted",
    "MessageFormat",
    "ToolFormat",
    "from_chat",
    "messages",
    "to_chat",
    "tool_result",
    "tools",
]

MessageFormat = Literal["chat", "responses", "realtime"]


@dataclass(slots=True, frozen=True)
class Conversation:
    """What a model is to know when a conversation begins or goes on. The form of items and tools is the target's."""

    instructions: str
    items: list[Json]
    tools: list[Json]


def messages(items: Sequence[object], source: MessageFormat, target: MessageFormat) -> Converted[list[Json]]:
    """Convert chat messages, Responses `input` items or Realtime conversation items. Order is kept."""
    notes = Notes()
    entries = read_chat(items, notes) if source == "chat" else read_items(items, notes)
    match target:
        case "chat":
            written = write_chat(entries, notes)
        case "responses":
            written = write_responses(entries, notes)
        case "realtime":
            written = write_realtime(entries, notes)
        case _:
            assert_never(target)
    return Converted(written, tuple(notes.taken))


def tools(definitions: Sequence[object], source: ToolFormat, target: ToolFormat) -> Converted[list[Json]]:
    """Convert definitions of functions: `tools` of a request or a session, or of MCP's `tools/list`."""
    notes = Notes()
    written = write_tools(read_tools(definitions, source, notes), target, notes)
    return Converted(written, tuple(notes.taken))


def tool_result(
    result: Mapping[str, object], source: ToolFormat, target: ToolFormat, *, tool_call_id: str = ""
) -> Converted[Json]:
    """Convert what a call brought: a chat `tool` message, a `function_call_output`, or MCP's `CallToolResult`.

    `tool_call_id` names the call when the source is MCP, whose results have no id. Raises `ValueError` for a source
    that is no result of a call, or has no id.
    """
    notes = Notes()
    if source == "mcp":
        entry = FunctionResult(tool_call_id, output_of_mcp(result, notes))
    else:
        entries = read_chat([result], notes) if source == "chat" else read_items([result], notes)
        if len(entries) != 1 or not isinstance(entries[0], FunctionResult):
            raise ValueError("this is no result of a function call")
        entry = entries[0]
    if target == "mcp":
        return Converted(mcp_result(entry.output), tuple(notes.taken))
    if not entry.tool_call_id:
        raise ValueError("a result needs the id of its call")
    if target == "chat":
        written: Json = {"role": "tool", "tool_call_id": entry.tool_call_id, "content": entry.output}
    else:
        written = {"type": "function_call_output", "call_id": entry.tool_call_id, "output": entry.output}
    return Converted(written, tuple(notes.taken))


def from_chat(chat: Sequence[object], functions: Sequence[object] = ()) -> Converted[Conversation]:
    """Convert `messages` and `tools` of a chat request for a Realtime session.

    The system's and developer's messages before all others are the instructions; later ones stay items.
    """
    notes = Notes()
    entries = read_chat(chat, notes)
    leading = 0
    while leading < len(entries):
        entry = entries[leading]
        if not isinstance(entry, Message) or entry.role not in ("system", "developer"):
            break
        leading += 1
    told = [entry for entry in entries[:leading] if isinstance(entry, Message)]
    instructions = "\n\n".join(text for entry in told for text in entry.parts)
    items = write_realtime(entries[leading:], notes)
    converted = tools(functions, "chat", "realtime")
    return Converted(Conversation(instructions, items, converted.value), (*notes.taken, *converted.notes))


def to_chat(
    items: Sequence[object], functions: Sequence[object] = (), instructions: str = ""
) -> Converted[Conversation]:
    """Convert what was said in a Realtime session for a chat request, which has the instructions as a message."""
    notes = Notes()
    entries = read_items(items, notes)
    if instructions:
        entries.insert(0, Message("system", (instructions,)))
    written = write_chat(entries, notes)
    converted = tools(functions, "realtime", "chat")
    return Converted(Conversation(instructions, written, converted.value), (*notes.taken, *converted.notes))
