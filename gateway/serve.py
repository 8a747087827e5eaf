"""`gateway serve` and `gateway migrate`."""

import asyncio
import errno
import gc
import logging
import socket
from collections.abc import Iterator
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.agents import AgentsFile, load_agents
from gateway.agents.references import addresses
from gateway.app import create_app
from gateway.config import Settings, database_sentence, is_loopback, load_settings
from gateway.dooradvice import door_advice
from gateway.errors import ConfigError
from gateway.log import configure
from gateway.preflight import missing_secrets, secret_texts
from gateway.records.recording import unwritable
from gateway.server import server
from gateway.sipadvice import sip_advice
from gateway.tools.netguard import NetGuard

__all__ = ["migrate", "serve"]

logger = logging.getLogger(__name__)

MODEL_S = 1.0
"""Longest wait for a model on this machine."""
BACKLOG = 2048
"""Connections that may wait to be accepted."""


class _Application:
    """The application for the server; keeps why it did not start, of which the server would log a traceback."""

    def __init__(self, app: ASGIApp) -> None:
        self.problem: ConfigError | None = None
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await self._app(scope, receive, send)
            return
        failed: list[Message] = []

        async def hold(message: Message) -> None:
            if message["type"] == "lifespan.startup.failed":  # it carries the traceback
                failed.append(message)
            else:
                await send(message)

        try:
            await self._app(scope, receive, hold)
        except BaseException as error:
            for message in failed:
                if isinstance(error, ConfigError):
                    self.problem, message["message"] = error, ""
                await send(message)
            raise


def serve(host: str | None, port: int | None) -> None:
    """Serve until told to stop. Raises `ConfigError` when calls could not be answered, before any is."""
    settings = load_settings()
    agents = load_agents(settings.agents_file)
    problems = [
        *settings.serving_problems(),
        *missing_secrets(agents, settings.webhook_secret),
        *_recording_problems(settings, agents),
    ]
    if problems:
        raise ConfigError("\n".join(problems))
    host, port = host or settings.host, port or settings.port
    if settings.allow_unsigned and not is_loopback(host):
        raise ConfigError("GATEWAY_ALLOW_UNSIGNED is for this machine alone: listen on loopback")
    if "public_url" not in settings.model_fields_set:  # development: it follows the port, also this one
        settings = settings.model_copy(update={"port": port, "public_url": f"http://127.0.0.1:{port}"})
    # First of all: a second gateway started by mistake must not touch the calls that the first one has in the store.
    listener = _listen(host, port)
    migrate()
    configure(settings.log_level, secrets=[*settings.secret_values(), *secret_texts(agents)])
    app = create_app(settings, agents)
    gateway = app.state.gateway
    application = _Application(app)
    listening = server(application, gateway, host=host, port=port)
    # What is loaded now lives as long as the process: the collector need not look at it again during calls.
    gc.collect()
    gc.freeze()
    count = len(agents.agents)
    logger.info("serving %s %s on %s:%s", count, "agent" if count == 1 else "agents", host, port)
    for warning in _warnings(settings, agents):
        logger.warning("%s", warning)
    with listener:
        try:
            listening.run(sockets=[listener])
        except SystemExit:  # uvicorn's way to say that the application did not start
            if application.problem is None:
                raise
            raise application.problem from None


def migrate() -> None:
    """Bring the configured database up to date. Raises `ConfigError` also when the database is away."""
    from gateway.store.migrate import upgrade

    url = load_settings().database_url
    try:
        asyncio.run(upgrade(url))
    except ConfigError as error:
        raise ConfigError(database_sentence(str(error), url)) from None


def _recording_problems(settings: Settings, agents: AgentsFile) -> list[str]:
    """Return a sentence when an agent records and nothing could be kept: nobody would miss it until it is asked for."""
    recorded = [agent.name for agent in agents.agents.values() if agent.recording]
    problem = unwritable(settings.recordings_dir) if recorded else ""
    return [f"GATEWAY_RECORDINGS_DIR: {problem}, and agent {recorded[0]!r} records its calls"] if problem else []


def _warnings(settings: Settings, agents: AgentsFile) -> Iterator[str]:
    """Yield what is no mistake, and yet seldom meant, a sentence each."""
    guard = NetGuard(settings.webhook_allow_cidrs, allow_loopback=settings.development)
    yield from (f"{said.name}: {said.detail}" for said in sip_advice(settings, agents) if said.warning)
    yield from (f"{said.name}: {said.detail}" for said in door_advice(settings, agents))
    yield from _model_away(settings.model_url)
    for agent in agents.agents.values():
        if not agent.numbers and not agent.default:
            yield f"agent {agent.name} has no number and is not the default: no incoming call reaches it"
        for place, url in addresses(agent):
            host = urlsplit(url).hostname or ""
            if is_loopback(host) and not guard.is_trusted(ip_address("127.0.0.1" if "localhost" in host else host)):
                yield (
                    f"{place}: its url is on this machine and will be refused; "
                    "use its public https address, or allow 127.0.0.0/8 in GATEWAY_WEBHOOK_ALLOW_CIDRS"
                )


def _model_away(url: str) -> Iterator[str]:
    """One try to connect, where the model should run on this machine: its start is forgotten more than others'."""
    parts = urlsplit(url)
    if not is_loopback(parts.hostname or ""):
        return
    try:
        socket.create_connection((parts.hostname, parts.port or 80), timeout=MODEL_S).close()
    except OSError:
        yield f"GATEWAY_MODEL_URL: nothing listens at {parts.netloc}: every call fails until the model is started there"


def _listen(host: str, port: int) -> socket.socket:
    """Return the bound socket. Raises `ConfigError` with a sentence, where a server would log a failed start."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise ConfigError(f"port {port} of {host} is in use; stop what listens there or set GATEWAY_PORT") from None
        raise ConfigError(f"cannot listen on {host}:{port}: {error.strerror or error}") from None
