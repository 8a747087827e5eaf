"""Everything the call needs, started over real loopback sockets and stopped again on every way out.

the simulated network ── signed webhooks, media socket ──> gateway ──> model server
                                                             └── signed POST ──> business
"""

import asyncio
import base64
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import httpx2
from pydantic import SecretStr

from gateway.agents import load_agents
from gateway.app import Gateway, create_app
from gateway.business import Database, Shop, create_shop
from gateway.business.signature import Keys
from gateway.config import Settings, load_settings
from gateway.demo.options import DemoOptions, Folder
from gateway.demo.serving import serve_business, serve_gateway
from gateway.demo.story import CALLER, NUMBER, agents_yaml, caller_script
from gateway.demo.watch import Watch, WatchedStore, watched_dial
from gateway.errors import ConfigError
from gateway.realtime.connection import dial
from gateway.simulator.asgi import connect_websocket
from gateway.simulator.carrier import CallPlan, CallReport, TwilioNetwork
from gateway.simulator.clips import load_clips
from gateway.simulator.local import LocalEngine
from gateway.simulator.model import ModelServer
from gateway.simulator.model.record import Observer
from gateway.simulator.model.shapes import Json
from gateway.store.migrate import upgrade

__all__ = ["Stage", "stage"]

PUBLIC_URL = "https://gateway.example"
"""What the network calls and signs; it is routed to the gateway's loopback port."""
LOOK_UP_S = 0.35
"""What a function of the business takes: long enough to be seen in the picture of the call."""
EVENTS_S = 10.0
"""Within this after its call's end the business must know of it."""
CLOSE_S = 3.0
"""Within this after its call's end every model session must be closed."""
POLL_S = 0.02


@dataclass(slots=True)
class Stage:
    """Handles to what runs. `model` is None when the real one is used, `engine` when it cannot be had."""

    options: DemoOptions
    folder: Folder
    gateway: Gateway
    store: WatchedStore
    network: TwilioNetwork
    business: Shop
    model: ModelServer | None
    engine: LocalEngine | None
    setup_ms: dict[str, int]

    async def call(self, watch: Watch) -> CallReport:
        """Have the caller call; return when the call is over, its record is written and its sessions are closed."""
        script = caller_script(load_clips(), fast=self.options.fast, patient=self.options.live)
        plan = CallPlan(
            to=NUMBER,
            from_=CALLER,
            voice_url=f"{PUBLIC_URL}/twilio/voice",
            status_callback=f"{PUBLIC_URL}/twilio/status",
            script=script,
        )
        live = self.network.offer(plan)
        watch.report = live.report
        async with asyncio.TaskGroup() as group:
            calling = group.create_task(live.inbound(plan))
            try:
                report = await asyncio.shield(calling)
            except asyncio.CancelledError:
                # Before the line goes: the record shall say that the call was stopped, not that the caller hung up.
                self.gateway.registry.stop()
                raise
        await self.gateway.registry.empty()
        await self._sessions_closed()
        await self.store.flush()
        await self._events_told()
        return report

    async def _sessions_closed(self) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + CLOSE_S
        # The server tells nobody when a session has ended.
        while self.model is not None and self.model.open_sessions and loop.time() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(POLL_S)

    async def _events_told(self) -> None:
        """Wait until the business knows of the call's end: events leave beside the call, and again if need be."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + EVENTS_S
        while loop.time() < deadline:
            events = await asyncio.to_thread(self.business.database.rows, "events")
            if any(event["type"] == "call.ended" for event in events):
                return
            await asyncio.sleep(POLL_S)


@asynccontextmanager
async def stage(options: DemoOptions, folder: Folder, watch: Watch) -> AsyncIterator[Stage]:
    """Start everything. Raises `ConfigError` when something cannot be had."""
    loop = asyncio.get_running_loop()
    begun = loop.time()
    async with AsyncExitStack() as stack:
        watch.enter("calling the real model" if options.live else "loading the speech models")
        engine = await _engine(options, stack)
        loaded = loop.time()
        model = None
        if not options.live:
            assert engine is not None
            model = await stack.enter_async_context(ModelServer(engine, on_event=_words_to(watch)))
        settings = _settings(options, folder, model)
        folder.shop.unlink(missing_ok=True)
        business = Shop(Database(folder.shop), Keys(_text_of(settings.webhook_secret)), pause_s=LOOK_UP_S)
        folder.agents.write_text(agents_yaml(await stack.enter_async_context(serve_business(create_shop(business)))))
        await upgrade(settings.database_url)
        store = WatchedStore.open(settings.database_url)
        store.watch = watch
        open_socket = watched_dial(watch) if options.live else dial
        app = create_app(settings, load_agents(folder.agents), store=store, open_socket=open_socket)
        origin = await stack.enter_async_context(serve_gateway(app))
        http = await stack.enter_async_context(httpx2.AsyncClient(trust_env=False))
        network = TwilioNetwork(
            "AC" + secrets.token_hex(16),
            _text_of(settings.twilio_auth_token),
            http,
            connect_websocket,
            route={PUBLIC_URL: origin},
        )
        setup_ms = {"speech_models": _ms(begun, loaded), "servers": _ms(loaded, loop.time())}
        yield Stage(options, folder, app.state.gateway, store, network, business, model, engine, setup_ms)


async def _engine(options: DemoOptions, stack: AsyncExitStack) -> LocalEngine | None:
    """Return the local engine; with the real model it only listens to the recording, and may be missing."""
    try:
        return await stack.enter_async_context(await LocalEngine.load())
    except ConfigError:
        if options.live:
            return None
        raise


def _settings(options: DemoOptions, folder: Folder, model: ModelServer | None) -> Settings:
    values: dict[str, object] = {
        "public_url": PUBLIC_URL,
        "agents_file": folder.agents,
        "recordings_dir": folder.recordings.absolute(),
        "database_url": f"sqlite:///{folder.database.absolute()}",
        "twilio_auth_token": secrets.token_hex(16),
        "webhook_secret": "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode(),
        "webhook_allow_cidrs": "127.0.0.0/8",
        "drain_s": 0,
    }
    if model is not None:
        return Settings.alone(values | {"model_url": model.url, "openai_api_key": "sk-local-demo"})
    real = load_settings()
    if real.openai_api_key is None:
        raise ConfigError("--live talks to the real model: set OPENAI_API_KEY")
    reach = {"model_url": real.model_url, "model_auth": real.model_auth, "openai_api_key": real.openai_api_key}
    return Settings.alone(values | reach)


def _words_to(watch: Watch) -> Observer:
    def observe(session_id: str, direction: str, event: Json, at: float) -> None:
        if event.get("type") == "response.output_audio_transcript.delta":
            watch.words(str(event.get("item_id")), str(event.get("delta")))

    return observe


def _text_of(secret: SecretStr | None) -> str:
    assert secret is not None, "the demo sets its own secrets"
    return secret.get_secret_value()


def _ms(begin: float, end: float) -> int:
    return round(1000 * (end - begin))
