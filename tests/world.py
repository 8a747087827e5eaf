"""The whole product in one process on a virtual clock: network, gateway, model and business, all the real code."""

import asyncio
import base64
import hashlib
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx2
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from standardwebhooks import Webhook

from gateway.agents import AgentsFile, load_agents
from gateway.app import Gateway, create_app
from gateway.config import Settings
from gateway.errors import ModelError
from gateway.simulator.asgi import AsgiHost
from gateway.simulator.carrier import CallPlan, CallReport, LineModel, Script, TwilioNetwork
from gateway.simulator.model import ModelServer, Scenario, ScriptedEngine, SessionRecord, UpgradeRefused
from gateway.store.memory import MemoryStore
from gateway.store.rows import JournalEntry, StoredCall
from gateway.tools.netguard import NetGuard
from gateway.tools.webhook import WebhookInvoker
from gateway.wire import PipeEnd, TextSocket, pipe

__all__ = ["AGENTS", "Business", "World", "world"]

ACCOUNT = "AC" + "1" * 32
TOKEN = "test-token"
NUMBER = "+14155550199"
CALLER = "+14155550101"
PUBLIC = "https://gw.example.com"
SECRET = "whsec_" + base64.b64encode(hashlib.sha256(b"test").digest()).decode()

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
class World:
    """Handles to every part."""

    gateway: Gateway
    network: TwilioNetwork
    model: ModelServer
    business: Business
    store: MemoryStore
    host: AsgiHost
    http: httpx2.AsyncClient

    async def call(self, script: Script, **more: object) -> CallReport:
        fields: dict[str, Any] = {
            "to": NUMBER,
            "from_": CALLER,
            "voice_url": f"{PUBLIC}/twilio/voice",
            "status_callback": f"{PUBLIC}/twilio/status",
        }
        return await self.network.call(CallPlan(script=script, **(fields | more)))

    async def settled(self) -> None:
        """Wait until no call lives."""
        await self.gateway.registry.empty()

    @property
    def record(self) -> StoredCall:
        """The only call's record."""
        (call,) = self.store.calls.values()
        return call

    @property
    def journal(self) -> list[JournalEntry]:
        """The only call's journal."""
        (entries,) = self.store.journals.values()
        return entries

    @property
    def session(self) -> SessionRecord:
        """The newest model session."""
        return self.model.sessions[-1]

    def kinds(self, kind: str) -> list[Mapping[str, object]]:
        return [entry.data for entry in self.journal if entry.kind == kind]


def _connector(model: ModelServer, group: asyncio.TaskGroup) -> object:
    async def open_socket(url: str, headers: Mapping[str, str]) -> TextSocket:
        ours, theirs = pipe()
        query = dict(parse_qsl(urlsplit(url).query))
        opened = asyncio.get_running_loop().create_future()
        group.create_task(_serve(model, theirs, query, headers, opened))
        try:
            refused = await opened
        except asyncio.CancelledError:
            await ours.close(1006)  # as a connection that is given up while it is being made
            raise
        if refused is not None:
            status = refused.status
            raise ModelError(f"refused with {status}", permanent=status in (401, 403, 404), code=str(status))
        return ours

    return open_socket


async def _serve(
    model: ModelServer,
    socket: PipeEnd,
    query: Mapping[str, str],
    headers: Mapping[str, str],
    opened: "asyncio.Future[UpgradeRefused | None]",
) -> None:
    asyncio.get_running_loop().call_later(0.01, _tell_open, opened)
    try:
        await model.serve_socket(socket, query, headers)
    except UpgradeRefused as refused:
        if not opened.done():
            opened.set_result(refused)


def _tell_open(opened: "asyncio.Future[UpgradeRefused | None]") -> None:
    if not opened.done():
        opened.set_result(None)


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
    (folder / "agents.yaml").write_text(agents)
    settings = _settings(folder, max_calls)
    store = MemoryStore()
    server = model or ModelServer(ScriptedEngine(scenario), scenario.server)
    loaded: AgentsFile = load_agents(folder / "agents.yaml")
    invoker = WebhookInvoker(
        NetGuard(), default_secret=settings.webhook_secret, transport=httpx2.ASGITransport(app=business.app())
    )
    logging.getLogger("gateway").setLevel(logging.INFO)
    async with asyncio.TaskGroup() as group:
        open_socket = _connector(server, group)
        app = create_app(settings, loaded, store=store, invoker=invoker, open_socket=open_socket)  # type: ignore[arg-type]
        async with AsgiHost(app) as host, host.http() as http:
            network = TwilioNetwork(ACCOUNT, TOKEN, http, host.connect, line=line, seed=7)
            yield World(app.state.gateway, network, server, business, store, host, http)


def _settings(folder: Path, max_calls: int) -> Settings:
    return Settings.model_validate(
        {
            "public_url": PUBLIC,
            "agents_file": folder / "agents.yaml",
            "recordings_dir": folder / "recordings",
            "model_url": "wss://model.example.com/v1/realtime",
            "openai_api_key": "sk-test",
            "twilio_auth_token": TOKEN,
            "webhook_secret": SECRET,
            "max_calls": max_calls,
        }
    )
