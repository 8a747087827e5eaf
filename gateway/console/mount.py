"""Puts the console into the application: everything of it is built here."""

import importlib.util
import logging
import time
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Protocol

from fastapi import FastAPI

from gateway.calls import CallMaker
from gateway.config import Settings
from gateway.console.guard import Guard
from gateway.console.routes import console_router
from gateway.console.sessions import Sessions
from gateway.errors import CarrierError, ConfigError
from gateway.operator.desk import CommandDesk
from gateway.operator.door import Door
from gateway.registry import Registry
from gateway.watching import Watching

if TYPE_CHECKING:
    from gateway.carriers.browser.door import BrowserDoor

__all__ = ["mount_console"]

logger = logging.getLogger(__name__)

BROWSER = "browser"
KEPT_OWNERS = 2000
"""Calls of which it is known who made them."""
QUIET = ("aiortc", "aioice")
"""Loggers of libraries that write every packet at DEBUG."""


class Parts(Protocol):
    """What the console needs of a gateway."""

    @property
    def settings(self) -> Settings: ...

    @property
    def registry(self) -> Registry: ...


def mount_console(app: FastAPI, gateway: Parts, maker: CallMaker) -> None:
    """Serve the console if the settings ask for it. Call once, before calls are made: `maker.log` is stood in front of.

    Raises `ConfigError` when the packages it needs are not installed.
    """
    settings = gateway.settings
    if not settings.browser_phone:
        return
    if importlib.util.find_spec("aiortc") is None:
        raise ConfigError(
            "GATEWAY_BROWSER_PHONE needs the extra `browser`: pip install 'voice-agent-gateway[browser]', or uv sync "
            "--extra browser"
        )
    from gateway.carriers.browser.door import BrowserDoor  # aiortc takes half a second and is not always there

    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    door = BrowserDoor(gateway.registry, loopback=settings.development)
    watching = maker.log = Watching(maker.log, lambda row: row.carrier == BROWSER)

    @asynccontextmanager
    async def lifespan(_: object) -> AsyncIterator[None]:
        async with door.running():
            logger.info("the browser phone is at %s/console", settings.public_url)
            yield

    app.include_router(
        console_router(
            Guard(settings.key_ring(), settings.public_url, Sessions(time.monotonic)),
            Door(settings.key_ring(), settings.node_name),
            BrowserPhones(door, gateway.registry, list(maker.agents.agents)),
            CommandDesk(gateway.registry, settings.node_name),
            watching,
            lifespan,
        )
    )


class BrowserPhones:
    """Makes the page's calls. Implements `routes.Phones`."""

    def __init__(self, door: "BrowserDoor", registry: Registry, agents: list[str]) -> None:
        self.agents = [{"name": name} for name in agents]
        self._door = door
        self._registry = registry
        self._owners: OrderedDict[str, str] = OrderedDict()

    async def call(self, who: str, agent: str, sdp: str) -> tuple[str, str]:
        """See `Phones.call`."""
        if {"name": agent} not in self.agents:
            raise ConfigError("there is no such agent")
        placed = await self._door.call(agent, sdp)
        sessions = self._registry.sessions()
        call_id = next((it.call_id for it in sessions if it.offer.carrier_call_id == placed.carrier_call_id), None)
        if call_id is None:
            raise CarrierError("the call ended at once")
        self._owners[call_id] = who
        while len(self._owners) > KEPT_OWNERS:
            self._owners.popitem(last=False)
        logger.info("%s calls agent %s from a browser: %s", who, agent, call_id)
        return call_id, placed.answer

    def owner(self, call_id: str) -> str | None:
        """See `Phones.owner`."""
        return self._owners.get(call_id)
