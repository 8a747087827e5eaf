"""A business that books slots, with the log that everything is judged by; it goes on whatever becomes of the gateway.

Its manners are those that a webhook meets: it answers, or its answer is lost, or it fails before or after the booking,
or it promises the result and brings it later. The idempotent one does the same Idempotency-Key once.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import httpx2
from standardwebhooks import Webhook

__all__ = ["Manner", "Shop"]

Spawn = Callable[[Coroutine[Any, Any, None]], "asyncio.Task[None]"]


class Manner(StrEnum):
    """How a booking is answered."""

    ANSWERS = "answers"
    LOSES_ANSWER = "loses the answer"
    FAILS_AFTER = "500 after it"
    FAILS_BEFORE = "500 before it"
    BUSY_FIRST = "503, then answers"
    PROMISES = "202, then a result"


@dataclass(slots=True)
class Shop:
    """The business, as an HTTP transport for the gateway's webhooks. Its work runs in tasks of its own."""

    secret: str
    manner: Manner
    idempotent: bool
    before_s: float
    """From the request to the booking."""
    after_s: float
    """From the booking to the answer; for a promise, to the result."""
    spawn: Spawn
    deliver: Callable[[str, str], Coroutine[Any, Any, int]]
    """Posts a late result, its id and body; returns the status."""
    bookings: Counter[str] = field(default_factory=Counter)
    """By slot: the side effects."""
    asked: list[str] = field(default_factory=list)
    """Idempotency-Key of every request."""
    delivered: list[int] = field(default_factory=list)
    """How the gateway answered late results."""
    _done: dict[str, "asyncio.Task[None]"] = field(default_factory=dict)

    def transport(self) -> httpx2.AsyncBaseTransport:
        return _Wire(self)

    async def serve(self, request: httpx2.Request) -> httpx2.Response:
        """Take a request; what it begins goes on when whoever asked is gone."""
        body = b"".join([part async for part in request.stream])  # type: ignore[union-attr]
        Webhook(self.secret).verify(body, dict(request.headers))
        call = json.loads(body)["data"]
        key, slot = request.headers["idempotency-key"], str(call["arguments"]["slot"])
        self.asked.append(key)
        if self.manner is Manner.BUSY_FIRST and self.asked.count(key) == 1:
            return _json(503)
        work = self._done.get(key) if self.idempotent else None
        if work is None:
            work = self._done[key] = self.spawn(self._book(slot))
        if self.manner is Manner.PROMISES:
            self.spawn(self._keep_promise(work, call["result_id"], slot))
            return _json(202, {"status": "pending"})
        await asyncio.wait({work})
        await asyncio.sleep(self.after_s)
        return self._answered(slot)

    async def _book(self, slot: str) -> None:
        await asyncio.sleep(self.before_s)
        if self.manner is not Manner.FAILS_BEFORE:
            self.bookings[slot] += 1

    def _answered(self, slot: str) -> httpx2.Response:
        match self.manner:
            case Manner.FAILS_AFTER | Manner.FAILS_BEFORE:
                return _json(500)
            case Manner.LOSES_ANSWER if self.asked.count(self.asked[-1]) == 1:
                raise httpx2.ReadError("the connection broke")
            case _:
                return _json(200, {"result": {"reference": f"REF-{slot}"}})

    async def _keep_promise(self, work: "asyncio.Task[None]", result_id: str, slot: str) -> None:
        await asyncio.wait({work})
        await asyncio.sleep(self.after_s)
        body = json.dumps({"result": {"reference": f"REF-{slot}"}})
        for _ in range(5):  # as a business does: until somebody takes it
            self.delivered.append(await self.deliver(result_id, body))
            if self.delivered[-1] != 503:
                return
            await asyncio.sleep(1.0)


class _Wire(httpx2.AsyncBaseTransport):
    def __init__(self, shop: Shop) -> None:
        self._shop = shop

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[httpx2.Response] = loop.create_future()
        self._shop.spawn(_answer(self._shop, request, answer))
        return await asyncio.shield(answer)


def _json(status: int, document: object = None) -> httpx2.Response:
    """Return a response that has still to be read, as one from a network."""
    stream = httpx2.ByteStream(json.dumps(document).encode())
    return httpx2.Response(status, headers={"content-type": "application/json"}, stream=stream)


async def _answer(shop: Shop, request: httpx2.Request, answer: "asyncio.Future[httpx2.Response]") -> None:
    try:
        response = await shop.serve(request)
    except httpx2.HTTPError as broken:
        if not answer.done():
            answer.set_exception(broken)
            answer.exception()  # nobody may be left to take it
    else:
        if not answer.done():
            answer.set_result(response)
