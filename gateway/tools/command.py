"""`gateway tools`: what an agent's model is offered, and what a document would give. Each returns its exit code."""

import asyncio
import difflib
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from pydantic import ValidationError
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gateway.agents import Agent, AgentsFile, load_agents
from gateway.agents.imports import OpenApi
from gateway.agents.tool import Tool
from gateway.config import load_settings
from gateway.errors import ConfigError
from gateway.tools.catalogue import Catalogue, CatalogueTool
from gateway.tools.limits import shown
from gateway.tools.mcp import McpServers, McpTarget
from gateway.tools.netguard import NetGuard
from gateway.tools.openapi import Note, Operation, read_operations

__all__ = ["import_document", "list_tools"]

PIPE_WIDTH = 1000
"""Columns used where the output is no terminal, so that a file or a pipe gets whole lines."""


def list_tools(agent_name: str, *, start_servers: bool = True, as_json: bool = False) -> int:
    """Print what an agent's model is offered. Raises `ConfigError`.

    With `start_servers` its MCP servers are started and asked; without, their tools are missing.
    """
    settings = load_settings()
    agents = load_agents(settings.agents_file)
    agent = _agent(agents, agent_name)
    imported: list[CatalogueTool] = []
    left_out: list[Note] = []
    noted: list[Note] = []
    for section in agent.openapi:
        found = read_operations(section, agents.folder)
        imported += found.tools
        left_out += found.skipped
        noted += found.notes
    if agent.mcp and start_servers:
        guard = NetGuard(settings.webhook_allow_cidrs, allow_loopback=settings.development)
        imported += asyncio.run(_served(agent, guard, agents.folder))
    elif agent.mcp:
        names = ", ".join(section.name for section in agent.mcp)
        noted.append(Note("*", f"the tools of MCP servers are not listed: {names}"))
    tools = list(Catalogue(agent, imported))
    _print({"agent": agent.name}, tools, left_out, noted, as_json=as_json)
    return 0


def import_document(document: Path, tags: Sequence[str] = (), *, as_json: bool = False) -> int:
    """Print the functions that a document gives, and what it does not give and why. Raises `ConfigError`."""
    if document.is_dir():
        raise ConfigError(f"{document} is a folder; name the file of the document in it")
    try:
        section = OpenApi(document=document.name, tags=tuple(tags) or None)
    except ValidationError as error:
        reason = error.errors(include_url=False, include_input=False)[0]["msg"].removeprefix("Value error, ")
        raise ConfigError(f"{document}: {reason}") from None
    found = read_operations(section, document.parent, server_needed=False)
    _print({"document": str(document)}, found.tools, found.skipped, found.notes, as_json=as_json)
    return 0


def _agent(agents: AgentsFile, name: str) -> Agent:
    agent = agents.agents.get(name)
    if agent is None:
        close = difflib.get_close_matches(name, agents.agents, 1, 0.5)
        hint = f"did you mean {close[0]!r}?" if close else f"there are: {', '.join(agents.agents)}"
        raise ConfigError(f"there is no agent {name[:64]!r}; {hint}")
    return agent


async def _served(agent: Agent, guard: NetGuard, folder: Path) -> list[CatalogueTool]:
    async with McpServers({agent.name: agent.mcp}, guard, base=folder) as servers:
        return servers.tools(agent.name)


def _print(
    about: Mapping[str, str],
    tools: Sequence[CatalogueTool],
    left_out: Sequence[Note],
    noted: Sequence[Note],
    *,
    as_json: bool,
) -> None:
    if as_json:
        document = {
            **about,
            "tools": [_facts(tool) for tool in tools],
            "skipped": [{"operation": note.operation, "why": note.text} for note in left_out],
            "notes": [{"operation": note.operation, "text": note.text} for note in noted],
        }
        sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
        return
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = PIPE_WIDTH
    table = Table("function", "origin", "effect", "limits", "parameters", box=None)
    for tool in tools:
        parameters = ", ".join(_parameters(tool))
        cells = (tool.name, _origin(tool), _effect(tool), ", ".join(_limits(tool)), parameters)
        table.add_row(*(Text(_printable(cell)) for cell in cells))
    console.print(table)
    _print_notes(console, "not offered", left_out)
    _print_notes(console, "to note", noted)


def _print_notes(console: Console, title: str, notes: Iterable[Note]) -> None:
    for note in notes:
        console.print(Text.assemble(f"{title}: ", (_printable(note.operation), "bold"), f": {_printable(note.text)}"))


def _printable(text: str) -> str:
    """Return text of a document without what a terminal would obey."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)


def _facts(tool: CatalogueTool) -> dict[str, object]:
    policy = tool.policy
    return {
        "name": tool.name,
        "kind": tool.kind.value,
        "origin": _origin(tool),
        "description": tool.description,
        "effect": policy.effect,
        "idempotent": policy.idempotent,
        "timeout_s": policy.timeout_s,
        "requires_confirmation": policy.requires_confirmation,
        "limits": policy.limits.model_dump(),
        "bounds": sorted(policy.bounds),
        "parameters": shown(tool.parameters, policy.bounds),
    }


def _origin(tool: CatalogueTool) -> str:
    match tool.target:
        case Operation() as operation:
            return f"{operation.method} {operation.server}{operation.path}"
        case Tool() as webhook:
            return f"webhook {webhook.url}"
        case McpTarget() as there:
            return f"mcp {there.server_name}: {there.tool_name}"
        case _:
            return tool.kind.value


def _effect(tool: CatalogueTool) -> str:
    policy = tool.policy
    return "write, idempotent" if policy.effect == "write" and policy.idempotent else policy.effect


def _limits(tool: CatalogueTool) -> list[str]:
    policy = tool.policy
    limits = [f"{policy.timeout_s:g} s"]
    if policy.limits.per_call is not None:
        limits.append(f"{policy.limits.per_call} per call")
    if policy.limits.per_caller is not None:
        limits.append(f"{policy.limits.per_caller} per caller in {policy.limits.per_caller_s} s")
    if policy.requires_confirmation:
        limits.append(f"confirmed ({policy.requires_confirmation})")
    return limits + [f"{name} bounded" for name, bound in policy.bounds.items() if bound.fixed is None]


def _parameters(tool: CatalogueTool) -> list[str]:
    """Return `name` for what may be left out and `name*` for what is needed, as the model sees it."""
    schema = shown(tool.parameters, tool.policy.bounds)
    properties, required = schema.get("properties"), schema.get("required")
    needed = required if isinstance(required, list) else []
    return [f"{name}*" if name in needed else name for name in properties] if isinstance(properties, Mapping) else []
