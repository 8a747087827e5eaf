"""A business's server on a real socket: verifies each event with the reference library and notes what came."""

import asyncio
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from fastapi import FastAPI, Request, Response
from standardwebhooks import Webhook

SECRET = "whsec_" + "c2VjcmV0" * 4
Answer = Callable[[str, int], Response]
"""Answers an event, by its id and how often it has come."""


def taken(webhook_id: str, times: int) -> Response:
    return Response(status_code=204)


@dataclass
class Receiver:
    """The running server."""

    answer: Answer = taken
    takes_s: float = 0.0
    url: str = ""
    came: Counter[str] = field(default_factory=Counter)
    bodies: dict[str, dict[str, Any]] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)
    twice_at_once: set[str] = field(default_factory=set)
    headers: list[dict[str, str]] = field(default_factory=list)
    _under_way: set[str] = field(default_factory=set)

    async def take(self, request: Request) -> Response:
        body, webhook_id = await request.body(), request.headers["webhook-id"]
        event = Webhook(SECRET).verify(body, dict(request.headers))
        assert event["id"] == webhook_id
        if webhook_id in self._under_way:
            self.twice_at_once.add(webhook_id)
        self._under_way.add(webhook_id)
        self.came[webhook_id] += 1
        assert self.bodies.setdefault(webhook_id, event) == event, "one id, one body"
        self.order.append(webhook_id)
        self.headers.append(dict(request.headers))
        await asyncio.sleep(self.takes_s)
        self._under_way.discard(webhook_id)
        return self.answer(webhook_id, self.came[webhook_id])

    async def until(self, condition: Callable[[], bool], within_s: float = 30.0) -> None:
        async with asyncio.timeout(within_s):
            while not condition():  # noqa: ASYNC110 - it comes from other processes
                await asyncio.sleep(0.01)


@asynccontextmanager
async def receiving(receiver: Receiver) -> AsyncIterator[Receiver]:
    app = FastAPI(openapi_url=None)
    app.post("/events")(receiver.take)
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        receiver.url = f"http://127.0.0.1:{listener.getsockname()[1]}/events"
        async with asyncio.TaskGroup() as group:
            group.create_task(server.serve([listener]))
            try:
                yield receiver
            finally:
                server.should_exit = True
