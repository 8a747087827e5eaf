"""What one agent's model may call, and whether the arguments it wrote are acceptable."""

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import NoReturn, Protocol

import jsonschema_rs

from gateway.agents import Agent
from gateway.agents.functions import LOCAL
from gateway.agents.policy import ToolPolicy
from gateway.errors import ConfigError, ToolError
from gateway.tools.limits import check_bounds, put_fixed, shown, sound_bounds

__all__ = ["Catalogue", "CatalogueTool", "ToolKind", "catalogue_tool", "parse_arguments", "parse_json"]

MAX_ARGUMENTS_BYTES = 32 * 1024
MAX_VIOLATIONS = 5
"""Schema violations told to the model at once; enough to repair a call in one go."""
MAX_VIOLATION_CHARS = 300
BUILT_IN_POLICY = ToolPolicy(effect="read")
LOCAL_POLICY = ToolPolicy(effect="write", idempotent=True)
"""Ours are kept by the ledger's key, so that the same one twice is one."""


class ToolKind(Enum):
    """Who carries the call out."""

    WEBHOOK = "webhook"
    """A signed POST to the business."""
    OPERATION = "operation"
    """A request of an OpenAPI document."""
    MCP = "mcp"
    """A tool of an MCP server."""
    LOCAL = "local"
    """The gateway, outside the call's core (schedule_callback, opt_out)."""
    BUILTIN = "builtin"
    """The call's core."""


class ArgumentsValidator(Protocol):
    """The part of a compiled JSON Schema that is used."""

    def iter_errors(self, instance: object) -> Iterator[jsonschema_rs.ValidationError]:
        """Return every violation."""


@dataclass(slots=True, frozen=True)
class CatalogueTool:
    """One tool, ready to be called."""

    name: str
    kind: ToolKind
    description: str
    parameters: Mapping[str, object]
    """JSON Schema of all arguments, those that the file fixes too; the model is shown `Catalogue.functions`."""
    policy: ToolPolicy
    validator: ArgumentsValidator
    target: object = None
    """What its executor needs: `Tool` for WEBHOOK, `Operation` for OPERATION, `McpTarget` for MCP, None for ours."""


def catalogue_tool(
    name: str,
    kind: ToolKind,
    description: str,
    parameters: Mapping[str, object],
    policy: ToolPolicy | None = None,
    target: object = None,
) -> CatalogueTool:
    """Return a tool with its schema compiled. Raises `ConfigError` for one that is no JSON Schema."""
    try:
        validator = _compiled(dict(parameters))
        sound_bounds(name, parameters, (policy or BUILT_IN_POLICY).bounds)
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"tool {name}: the parameters are no JSON Schema: {reason}") from None
    return CatalogueTool(name, kind, description, parameters, policy or BUILT_IN_POLICY, validator, target)


class Catalogue:
    """The tools of one agent by name. Build it once per agent: schemas are compiled here."""

    def __init__(self, agent: Agent, imported: Iterable[CatalogueTool] = ()) -> None:
        """`imported` come from OpenAPI documents and MCP servers. Raises `ConfigError` when a name is there twice."""
        self._tools: dict[str, CatalogueTool] = {}
        for tool in (*_own(agent), *imported, *_built_in(agent)):
            if tool.name in self._tools:
                raise ConfigError(f"agent {agent.name}: there are two tools {tool.name!r}")
            self._tools[tool.name] = tool

    def functions(self) -> list[dict[str, object]]:
        """Return the tools in the Realtime API's form (`session.tools`), without the arguments that the file fixes."""
        return [
            {
                "type": "function",
                "name": tool.name,
                "description": tool.description,
                "parameters": dict(shown(tool.parameters, tool.policy.bounds)),
            }
            for tool in self
        ]

    def __iter__(self) -> Iterator[CatalogueTool]:
        return iter(self._tools.values())

    def find(self, name: str) -> CatalogueTool:
        """Return a tool. Raises `ToolError` (code `unknown_tool`): models do invent names."""
        tool = self._tools.get(name)
        if tool is None:
            known = ", ".join(sorted(self._tools)) or "none"
            raise ToolError(f"there is no such tool; the tools are: {known}", permanent=True, code="unknown_tool")
        return tool


def _own(agent: Agent) -> Iterator[CatalogueTool]:
    for tool in agent.tools:
        yield catalogue_tool(tool.name, ToolKind.WEBHOOK, tool.description, tool.parameters, tool, tool)


def _built_in(agent: Agent) -> Iterator[CatalogueTool]:
    for function in agent.built_in():
        name = str(function["name"])
        kind, policy = (ToolKind.LOCAL, LOCAL_POLICY) if name in LOCAL else (ToolKind.BUILTIN, BUILT_IN_POLICY)
        yield catalogue_tool(name, kind, str(function["description"]), function["parameters"], policy)


def parse_arguments(tool: CatalogueTool, text: str, known: Mapping[str, object] | None = None) -> dict[str, object]:
    """Return the arguments of a call: what the model wrote, within its bounds, and what the file fixes; they fit the
    tool's schema.

    `known` are the values that fixed arguments may name. Raises `ToolError` (code `bad_arguments`, `bounds` or
    `not_known`) with a message from which the model can repair its call. The message may quote what the caller said:
    tell it to the model, do not log it.
    """
    bounds = tool.policy.bounds
    written = _object(text)
    check_bounds(tool.parameters, bounds, written)
    arguments = put_fixed(tool.parameters, bounds, written, known or {})
    violations = []
    for violation in tool.validator.iter_errors(arguments):
        where = ".".join(str(part) for part in violation.instance_path)
        violations.append((f"{where}: " if where else "") + violation.message[:MAX_VIOLATION_CHARS])
        if len(violations) == MAX_VIOLATIONS:
            break
    if violations:
        _refuse(f"the arguments do not fit the tool's schema: {'; '.join(violations)}")
    return arguments


def _object(text: str) -> dict[str, object]:
    if len(text.encode(errors="replace")) > MAX_ARGUMENTS_BYTES:
        _refuse(f"the arguments are over {MAX_ARGUMENTS_BYTES // 1024} KiB; send less")
    try:
        arguments = parse_json(text) if text.strip() else {}  # a call without parameters may come as ""
    except ValueError as error:
        _refuse(f"the arguments are not valid JSON ({error}); send one JSON object")
    try:
        json.dumps(arguments, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        _refuse("the arguments hold half a surrogate pair, which is no text; write whole characters")
    if not isinstance(arguments, dict):
        _refuse(f"the arguments must be one JSON object, not {type(arguments).__name__}")
    return arguments


def parse_json(text: str | bytes) -> object:
    """Parse strict JSON from outside. Raises `ValueError` with a short reason, also for depth and NaN."""
    try:
        return json.loads(text, parse_constant=_no_constant, parse_float=_finite)
    except json.JSONDecodeError as error:
        raise ValueError(f"{error.msg.lower()} at character {error.pos}") from None
    except UnicodeDecodeError:
        raise ValueError("not UTF-8") from None
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number is out of range")
    return number


def _refuse(message: str) -> NoReturn:
    raise ToolError(message, code="bad_arguments")


def _compiled(schema: dict[str, object]) -> ArgumentsValidator:
    # offline: a $ref to the network must not make us fetch anything. The agents file was checked the same way.
    return jsonschema_rs.validator_for(schema, offline=True)
