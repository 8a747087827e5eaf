"""The whole product in one process on a virtual clock: network, gateway, model and business, all the real code.

def main(folder: Path) -> None:
    clock.run(one_call(folder))

async def one_call(folder: Path) -> None:
    async with world(folder, AGENTS, ScriptedEngine(scenario), scenario.server) as everything:
        report = await everything.call(script)
        await everything.settled()
"""

import asyncio
import base64
import hashlib
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx2
from fastapi import FastAPI

from gateway.agents import load_agents
from gateway.app import Gateway, create_app
from gateway.carriers.twilio.rest import TwilioRest
from gateway.config import Settings
from gateway.errors import ModelError
from gateway.realtime.connection import Dial
from gateway.simulator.asgi import AsgiHost
from gateway.simulator.carrier import CallPlan, CallReport, LineModel, Party, Script, TwilioNetwork
from gateway.simulator.engine import Engine
from gateway.simulator.link import DelayedSocket
from gateway.simulator.model import ModelOptions, ModelServer, ScriptedEngine, SessionRecord, UpgradeRefused
from gateway.store.memory import MemoryStore
from gateway.store.rows import JournalEntry, StoredCall
from gateway.tools.netguard import NetGuard
from gateway.tools.webhook import WebhookInvoker
from gateway.wire import PipeEnd, TextSocket, pipe

__all__ = [
    "ACCOUNT",
    "CALLER",
    "NUMBER",
    "PUBLIC",
    "SECRET",
    "TOKEN",
    "World",
    "connector",
    "world",
    "world_settings",
]

ACCOUNT = "AC" + "1" * 32
TOKEN = "test-token"
NUMBER = "+14155550199"
CALLER = "+14155550101"
PUBLIC = "https://gw.example.com"
SECRET = "whsec_" + base64.b64encode(hashlib.sha256(b"test").digest()).decode()

UPGRADE_S = 0.01
"""How long the model's server takes to accept a connection."""


@dataclass
class World:
    """Handles to every part."""

    gateway: Gateway
    network: TwilioNetwork
    model: ModelServer
    store: MemoryStore
    host: AsgiHost
    http: httpx2.AsyncClient

    async def call(self, script: Script, **more: object) -> CallReport:
        """Call the agent as `script` says; `more` are fields of `CallPlan`. Returns when the line is down."""
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
        """Return what the only call's journal says of one kind of event."""
        return [entry.data for entry in self.journal if entry.kind == kind]


@asynccontextmanager
async def world(
    folder: Path,
    agents: str,
    engine: Engine | None = None,
    options: ModelOptions | None = None,
    *,
    business: FastAPI | None = None,
    line: LineModel | None = None,
    model: ModelServer | None = None,
    model_line: LineModel | None = None,
    seed: int = 7,
    settings: Mapping[str, object] | None = None,
    transport: httpx2.AsyncBaseTransport | None = None,
    carrier: TwilioRest | None = None,
    parties: Sequence[Party] = (),
) -> AsyncIterator[World]:
    """Build and start everything; on the way out stop everything. Run it inside `clock.run`.

    `folder` gets the agents file and the recordings. `agents` is its YAML; the agent who answers has `NUMBER`.
    `business` answers every webhook of the agents; without one each is answered 404. A `model` replaces `engine` and
    `options`. `line` is between caller and gateway, `model_line` between gateway and model; `seed` is for both.
    `settings` go over those of this module. `transport` is what carriers' REST clients reach,
    `carrier` the client of Twilio's; `parties` are who can be reached by telephone.
    """
    path = folder / "agents.yaml"
    path.write_text(agents, encoding="utf-8")
    effective = Settings.alone(world_settings(folder, path) | dict(settings or {}))
    store = MemoryStore()
    server = model or ModelServer(engine or ScriptedEngine(), options or ModelOptions())
    invoker = WebhookInvoker(
        NetGuard(),
        default_secret=effective.webhook_secret,
        transport=httpx2.ASGITransport(app=business or FastAPI(openapi_url=None)),
    )
    async with asyncio.TaskGroup() as group:
        open_socket = connector(server, group, model_line, random.Random(seed))
        app = create_app(
            effective,
            load_agents(path),
            store=store,
            invoker=invoker,
            open_socket=open_socket,
            carrier=carrier,
            transport=transport,
        )
        async with AsgiHost(app) as host, host.http() as http:
            network = TwilioNetwork(ACCOUNT, TOKEN, http, host.connect, line=line, parties=parties, seed=seed)
            yield World(app.state.gateway, network, server, store, host, http)


def world_settings(folder: Path, agents: Path) -> dict[str, object]:
    """Return the settings of a gateway of this world."""
    return {
        "public_url": PUBLIC,
        "agents_file": agents,
        "recordings_dir": folder / "recordings",
        "model_url": "wss://model.example.com/v1/realtime",
        "openai_api_key": "sk-test",
        "twilio_auth_token": TOKEN,
        "webhook_secret": SECRET,
        "max_calls": 1000,
    }


def connector(model: ModelServer, group: asyncio.TaskGroup, line: LineModel | None, rng: random.Random) -> Dial:
    """Return what opens sockets to a model's server in this process; `group` serves them."""

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
        if line is None:
            return ours
        return DelayedSocket(ours, line, rng, group.create_task)

    return open_socket


async def _serve(
    model: ModelServer,
    socket: PipeEnd,
    query: Mapping[str, str],
    headers: Mapping[str, str],
    opened: "asyncio.Future[UpgradeRefused | None]",
) -> None:
    asyncio.get_running_loop().call_later(UPGRADE_S, _tell_open, opened)
    try:
        await model.serve_socket(socket, query, headers)
    except UpgradeRefused as refused:
        if not opened.done():
            opened.set_result(refused)


def _tell_open(opened: "asyncio.Future[UpgradeRefused | None]") -> None:
    if not opened.done():
        opened.set_result(None)
