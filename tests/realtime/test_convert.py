"""Conversions between chat, Responses, Realtime and MCP: there and back, and against the types of their owners."""

import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, get_args

import mcp_types
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.chat import ChatCompletionFunctionToolParam, ChatCompletionMessageParam
from openai.types.realtime import ConversationItem, RealtimeFunctionTool
from openai.types.responses import FunctionTool, ResponseInputItem
from pydantic import BaseModel, TypeAdapter, ValidationError

from gateway.realtime import convert
from gateway.realtime.convert import MessageFormat, ToolFormat
from gateway.realtime.convert.chat import write_chat
from gateway.realtime.convert.items import write_realtime, write_responses
from gateway.realtime.convert.neutral import Entry, FunctionCall, FunctionResult, Message, Notes

MESSAGE_FORMATS: tuple[MessageFormat, ...] = get_args(MessageFormat)
TOOL_FORMATS: tuple[ToolFormat, ...] = get_args(ToolFormat)
OWNERS: dict[str, TypeAdapter[Any]] = {
    "chat": TypeAdapter(ChatCompletionMessageParam),
    "responses": TypeAdapter(ResponseInputItem),
    "realtime": TypeAdapter(ConversationItem),
}
TOOL_OWNERS: dict[str, TypeAdapter[Any]] = {
    "chat": TypeAdapter(ChatCompletionFunctionToolParam),
    "responses": TypeAdapter(FunctionTool),
    "realtime": TypeAdapter(RealtimeFunctionTool),
    "mcp": TypeAdapter(mcp_types.Tool),
}
PAIRS = [(a, b) for a in MESSAGE_FORMATS for b in MESSAGE_FORMATS]
TOOL_PAIRS = [(a, b) for a in TOOL_FORMATS for b in TOOL_FORMATS]

texts = st.text(min_size=1, max_size=20)
names = st.from_regex(r"[a-zA-Z0-9_-]{1,64}", fullmatch=True)
json_objects = st.dictionaries(texts, st.none() | st.booleans() | st.integers() | texts | st.lists(texts, max_size=2))


@st.composite
def conversations(draw: st.DrawFn) -> list[Entry]:
    """What every format can hold: text of system, user and assistant, calls with their results right behind them."""
    entries: list[Entry] = []
    for number in range(draw(st.integers(0, 5))):
        role = draw(st.sampled_from(("system", "user", "assistant", "calls")))
        if role == "calls":
            ids = [f"call_{number}_{index}" for index in range(draw(st.integers(1, 3)))]
            entries += [FunctionCall(i, draw(names), json.dumps(draw(json_objects))) for i in ids]
            entries += [FunctionResult(i, draw(st.text(max_size=20))) for i in draw(st.permutations(ids))]
        else:
            entries.append(Message(role, tuple(draw(st.lists(texts, min_size=1, max_size=3)))))  # type: ignore[arg-type]
    return entries


@pytest.mark.parametrize(("a", "b"), PAIRS)
@given(entries=conversations())
@settings(max_examples=60, deadline=None)
def test_messages_go_there_and_back_unchanged(a: MessageFormat, b: MessageFormat, entries: list[Entry]) -> None:
    original = _written(entries, a)
    there = convert.messages(original, a, b)
    back = convert.messages(there.value, b, a)
    assert back.value == original
    assert there.notes == back.notes == ()
    for item in there.value:
        _validate(OWNERS[b], item)


