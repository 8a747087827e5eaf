"""A Realtime server on a loopback port, or in process; keeps a bounded history of its sessions."""

import asyncio
import json
import logging
from collections import deque
from collections.abc import Mapping
from http import HTTPStatus
from types import TracebackType
from typing import Self
from urllib.parse import parse_qsl, urlsplit

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.http11 import Request
from websockets.http11 import Response as HttpResponse
from websockets.typing import Subprotocol

from gateway.simulator.engine import Engine
from gateway.simulator.model.admission import OPENAI_PATH, Admission, Rejection, UpgradeRefused
from gateway.simulator.model.options import ModelOptions
from gateway.simulator.model.record import Observer, SessionRecord
from gateway.simulator.model.session import RealtimeSession
from gateway.wire import TextSocket, WebSocketEnd, WireClosed

__all__ = ["ModelServer"]

MAX_FRAME_BYTES = 24 << 20
"""15 MiB of audio in base64, and some JSON around it."""
CLOSE_TIMEOUT_S = 2.0


class ModelServer:
    """Serves sessions of one engine. `async with ModelServer(engine) as server:` listens on a loopback port.

    `sessions` holds the latest session records, oldest first. `serve_socket` serves one connection in process and
    needs no `async with`.
    """

    def __init__(
        self,
        engine: Engine,
        options: ModelOptions | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        on_event: Observer | None = None,
    ) -> None:
        self.options = options or ModelOptions()
        self.sessions: deque[SessionRecord] = deque(maxlen=self.options.history)
        self._engine = engine
        self._address = (host, port)
        self._on_event = on_event
        self._admission = Admission(self.options)
        self._server: Server | None = None
        self._numbered = 0
        self._open = 0

    async def __aenter__(self) -> Self:
        host, port = self._address
        # Peers that vanish during a handshake are their own business, not an error of ours with a traceback.
        quiet = logging.getLogger(f"{__name__}.websockets")
        quiet.setLevel(logging.CRITICAL)
        self._server = await serve(
            self._connected,
            host,
            port,
            process_request=self._upgrade,
            select_subprotocol=_select_subprotocol,
            compression=None,
            max_size=MAX_FRAME_BYTES,
            ping_interval=self.options.ping_s,
            close_timeout=CLOSE_TIMEOUT_S,
            logger=quiet,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close(code=1001, reason="server going away")
            await self._server.wait_closed()
            self._server = None

    @property
    def port(self) -> int:
        """The bound port. Only while serving."""
        if self._server is None:
            raise RuntimeError("the server is not listening")
        return int(next(iter(self._server.sockets)).getsockname()[1])

    @property
    def url(self) -> str:
        """Where clients connect, without the `model` parameter. Only while serving."""
        host = f"[{self._address[0]}]" if ":" in self._address[0] else self._address[0]
        return f"ws://{host}:{self.port}{OPENAI_PATH}"

    @property
    def open_sessions(self) -> int:
        return self._open

    def refuse_next(self, status: int, times: int = 1) -> None:
        """Answer the next upgrades with an HTTP error status."""
        self._admission.refuse_next(status, times)

    def close_next(self, code: int, times: int = 1, reason: str = "") -> None:
        """Accept the next connections and close them at once."""
        self._admission.close_next(code, times, reason)

    async def serve_socket(
        self, socket: TextSocket, query: Mapping[str, str], headers: Mapping[str, str], path: str = OPENAI_PATH
    ) -> None:
        """Serve one in-process connection until it ends. Raises `UpgradeRefused` where HTTP would answer no."""
        lowered = {name.lower(): value for name, value in headers.items()}
        self._admission.check_upgrade(path, query, lowered, self._open)
        await self._serve(socket, path, query, lowered)

    async def _serve(self, socket: TextSocket, path: str, query: Mapping[str, str], headers: Mapping[str, str]) -> None:
        ordered = self._admission.ordered_close()
        if ordered is not None:
            await socket.close(*ordered)
            return
        rejection = self._admission.reject(path, query, headers)
        if rejection is not None:
            await _turn_away(socket, rejection)
            return
        self._open += 1
        self._numbered += 1
        try:
            await RealtimeSession.serve(
                socket,
                self._engine,
                self.options,
                model=query["model"],
                number=self._numbered,
                observer=self._on_event,
                opened=self.sessions.append,
            )
        finally:
            self._open -= 1

    async def _connected(self, connection: ServerConnection) -> None:
        if connection.request is not None:
            path, query, headers = _parts(connection.request)
            await self._serve(WebSocketEnd(connection), path, query, headers)

    def _upgrade(self, connection: ServerConnection, request: Request) -> HttpResponse | None:
        try:
            self._admission.check_upgrade(*_parts(request), self._open)
        except ValueError:
            return connection.respond(HTTPStatus.BAD_REQUEST, "malformed request target\n")
        except UpgradeRefused as refused:
            response = connection.respond(HTTPStatus(refused.status), refused.body)
            del response.headers["Content-Type"]
            response.headers["Content-Type"] = "application/json"
            return response
        return None


async def _turn_away(socket: TextSocket, rejection: Rejection) -> None:
    error = {
        "type": "invalid_request_error",
        "code": rejection.code,
        "message": rejection.message,
        "param": None,
        "event_id": None,
    }
    try:
        async with asyncio.timeout(CLOSE_TIMEOUT_S):
            await socket.send(json.dumps({"type": "error", "event_id": "event_rejected", "error": error}))
            await socket.close(rejection.close_code, rejection.reason)
    except (TimeoutError, WireClosed):
        return


def _parts(request: Request) -> tuple[str, dict[str, str], dict[str, str]]:
    target = urlsplit(request.path)
    headers = {name.lower(): value for name, value in request.headers.raw_items()}
    return target.path, dict(parse_qsl(target.query, max_num_fields=50)), headers


def _select_subprotocol(connection: ServerConnection, offered: object) -> Subprotocol | None:
    names = offered if isinstance(offered, list | tuple) else ()
    return Subprotocol("realtime") if "realtime" in names else None
