"""Definitions of functions: nested for chat, flat for Responses and Realtime, with another word for MCP."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from gateway.realtime.convert.neutral import Json, Notes, fit_name, mapping, string

__all__ = ["Definition", "ToolFormat", "read_tools", "write_tools"]

ToolFormat = Literal["chat", "responses", "realtime", "mcp"]

MCP_ONLY = ("title", "outputSchema", "annotations", "icons", "execution", "_meta")
RESPONSES_ONLY = ("output_schema", "allowed_callers", "defer_loading")


@dataclass(slots=True, frozen=True)
class Definition:
    """A function as a model is told of it."""

    name: str
    description: str | None
    parameters: Mapping[str, object] | None
    """JSON Schema."""
    strict: bool = False
    """Whether the model is held to the schema. Responses does unless told otherwise, chat does not; Realtime cannot."""


def read_tools(tools: Sequence[object], source: ToolFormat, notes: Notes) -> list[Definition]:
    """Return what is defined; what is no function, as tools that a provider runs, is noted."""
    definitions: dict[str, Definition] = {}
    for index, value in enumerate(tools):
        notes.at = f"tool {index}"
        definition = _mcp(mapping(value), notes) if source == "mcp" else _function(mapping(value), source, notes)
        if definition is None:
            continue
        if definition.name in definitions:
            notes.add(f"there is a tool {definition.name!r} already; this one is left out")
        else:
            definitions[definition.name] = definition
    return list(definitions.values())


def write_tools(definitions: Sequence[Definition], target: ToolFormat, notes: Notes) -> list[Json]:
    """Return the definitions in a format's form."""
    notes.at = ""
    written = []
    for definition in definitions:
        if definition.strict and target in ("realtime", "mcp"):
            notes.add(f"tool {definition.name!r}: strict cannot be carried over")
        tool = _written(definition, target)
        if target == "mcp" and mapping(tool["inputSchema"]).get("type") != "object":
            notes.add(f"tool {definition.name!r}: MCP wants parameters of type object; it is left out")
            continue
        written.append(tool)
    return written


def _written(definition: Definition, target: ToolFormat) -> Json:
    described: Json = {"name": definition.name}
    if definition.description is not None:
        described["description"] = definition.description
    parameters = None if definition.parameters is None else dict(definition.parameters)
    match target:
        case "mcp":
            return described | {
                "inputSchema": {"type": "object", "properties": {}} if parameters is None else parameters
            }
        case "responses":  # both keys are required there
            return {"type": "function", **described, "parameters": parameters, "strict": definition.strict}
    if parameters is not None:
        described["parameters"] = parameters
    if target == "realtime":
        return {"type": "function", **described}
    if definition.strict:
        described["strict"] = True
    return {"type": "function", "function": described}


def _function(tool: Mapping[str, object], source: ToolFormat, notes: Notes) -> Definition | None:
    kind = string(tool.get("type"))
    function = mapping(tool.get("function")) if source == "chat" else tool
    name = fit_name(string(function.get("name")), notes)
    if kind != "function" or not name:
        notes.add(f"a tool of type {kind[:40]!r} that is no function with a name cannot be carried over")
        return None
    for key in RESPONSES_ONLY:
        if function.get(key) is not None:
            notes.add(f"{key} cannot be carried over")
    strict = function.get("strict")
    return Definition(
        name,
        _description(function),
        _schema(function.get("parameters"), notes),
        strict is True or (source == "responses" and strict is None),
    )


def _mcp(tool: Mapping[str, object], notes: Notes) -> Definition | None:
    name = fit_name(string(tool.get("name")), notes)
    if not name:
        notes.add("a tool without a name cannot be carried over")
        return None
    for key in MCP_ONLY:
        if tool.get(key) is not None:
            notes.add(f"{key} cannot be carried over")
    return Definition(name, _description(tool), _schema(tool.get("inputSchema"), notes))


def _description(tool: Mapping[str, object]) -> str | None:
    description = tool.get("description")
    return description if isinstance(description, str) else None


def _schema(value: object, notes: Notes) -> Mapping[str, object] | None:
    if value is not None and not isinstance(value, Mapping):
        notes.add("parameters that are no JSON object cannot be carried over")
    return value if isinstance(value, Mapping) else None
