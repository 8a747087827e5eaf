"""The application: builds the parts, mounts the routes, answers for its health.

`create_app` builds everything and starts nothing; the lifespan opens the store, owns the calls' tasks, and on the way
out ends what still lives.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

import httpx2
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from gateway.agents import AgentsFile
from gateway.apikeys import KeyRing
from gateway.briefing import Briefer
from gateway.calls import CallMaker
from gateway.carriers.base import CallOffer, Control
from gateway.carriers.front import Carrier, Front
from gateway.carriers.twilio.rest import TwilioRest
from gateway.config import Settings, is_loopback
from gateway.console import mount_console
from gateway.deliveries import deliveries_router
from gateway.doors import Outbound, open_carriers, open_outbound
from gateway.errors import ConfigError
from gateway.log import mask_number
from gateway.metrics import Metrics
from gateway.office import Office, Ways
from gateway.operator.desk import CommandDesk
from gateway.operator.door import Door
from gateway.operator.routes import CallView, operator_router, vault_router
from gateway.outbound.dialler import Dialler
from gateway.outbound.journal import StoredAttempts
from gateway.outbound.pace import Pace
from gateway.outbound.policy import DialPolicy
from gateway.outbound.routes import router as outbound_router
from gateway.realtime.connection import Dial, dial
from gateway.registry import Live, Registry, new_call_id
from gateway.store import CallEnd, CallRow
from gateway.store.ports import CallStore
from gateway.tools.netguard import NetGuard
from gateway.tools.results import LateResults, results_router
from gateway.tools.webhook import WebhookInvoker
from gateway.vault import Vault

__all__ = ["Gateway", "create_app"]

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Gateway:
    """The parts of a running gateway; `app.state.gateway`."""

    settings: Settings
    agents: AgentsFile
    store: CallStore
    registry: Registry
    metrics: Metrics
    invoker: WebhookInvoker
    office: Office
    maker: CallMaker
    dialler: Dialler | None
    carrier: TwilioRest | None
    outbound: Outbound | None
    vault: Vault
    carriers: list[Carrier] = field(default_factory=list)

    def call_state(self, carrier_call_id: str, state: str, sequence: int | None = None) -> None:
        """Record the carrier's word about a call."""
        self.store.call_state(carrier_call_id, state, sequence)

    def call_refused(self, offer: CallOffer, why: str) -> None:
        """Leave a record of a call that was turned away, so that nobody's call is without one."""
        now, call_id = datetime.now(UTC), new_call_id()
        direction: Literal["inbound", "outbound"] = "outbound" if offer.direction == "outbound" else "inbound"
        self.store.call_offered(
            CallRow(
                call_id=call_id,
                carrier=offer.carrier,
                carrier_call_id=offer.carrier_call_id,
                direction=direction,
                agent=offer.agent,
                from_number=offer.from_number,
                to_number=offer.to_number,
                offered_at=now,
                agents_hash=self.agents.content_hash,
            )
        )
        self.store.call_ended(CallEnd(call_id, now, f"refused_{why}", 0))
        self.metrics.call_refused(direction, why)

    async def attempt_state(self, attempt_id: str, carrier_call_id: str, state: str, sequence: int | None) -> None:
        """Record the carrier's word about a call that we placed."""
        if self.dialler is not None:
            await self.dialler.adopt(attempt_id, carrier_call_id, state, sequence)

    async def attempt_agent(self, attempt_id: str, carrier_call_id: str) -> str | None:
        """Return who speaks on a call that we placed; None when we did not place it."""
        if self.dialler is None:
            return None
        attempt = await self.dialler.adopt(attempt_id, carrier_call_id, "in-progress")
        return attempt.agent if attempt is not None else None


