"""A business in this process, as the desk's real webhooks meet it, and desks in front of it."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from pydantic import SecretStr

from gateway.agents import Agent
from gateway.core.commands import InvokeTool
from gateway.core.events import ToolResult
from gateway.store.ports import CallStore
from gateway.tools.catalogue import Catalogue, ToolKind
from gateway.tools.desk import ToolDesk
from gateway.tools.netguard import NetGuard
from gateway.tools.request import CallFacts
from gateway.tools.webhook import WebhookInvoker

SECRET = SecretStr("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
CALLER = "+14155550123"
BOOK: dict[str, object] = {"name": "book", "description": "Book a table.", "url": "https://shop.example.com/book"}
LOOK: dict[str, object] = {
    "name": "look",
    "description": "Look it up.",
    "url": "https://shop.example.com/look",
    "effect": "read",
}
PEOPLE: dict[str, object] = {"parameters": {"type": "object", "properties": {"people": {"type": "integer"}}}}

Hook = Callable[[str], Awaitable[None]]


@dataclass
class Meter:
    """What was counted."""

    outcomes: Counter[str] = field(default_factory=Counter)
    replays: Counter[str] = field(default_factory=Counter)
    recovered: Counter[str] = field(default_factory=Counter)
    late: Counter[str] = field(default_factory=Counter)

    def tool_answered(self, outcome: str, elapsed_ms: int) -> None:
        self.outcomes[outcome] += 1

    def ledger_replayed(self, state: str) -> None:
        self.replays[state] += 1

    def ledger_recovered(self, outcome: str) -> None:
        self.recovered[outcome] += 1

    def late_result(self, answer: str) -> None:
        self.late[answer] += 1


@dataclass
class Shop:
    """The business: `done` is its own log of what it did, `asked` of what it was asked."""

    status: int = 200
    answer: Mapping[str, object] = field(default_factory=lambda: {"result": "booked"})
    delay_s: float = 0.0
    before: Hook | None = None
    """Runs with the Idempotency-Key before anything is done."""
    asked: list[str] = field(default_factory=list)
    done: list[tuple[str, Any]] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)

    def app(self) -> FastAPI:
        app = FastAPI(openapi_url=None)

        @app.post("/{name}")
        async def serve(name: str, request: Request) -> Response:
            key = request.headers["idempotency-key"]
            body = await request.json()
            self.asked.append(key)
            self.bodies.append(body)
            if self.before is not None:
                await self.before(key)
            if self.status < 300 and key not in [other for other, _ in self.done]:
                self.done.append((key, body["data"]["arguments"]))
            await asyncio.sleep(self.delay_s)
            return JSONResponse(dict(self.answer), self.status)

        return app

    def invoker(self) -> WebhookInvoker:
        transport = httpx2.ASGITransport(app=self.app())
        return WebhookInvoker(NetGuard(), default_secret=SECRET, transport=transport)


def agent(*tools: Mapping[str, object]) -> Agent:
    return Agent.model_validate({"instructions": "x", "tools": [PEOPLE | dict(tool) for tool in tools or (BOOK, LOOK)]})


def facts(call_id: str = "call-1", carrier_call_id: str = "CA1", number: str = CALLER) -> CallFacts:
    return CallFacts(
        call_id, "support", "inbound", number, "+14155550199", carrier="twilio", carrier_call_id=carrier_call_id
    )


@dataclass
class Place:
    """A desk, one telephone call at it, and what came for that call later."""

    desk: ToolDesk
    shop: Shop
    store: CallStore
    meter: Meter
    catalogue: Catalogue
    call: CallFacts
    late: list[ToolResult] = field(default_factory=list)

    async def ask(
        self, tool_call_id: str = "t1", people: object = 2, *, name: str = "book", again: bool = False, **more: object
    ) -> ToolResult:
        """Have the model call a function."""
        arguments = json.dumps({"people": people} | more)
        return await self.desk.invoke(
            self.call, self.catalogue, InvokeTool(tool_call_id, name, arguments, 10, again=again)
        )

    async def state(self, tool_call_id: str = "t1") -> str | None:
        await self.store.flush()
        row = await self.store.get_invocation(f"{self.call.phone_call}:{tool_call_id}")
        return row.state if row is not None else None


@asynccontextmanager
async def at_desk(
    store: CallStore, shop: Shop, *tools: Mapping[str, object], call: CallFacts | None = None
) -> AsyncIterator[Place]:
    """Open a desk and a call at it. On the way out the process is gone at once, as if it were killed."""
    meter = Meter()
    async with shop.invoker() as invoker, ToolDesk(store, {ToolKind.WEBHOOK: invoker}, meter) as desk:
        it = Place(desk, shop, store, meter, Catalogue(agent(*tools)), call or facts())
        desk.open_call(it.call, it.late.append)
        yield it
