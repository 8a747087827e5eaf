"""One message socket, whatever carries it: a real WebSocket or an in-memory pair.

The model's socket speaks JSON text frames, a carrier's media socket text, binary or both. Code on either side of
them is written against `TextSocket`, so that the same code runs over loopback and, joined by `pipe()`,
on a virtual clock.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Protocol, runtime_checkable

from websockets.asyncio.connection import Connection
from websockets.exceptions import ConnectionClosed

__all__ = ["DIRECT_EXTENSION", "DirectSocket", "PipeEnd", "TextSocket", "WebSocketEnd", "WireClosed", "pipe"]

DIRECT_EXTENSION = "gateway.direct"
"""Key in an ASGI scope's `extensions` under which a host offers the `DirectSocket` of a WebSocket connection."""


class WireClosed(Exception):
    """The socket is closed, by either side; carries the close code (RFC 6455 §7.4) and reason."""

    def __init__(self, code: int = 1006, reason: str = "") -> None:
        super().__init__(f"socket closed: {code} {reason}".rstrip())
        self.code = code
        self.reason = reason


class TextSocket(Protocol):
    """A message socket. One task may receive while another sends."""

    async def receive(self) -> str | bytes:
        """Return the next frame; text as `str`. Raises `WireClosed` once nothing is left to read."""

    async def send(self, frame: str | bytes) -> None:
        """Send one frame: text as `str`. Waits while the peer does not read. Raises `WireClosed`."""

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close; safe to call twice and after the peer closed."""


@runtime_checkable
class DirectSocket(TextSocket, Protocol):
    """A socket that can also do without a task: frames are handed over inside the peer's own call."""

    def send_soon(self, frame: str | bytes) -> bool:
        """Send now if that needs no waiting; False: nothing was sent. Never raises."""

    async def pump(self, take: Callable[[str | bytes], None]) -> "WireClosed":
        """Call `take` with every frame as it comes, until the socket is closed; return how. `take` must not raise."""


class WebSocketEnd:
    """A `websockets` connection, client or server, as a `TextSocket`."""

    RESERVED = (1005, 1006, 1015)
    """Close codes that cannot be sent (RFC 6455 §7.4.1): closing with one acts out a lost connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def receive(self) -> str | bytes:
        try:
            return await self._connection.recv()
        except ConnectionClosed as closed:
            raise _wire_closed(closed) from None

    async def send(self, frame: str | bytes) -> None:
        try:
            await self._connection.send(frame)
        except ConnectionClosed as closed:
            raise _wire_closed(closed) from None

    async def close(self, code: int = 1000, reason: str = "") -> None:
        try:
            if code not in self.RESERVED:
                await self._connection.close(code, reason)
        finally:
            # When the peer does not answer, or does not even read, nothing stays open here.
            self._connection.transport.abort()


def _wire_closed(closed: ConnectionClosed) -> WireClosed:
    seen = closed.rcvd or closed.sent
    return WireClosed(seen.code, seen.reason) if seen is not None else WireClosed(1006)


class PipeEnd:
    """One end of an in-memory socket; frames sent here are received at the other end, in order."""

    LIMIT = 4096
    """Frames that may wait unread before `send` waits too."""

    def __init__(self) -> None:
        self._inbox: deque[str | bytes] = deque()
        self._closed: WireClosed | None = None
        self._peer: PipeEnd = self
        self._take: Callable[[str | bytes], None] | None = None
        self._reader: asyncio.Future[None] | None = None
        """Bare futures and not events: this runs for every frame of every simulated call."""
        self._room: asyncio.Future[None] | None = None

    async def receive(self) -> str | bytes:
        while not self._inbox:
            if self._closed is not None:
                raise WireClosed(self._closed.code, self._closed.reason)
            self._reader = asyncio.get_running_loop().create_future()
            await self._reader
        _wake(self._room)
        return self._inbox.popleft()

    async def send(self, frame: str | bytes) -> None:
        while len(self._peer._inbox) >= self.LIMIT and self._closed is None:
            self._peer._room = asyncio.get_running_loop().create_future()
            await self._peer._room
        if self._closed is not None:
            raise WireClosed(self._closed.code, self._closed.reason)
        self._peer._arrive(frame)

    def send_soon(self, frame: str | bytes) -> bool:
        if self._closed is not None or len(self._peer._inbox) >= self.LIMIT:
            return False
        self._peer._arrive(frame)
        return True

    async def pump(self, take: Callable[[str | bytes], None]) -> WireClosed:
        while self._inbox:
            take(self._inbox.popleft())
        self._take = take
        _wake(self._room)
        try:
            while self._closed is None:
                self._reader = asyncio.get_running_loop().create_future()
                await self._reader
        finally:
            self._take = None
        return WireClosed(self._closed.code, self._closed.reason)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        for end in (self, self._peer):
            if end._closed is None:
                end._closed = WireClosed(code, reason)
            _wake(end._reader)
            _wake(end._room)

    def _arrive(self, frame: str | bytes) -> None:
        if self._take is not None:
            self._take(frame)
            return
        self._inbox.append(frame)
        _wake(self._reader)


def _wake(waiter: "asyncio.Future[None] | None") -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)


def pipe() -> tuple[PipeEnd, PipeEnd]:
    """Return two joined ends. Create it inside a running event loop."""
    left, right = PipeEnd(), PipeEnd()
    left._peer, right._peer = right, left
    return left, right
