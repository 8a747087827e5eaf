"""A business's server on loopback: records raw requests and answers with whatever bytes a test wants."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

Reply = Callable[[asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Received:
    """One request as it came."""

    line: str
    headers: dict[str, str]
    body: str


@dataclass
class Business:
    """The running server; `received` grows with each request."""

    port: int = 0
    received: list[Received] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/orders"


@asynccontextmanager
async def business(reply: Reply) -> AsyncIterator[Business]:
    """Serve until the block ends; each connection gets one request answered by `reply`, then is closed."""
    state = Business()
    open_now: set[asyncio.StreamWriter] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_now.add(writer)
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = {
                name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)
            }
            body = (await reader.readexactly(int(headers.get("content-length", "0")))).decode()
            state.received.append(Received(head[0], headers, body))
            await reply(writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            open_now.discard(writer)
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    state.port = server.sockets[0].getsockname()[1]
    async with server:
        yield state
        # Since 3.12 the server waits for its connections, and a silent reply holds one for ever.
        for writer in open_now:
            writer.transport.abort()


def answer(status: int, body: object, *headers: str, kind: str = "application/json") -> Reply:
    """Return a reply of one complete response; a `bytes` body is sent as it is, anything else as JSON."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()

    async def reply(writer: asyncio.StreamWriter) -> None:
        lines = [f"HTTP/1.1 {status} X", f"content-type: {kind}", f"content-length: {len(raw)}", "connection: close"]
        writer.write("\r\n".join([*lines, *headers, "", ""]).encode() + raw)
        await writer.drain()

    return reply


def in_turn(*replies: Reply) -> Reply:
    """Return a reply that is another one each time; the last stays."""
    left = list(replies)

    async def reply(writer: asyncio.StreamWriter) -> None:
        await (left.pop(0) if len(left) > 1 else left[0])(writer)

    return reply


async def silence(writer: asyncio.StreamWriter) -> None:
    """Accept the request and never answer."""
    await writer.wait_closed()


async def reset(writer: asyncio.StreamWriter) -> None:
    """Break the connection off without an answer."""
    writer.transport.abort()


async def half(writer: asyncio.StreamWriter) -> None:
    """Close in mid-body."""
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{")


async def garbage(writer: asyncio.StreamWriter) -> None:
    """Speak another protocol."""
    writer.write(b"SSH-2.0-OpenSSH_9.6\r\n")


async def endless(writer: asyncio.StreamWriter) -> None:
    """Send a body that never ends, as fast as it is read."""
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"4000\r\n" + b"x" * 0x4000 + b"\r\n")
        await writer.drain()


async def dripping(writer: asyncio.StreamWriter) -> None:
    """Send a body that never ends, a byte at a time."""
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"1\r\n \r\n")
        await writer.drain()
        await asyncio.sleep(0.02)
