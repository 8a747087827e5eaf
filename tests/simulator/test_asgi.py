"""An ASGI application driven without sockets."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from gateway.simulator.asgi import AsgiHost, UpgradeRefused
from gateway.wire import WireClosed
from tests.clock import run


async def echo(socket: WebSocket) -> None:
    await socket.accept()
    while True:
        message = await socket.receive()
        if message["type"] == "websocket.disconnect":
            return
        if message["text"] == "bytes":
            await socket.send_bytes(b"\0")
        elif message["text"] == "close":
            await socket.close(4000, "asked")
        elif message["text"] == "crash":
            raise RuntimeError("asked")
        else:
            await socket.send_text(message["text"] + socket.headers["x-a"] + socket.url.query)


async def deny(socket: WebSocket) -> None:
    await socket.send_denial_response(Response(status_code=429))


async def refuse(socket: WebSocket) -> None:
    await socket.close()


async def hesitate(socket: WebSocket) -> None:
    await asyncio.sleep(60)


async def hello(request: Request) -> Response:
    await asyncio.sleep(1)
    return JSONResponse({"host": request.url.netloc})


def application(history: list[str]) -> Starlette:
    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        history.append("start")
        yield
        history.append("stop")

    sockets = {"/echo": echo, "/deny": deny, "/refuse": refuse, "/hesitate": hesitate}
    routes = [WebSocketRoute(path, endpoint) for path, endpoint in sockets.items()]
    return Starlette(routes=[*routes, Route("/hello", hello)], lifespan=lifespan)


def test_requests_and_sockets_reach_the_application_within_its_lifespan() -> None:
    async def main() -> list[str]:
        history: list[str] = []
        async with AsgiHost(application(history)) as host, host.http() as http:
            assert (await http.get("https://gw.example.com/hello")).json() == {"host": "gw.example.com"}
            socket = await host.connect("wss://gw.example.com/echo?q", {"X-A": "!"})
            await socket.send("hi")
            assert await socket.receive() == "hi!q"
            await socket.send("bytes")
            assert await socket.receive() == b"\0"
            history.append("used")
        return history

    assert run(main()) == ["start", "used", "stop"]


def test_a_close_by_the_application_has_its_code() -> None:
    async def main() -> None:
        async with AsgiHost(application([])) as host:
            socket = await host.connect("wss://gw.example.com/echo", {"x-a": ""})
            await socket.send("close")
            with pytest.raises(WireClosed) as closed:
                await socket.receive()
            assert (closed.value.code, closed.value.reason) == (4000, "asked")

    run(main())


def test_a_failing_application_closes_its_socket_with_1011(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with AsgiHost(application([])) as host:
            socket = await host.connect("wss://gw.example.com/echo", {"x-a": ""})
            await socket.send("crash")
            with pytest.raises(WireClosed) as closed:
                await socket.receive()
            assert closed.value.code == 1011

    with caplog.at_level(logging.CRITICAL, "gateway.simulator.asgi"):
        run(main())


@pytest.mark.parametrize(("path", "status"), [("/refuse", 403), ("/deny", 429), ("/nowhere", 403)])
def test_a_refused_upgrade_names_its_status(path: str, status: int) -> None:
    async def main() -> None:
        async with AsgiHost(application([])) as host:
            with pytest.raises(UpgradeRefused) as refused:
                await host.connect(f"wss://gw.example.com{path}", {})
            assert refused.value.status == status

    run(main())


def test_an_upgrade_without_an_answer_times_out_and_nothing_outlives_the_host() -> None:
    async def main() -> int:
        async with AsgiHost(application([])) as host:
            with pytest.raises(TimeoutError):
                await host.connect("wss://gw.example.com/hesitate", {})
        return len(asyncio.all_tasks())

    assert run(main()) == 1


def test_an_application_that_does_not_start_is_an_error() -> None:
    @asynccontextmanager
    async def broken(_: Starlette) -> AsyncIterator[None]:
        raise RuntimeError("no database")
        yield

    async def main() -> None:
        async with AsgiHost(Starlette(lifespan=broken)):
            pass

    with pytest.raises((RuntimeError, BaseExceptionGroup)):
        run(main())
