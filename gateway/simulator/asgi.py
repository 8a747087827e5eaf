"""Ways from the simulated networks to a gateway: an ASGI application in this process, or a real socket.

In process, the whole application runs without sockets, so also on an event loop whose clock jumps.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping, MutableMapping
from typing import Any, TypeAlias
from urllib.parse import unquote, urlsplit

import httpx2
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidHandshake, InvalidStatus, InvalidURI
from websockets.typing import Subprotocol

from gateway.wire import DIRECT_EXTENSION, PipeEnd, TextSocket, WebSocketEnd, WireClosed, pipe

__all__ = ["AsgiHost", "UpgradeRefused", "connect_websocket"]

Message: TypeAlias = MutableMapping[str, Any]
Application: TypeAlias = Callable[
    [Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]
]

MAX_FRAME_BYTES = 1024 * 1024
OPEN_TIMEOUT_S = 5.0
CLOSE_TIMEOUT_S = 2.0
LIFESPAN_TIMEOUT_S = 30.0
_log = logging.getLogger(__name__)


class UpgradeRefused(Exception):
    """The server answered the WebSocket upgrade with `status` (0: with no HTTP answer at all)."""

    def __init__(self, status: int, detail: str = "") -> None:
        super().__init__(f"the upgrade was refused with HTTP {status} {detail}".rstrip())
        self.status = status


class AsgiHost:
    """An ASGI application, started; owns its lifespan and the tasks of its sockets.

    Use as an async context manager. On exit sockets still open are disconnected with 1012, the lifespan is
    shut down, and whatever still runs is cancelled.
    """

    def __init__(self, app: Application) -> None:
        self._app = app
        self._group = asyncio.TaskGroup()
        self._lifespan = _Lifespan()
        self._sockets: set[PipeEnd] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> "AsgiHost":
        await self._group.__aenter__()
        try:
            self._start(self._lifespan.run(self._app))
            async with asyncio.timeout(LIFESPAN_TIMEOUT_S):
                await self._lifespan.startup()
        except BaseException as error:
            self._cancel_all()
            await self._group.__aexit__(type(error), error, error.__traceback__)
            raise
        return self

    async def __aexit__(self, *error: Any) -> None:
        try:
            for socket in list(self._sockets):
                await socket.close(1012, "host is stopping")
            async with asyncio.timeout(LIFESPAN_TIMEOUT_S):
                await self._lifespan.shutdown()
        finally:
            self._cancel_all()
            # Not told of the body's error: it leaves as it is, not wrapped in a group.
            await self._group.__aexit__(None, None, None)

    async def kill(self) -> None:
        """Die as a process does by SIGKILL: every socket is lost, every task ends where it is, nothing is shut down.

        Takes the place of leaving the context.
        """
        for socket in list(self._sockets):
            await socket.close(1006)
        self._cancel_all()
        await self._group.__aexit__(None, None, None)

    def http(self) -> httpx2.AsyncClient:
        """Return a client whose every request goes to the application, whatever its origin. The caller closes it."""
        transport = httpx2.ASGITransport(app=self._app, raise_app_exceptions=False)
        return httpx2.AsyncClient(transport=transport)

    async def connect(self, url: str, headers: Mapping[str, str]) -> TextSocket:
        """Open a WebSocket to the application. Raises `UpgradeRefused`.

        A `sec-websocket-protocol` among the headers must be selected, one of them if there are several.
        """
        client, server = pipe()
        end = _AppEnd(server)
        self._start(self._serve(client, end, _scope(url, headers, server)))
        try:
            async with asyncio.timeout(OPEN_TIMEOUT_S):
                await end.opened()
            _check_selected(_offered(headers), end.subprotocol)
        except BaseException:
            await client.close(1006)
            raise
        return client

    async def _serve(self, client: PipeEnd, end: "_AppEnd", scope: Message) -> None:
        self._sockets.add(client)
        code = 1000
        try:
            await self._app(scope, end.receive, end.send)
        # Stands where a server stands: the application's failure ends its socket, not this process.
        except Exception:
            _log.exception("the application failed in a WebSocket")
            code = 1011
        finally:
            self._sockets.discard(client)
            await end.finish(code)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._group.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _cancel_all(self) -> None:
        for task in self._tasks:
            task.cancel()


class _Lifespan:
    """The application's lifespan; an application that knows none is accepted."""

    def __init__(self) -> None:
        self._inbox: asyncio.Queue[Message] = asyncio.Queue()
        self._outbox: asyncio.Queue[Message] = asyncio.Queue()
        self._supported = True

    async def run(self, app: Application) -> None:
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": {}}
        try:
            await app(scope, self._inbox.get, self._outbox.put)
        # ASGI: an application without lifespan raises here, with whatever it likes.
        except Exception:
            _log.debug("the application has no lifespan", exc_info=True)
        await self._outbox.put({"type": "ended"})

    async def startup(self) -> None:
        await self._inbox.put({"type": "lifespan.startup"})
        answer = await self._outbox.get()
        self._supported = answer["type"] == "lifespan.startup.complete"
        if answer["type"] == "lifespan.startup.failed":
            raise RuntimeError(f"the application did not start: {answer.get('message', '')}")

    async def shutdown(self) -> None:
        if self._supported:
            await self._inbox.put({"type": "lifespan.shutdown"})
            await self._outbox.get()


