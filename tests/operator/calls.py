"""Routes of operators on a server of their own, with calls that a test scripts."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeAlias

import httpx2
import uvicorn
from fastapi import FastAPI

from gateway.apikeys import KeyRing, named_hash
from gateway.core.events import OperatorAsked
from gateway.operator.desk import CommandDesk
from gateway.operator.door import Door
from gateway.operator.routes import CallView, operator_router, vault_router
from gateway.vault import Vault
from tests.clock import run

__all__ = ["CALL", "KEY", "PLAIN_KEY", "Desk", "ScriptedCall", "command", "during", "over_sockets"]

CALL = "call_0123456789abcdef0123"
KEY = "a-key-of-the-night-shift"
PLAIN_KEY = "a-key-that-is-kept-in-clear"
PATH = f"/v1/calls/{CALL}/commands"


class ScriptedCall:
    """A call of the core's contract: does what it is asked once, or refuses."""

    def __init__(self, refuses: str = "") -> None:
        self.refuses = refuses
        self.asked: list[OperatorAsked] = []

    def operate(self, asked: OperatorAsked) -> str:
        if self.refuses:
            return f"refused: {self.refuses}"
        if asked.command_id in {earlier.command_id for earlier in self.asked}:
            return "repeated"
        self.asked.append(asked)
        return "done"


@dataclass
class Desk:
    """What stands behind the routes."""

    calls: dict[str, ScriptedCall] = field(default_factory=lambda: {CALL: ScriptedCall()})
    ended: set[str] = field(default_factory=set)
    views: list[CallView] = field(default_factory=list)
    vault: Vault = field(default_factory=Vault)

    def find(self, call_id: str) -> ScriptedCall | None:
        return self.calls.get(call_id)

    def has_ended(self, call_id: str) -> bool:
        return call_id in self.ended

    @property
    def call(self) -> ScriptedCall:
        return self.calls[CALL]

    def app(self) -> FastAPI:
        door = Door(KeyRing([named_hash("night-shift", KEY), PLAIN_KEY]), "node-1")
        app = FastAPI(openapi_url=None)
        app.include_router(operator_router(door, CommandDesk(self, "node-1"), lambda: self.views))
        app.include_router(vault_router(door, self.vault))
        return app

    @asynccontextmanager
    async def asked(self) -> AsyncIterator[httpx2.AsyncClient]:
        """A client in this process."""
        transport = httpx2.ASGITransport(app=self.app(), raise_app_exceptions=False)
        async with httpx2.AsyncClient(base_url="https://gw.example.com", transport=transport) as client:
            yield client

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[httpx2.AsyncClient]:
        """A client of a real server."""
        server = uvicorn.Server(uvicorn.Config(self.app(), log_config=None, lifespan="off"))
        with socket.create_server(("127.0.0.1", 0)) as listener:
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            async with asyncio.TaskGroup() as group:
                group.create_task(server.serve([listener]))
                async with httpx2.AsyncClient(base_url=url, trust_env=False) as client:
                    yield client
                server.should_exit = True


Use: TypeAlias = Callable[[httpx2.AsyncClient], Coroutine[object, object, None]]


def during(desk: Desk, use: Use) -> None:
    """Run `use` with a client in this process, on the clock that jumps."""
    run(_with(desk.asked(), use))


def over_sockets(desk: Desk, use: Use) -> None:
    """Run `use` with a client of a real server."""
    asyncio.run(_with(desk.serving(), use))


async def _with(opened: AbstractAsyncContextManager[httpx2.AsyncClient], use: Use) -> None:
    async with asyncio.timeout(30), opened as client:
        await use(client)


async def command(
    client: httpx2.AsyncClient, body: object, *, path: str = PATH, key: str = KEY, **headers: str
) -> httpx2.Response:
    """POST a body: JSON text as it is, anything else as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    more = {"content-type": "application/json", "authorization": f"Bearer {key}"}
    more |= {name.replace("_", "-"): value for name, value in headers.items()}
    return await client.post(path, content=content, headers=more)