def create_app(
    settings: Settings,
    agents: AgentsFile,
    *,
    store: CallStore | None = None,
    invoker: WebhookInvoker | None = None,
    open_socket: Dial = dial,
    carrier: TwilioRest | None = None,
    transport: httpx2.AsyncBaseTransport | None = None,
) -> FastAPI:
    """Return the application. What reaches outside (store, webhooks, model, carrier) may be given, to join simulated
    ends. `carrier` is Twilio's REST, `transport` goes below that of the others."""
    store = store or _store(settings.database_url)
    guard = NetGuard(settings.webhook_allow_cidrs, allow_loopback=settings.development)
    invoker = invoker or WebhookInvoker(guard, default_secret=settings.webhook_secret)
    registry = Registry(settings.max_calls)
    metrics = Metrics(lambda: registry.live)
    carrier = carrier or _carrier(settings)
    outbound = open_outbound(settings, carrier, transport)
    dialler = _dialler(settings, store, outbound) if outbound is not None else None
    ways = Ways(invoker, guard, dialler, lambda: registry.draining)
    office = Office.build(settings, agents, store, metrics, ways)
    reporter, operations = office.reporter, office.operations
    maker = CallMaker(settings, agents, reporter, office.desk, metrics, open_socket, imported=operations)
    maker.brief = Briefer(store, invoker.outgoing, settings.webhook_secret, office.desk.remember).for_call
    registry.make_session = maker.make
    vault = Vault(ttl_s=settings.vault_ttl_s, limit=settings.vault_max)
    maker.keep_secret = vault.keep
    gateway = Gateway(
        settings, agents, store, registry, metrics, invoker, office, maker, dialler, carrier, outbound, vault
    )
    # No pages about itself, and no redirect for a trailing slash: it would lose the POST that Twilio signed.
    app = FastAPI(lifespan=_lifespan, redirect_slashes=False, openapi_url=None)
    app.state.gateway = gateway
    _open_doors(app, gateway, transport)
    mount_console(app, gateway, maker)
    app.include_router(results_router(LateResults(store, office.desk, agents, settings.webhook_secret, metrics)))
    _operator_routes(app, gateway, maker)
    if dialler is not None:
        keys = [key.digest for key in settings.key_ring().keys]
        callers = {
            name: next(iter(agent.numbers), settings.twilio_from_number) for name, agent in agents.agents.items()
        }
        app.include_router(outbound_router(dialler, keys, callers))
    _health_routes(app, gateway)
    return app


def _store(url: str) -> CallStore:
    from gateway.store.store import Store  # SQLAlchemy and Alembic: half a second that in-memory runs do without

    return Store.open(url)


def _open_doors(app: FastAPI, gateway: Gateway, transport: httpx2.AsyncBaseTransport | None) -> None:
    settings = gateway.settings
    front = Front(
        public_url=settings.public_url,
        stream_origin=settings.stream_origin,
        allow_unsigned=settings.allow_unsigned,
        calls=gateway.registry,
        reports=gateway,
        fallback=gateway.maker.fallback,
        transport=transport,
    )
    controls: dict[str, Control] = {}
    for carrier in open_carriers(settings, front, gateway.carrier):
        gateway.carriers.append(carrier)
        if carrier.router is not None:
            app.include_router(carrier.router)
        if carrier.control is not None:
            controls[carrier.name] = carrier.control

    def over(offer: CallOffer) -> None:
        control = controls.get(offer.carrier)
        if control is not None:
            control.call_over(offer.carrier_call_id)

    gateway.maker.controls = controls
    gateway.registry.on_over = over


def _operator_routes(app: FastAPI, gateway: Gateway, maker: CallMaker) -> None:
    def view(live: Live) -> CallView:
        session = live.session
        offer, agent = session.offer, maker.agent_for(session.offer.agent, session.offer.to_number)
        return CallView(
            call_id=session.call_id,
            agent=agent.name if agent is not None else offer.agent,
            direction=offer.direction,
            phase=session.call.phase.value,
            seconds=round(live.seconds, 1),
            from_number=mask_number(offer.from_number),
            to_number=mask_number(offer.to_number),
        )

    settings, registry = gateway.settings, gateway.registry
    door = Door(settings.key_ring(), settings.node_name)
    desk = CommandDesk(registry, settings.node_name)
    app.include_router(operator_router(door, desk, lambda: [view(live) for live in registry.calls()]))
    app.include_router(vault_router(door, gateway.vault))
    app.include_router(deliveries_router(door, gateway.store, gateway.office.courier.wake))


