"""The tools an MCP server offers, made into tools of the catalogue. Pure: what the server says is not trusted.

A tool that cannot be offered is left out with a sentence for the operator. If the agents file names it, that sentence
is a `ConfigError` instead: whoever lists a tool counts on it.
"""

import hashlib
import json
import logging
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from gateway.agents.functions import BUILT_IN
from gateway.agents.imports import ImportedTool, Mcp
from gateway.agents.policy import ToolPolicy
from gateway.errors import ConfigError
from gateway.tools.catalogue import CatalogueTool, ToolKind, catalogue_tool

__all__ = ["McpTarget", "OfferedTool", "catalogue_tools", "fingerprint", "fitting_names"]

log = logging.getLogger(__name__)

MAX_NAME_CHARS = 64
MAX_DESCRIPTION_CHARS = 4000
"""As for a tool of the agents file; each is read by the model on every turn."""
MAX_SCHEMA_BYTES = 32 * 1024
MAX_SCHEMA_DEPTH = 64
NOT_AT_THE_TOP = ("oneOf", "anyOf", "allOf", "enum", "not")
"""The API refuses a function whose parameters have one of these at the root, and with it the whole session."""


@dataclass(slots=True, frozen=True)
class McpTarget:
    """Which tool of which server a catalogue's tool is."""

    server: str
    """Key of the server in `McpServers`."""
    tool_name: str
    """Its name there."""
    server_name: str = ""
    """The server's name in the agents file, for people."""


@dataclass(slots=True, frozen=True)
class OfferedTool:
    """A tool as its server describes it."""

    name: str
    description: str
    schema: Mapping[str, object]
    read_only: bool = False
    destructive: bool = False
    idempotent: bool = False
    title: str = field(default="", compare=False)


class _Unusable(Exception):
    """A sentence for the operator."""


def catalogue_tools(section: Mcp, key: str, offered: Sequence[OfferedTool]) -> list[CatalogueTool]:
    """Return what a server's section makes of its tools, in the server's order. Raises `ConfigError`.

    `key` is the server's in `McpServers`.
    """
    known = list({tool.name: tool for tool in offered}.values())
    _require_listed(section, known)
    chosen = [tool for tool in known if section.offers(tool.name)]
    names = fitting_names(section.prefix, (tool.name for tool in chosen if _own(section, tool).name is None))
    tools = []
    for tool in chosen:
        own = _own(section, tool)
        try:
            tools.append(
                _catalogue_tool(section, McpTarget(key, tool.name, section.name), tool, own.name or names[tool.name])
            )
        except (_Unusable, ConfigError) as error:
            sentence = f"MCP server {section.name}, tool {tool.name[:200]!r}: {error}"
            if section.tools is not None or tool.name in section.overrides:
                raise ConfigError(sentence) from None
            log.warning("%s; it is left out", sentence)
    return tools


def fitting_names(prefix: str, names: Iterable[str]) -> dict[str, str]:
    """Return a name the API takes (64 of a-z, A-Z, 0-9, _ and -) for each name, all different.

    A name that had to be changed and would be taken, or cut, ends in a hash of the whole: so no name depends on the
    order in which a server lists its tools, which may differ after a restart.
    """
    listed = list(names)
    plain = {name: prefix + re.sub(r"[^a-zA-Z0-9_-]", "_", name) for name in listed}
    taken = Counter(plain.values())
    return {
        name: _marked(name, fit)
        if len(fit) > MAX_NAME_CHARS or not fit or (taken[fit] > 1 and fit != prefix + name)
        else fit
        for name, fit in plain.items()
    }


def fingerprint(offered: Sequence[OfferedTool]) -> str:
    """Return a hash of what a server offers; order does not matter."""
    listed = sorted(
        json.dumps(
            [tool.name, tool.description, tool.schema, tool.read_only, tool.destructive, tool.idempotent],
            sort_keys=True,
            default=str,
        )
        for tool in offered
    )
    return hashlib.sha256("\n".join(listed).encode(errors="replace")).hexdigest()


def _marked(name: str, fit: str) -> str:
    mark = hashlib.sha256(name.encode(errors="replace")).hexdigest()[:8]
    return f"{fit[: MAX_NAME_CHARS - len(mark) - 1]}_{mark}"


def _own(section: Mcp, tool: OfferedTool) -> ImportedTool:
    return section.overrides.get(tool.name) or ImportedTool()


def _require_listed(section: Mcp, known: Sequence[OfferedTool]) -> None:
    there = {tool.name for tool in known}
    for name in (*(section.tools or ()), *section.overrides):
        if name not in there:
            listed = ", ".join(sorted(there)[:50])[:2000] or "none"
            raise ConfigError(f"MCP server {section.name} has no tool {name!r}; its tools are: {listed}")


def _catalogue_tool(section: Mcp, target: McpTarget, tool: OfferedTool, name: str) -> CatalogueTool:
    if tool.destructive and section.tools is None:
        raise _Unusable("its server calls it destructive; name it under `tools` to offer it")
    if name in BUILT_IN:
        raise _Unusable(f"{name!r} is built in; give the server a prefix or the tool another name")
    _check_schema(tool.schema)
    policy = section.policy(tool.name, _suggested(tool))
    described = _own(section, tool).description or _description(tool)
    return catalogue_tool(name, ToolKind.MCP, described, tool.schema, policy, target)


def _suggested(tool: OfferedTool) -> ToolPolicy:
    if tool.read_only:
        return ToolPolicy(effect="read")
    return ToolPolicy(effect="write", idempotent=tool.idempotent)


def _description(tool: OfferedTool) -> str:
    text = "".join(char for char in tool.description if char.isprintable() or char in "\n\t").strip()
    text = text or tool.title or tool.name
    return text if len(text) <= MAX_DESCRIPTION_CHARS else text[: MAX_DESCRIPTION_CHARS - 1] + "…"


def _check_schema(schema: Mapping[str, object]) -> None:
    if schema.get("type") != "object":
        raise _Unusable("its inputSchema is not of type: object")
    at_the_top = [key for key in NOT_AT_THE_TOP if key in schema]
    if at_the_top:
        raise _Unusable(f"its inputSchema has {at_the_top[0]} at the root, which the Realtime API refuses")
    if _deeper_than(MAX_SCHEMA_DEPTH, schema):
        raise _Unusable(f"its inputSchema is nested deeper than {MAX_SCHEMA_DEPTH}")
    try:
        text = json.dumps(schema, allow_nan=False)
        json.dumps(schema, ensure_ascii=False).encode()
    except ValueError:  # half surrogates, too, cannot be sent on
        raise _Unusable("its inputSchema cannot be written as JSON") from None
    if len(text) > MAX_SCHEMA_BYTES:
        raise _Unusable(f"its inputSchema is over {MAX_SCHEMA_BYTES // 1024} KiB")


def _deeper_than(depth: int, schema: object) -> bool:
    level: list[object] = [schema]
    for _ in range(depth):
        level = [
            inner
            for value in level
            for inner in (value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ())
        ]
    return bool(level)
