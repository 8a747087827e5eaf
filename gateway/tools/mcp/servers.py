"""All MCP servers of the process: started before the first call, stopped after the last."""

import asyncio
import importlib.util
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self

from gateway.agents.imports import Mcp
from gateway.errors import ConfigError
from gateway.tools.catalogue import CatalogueTool
from gateway.tools.mcp.faults import Fault, McpFault
from gateway.tools.mcp.listing import McpTarget, OfferedTool, catalogue_tools
from gateway.tools.netguard import NetGuard

if TYPE_CHECKING:  # needs the package
    from gateway.tools.mcp.server import McpServer

__all__ = ["McpServers"]

log = logging.getLogger(__name__)

MISSING = "agents use MCP servers, and the package for them is not installed: pip install 'voice-agent-gateway[mcp]'"
LIBRARY_LOG = "mcp"
CONNECTION = ("command", "args", "env", "cwd", "url", "headers", "auth")
"""What makes two sections one server."""


class McpServers:
    """The servers of all agents. Use as an async context manager, in one task; needs no package while there are none.

    Sections that are reached in the same way are one server, started once: agents may share it.
    """

    def __init__(self, sections: Mapping[str, Sequence[Mcp]], guard: NetGuard, *, base: Path | None = None) -> None:
        """`sections` by the agent's name; `base` is the folder in which relative folders begin: the agents file's."""
        self._sections = sections
        self._guard = guard
        self._base = base or Path.cwd()
        self._servers: dict[str, McpServer] = {}
        self._offered: dict[str, list[OfferedTool]] = {}
        self._owners = asyncio.TaskGroup()
        self._level = logging.NOTSET

    async def __aenter__(self) -> Self:
        """Start every server. Raises `ConfigError`, a sentence a line, unless all tell their tools in time."""
        starting = self._distinct()
        if not starting:
            return self
        if importlib.util.find_spec("mcp") is None:
            raise ConfigError(MISSING)
        from gateway.tools.mcp.server import McpServer

        # It logs messages whole, which hold what callers said.
        self._level = logging.getLogger(LIBRARY_LOG).level
        logging.getLogger(LIBRARY_LOG).setLevel(logging.CRITICAL)
        await self._owners.__aenter__()
        try:
            for key, section in starting.items():
                self._servers[key] = McpServer(section, self._guard, self._base)
                self._owners.create_task(self._servers[key].run())
            await self._started()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop every server: programs get 2 s each to end by themselves, to heed SIGTERM, and are killed then."""
        if not self._servers:
            return
        for server in self._servers.values():
            server.stop()
        self._servers.clear()
        try:
            await self._owners.__aexit__(None, None, None)
        finally:
            logging.getLogger(LIBRARY_LOG).setLevel(self._level)

    def tools(self, agent: str) -> list[CatalogueTool]:
        """Return what an agent's servers offered at the start, as the agents file wants it. Raises `ConfigError`."""
        tools: list[CatalogueTool] = []
        owners: dict[str, str] = {}
        for section in self._sections.get(agent, ()):
            key = _key(section)
            for tool in catalogue_tools(section, key, self._offered[key]):
                other = owners.setdefault(tool.name, section.name)
                if other != section.name:
                    raise ConfigError(
                        f"agent {agent}: MCP servers {other} and {section.name} both have a tool {tool.name!r}; "
                        "give one of them a prefix"
                    )
                tools.append(tool)
        return tools

    def up(self) -> dict[str, bool]:
        """Return by name which servers can be called now."""
        named = self._distinct()
        return {named[key].name: server.is_up for key, server in self._servers.items()}

    async def wait_up(self, target: McpTarget, patience_s: float) -> bool:
        """Wait for a server that is down; tell whether it can be called now."""
        server = self._servers.get(target.server)
        return server is not None and await server.wait_up(patience_s)

    async def call(
        self, target: McpTarget, arguments: Mapping[str, object], meta: Mapping[str, object]
    ) -> Mapping[str, object] | McpFault:
        """Call a tool once, without a deadline; the result is the wire's `CallToolResult`."""
        server = self._servers.get(target.server)
        if server is None:
            return McpFault(Fault.NOT_SENT, "the server was stopped")
        return await server.call(target.tool_name, arguments, meta)

    def _distinct(self) -> dict[str, Mcp]:
        distinct: dict[str, Mcp] = {}
        for section in (section for sections in self._sections.values() for section in sections):
            patient = distinct.setdefault(_key(section), section)
            if section.start_s > patient.start_s:
                distinct[_key(section)] = section
        return distinct

    async def _started(self) -> None:
        problems = []
        for key, server in self._servers.items():  # they start side by side; this only collects
            try:
                self._offered[key] = await server.offered()
            except ConfigError as error:
                problems.append(str(error))
        if problems:
            raise ConfigError("\n".join(problems))


def _key(section: Mcp) -> str:
    return section.model_dump_json(include=set(CONNECTION))
