"""The simulated world as tests use it: one agent with one tool, and a business that answers it."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from standardwebhooks import Webhook

from gateway.simulator import world as simulated
from gateway.simulator.carrier import LineModel
from gateway.simulator.model import ModelServer, Scenario, ScriptedEngine
from gateway.simulator.world import ACCOUNT, CALLER, NUMBER, PUBLIC, SECRET, TOKEN

__all__ = ["ACCOUNT", "AGENTS", "CALLER", "NUMBER", "PUBLIC", "SECRET", "TOKEN", "Business", "World", "world"]

AGENTS = f"""
agents:
  support:
    numbers: ["{NUMBER}"]
    instructions: You help customers of Acme.
    greeting: Hello, this is Acme. How can I help?
    tools:
      - name: lookup_order
        description: Look up the status of an order.
        parameters:
          type: object
          properties: {{order_id: {{type: string}}}}
          required: [order_id]
        url: https://orders.example.com/lookup
        timeout_s: 5
    fallback: {{say: Sorry. Please call later., dial: "+14155550100"}}
"""


@dataclass
class Business:
    """A business that answers function calls, and what it was asked."""

    delay_s: float = 0.0
    status: int = 200
    calls: list[dict[str, object]] = field(default_factory=list)

    def app(self) -> FastAPI:
        app = FastAPI()

        @app.post("/lookup")
        async def lookup(request: Request) -> Response:
            body = await request.body()
            Webhook(SECRET).verify(body, dict(request.headers))
            call = await request.json()
            self.calls.append(call)
            await asyncio.sleep(self.delay_s)
            order = call["data"]["arguments"]["order_id"]
            return JSONResponse({"result": {"order_id": order, "status": "shipped"}}, self.status)

        return app


@dataclass
class World(simulated.World):
    """Handles to every part, the business too."""

    business: Business


@asynccontextmanager
async def world(
    folder: Path,
    scenario: Scenario | None = None,
    *,
    agents: str = AGENTS,
    business: Business | None = None,
    line: LineModel | None = None,
    model: ModelServer | None = None,
    max_calls: int = 1000,
) -> AsyncIterator[World]:
    """Build and start everything; on the way out stop everything. Run it inside `clock.run`."""
    scenario = scenario or Scenario()
    business = business or Business()
    logging.getLogger("gateway").setLevel(logging.INFO)
    async with simulated.world(
        folder,
        agents,
        ScriptedEngine(scenario),
        scenario.server,
        business=business.app(),
        line=line,
        model=model,
        settings={"max_calls": max_calls},
    ) as it:
        yield World(it.gateway, it.network, it.model, it.store, it.host, it.http, business)
