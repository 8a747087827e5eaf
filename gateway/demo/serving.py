"""HTTP servers of this process on free loopback ports, without a hand on the process's signals."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import uvicorn
from fastapi import FastAPI

from gateway.app import Gateway
from gateway.errors import ConfigError
from gateway.server import DrainingServer, server

__all__ = ["serve_business", "serve_gateway"]

START_S = 20.0
POLL_S = 0.01
"""Uvicorn tells nobody when it has started; it has to be asked this often."""


class _NoSignals:
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone: Ctrl-C ends the whole demo, not one of its servers."""
        yield


class _GatewayServer(_NoSignals, DrainingServer):
    pass


class _PlainServer(_NoSignals, uvicorn.Server):
    pass


@asynccontextmanager
async def serve_gateway(app: FastAPI) -> AsyncIterator[str]:
    """Serve the gateway as `gateway serve` would; yield its origin."""
    gateway: Gateway = app.state.gateway
    config = server(app, gateway, host="127.0.0.1", port=0).config
    async with _serving(_GatewayServer(config, gateway)) as origin:
        yield origin


@asynccontextmanager
async def serve_business(app: FastAPI) -> AsyncIterator[str]:
    """Serve the sample business; yield its origin."""
    config = uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=2)
    async with _serving(_PlainServer(config)) as origin:
        yield origin


@asynccontextmanager
async def _serving(listening: uvicorn.Server) -> AsyncIterator[str]:
    taken = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        taken.bind(("127.0.0.1", 0))
    except OSError as error:
        taken.close()
        raise ConfigError(f"no loopback port can be opened: {error.strerror}") from None
    async with asyncio.TaskGroup() as group:
        running = group.create_task(listening.serve(sockets=[taken]))
        try:
            async with asyncio.timeout(START_S):
                while not listening.started and not running.done():  # noqa: ASYNC110 - it tells nobody
                    await asyncio.sleep(POLL_S)
            yield f"http://127.0.0.1:{taken.getsockname()[1]}"
        finally:
            # Uvicorn's own way out closes the lifespan, and with it the store; a cancelled task would not.
            listening.should_exit = True
            await asyncio.wait({running})
