"""The web side: four routes, of which three believe only the gateway.

POST /tools     what the model calls         (tools: url in the agents file)
POST /lookup    who is calling?              (lookup: url)
POST /events    what happened                (events: url)
GET  /log       what this business has seen  (from this machine only)
"""

import asyncio
import ipaddress
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date as Date

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from pydantic import ValidationError

from gateway.business.database import Database
from gateway.business.functions import carry_out, customer_of
from gateway.business.late import Late
from gateway.business.messages import Event, FunctionCall, Incoming
from gateway.business.signature import Keys

__all__ = ["Shop", "create_shop"]

MAX_BYTES = 512 * 1024
"""`call.ended` holds the whole conversation; the gateway sends 256 KiB at most."""
SHOWN = ("log", "events", "answers", "promises", "appointments", "orders")


class NotBelieved(Exception):
    """The request is not from the gateway, or too long to find out."""


@dataclass(slots=True)
class Shop:
    """The parts of the business."""

    database: Database
    keys: Keys
    late: Late | None = None
    """None: results that were promised are not sent."""
    pause_s: float = 0.0
    """How long each function takes: real systems are not this fast."""
    today: Callable[[], Date] = Date.today


def create_shop(shop: Shop) -> FastAPI:
    """Return the web application."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as group:
            sending = group.create_task(shop.late.run()) if shop.late is not None else None
            yield
            if sending is not None:
                sending.cancel()

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan)

    @app.post("/tools")
    async def tools(request: Request) -> Response:
        call = FunctionCall.model_validate_json(await _believed(shop, request))
        key = request.headers.get("idempotency-key", "")[:300] or call.id
        await asyncio.sleep(shop.pause_s)
        answer = await asyncio.to_thread(carry_out, shop.database, call, key, shop.today())
        return await _noted(shop, call.data.tool.name, key, JSONResponse(dict(answer.body), answer.status))

    @app.post("/lookup")
    async def lookup(request: Request) -> Response:
        asked = Incoming.model_validate_json(await _believed(shop, request))
        known = await asyncio.to_thread(_about, shop.database, asked.data.call.from_number, shop.today())
        return await _noted(shop, "call.incoming", asked.id, JSONResponse(known))

    @app.post("/events")
    async def events(request: Request) -> Response:
        body = await _believed(shop, request)
        event = Event.model_validate_json(body)
        await asyncio.to_thread(_keep, shop.database, event, body.decode())
        return await _noted(shop, event.type, event.id, Response(status_code=204))

    @app.get("/log")
    async def log(request: Request) -> Response:
        if request.client is None or not ipaddress.ip_address(request.client.host).is_loopback:
            return JSONResponse({"error": "only from this machine"}, 403)
        return JSONResponse({table: await asyncio.to_thread(shop.database.rows, table) for table in SHOWN})

    @app.exception_handler(NotBelieved)
    async def refuse(request: Request, _: Exception) -> Response:
        answer = JSONResponse({"error": {"message": "The signature is wrong, missing or too old"}}, 401)
        return await _noted(shop, request.url.path, "", answer, signed=False)

    @app.exception_handler(ValidationError)
    async def unreadable(request: Request, _: Exception) -> Response:
        answer = JSONResponse({"error": {"message": "This is no message of the gateway"}}, 422)
        return await _noted(shop, request.url.path, "", answer)

    return app


async def _believed(shop: Shop, request: Request) -> bytes:
    """Return the body exactly as it came, which is what was signed. Nothing is parsed before this."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MAX_BYTES:
            raise NotBelieved
    if not shop.keys.believe(bytes(body), request.headers):
        raise NotBelieved
    return bytes(body)


async def _noted(shop: Shop, what: str, key: str, answer: Response, *, signed: bool = True) -> Response:
    await asyncio.to_thread(shop.database.log, what, key, signed=signed, status=answer.status_code)
    return answer


def _about(database: Database, number: str, today: Date) -> dict[str, object]:
    """Return what the agent shall know before it says the first word: of a stranger nothing but the day."""
    with database.transaction() as db:
        name = customer_of(db, number)
        open_orders = (
            "SELECT order_id, status FROM orders WHERE number = ? AND status IN ('on the way', 'being packed')"
        )
        orders = [f"order {row['order_id']} is {row['status']}" for row in db.execute(open_orders, (number,))]
    context = f"Today is {today:%A, %B} {today.day}, {today.year}."  # a model has no calendar
    if name is None:
        return {"context": context}
    context = f"{context} The number belongs to a customer, {name}: {', '.join(orders) or 'no open orders'}."
    return {"context": context, "variables": {"name": name}}


def _keep(database: Database, event: Event, body: str) -> None:
    """An event that came before is the same event: the gateway repeats until it hears a 2xx."""
    with database.transaction() as db:
        db.execute(
            "INSERT OR IGNORE INTO events VALUES (?, ?, ?, ?, ?)",
            (event.id, event.type, event.data.call.id, event.timestamp, body),
        )
