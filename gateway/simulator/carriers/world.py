"""The whole product in one process on a virtual clock, called by any carrier's simulator.

async with carrier_world(folder, AGENTS, CARRIER, ScriptedEngine(scenario), scenario.server) as everything:
    report = await everything.ring(script)
    await everything.settled()
    everything.record, everything.journal, everything.session  # as of `gateway.simulator.world`
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
from fastapi import FastAPI

from gateway.app import Gateway
from gateway.simulator.asgi import Application
from gateway.simulator.carrier import LineModel, Party, Script
from gateway.simulator.carrier.parts import Connector
from gateway.simulator.carriers.live import Plan
from gateway.simulator.carriers.network import Carrier, CarrierNetwork
from gateway.simulator.carriers.report import CarrierReport
from gateway.simulator.engine import Engine
from gateway.simulator.model import ModelOptions
from gateway.simulator.world import CALLER, NUMBER, PUBLIC, World, world

__all__ = ["CarrierWorld", "carrier_world"]


class _RestTransport(httpx2.AsyncBaseTransport):
    """Requests of the gateway's REST clients, to the simulated carrier's API once there is one."""

    def __init__(self, origin: str) -> None:
        self._host = urlsplit(origin).netloc
        self.app: Application | None = None

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if self.app is None or request.url.netloc.decode() != self._host:
            raise httpx2.ConnectError("nobody listens there", request=request)
        return await httpx2.ASGITransport(app=self.app, raise_app_exceptions=False).handle_async_request(request)


@dataclass
class CarrierWorld(World):
    """Handles to every part; `network` is Twilio's, `carriers` the simulated one."""

    carrier: CarrierNetwork

    async def ring(self, script: Script, **more: Any) -> CarrierReport:
        """Call the agent as `script` says; `more` are fields of `Plan`. Returns when the call is down."""
        fields: dict[str, Any] = {"to": NUMBER, "from_": CALLER}
        return await self.carrier.call(Plan(script=script, **(fields | more)))


@asynccontextmanager
async def carrier_world(
    folder: Path,
    agents: str,
    carrier: Carrier,
    engine: Engine | None = None,
    options: ModelOptions | None = None,
    *,
    business: FastAPI | None = None,
    parties: Sequence[Party] = (),
    model_line: LineModel | None = None,
    settings: Mapping[str, object] | None = None,
    connect: Callable[[Gateway, asyncio.TaskGroup], Connector] | None = None,
    seed: int = 7,
) -> AsyncIterator[CarrierWorld]:
    """Build and start everything; on the way out stop everything. Run it inside `clock.run`.

    The gateway has `carrier.settings`, and `settings` over them. `connect` makes what reaches it where that is no
    WebSocket; its tasks belong to the group.
    """
    origin = f"https://api.{carrier.name}.example.com"
    transport = _RestTransport(origin)
    own = {**carrier.settings, **({carrier.rest_setting: origin} if carrier.rest_setting else {})}
    async with (
        asyncio.TaskGroup() as group,
        world(
            folder,
            agents,
            engine,
            options,
            business=business,
            model_line=model_line,
            seed=seed,
            settings=own | dict(settings or {}),
            transport=transport,
        ) as it,
    ):
        network = CarrierNetwork(
            carrier,
            carrier.keys(it.gateway.settings),
            it.http,
            connect(it.gateway, group) if connect is not None else it.host.connect,
            public_url=PUBLIC,
            parties=parties,
            seed=seed,
        )
        transport.app = network.rest
        yield CarrierWorld(it.gateway, it.network, it.model, it.store, it.host, it.http, network)