def _carrier(settings: Settings) -> TwilioRest | None:
    """Return the REST client if the settings hold what it needs."""
    token, secret = settings.twilio_auth_token, settings.twilio_api_key_secret
    if settings.twilio_account_sid is None or (token is None and secret is None):
        return None
    return TwilioRest(
        settings.twilio_account_sid,
        auth_token=token.get_secret_value() if token is not None else None,
        api_key=settings.twilio_api_key_sid,
        api_secret=secret.get_secret_value() if secret is not None else None,
        api_url=settings.twilio_api_url,
    )


def _dialler(settings: Settings, store: CallStore, outbound: Outbound) -> Dialler:
    return Dialler(
        policy=DialPolicy(settings.dial_countries),
        carrier=outbound.carrier,
        attempts=StoredAttempts(store, outbound.name),
        public_url=settings.public_url,
        clock=lambda: datetime.now(UTC),
        pace=Pace(),
    )


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    try:
        async with _living(app.state.gateway):
            yield
    except BaseExceptionGroup as failed:
        # What a setting is to blame for is told in its one sentence, however many task groups it came through.
        problem: BaseException = failed
        while isinstance(problem, BaseExceptionGroup) and len(problem.exceptions) == 1:
            problem = problem.exceptions[0]
        if isinstance(problem, ConfigError):
            raise problem from None
        raise


@asynccontextmanager
async def _living(gateway: Gateway) -> AsyncIterator[None]:
    async with gateway.store, gateway.invoker:
        orphans = await gateway.store.close_orphans()
        if orphans:
            logger.warning("%s calls of an earlier process had no end; they have one now", orphans)
        try:
            async with gateway.office.open(gateway.maker):
                async with AsyncExitStack() as doors, asyncio.TaskGroup() as group:
                    # The calls have an owner before the first door opens: callers may be waiting behind it.
                    group.create_task(gateway.registry.run(), name="calls")
                    for carrier in gateway.carriers:
                        await doors.enter_async_context(carrier.running())
                    yield
                    gateway.registry.stop()
        finally:
            gateway.vault.clear()
            if gateway.outbound is not None:
                await gateway.outbound.carrier.close()


def _health_routes(app: FastAPI, gateway: Gateway) -> None:
    keys = gateway.settings.key_ring()

    @app.get("/livez", include_in_schema=False)
    async def livez() -> Response:
        return Response("ok", media_type="text/plain")

    @app.get("/readyz", include_in_schema=False)
    async def readyz() -> JSONResponse:
        registry = gateway.registry
        body = {
            "draining": registry.draining,
            "full": registry.full,
            "live": registry.live,
            "store": "ok" if gateway.store.healthy else "degraded",
        }
        return JSONResponse(body, 503 if registry.draining or registry.full else 200)

    @app.get("/metrics", include_in_schema=False)
    async def metrics(request: Request) -> Response:
        if not _may_read_metrics(keys, request):
            return Response("forbidden", 403, media_type="text/plain")
        return Response(gateway.metrics.page(), media_type="text/plain; version=0.0.4")


def _may_read_metrics(keys: KeyRing, request: Request) -> bool:
    """An API key, or a scraper on this machine that no proxy stands in front of."""
    if keys.name_of(request.headers.get("authorization", "")) is not None:
        return True
    proxied = "x-forwarded-for" in request.headers or "forwarded" in request.headers
    return not proxied and request.client is not None and is_loopback(request.client.host)
