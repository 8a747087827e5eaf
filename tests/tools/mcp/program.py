"""A real MCP server for tests: the shop of an imaginary business. Each call it gets is a line in its journal, so that a
test can ask what was really done, also after the server was killed.

    python program.py JOURNAL                 over standard input and output
    python program.py JOURNAL http [PORT]     over Streamable HTTP; the port is the first line it prints
"""

import asyncio
import json
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import uvicorn
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import AudioContent, CallToolResult, ImageContent, TextContent, ToolAnnotations

READ = ToolAnnotations(read_only_hint=True)
NEVER_S = 3600.0
Ctx = Context[Any, Any]


class Shop:
    """What the server does; the docstrings are what models are told."""

    def __init__(self, journal: Path) -> None:
        self.journal = journal
        self.server = MCPServer("shop")
        for plain in (self.lookup, self.fails, self.environment):
            self.server.add_tool(plain, annotations=READ)
        for reading in (self.pictures, self.slow_read, self.dies_once_reading, self.huge):
            self.server.add_tool(reading, annotations=READ, structured_output=False)
        for writing in (self.book, self.slow_write, self.dies_writing, self.grow):
            self.server.add_tool(writing, structured_output=False)
        once = ToolAnnotations(idempotent_hint=True)
        self.server.add_tool(self.dies_once_writing, annotations=once, structured_output=False)
        wild = ToolAnnotations(destructive_hint=True)
        self.server.add_tool(self.wipe, annotations=wild, structured_output=False)
        self.server.add_tool(self.odd, name="größe/prüfen", annotations=READ, structured_output=False)

    def note(self, ctx: Ctx, name: str, **arguments: object) -> int:
        """Write a call down; return how many of this name there have been."""
        meta = {key: value for key, value in dict(ctx.request_context.meta or {}).items() if "/" not in key}
        with self.journal.open("a") as file:
            file.write(json.dumps({"tool": name, "arguments": arguments, "meta": meta}) + "\n")
        return sum(json.loads(line)["tool"] == name for line in self.journal.read_text().splitlines())

    def lookup(self, order_id: str, ctx: Ctx) -> dict[str, Any]:
        """Look up an order."""
        self.note(ctx, "lookup", order_id=order_id)
        return {"order_id": order_id, "to": "Zoë, Αθήνα 🚚", "note": None}

    def book(self, day: str, ctx: Ctx, guests: int | None = 2) -> str:
        """Book a table."""
        self.note(ctx, "book", day=day, guests=guests)
        return f"booked for {day}"

    def fails(self, ctx: Ctx) -> str:
        """Fail."""
        raise ToolError("no such order")

    def environment(self) -> dict[str, str]:
        """Tell the environment."""
        return dict(os.environ)

    def pictures(self, ctx: Ctx) -> CallToolResult:
        """Show pictures."""
        return CallToolResult(
            content=[
                TextContent(type="text", text="here"),
                ImageContent(type="image", data="aGk=", mime_type="image/png"),
                AudioContent(type="audio", data="aGk=", mime_type="audio/wav"),
            ]
        )

    async def slow_read(self, ctx: Ctx) -> str:
        """Take for ever."""
        self.note(ctx, "slow_read")
        await asyncio.sleep(NEVER_S)
        return "never"

    async def slow_write(self, ctx: Ctx) -> str:
        """Take for ever."""
        self.note(ctx, "slow_write")
        await asyncio.sleep(NEVER_S)
        return "never"

    def dies_once_reading(self, ctx: Ctx) -> str:
        """Die in mid-call, the first time."""
        if self.note(ctx, "dies_once_reading") == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return "second time"

    def dies_writing(self, ctx: Ctx) -> str:
        """Die in mid-call."""
        self.note(ctx, "dies_writing")
        os.kill(os.getpid(), signal.SIGKILL)
        return "never"

    def dies_once_writing(self, ctx: Ctx) -> str:
        """Die in mid-call, the first time."""
        if self.note(ctx, "dies_once_writing") == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return "done"

    def huge(self, size: int, ctx: Ctx) -> str:
        """Answer at length."""
        self.note(ctx, "huge")
        return "x" * size

    def odd(self) -> str:
        """Have an odd name."""
        return "ok"

    def wipe(self) -> str:
        """Delete everything."""
        return "gone"

    async def grow(self, ctx: Ctx) -> str:
        """Add a tool, and say so."""
        self.server.add_tool(self.odd, name="grown")
        await ctx.notify_tools_changed()
        return "grown"


def serve_http(shop: Shop, port: int) -> None:
    listening = socket.create_server(("127.0.0.1", port))
    config = uvicorn.Config(shop.server.streamable_http_app(), log_level="warning")
    print(listening.getsockname()[1], flush=True)  # noqa: T201  how the test learns the port
    asyncio.run(uvicorn.Server(config).serve([listening]))


if __name__ == "__main__":
    if "http" in sys.argv:
        serve_http(Shop(Path(sys.argv[1])), int(sys.argv[3]) if len(sys.argv) > 3 else 0)
    else:
        print("shop is open", file=sys.stderr, flush=True)  # noqa: T201  what the gateway logs
        Shop(Path(sys.argv[1])).server.run()