@pytest.mark.parametrize(
    ("owner", "wrong"),
    [
        ("realtime", {"type": "message", "role": "assistant", "content": [{"type": "input_text", "text": "x"}]}),
        ("realtime", {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "x"}]}),
        ("realtime", {"type": "function_call_output", "output": "x"}),
        ("responses", {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "x"}]}),
        ("chat", {"role": "assistant", "content": [{"type": "input_text", "text": "x"}]}),
        ("chat", {"role": "tool", "content": "x"}),
    ],
)
def test_the_types_that_judge_our_output_do_refuse(owner: str, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        _validate(OWNERS[owner], wrong)


def test_no_package_of_theirs_is_needed_to_convert() -> None:
    folder = Path(convert.__file__).parent
    lines = [line for path in folder.glob("*.py") for line in path.read_text().splitlines()]
    imported = {line.split()[1].split(".")[0] for line in lines if line.startswith(("import ", "from "))}
    assert imported <= {*sys.stdlib_module_names, "gateway"}


definitions = st.fixed_dictionaries(
    {"name": names, "parameters": json_objects.map(lambda schema: {**schema, "type": "object"})},
    optional={"description": st.text(max_size=20)},
)


@pytest.mark.parametrize(("a", "b"), TOOL_PAIRS)
@given(drawn=st.lists(definitions, max_size=3, unique_by=lambda tool: str(tool["name"])))
@settings(max_examples=60, deadline=None)
def test_tools_go_there_and_back_unchanged(a: ToolFormat, b: ToolFormat, drawn: list[dict[str, Any]]) -> None:
    flat = [{"type": "function", **tool} for tool in drawn]
    original = convert.tools(flat, "realtime", a).value
    there = convert.tools(original, a, b)
    back = convert.tools(there.value, b, a)
    assert back.value == original
    assert there.notes == back.notes == ()
    for tool in there.value:
        _validate(TOOL_OWNERS[b], tool)


@pytest.mark.parametrize(("a", "b"), TOOL_PAIRS)
@given(
    outcome=st.text(max_size=20)
    | json_objects.map(json.dumps)
    | texts.map(lambda text: json.dumps({"error": {"message": text}}, ensure_ascii=False, separators=(",", ":")))
)
@settings(max_examples=60, deadline=None)
def test_results_go_there_and_back_unchanged(a: ToolFormat, b: ToolFormat, outcome: str) -> None:
    chat = {"role": "tool", "tool_call_id": "call_1", "content": outcome}
    original = convert.tool_result(chat, "chat", a).value
    there = convert.tool_result(original, a, b, tool_call_id="call_1")
    back = convert.tool_result(there.value, b, a, tool_call_id="call_1")
    assert back.value == original
    assert there.notes == back.notes == ()
    _validate(OWNERS[b] if b != "mcp" else TypeAdapter(mcp_types.CallToolResult), there.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                (
                    "type",
                    "role",
                    "content",
                    "text",
                    "tool_calls",
                    "function",
                    "name",
                    "id",
                    "call_id",
                    "output",
                    "arguments",
                )
            ),
            inner
            | st.sampled_from(
                (
                    "message",
                    "function",
                    "function_call",
                    "function_call_output",
                    "assistant",
                    "tool",
                    "user",
                    "input_text",
                )
            ),
        )
    ),
    max_leaves=12,
)


@given(items=st.lists(JSON, max_size=4))
@settings(max_examples=60, deadline=None)
def test_anything_else_is_noted_and_never_raises(items: list[object]) -> None:
    for a, b in PAIRS:
        for item in convert.messages(items, a, b).value:
            _validate(OWNERS[b], item)
    for source, target in TOOL_PAIRS:
        convert.tools(items, source, target)


CALL = {"id": "call_1", "type": "function", "function": {"name": "stock", "arguments": '{"pizza":"margherita"}'}}
CHAT = [
    {"role": "system", "content": "You take orders."},
    {"role": "developer", "content": "Be brief."},
    {"role": "user", "content": "Is Margherita available?"},
    {"role": "assistant", "content": "Let me see.", "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "call_1", "content": '{"left":3}'},
    {"role": "assistant", "content": "It is."},
]
STOCK = {"name": "stock", "description": "What is left.", "parameters": {"type": "object", "properties": {}}}


def test_a_chat_agent_moves_to_the_telephone() -> None:
    start = convert.from_chat(CHAT, [{"type": "function", "function": STOCK}])
    assert start.notes == ()
    assert start.value.instructions == "You take orders.\n\nBe brief."
    assert start.value.tools == [{"type": "function", **STOCK}]
    assert start.value.items == [
        {
            "type": "message",
            "role": "user",
            "content": [{"type": "input_text", "text": "Is Margherita available?"}],
        },
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Let me see."}]},
        {"type": "function_call", "call_id": "call_1", "name": "stock", "arguments": '{"pizza":"margherita"}'},
        {"type": "function_call_output", "call_id": "call_1", "output": '{"left":3}'},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "It is."}]},
    ]
    back = convert.to_chat(start.value.items, start.value.tools, start.value.instructions)
    assert back.value.items == [{"role": "system", "content": "You take orders.\n\nBe brief."}, *CHAT[2:]]
    assert back.value.tools == [{"type": "function", "function": STOCK}]