class _AppEnd:
    """The application's end of one WebSocket. ASGI specification, WebSocket connection scope, version 2.4."""

    def __init__(self, end: PipeEnd) -> None:
        self._end = end
        self._connected = False
        self._answered = asyncio.Event()
        self._status = 0
        self._detail = ""
        self.subprotocol: str | None = None
        """That the application has selected."""

    async def opened(self) -> None:
        """Return once the application accepted. Raises `UpgradeRefused`."""
        await self._answered.wait()
        if self._status != 101:
            raise UpgradeRefused(self._status, self._detail)

    async def receive(self) -> Message:
        if not self._connected:
            self._connected = True
            return {"type": "websocket.connect"}
        try:
            frame = await self._end.receive()
        except WireClosed as closed:
            return {"type": "websocket.disconnect", "code": closed.code, "reason": closed.reason}
        key = "text" if isinstance(frame, str) else "bytes"
        return {"type": "websocket.receive", key: frame}

    async def send(self, message: Message) -> None:
        match message["type"]:
            case "websocket.accept":
                self.subprotocol = message.get("subprotocol")
                self._answer(101)
            case "websocket.http.response.start":
                self._answer(int(message["status"]))
            case "websocket.http.response.body":
                pass
            case "websocket.close" if not self._answered.is_set():
                self._answer(403, str(message.get("reason") or ""))
            case "websocket.close":
                await self._end.close(message.get("code") or 1000, message.get("reason") or "")
            case "websocket.send":
                await self._send_frame(message)
            case other:
                raise RuntimeError(f"unexpected ASGI message {other}")

    async def finish(self, code: int) -> None:
        """The application returned or failed: whatever it left open is closed, as a server would."""
        self._answer(500 if code == 1011 else 403)
        await self._end.close(code)

    async def _send_frame(self, message: Message) -> None:
        text = message.get("text")
        try:
            await self._end.send(message["bytes"] if text is None else text)
        except WireClosed as closed:
            # ASGI 2.4: sending after the disconnect raises an OSError.
            raise ConnectionResetError("the client has disconnected") from closed

    def _answer(self, status: int, detail: str = "") -> None:
        if not self._answered.is_set():
            self._status, self._detail = status, detail
            self._answered.set()


def _offered(headers: Mapping[str, str]) -> list[str]:
    text = next((value for name, value in headers.items() if name.lower() == "sec-websocket-protocol"), "")
    return [name.strip() for name in text.split(",") if name.strip()]


def _check_selected(offered: list[str], selected: str | None) -> None:
    if offered and selected not in offered:
        raise UpgradeRefused(0, "no subprotocol was selected")


def _scope(url: str, headers: Mapping[str, str], socket: PipeEnd) -> Message:
    parts = urlsplit(url)
    lines = {"host": parts.netloc, **{name.lower(): value for name, value in headers.items()}}
    secure = parts.scheme in ("wss", "https")
    return {
        "type": "websocket",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "scheme": "wss" if secure else "ws",
        "path": unquote(parts.path) or "/",
        "raw_path": (parts.path or "/").encode(),
        "query_string": parts.query.encode(),
        "root_path": "",
        "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in lines.items()],
        "client": ("127.0.0.1", 1),
        "server": (parts.hostname or "", parts.port or (443 if secure else 80)),
        "subprotocols": _offered(headers),
        "state": {},
        "extensions": {"websocket.http.response": {}, DIRECT_EXTENSION: socket},
    }


async def connect_websocket(url: str, headers: Mapping[str, str]) -> TextSocket:
    """Open a WebSocket as a carrier does: no compression, no proxy, frames up to 1 MiB.

    A `sec-websocket-protocol` among the headers must be selected, one of them if there are several. A `host` is sent in
    place of the address that is connected to, as through a proxy.
    Raises `UpgradeRefused`, or `OSError` (`TimeoutError` included) when there is no connection at all.
    """
    offered, real = _offered(headers), urlsplit(url)
    sent = {name.lower(): value for name, value in headers.items()}
    sent.pop("sec-websocket-protocol", None)
    host = sent.pop("host", real.netloc)
    try:
        connection = await connect(
            real._replace(netloc=host).geturl(),
            host=real.hostname,
            port=real.port or (443 if real.scheme == "wss" else 80),
            additional_headers=sent,
            subprotocols=[Subprotocol(name) for name in offered] or None,
            compression=None,
            proxy=None,
            max_size=MAX_FRAME_BYTES,
            open_timeout=OPEN_TIMEOUT_S,
            close_timeout=CLOSE_TIMEOUT_S,
        )
    except InvalidStatus as error:
        raise UpgradeRefused(error.response.status_code) from error
    except (InvalidHandshake, InvalidURI) as error:
        raise UpgradeRefused(0, str(error)) from error
    socket = WebSocketEnd(connection)
    try:
        _check_selected(offered, connection.subprotocol)
    except UpgradeRefused:
        await socket.close(1002)
        raise
    return socket
