"""What one agent's model may call, and whether the arguments it wrote are acceptable."""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import NoReturn, Protocol

import jsonschema_rs

from gateway.agents import Agent, Tool
from gateway.errors import ToolError

__all__ = ["Catalogue", "CatalogueTool", "ToolKind", "parse_arguments", "parse_json"]

MAX_ARGUMENTS_BYTES = 32 * 1024
MAX_VIOLATIONS = 5
"""Schema violations told to the model at once; enough to repair a call in one go."""
MAX_VIOLATION_CHARS = 300


class ToolKind(Enum):
    """Who carries the call out."""

    WEBHOOK = "webhook"
    BUILTIN = "builtin"


class ArgumentsValidator(Protocol):
    """The part of a compiled JSON Schema that is used."""

    def iter_errors(self, instance: object) -> Iterator[jsonschema_rs.ValidationError]:
        """Return every violation."""


@dataclass(slots=True, frozen=True)
class CatalogueTool:
    """One tool, ready to be called."""

    name: str
    kind: ToolKind
    validator: ArgumentsValidator
    webhook: Tool | None = None
    """The agent's entry; None for a built-in."""


class Catalogue:
    """The tools of one agent by name. Build it once per agent: schemas are compiled here."""

    def __init__(self, agent: Agent) -> None:
        self._tools = {
            tool.name: CatalogueTool(tool.name, ToolKind.WEBHOOK, _compiled(tool.parameters), tool)
            for tool in agent.tools
        }
        for function in agent.built_in():
            name = str(function["name"])
            self._tools[name] = CatalogueTool(name, ToolKind.BUILTIN, _compiled(function["parameters"]))

    def __iter__(self) -> Iterator[CatalogueTool]:
        return iter(self._tools.values())

    def find(self, name: str) -> CatalogueTool:
        """Return a tool. Raises `ToolError` (code `unknown_tool`): models do invent names."""
        tool = self._tools.get(name)
        if tool is None:
            known = ", ".join(sorted(self._tools)) or "none"
            raise ToolError(f"there is no such tool; the tools are: {known}", permanent=True, code="unknown_tool")
        return tool


def parse_arguments(tool: CatalogueTool, text: str) -> dict[str, object]:
    """Return the arguments the model wrote, checked against the tool's schema.

    Raises `ToolError` (code `bad_arguments`) with a message from which the model can repair its call. The message may
    quote what the caller said: tell it to the model, do not log it.
    """
    if len(text.encode(errors="replace")) > MAX_ARGUMENTS_BYTES:
        _refuse(f"the arguments are over {MAX_ARGUMENTS_BYTES // 1024} KiB; send less")
    try:
        arguments = parse_json(text) if text.strip() else {}  # a call without parameters may come as ""
    except ValueError as error:
        _refuse(f"the arguments are not valid JSON ({error}); send one JSON object")
    if not isinstance(arguments, dict):
        _refuse(f"the arguments must be one JSON object, not {type(arguments).__name__}")
    violations = []
    for violation in tool.validator.iter_errors(arguments):
        where = ".".join(str(part) for part in violation.instance_path)
        violations.append((f"{where}: " if where else "") + violation.message[:MAX_VIOLATION_CHARS])
        if len(violations) == MAX_VIOLATIONS:
            break
    if violations:
        _refuse(f"the arguments do not fit the tool's schema: {'; '.join(violations)}")
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