def _user(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"role": "user", "content": [{"type": "text", "text": "x"}, *parts]}


def _said(role: str, *parts: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"type": "message", "role": role, "content": list(parts), **fields}


@pytest.mark.parametrize(
    ("source", "item", "note"),
    [
        ("chat", _user({"type": "image_url", "image_url": {"url": "x"}}), "an image cannot be carried over"),
        (
            "chat",
            _user({"type": "input_audio", "input_audio": {}}),
            "audio without a transcript cannot be carried over",
        ),
        ("chat", _user({"type": "file", "file": {}}), "a file cannot be carried over"),
        ("chat", {"role": "assistant", "refusal": "No."}, "a refusal cannot be carried over"),
        ("chat", {"role": "assistant", "audio": {"id": "x"}}, "audio without a transcript cannot be carried over"),
        ("chat", {"role": "user", "content": "x", "name": "Bob"}, "the name of who speaks cannot be carried over"),
        ("chat", {"role": "function", "name": "f", "content": "x"}, "the role 'function' cannot be carried over"),
        ("chat", {"role": "user", "content": ""}, "it has no text; it is left out"),
        ("chat", {"role": "tool", "content": "x"}, "a tool message without tool_call_id cannot be carried over"),
        ("responses", {"type": "reasoning", "summary": []}, "an item of type 'reasoning' cannot be carried over"),
        ("responses", _said("assistant", {"type": "refusal", "refusal": "x"}), "a refusal cannot be carried over"),
        ("responses", {"type": "web_search_call"}, "an item of type 'web_search_call' cannot be carried over"),
        ("realtime", _said("user", {"type": "input_image"}), "an image cannot be carried over"),
        ("realtime", _said("user", {"type": "input_audio", "transcript": None}), "audio without a transcript"),
        (
            "realtime",
            _said("user", {"type": "input_audio", "transcript": "x"}),
            "audio is carried over as its transcript",
        ),
        ("realtime", {"type": "mcp_call"}, "an item of type 'mcp_call' cannot be carried over"),
        ("realtime", _said("assistant", {"type": "output_text", "text": "x"}, status="incomplete"), "not completed"),
    ],
)
def test_what_cannot_be_carried_over_is_said_with_its_place(
    source: MessageFormat, item: dict[str, Any], note: str
) -> None:
    hello = {"role": "user", "content": "hello"}
    for target in MESSAGE_FORMATS:
        converted = convert.messages([hello, item], source, target)
        place = "message 1: " if source == "chat" else "item 1: "
        assert any(said.startswith(place) and note in said for said in converted.notes)


def test_what_was_heard_of_an_answer_is_carried_over_by_its_transcript() -> None:
    items = [_said("assistant", {"type": "output_audio", "transcript": "Hello."}, id="item_1", status="completed")]
    assert convert.messages(items, "realtime", "chat").value == [{"role": "assistant", "content": "Hello."}]


def test_a_developer_speaks_as_the_system_in_realtime_and_that_is_said() -> None:
    chat = [{"role": "user", "content": "x"}, {"role": "developer", "content": "y"}]
    converted = convert.messages(chat, "chat", "realtime")
    assert converted.value[1]["role"] == "system"
    assert converted.notes == ("the Realtime API has no developer; its messages are the system's now",)
    assert convert.messages(chat, "chat", "responses").notes == ()


def _call(tool_call_id: str) -> dict[str, Any]:
    return {"type": "function_call", "call_id": tool_call_id, "name": "f", "arguments": "{}"}


def _output(tool_call_id: str) -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": tool_call_id, "output": tool_call_id}


def test_a_late_result_is_moved_behind_its_call_because_chat_wants_it_there() -> None:
    said = _said("user", {"type": "input_text", "text": "still there?"})
    converted = convert.messages([_call("a"), _call("b"), said, _output("b"), _output("a")], "realtime", "chat")
    assert [message.get("tool_call_id", message["role"]) for message in converted.value] == [
        "assistant",
        "b",
        "a",
        "user",
    ]
    assert converted.notes == ("the result of a call came later than right behind it; it was moved there",)


