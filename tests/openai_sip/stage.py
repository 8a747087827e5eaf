"""A gateway and OpenAI's SIP service in one process, on a virtual clock: one agent, one tool, a human to reach."""

import asyncio
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
from pydantic import SecretStr

from gateway.agents import load_agents
from gateway.app import Gateway, create_app
from gateway.carriers.front import Front
from gateway.carriers.openai_sip import open_carrier
from gateway.config import Settings
from gateway.errors import ModelError
from gateway.simulator.asgi import AsgiHost, UpgradeRefused
from gateway.simulator.carrier import Script
from gateway.simulator.model import ModelServer, Scenario, ScriptedEngine
from gateway.simulator.model.scripted import babble
from gateway.simulator.openai_sip import SipFaults, SipPlan, SipReport, SipService
from gateway.simulator.world import connector, world_settings
from gateway.store.memory import MemoryStore
from gateway.store.rows import JournalEntry, StoredCall
from gateway.tools.netguard import NetGuard
from gateway.tools.webhook import WebhookInvoker
from gateway.wire import TextSocket
from tests.world import AGENTS, CALLER, NUMBER, PUBLIC, Business

__all__ = ["SIP_AGENTS", "SipWorld", "question", "sip_world"]

SIP_SECRET = "whsec_c2lwLXdlYmhvb2stc2VjcmV0LW9mLXRlc3Rz"
SIP_AGENTS = (
    AGENTS
    + """
    transfer:
      targets:
        billing: {number: "+14155550150", mode: blind, description: invoices}
        sales: {number: "+14155550151", mode: warm, description: orders}
    collect_digits: true
    send_digits: true
    recording: true
    idle: {after_s: 15, prompts: ["Are you still there?"]}
"""
)
KEY = "sk-test"


def question(text: str = "Where is my order forty two?") -> bytes:
    """Return what a caller says; the scripted model hears what its scenario tells it to."""
    return babble(text)


@dataclass
class SipWorld:
    """Handles to every part."""

    service: SipService
    model: ModelServer
    store: MemoryStore
    business: Business
    http: httpx2.AsyncClient
    gateway: Gateway

    async def call(self, script: Script, faults: SipFaults | None = None, **more: object) -> SipReport:
        """Call the agent; return when the line is down and the gateway has let go."""
        plan = SipPlan(script=script, to=NUMBER, from_=CALLER, faults=faults or SipFaults(), **more)  # type: ignore[arg-type]
        report = await self.service.place(plan, self.http)
        await self.gateway.registry.empty()
        return report

    @property
    def record(self) -> StoredCall:
        (call,) = self.store.calls.values()
        return call

    @property
    def journal(self) -> list[JournalEntry]:
        (entries,) = self.store.journals.values()
        return entries

    def kinds(self, kind: str) -> list[Mapping[str, object]]:
        return [entry.data for entry in self.journal if entry.kind == kind]


@asynccontextmanager
async def sip_world(
    folder: Path,
    scenario: Scenario | None = None,
    *,
    agents: str = SIP_AGENTS,
    business: Business | None = None,
    settings: Mapping[str, object] | None = None,
) -> AsyncIterator[SipWorld]:
    """Build and start everything; on the way out stop everything. Run it inside `clock.run`."""
    scenario, business = scenario or Scenario(), business or Business()
    path = folder / "agents.yaml"
    path.write_text(agents, encoding="utf-8")
    effective = Settings.alone(world_settings(folder, path) | {"openai_api_key": KEY, **dict(settings or {})})
    with_sip = effective.model_copy(update={"openai_webhook_secret": SecretStr(SIP_SECRET)})
    store = MemoryStore()
    model = ModelServer(ScriptedEngine(scenario), scenario.server)
    invoker = WebhookInvoker(
        NetGuard(), default_secret=effective.webhook_secret, transport=httpx2.ASGITransport(app=business.app())
    )
    service = SipService(model, f"{PUBLIC}/openai/incoming", SIP_SECRET, api_key=KEY)
    async with asyncio.TaskGroup() as group, AsgiHost(service.app) as far:
        plain = connector(model, group, None, random.Random(1))

        async def open_socket(url: str, headers: Mapping[str, str]) -> TextSocket:
            if "call_id=" not in url:
                return await plain(url, headers)
            try:
                return await far.connect(url, headers)
            except UpgradeRefused as refused:
                permanent = refused.status in (401, 403, 404)
                code = str(refused.status)
                raise ModelError(f"refused with {code}", permanent=permanent, code=code) from None

        app = create_app(effective, load_agents(path), store=store, invoker=invoker, open_socket=open_socket)
        gateway = app.state.gateway
        front = Front(PUBLIC, "wss://gw.example.com", False, gateway.registry, gateway, gateway.maker.fallback)
        carrier = open_carrier(with_sip, front, transport=httpx2.ASGITransport(app=service.app))
        assert carrier.router is not None and carrier.control is not None
        app.include_router(carrier.router)
        gateway.carriers.append(carrier)
        gateway.maker.controls[carrier.name] = carrier.control
        async with AsgiHost(app) as host, host.http() as http:
            yield SipWorld(service, model, store, business, http, gateway)
