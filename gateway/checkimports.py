"""The part of `gateway check` about functions from elsewhere: documents that are read, MCP servers that are started."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gateway.agents import Agent, AgentsFile, Mcp, OpenApi
from gateway.errors import ConfigError
from gateway.findings import CheckResult, Finding, quote, run_check
from gateway.tools.catalogue import Catalogue, CatalogueTool
from gateway.tools.mcp import McpServers
from gateway.tools.netguard import NetGuard
from gateway.tools.openapi import Note, Operation, read_operations

__all__ = ["ImportedTools", "check_imports"]

STOP_S = 10.0
"""What an MCP server may take to stop, beside its `start_s`."""
MAX_NOTES = 3
MAX_FUNCTIONS = 128
"""What the Realtime API takes."""


@dataclass(slots=True)
class ImportedTools:
    """What documents and servers gave, for the checks that follow."""

    catalogues: dict[str, Catalogue] = field(default_factory=dict)
    """By the agent's name; not there for one whose tools are not sound together."""
    servers: list[tuple[str, str]] = field(default_factory=list)
    """Addresses that documents name, each behind who names it."""


async def check_imports(
    agents: AgentsFile, guard: NetGuard, *, network: bool
) -> tuple[list[CheckResult], ImportedTools]:
    """Read every document, start and stop every MCP server (only with `network`), and put the tools together."""
    results: list[CheckResult] = []
    found = ImportedTools()
    started: dict[str, tuple[CheckResult, list[CatalogueTool]]] = {}
    for agent in agents.agents.values():
        tools: list[CatalogueTool] = []
        for index, document in enumerate(agent.openapi):
            place = f"{agent.name}/openapi[{index}]"
            results.append(await run_check(f"document of {place}", _read(document, agents.folder, tools)))
        found.servers += _servers(agent, tools)
        for section in agent.mcp if network else ():
            key = section.model_dump_json()
            if key not in started:  # agents may share one
                started[key] = await _server(section, guard, agents.folder, f"server {agent.name}/{section.name}")
                results.append(started[key][0])
            tools += started[key][1]
        results += _together(agent, tools, found)
    return results, found


async def _read(section: OpenApi, folder: Path, tools: list[CatalogueTool]) -> str:
    try:
        imported = await asyncio.to_thread(read_operations, section, folder)
    except ConfigError as error:
        raise Finding(quote(error), f"correct the document, or its section; {section.document} is meant") from None
    tools += imported.tools
    detail = f"functions: {len(imported.tools)}"
    if not imported.tools:
        fix = "choose some by `tags` or `operations`, or take the section out"
        raise Finding(f"{detail}{_noted('; left out', imported.skipped)}", fix, warning=True)
    if imported.skipped or imported.notes:
        fix = "name what you need in `operations` to see why it fails, and what you do not in `exclude`; else see to it"
        noted = _noted("; left out", imported.skipped) + _noted("; noted", imported.notes)
        raise Finding(detail + noted, fix, warning=True)
    return detail


def _noted(what: str, notes: Sequence[Note]) -> str:
    if not notes:
        return ""
    shown = "; ".join(f"{quote(note.operation)}: {quote(note.text)}" for note in notes[:MAX_NOTES])
    more = f"; and {len(notes) - MAX_NOTES} more" if len(notes) > MAX_NOTES else ""
    return f"{what} ({len(notes)}): {shown}{more}"


async def _server(section: Mcp, guard: NetGuard, folder: Path, name: str) -> tuple[CheckResult, list[CatalogueTool]]:
    tools: list[CatalogueTool] = []
    check = _start(section, guard, folder, tools)
    return await run_check(name, check, limit_s=section.start_s + STOP_S), tools


async def _start(section: Mcp, guard: NetGuard, folder: Path, tools: list[CatalogueTool]) -> str:
    try:
        async with McpServers({section.name: [section]}, guard, base=folder) as servers:
            tools += servers.tools(section.name)
    except ConfigError as error:
        raise Finding(quote(error), "start it by hand as the section says, or correct the section") from None
    if not tools:
        raise Finding("functions: 0", "name its tools in `tools`, or take the section out", warning=True)
    return f"functions: {len(tools)}"


def _servers(agent: Agent, tools: Sequence[CatalogueTool]) -> Iterator[tuple[str, str]]:
    """Yield addresses that stand in documents only."""
    named = {section.server.rstrip("/") for section in agent.openapi if section.server is not None}
    operations = [tool.target for tool in tools if isinstance(tool.target, Operation)]
    for server in dict.fromkeys(operation.server for operation in operations):
        if server not in named:
            yield f"a document of {agent.name}", server


def _together(agent: Agent, tools: Sequence[CatalogueTool], found: ImportedTools) -> Iterator[CheckResult]:
    try:
        found.catalogues[agent.name] = Catalogue(agent, tools)
    except ConfigError as error:
        fix = "give one of them another name in the agents file, or correct what it says"
        yield CheckResult(f"tools of {agent.name}", False, quote(error), fix)
        return
    count = len(found.catalogues[agent.name].functions())
    if count > MAX_FUNCTIONS:
        fix = "choose by `tags`, `operations` or `tools`; a model does best with a dozen"
        yield CheckResult(
            f"tools of {agent.name}", False, f"functions: {count}, and the API takes {MAX_FUNCTIONS}", fix
        )
