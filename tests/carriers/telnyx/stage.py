"""The simulated world, called by Telnyx: its streams can be broken, and what it asked can be looked at."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.simulator.asgi import AsgiHost
from gateway.simulator.carrier import Party, Script
from gateway.simulator.carriers.report import CarrierReport
from gateway.simulator.carriers.telnyx import Place, TelnyxDialect, Trouble, telnyx
from gateway.simulator.carriers.world import CarrierWorld, carrier_world
from gateway.simulator.model import Scenario, ScriptedEngine
from gateway.simulator.world import NUMBER
from gateway.wire import TextSocket
from tests.world import Business

__all__ = ["FALLBACK", "HUMAN", "Stage", "agents", "stage"]

HUMAN = "+14155550150"
FALLBACK = "+14155550100"


def agents(
    mode: str = "blind", *, accept_key: str = "1", ring_s: int = 10, number: str = NUMBER, dial: str = FALLBACK
) -> str:
    return f"""
agents:
  support:
    numbers: ["{number}"]
    instructions: You help customers of Acme.
    greeting: Hello, this is Acme. How can I help?
    transfer:
      targets:
        sales: {{number: "{HUMAN}", mode: {mode}, ring_s: {ring_s}{accepts(mode, accept_key)}}}
    fallback: {{say: Sorry. Please call later.{f', dial: "{dial}"' if dial else ""}}}
"""


def accepts(mode: str, key: str) -> str:
    return f', accept_key: "{key}"' if mode == "warm" else ""


@dataclass
class Stage:
    """One world."""

    world: CarrierWorld
    sockets: list[TextSocket] = field(default_factory=list)
    """Telnyx' ends of the media sockets, in order."""

    async def ring(self, script: Script, **more: Any) -> CarrierReport:
        report = await self.world.ring(script, **more)
        await self.world.settled()
        await asyncio.sleep(15)  # what is still asked by REST
        return report

    @property
    def dialect(self) -> TelnyxDialect:
        (call,) = self.world.carrier.calls.values()
        assert isinstance(call.dialect, TelnyxDialect)
        return call.dialect

    @property
    def asked(self) -> list[tuple[str, str]]:
        """What was asked by REST, and how it was answered."""
        return [(event.name, event.detail) for event in self.world.carrier.requests]

    @property
    def actions(self) -> list[str]:
        return [name for name, _ in self.asked]

    @property
    def ends(self) -> list[str | None]:
        """How each call's record ended."""
        return [call.end_reason for call in self.world.store.calls.values()]

    @property
    def transfer(self) -> list[object]:
        """What the journal says of transfers."""
        return [data["state"] for data in self.world.kinds("transfer")]


@asynccontextmanager
async def stage(
    folder: Path,
    scenario: Scenario | None = None,
    *,
    trouble: Trouble | None = None,
    agents_yaml: str = "",
    parties: Sequence[Party] = (),
    settings: Mapping[str, object] | None = None,
    place: Place | None = None,
) -> AsyncIterator[Stage]:
    """Build and start everything; on the way out stop everything. Run it inside `clock.run`."""
    scenario = scenario or Scenario()
    hosts: list[AsgiHost] = []
    sockets: list[TextSocket] = []

    async def connector(url: str, headers: Mapping[str, str]) -> TextSocket:
        sockets.append(await hosts[0].connect(url, headers))
        return sockets[-1]

    async with carrier_world(
        folder,
        agents_yaml or agents(),
        telnyx(trouble or Trouble(), place),
        ScriptedEngine(scenario),
        scenario.server.model_copy(update={"keep_audio": True}),
        business=Business().app(),
        parties=parties,
        settings=settings,
        connect=lambda gateway, group: connector,
    ) as it:
        hosts.append(it.host)
        yield Stage(it, sockets)
