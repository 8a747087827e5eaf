"""What the tests of MCP servers share."""

import asyncio
import json
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import uvicorn

from gateway.agents.imports import Mcp
from gateway.tools.mcp import McpInvoker, McpServers
from gateway.tools.netguard import NetGuard
from gateway.tools.request import CallFacts, ToolOutcome, ToolRequest

from .program import Shop

HERE = Path(__file__).parent
CALL = CallFacts("call-1", "support", "inbound", "+14155550123", "+14155550199", {"tier": "gold"}, "twilio", "CA1")


def section(**fields: Any) -> Mcp:
    return Mcp.model_validate({"name": "shop", "start_s": 30} | fields)


def shop_program(journal: Path, **fields: Any) -> Mcp:
    return section(command=sys.executable, args=[str(HERE / "program.py"), str(journal)], **fields)


def raw_program(how: str, *more: str, **fields: Any) -> Mcp:
    return section(command=sys.executable, args=["-S", str(HERE / "raw.py"), how, *more], **fields)


class Stage:
    """The servers of one agent, and calls of their tools."""

    def __init__(self, servers: McpServers) -> None:
        self.servers = servers
        self.tools = {tool.name: tool for tool in servers.tools("support")}
        self._invoker = McpInvoker(servers)

    async def call(self, name: str, **arguments: object) -> ToolOutcome:
        request = ToolRequest(CALL, self.tools[name], f"call_{name}", arguments)
        return await self._invoker.invoke(request)


@asynccontextmanager
async def stage(*sections: Mcp, guard: NetGuard | None = None) -> AsyncIterator[Stage]:
    async with McpServers({"support": sections}, guard or NetGuard(allow_loopback=True)) as servers:
        yield Stage(servers)


@asynccontextmanager
async def shop_over_http(journal: Path, **options: Any) -> AsyncIterator[str]:
    """Serve the shop on a real socket, in this process; yields its URL."""
    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(Shop(journal).server.streamable_http_app(**options), log_config=None, lifespan="on")
    config.timeout_graceful_shutdown = 1
    server = uvicorn.Server(config)
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    async with asyncio.TaskGroup() as group:
        group.create_task(server._serve([listening]))
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}/mcp"
        finally:
            server.should_exit = True


def journal_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def told(outcome: ToolOutcome) -> str:
    """What the model reads of a failure."""
    assert not outcome.ok
    return str(json.loads(outcome.output)["error"]["message"])
