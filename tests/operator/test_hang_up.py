"""An operator who ends a call: the caller hears a goodbye and no apology."""

import asyncio
from pathlib import Path

from gateway.core.events import OperatorAsked
from gateway.core.operator import EndCall
from gateway.simulator.carrier import Pause, Script, Wait
from tests.clock import run
from tests.world import World, world


def test_the_line_goes_down_after_a_goodbye_and_nothing_else_is_said(tmp_path: Path) -> None:
    async def end_it(w: World) -> str:
        await asyncio.sleep(6)
        (session,) = w.gateway.registry.sessions()
        return session.operate(OperatorAsked("c1", "ops", EndCall()))

    async def main() -> None:
        async with world(tmp_path) as w, asyncio.TaskGroup() as group:
            asked = group.create_task(end_it(w))
            report = await w.call(Script([Wait("agent_done"), Pause(30)]))
            await w.settled()
            assert asked.result() == "done"
            assert w.record.end_reason == "operator_hangup"
            assert report.spoken == [], "the network's own voice says nothing"
            assert report.duration_s < 12

    run(main())