@pytest.mark.parametrize("target", MESSAGE_FORMATS)
def test_results_without_a_call_and_calls_without_a_result_are_said(target: MessageFormat) -> None:
    converted = convert.messages([_output("x"), _call("a"), _call("b"), _output("b"), _output("b")], "realtime", target)
    assert converted.notes == (
        "a result answers no call before it ('x'); it is left out",
        "the call 'b' has two results; the later one is left out",
        "the call 'a' has no result; HTTP APIs refuse it so",
    )


@pytest.mark.parametrize(("target", "longest"), [("chat", 40), ("responses", 64), ("realtime", 32)])
def test_an_id_too_long_for_the_target_is_shortened_for_call_and_result_alike(
    target: MessageFormat, longest: int
) -> None:
    long = "toolu_" + "x" * longest
    converted = convert.messages([_call(long), _output(long)], "realtime", target)
    assert f"over {longest} characters" in converted.notes[0]
    (call, result) = convert.messages(converted.value, target, "responses").value
    assert call["call_id"] == result["call_id"]
    assert len(str(call["call_id"])) <= longest
    fits = "x" * longest
    assert convert.messages([_call(fits), _output(fits)], "realtime", target).notes == ()


def test_strict_keeps_its_meaning_where_it_can() -> None:
    chat = [{"type": "function", "function": STOCK}]
    assert convert.tools(chat, "chat", "responses").value[0]["strict"] is False
    responses = [{"type": "function", **STOCK}]  # Responses holds the model to the schema unless told otherwise
    assert convert.tools(responses, "responses", "chat").value[0]["function"]["strict"] is True  # type: ignore[index]
    assert convert.tools(responses, "responses", "realtime").notes == ("tool 'stock': strict cannot be carried over",)


def test_tools_that_are_no_functions_are_said() -> None:
    assert "type 'web_search'" in convert.tools([{"type": "web_search"}], "responses", "realtime").notes[0]
    assert convert.tools([{"type": "function", "function": STOCK}] * 2, "chat", "realtime").notes == (
        "tool 1: there is a tool 'stock' already; this one is left out",
    )
    odd = {"name": "stock", "parameters": {"type": "array"}, "type": "function"}
    assert convert.tools([odd], "realtime", "mcp").value == []


def test_what_only_mcp_knows_of_a_tool_is_said() -> None:
    tool = {"name": "shop.find", "inputSchema": {"type": "object"}, "annotations": {"readOnlyHint": True}, "title": "x"}
    converted = convert.tools([tool], "mcp", "realtime")
    assert converted.value == [{"type": "function", "name": "shop_find", "parameters": {"type": "object"}}]
    assert converted.notes == (
        "tool 0: the function's name 'shop.find' is not one the API takes; it is 'shop_find' now",
        "tool 0: title cannot be carried over",
        "tool 0: annotations cannot be carried over",
    )


def test_a_result_of_mcp_says_what_of_it_is_lost() -> None:
    text = {"type": "text", "text": "ok"}
    picture = {"type": "image", "data": "aGk=", "mimeType": "image/png"}
    converted = convert.tool_result({"content": [text, picture]}, "mcp", "realtime", tool_call_id="call_1")
    assert converted.value == {"type": "function_call_output", "call_id": "call_1", "output": "ok"}
    assert converted.notes == ("content of type 'image' cannot be carried over",)
    both = {"content": [text], "structuredContent": {"a": 1}}
    assert convert.tool_result(both, "mcp", "chat", tool_call_id="c").value["content"] == '{"a":1}'


def test_a_result_needs_a_call() -> None:
    with pytest.raises(ValueError, match="needs the id of its call"):
        convert.tool_result({"content": []}, "mcp", "chat")
    with pytest.raises(ValueError, match="no result of a function call"):
        convert.tool_result({"role": "user", "content": "x"}, "chat", "mcp")


def _written(entries: list[Entry], target: MessageFormat) -> list[dict[str, object]]:
    writers = {"chat": write_chat, "responses": write_responses, "realtime": write_realtime}
    return writers[target](entries, Notes())


def _validate(owner: TypeAdapter[Any], value: object) -> None:
    _exhaust(owner.validate_python(value))


def _exhaust(value: object) -> None:
    """Walk everything: pydantic checks what is declared Iterable only when somebody reads it."""
    if isinstance(value, str | BaseModel):
        return
    if isinstance(value, Mapping):
        for inner in value.values():
            _exhaust(inner)
    elif isinstance(value, Iterable):
        for inner in value:
            _exhaust(inner)
