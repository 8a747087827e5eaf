"""Hundreds of calls over a carrier leave nothing behind: no task, no timer, no token, no leg, no memory."""

import asyncio
import gc
from collections import Counter
from importlib import import_module
from pathlib import Path

import pytest

from gateway.simulator.carrier import HangUp, Pause, Script, Wait
from gateway.simulator.carriers.world import carrier_world
from gateway.simulator.model import Scenario, ScriptedEngine
from gateway.simulator.world import NUMBER
from tests.clock import run

pytestmark = pytest.mark.e2e

AGENTS = f"""
agents:
  support:
    numbers: ["{NUMBER}"]
    instructions: You help customers of Acme.
    greeting: Hello, this is Acme. How can I help?
"""
QUICK = Script([Wait("agent_speaking"), Pause(0.3), HangUp()])
OF_A_CALL = ("Call", "CallSession", "StreamLeg", "Pacer", "Intake", "RealtimeConnection", "CallBook", "Errands")


def alive() -> Counter[str]:
    gc.collect()
    return Counter(name for thing in gc.get_objects() if (name := type(thing).__name__) in OF_A_CALL)


@pytest.mark.parametrize("name", ["vonage", "telnyx", "asterisk", "genesys", "plivo", "jambonz"])
def test_many_calls_leave_nothing_behind(tmp_path: Path, name: str) -> None:
    """Frames of 20 ms with and without silence between words, binary frames, marks by our clock."""
    carrier = import_module(f"gateway.simulator.carriers.{name}").CARRIER

    async def main() -> None:
        async with carrier_world(tmp_path, AGENTS, carrier, ScriptedEngine(Scenario())) as it:
            await it.ring(QUICK)
            await asyncio.sleep(90)
            tasks, things = len(asyncio.all_tasks()), alive()
            for _ in range(2):
                async with asyncio.TaskGroup() as group:
                    for _ in range(20):
                        group.create_task(it.ring(QUICK))
            await asyncio.sleep(90)
            registry = it.gateway.registry
            assert registry.live == 0 and not registry._tokens
            assert len(registry._ended) == 41, "forty calls were made"
            assert len(asyncio.all_tasks()) == tasks
            assert alive() == things

    run(main())
