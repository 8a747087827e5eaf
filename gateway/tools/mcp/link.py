"""One connection to an MCP server, from the handshake to its loss: the only place that uses the library's client."""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import mcp_types
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client
from mcp.client.subscriptions import ListenNotSupportedError, SubscriptionLost
from pydantic import TypeAdapter, ValidationError

from gateway.agents import resolve_secret
from gateway.agents.imports import Mcp
from gateway.errors import ConfigError
from gateway.tools.mcp.faults import Fault, McpFault
from gateway.tools.mcp.http import mcp_client
from gateway.tools.mcp.listing import OfferedTool
from gateway.tools.mcp.stdio import Command, stdio_transport
from gateway.tools.netguard import GuardedTransport, NetGuard

__all__ = ["Link", "hung_up", "open_link", "start_problem"]

log = logging.getLogger(__name__)

INHERITED = ("PATH", "HOME")
MAX_PAGES = 20
MAX_TOOLS = 1000
MAX_TOLD_CHARS = 1000
"""Longest error text of a server that is passed on to the model."""
MAX_EVENT_BYTES = 1024 * 1024
NAME = "voice-agent-gateway"
VERSION = "1"

# What the protocol says to mean that the request was not carried out. PARSE_ERROR is not among them: the library also
# says it of an answer that it cannot read itself.
NOT_DONE = frozenset(
    {
        mcp_types.INVALID_REQUEST,
        mcp_types.METHOD_NOT_FOUND,
        mcp_types.INVALID_PARAMS,
        mcp_types.HEADER_MISMATCH,
        mcp_types.UNSUPPORTED_PROTOCOL_VERSION,
        mcp_types.URL_ELICITATION_REQUIRED,
    }
)
RESULT: TypeAdapter[mcp_types.CallToolResult | mcp_types.InputRequiredResult] = TypeAdapter(
    mcp_types.CallToolResult | mcp_types.InputRequiredResult
)


class Link:
    """A server that has been greeted. Use it from the task that opened it, and from tasks inside of it."""

    def __init__(self, client: Client, lost: asyncio.Event) -> None:
        self._client = client
        self.lost = lost
        """Set when it can carry no more calls."""

    async def tools(self) -> list[OfferedTool]:
        """Return what the server offers. Raises `MCPError`, `ValidationError`; `ConfigError` for endless lists."""
        offered: list[OfferedTool] = []
        cursor: str | None = None
        for _ in range(MAX_PAGES):
            params = mcp_types.PaginatedRequestParams(cursor=cursor) if cursor else None
            page = await self._client.session.list_tools(params=params)
            offered += map(_offered, page.tools)
            cursor = page.next_cursor
            if not cursor:
                return offered
            if len(offered) > MAX_TOOLS:
                break
        raise ConfigError(f"its list of tools does not end ({len(offered)} so far)")

    async def call(
        self, tool: str, arguments: Mapping[str, object], meta: Mapping[str, object]
    ) -> Mapping[str, object] | McpFault:
        """Call a tool, once. The result is the wire's `CallToolResult`. Raises nothing but cancellation.

        The library would check structured content against the server's own schema, with patterns that can take for
        ever; nobody here relies on its form.
        """
        if self.lost.is_set():
            return McpFault(Fault.NOT_SENT, "the server is not running")
        fields: dict[str, Any] = {"name": tool, "arguments": dict(arguments), "_meta": dict(meta)}
        request = mcp_types.CallToolRequest(params=mcp_types.CallToolRequestParams(**fields))
        try:
            result = await self._client.session.send_request(request, RESULT)
        except MCPError as error:
            return self._fault(error)
        except ValidationError:
            return McpFault(Fault.BROKEN, "the answer is no result of a tool")
        except OSError as error:
            self.lost.set()
            return McpFault(Fault.LOST, f"connection failed: {type(error).__name__}")
        if isinstance(result, mcp_types.InputRequiredResult):
            return McpFault(Fault.REFUSED, "the server asks for input of its own, which a call cannot give")
        return result.model_dump(mode="json", by_alias=True, exclude_none=True)

    async def watch_tools(self, changed: Callable[[], None]) -> None:
        """Ask to be told of changes where the protocol wants that asked (2026-07-28); returns when there is nobody."""
        try:
            async with self._client.listen(tools_list_changed=True) as subscription:
                async for _ in subscription:
                    changed()
        except (ListenNotSupportedError, SubscriptionLost, MCPError, ValidationError, OSError):
            pass

    def _fault(self, error: MCPError) -> McpFault:
        data = error.data if isinstance(error.data, dict) else {}
        if error.code == mcp_types.CONNECTION_CLOSED:
            return McpFault(Fault.LOST, "the connection ended before the answer")
        try:
            fault = Fault(error.code)
        except ValueError:
            told = error.message[:MAX_TOLD_CHARS]
            if error.code in NOT_DONE:
                return McpFault(Fault.REFUSED, f"error {error.code}", told)
            return McpFault(Fault.BROKEN, f"error {error.code}", told)
        if data.get("session_gone"):
            self.lost.set()
        after = data.get("retry_after_s")
        return McpFault(fault, error.message, retry_after_s=after if isinstance(after, int | float) else None)


