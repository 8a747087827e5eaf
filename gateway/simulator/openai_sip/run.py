"""Calls a running gateway as OpenAI's SIP endpoint would: its webhook, its calls endpoints, its sideband.

The gateway must know this service as its model: `GATEWAY_MODEL_URL=ws://HOST:PORT/v1/realtime`, and sign with the same
`OPENAI_WEBHOOK_SECRET`. So it is no test of a gateway that is set up for OpenAI itself, but of everything else.
"""

import asyncio
import secrets
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field

import httpx2
import uvicorn

from gateway.errors import ConfigError
from gateway.simulator.asgi import Application
from gateway.simulator.carrier.script import Script
from gateway.simulator.engine import Engine
from gateway.simulator.model import ModelOptions, ModelServer, ScriptedEngine
from gateway.simulator.openai_sip.plan import SipFaults, SipPlan
from gateway.simulator.openai_sip.report import SipReport
from gateway.simulator.openai_sip.service import SipService

__all__ = ["SipOptions", "run", "serving"]

START_S = 10.0
POLL_S = 0.01


@dataclass(slots=True, frozen=True, kw_only=True)
class SipOptions:
    """What the caller does, and where the service listens."""

    script: Script
    secret: str
    """Of the webhook, as the gateway has it."""
    to: str = "+14155550199"
    from_: str = "+14155550101"
    host: str = "127.0.0.1"
    port: int = 8082
    """Where the gateway finds the calls endpoints and the sideband."""
    api_key: str | None = None
    """The only key let in; None lets everybody."""
    engine: Engine = field(default_factory=ScriptedEngine)
    model: ModelOptions = ModelOptions()
    faults: SipFaults = SipFaults()


async def run(target_url: str, options: SipOptions) -> SipReport:
    """Call the gateway whose webhook is at `target_url` (`…/openai/incoming`) once; return when the call is over.

    Raises `ConfigError` when the port is taken.
    """
    model = ModelServer(options.engine, options.model)
    service = SipService(model, target_url, options.secret, api_key=options.api_key)
    seed = secrets.randbelow(10**9)  # the gateway takes no call twice, so each needs an id of its own
    plan = SipPlan(script=options.script, to=options.to, from_=options.from_, faults=options.faults, seed=seed)
    async with serving(service.app, options.host, options.port), httpx2.AsyncClient(trust_env=False) as http:
        return await service.place(plan, http)


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone: they end the command, not its server."""
        yield


@asynccontextmanager
async def serving(app: Application, host: str, port: int) -> AsyncIterator[int]:
    """Serve an application; yield its port, a free one for 0."""
    try:
        taken = socket.create_server((host, port))
    except OSError as error:
        raise ConfigError(f"cannot listen on {host}:{port}: {error.strerror or error}") from None
    config = uvicorn.Config(app, log_config=None, access_log=False, ws="websockets-sansio", timeout_graceful_shutdown=2)
    listening = _Server(config)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(listening.serve(sockets=[taken]))
        try:
            async with asyncio.timeout(START_S):
                while not listening.started and not running.done():  # noqa: ASYNC110 - it tells nobody
                    await asyncio.sleep(POLL_S)
            yield taken.getsockname()[1]
        finally:
            listening.should_exit = True
            await asyncio.wait({running})
