"""A console of its own, with a call that a test scripts, and requests as a browser sends them."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Unpack

import httpx2
from fastapi import FastAPI

from gateway.apikeys import KeyRing
from gateway.console.guard import Guard
from gateway.console.routes import console_router
from gateway.console.sessions import Sessions
from gateway.errors import GatewayError
from gateway.operator.desk import CommandDesk
from gateway.operator.door import Door
from gateway.store.rows import CallChanges, CallEnd, CallRow, JournalEntry
from gateway.watching import Watching
from tests.clock import run
from tests.operator.calls import CALL, ScriptedCall

__all__ = ["CALL", "HERE", "KEY", "NOW", "OURS", "Console", "asking"]

KEY = "a-key-of-the-day-shift"
OURS = "https://gw.example.com"
HERE = "http://127.0.0.1:8080"
NOW = datetime(2026, 11, 22, tzinfo=UTC)


class Log:
    """Keeps nothing."""

    def call_offered(self, row: CallRow) -> None: ...

    def put(self, row: JournalEntry, /) -> None: ...

    def call_updated(self, call_id: str, **changes: Unpack[CallChanges]) -> None: ...

    def call_ended(self, end: CallEnd) -> None: ...


@dataclass
class Console:
    """What stands behind the page; implements `Phones` and `desk.Calls`."""

    keys: tuple[str, ...] = (KEY,)
    public_url: str = OURS
    now: float = 0.0
    address: str = "198.51.100.7"
    refuses: GatewayError | None = None
    call_made: ScriptedCall = field(default_factory=ScriptedCall)
    owners: dict[str, str] = field(default_factory=dict)
    placed: list[tuple[str, str, str]] = field(default_factory=list)
    watching: Watching = field(default_factory=lambda: Watching(Log(), lambda _: True))
    entered: list[str] = field(default_factory=list)

    @property
    def agents(self) -> list[dict[str, str]]:
        return [{"name": "support"}]

    async def call(self, who: str, agent: str, sdp: str) -> tuple[str, str]:
        if self.refuses is not None:
            raise self.refuses
        self.placed.append((who, agent, sdp))
        self.owners[CALL] = who
        self.watching.call_offered(CallRow(CALL, "browser", "web", "inbound", agent, "", "", NOW))
        return CALL, "v=0 of ours"

    def owner(self, call_id: str) -> str | None:
        return self.owners.get(call_id)

    def find(self, call_id: str) -> ScriptedCall | None:
        return self.call_made if call_id == CALL else None

    def has_ended(self, call_id: str) -> bool:
        return False

    def note(self, seq: int, kind: str, **data: str | int | float | bool) -> None:
        """Have something happen in the call."""
        self.watching.put(JournalEntry(CALL, seq, float(seq), "<", kind, data))

    def app(self) -> FastAPI:
        @asynccontextmanager
        async def lifespan(_: object) -> AsyncIterator[None]:
            self.entered.append("in")
            yield
            self.entered.append("out")

        guard = Guard(KeyRing(self.keys), self.public_url, Sessions(lambda: self.now))
        door, desk = Door(KeyRing(self.keys), "node-1"), CommandDesk(self, "node-1")
        app = FastAPI(openapi_url=None, redirect_slashes=False)
        app.include_router(console_router(guard, door, self, desk, self.watching, lifespan))
        return app


def asking(console: Console, work: Callable[[httpx2.AsyncClient], Awaitable[None]]) -> None:
    """Run `work` with a browser that stands on our page."""

    async def main() -> None:
        transport = httpx2.ASGITransport(app=console.app(), client=(console.address, 50_000))
        headers = {"origin": console.public_url, "sec-fetch-site": "same-origin"}
        base = f"{console.public_url}/console"
        async with httpx2.AsyncClient(base_url=base, transport=transport, headers=headers, trust_env=False) as client:
            await work(client)

    run(main())