@asynccontextmanager
async def open_link(
    section: Mcp, guard: NetGuard, base: Path, changed: Callable[[], None], *, older: bool = False
) -> AsyncIterator[Link]:
    """Connect, greet, and yield; afterwards nothing is left. `changed` is called when the server's list changes.

    `older` begins with the older greeting (`initialize`), which is otherwise tried where the newer one is refused.
    Raises whatever fails; `start_problem` makes a sentence of it. Enter and leave it in one task.
    """
    lost = asyncio.Event()

    async def heed(message: object) -> None:
        if isinstance(message, mcp_types.ToolListChangedNotification):
            changed()

    client = Client(
        _transport(section, guard, base, lost),
        mode="legacy" if older else "auto",
        cache=None,
        message_handler=heed,
        client_info=mcp_types.Implementation(name=NAME, version=VERSION),
    )
    async with client:
        yield Link(client, lost)


def hung_up(error: BaseException) -> bool:
    """Tell whether a server ended the connection in place of an answer, as some do at a greeting new to them."""
    if isinstance(error, BaseExceptionGroup):
        return hung_up(error.exceptions[0])
    return isinstance(error, MCPError) and error.code == mcp_types.CONNECTION_CLOSED


def start_problem(error: BaseException) -> str:
    """Say in words for the operator why a server did not start; "" when that is not known."""
    match error:
        case BaseExceptionGroup():
            return start_problem(error.exceptions[0])
        case TimeoutError():
            return "it did not tell its tools in time"
        case FileNotFoundError():
            return "the command or its folder is not there"
        case OSError():
            return f"the command cannot be run ({error.strerror or type(error).__name__})"
        case MCPError() if hung_up(error):
            return "it ended, or closed the connection, before it told its tools (log level debug shows its output)"
        case MCPError():
            return error.message.split("\n")[0][:MAX_TOLD_CHARS] or f"error {error.code}"
        case ValidationError():
            return "its answer cannot be read"
        case ConfigError():
            return str(error)
        case _:
            return ""


def _transport(section: Mcp, guard: NetGuard, base: Path, lost: asyncio.Event) -> AbstractAsyncContextManager[Any]:
    if section.url is not None:
        return _http(section, section.url, guard)
    assert section.command is not None
    inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
    given = {
        name: resolve_secret(text).get_secret_value() if name in section.env_secrets else text
        for name, text in section.env.items()
    }
    command = Command(section.name, [section.command, *section.args], inherited | given, base / (section.cwd or Path()))
    return stdio_transport(command, lost)


@asynccontextmanager
async def _http(section: Mcp, url: str, guard: NetGuard) -> AsyncIterator[Any]:
    async with (
        mcp_client(GuardedTransport(guard), section.headers, section.auth) as client,
        streamable_http_client(url, http_client=client, max_sse_event_size=MAX_EVENT_BYTES) as streams,
    ):
        yield streams


def _offered(tool: mcp_types.Tool) -> OfferedTool:
    hints = tool.annotations or mcp_types.ToolAnnotations()
    return OfferedTool(
        name=tool.name,
        description=tool.description or "",
        schema=tool.input_schema,
        read_only=hints.read_only_hint is True,
        destructive=hints.destructive_hint is True and hints.read_only_hint is not True,
        idempotent=hints.idempotent_hint is True,
        title=tool.title or hints.title or "",
    )
