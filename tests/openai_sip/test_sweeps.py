"""Whatever ends a call, and whenever: one end record, and nobody is left alone with the model."""

import asyncio
import logging
from pathlib import Path

import pytest

from gateway.simulator.carrier.script import HangUp, Pause, Script
from gateway.simulator.model import Scenario
from gateway.simulator.model.scenario import Turn
from gateway.simulator.openai_sip import SipFaults
from gateway.simulator.openai_sip.call import State
from tests.clock import run
from tests.openai_sip.stage import SIP_AGENTS, sip_world
from tests.openai_sip.test_whole_calls import ASK, BYE, DONE, HUMAN, ORDER, THANK
from tests.world import Business

SCRIPT = Script([DONE, ASK, DONE, THANK], stay_s=20)
INSTANTS = [number * 2.193 for number in range(7)]


def no_errors(caplog: pytest.LogCaptureFixture) -> None:
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []


@pytest.mark.parametrize("at_s", [0.0, *INSTANTS])
def test_a_gateway_that_stops_leaves_no_call_behind(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, at_s: float
) -> None:
    async def main() -> None:
        async with sip_world(tmp_path, Scenario(turns=[ORDER, BYE]), business=Business(delay_s=1.0)) as world:

            async def stop() -> None:
                await asyncio.sleep(at_s)
                world.gateway.registry.stop()

            async with asyncio.TaskGroup() as group:
                group.create_task(stop())
                report = await world.call(SCRIPT, ring_s=5.0)
            (session,) = world.service.live.values()
            assert session.state in (State.ENDED, State.REJECTED)
            assert report.outcome == "rejected" or report.call.ended_by == "rest"
            assert all(call.end_reason for call in world.store.calls.values())
            assert len(world.store.calls) == 1

    run(main())
    no_errors(caplog)


@pytest.mark.parametrize("at_s", [0.3, 0.9])
def test_a_call_whose_accept_is_under_way_is_let_go_when_the_gateway_stops(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, at_s: float
) -> None:
    async def main() -> None:
        async with sip_world(tmp_path) as world:

            async def stop() -> None:
                await asyncio.sleep(at_s)
                world.gateway.registry.stop()

            async with asyncio.TaskGroup() as group:
                group.create_task(stop())
                report = await world.call(SCRIPT, SipFaults(accept_s=1.0))
            assert [event.name for event in report.requests] == ["accept", "hangup"]
            assert (report.call.ended_by, world.record.end_reason) == ("rest", "stopped")

    run(main())
    no_errors(caplog)


@pytest.mark.parametrize("at_s", INSTANTS)
@pytest.mark.parametrize("turn", [ORDER, HUMAN])
def test_a_caller_who_hangs_up_at_any_instant_ends_everything(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, at_s: float, turn: Turn
) -> None:
    async def main() -> None:
        async with sip_world(tmp_path, Scenario(turns=[turn, BYE]), business=Business(delay_s=1.0)) as world:
            script = Script(SCRIPT.steps, stay_s=20, hang_up_at_s=at_s)
            await world.call(script, SipFaults(lose_sideband_at_s=[at_s * 0.7], refuse_s=0.4))
            assert world.record.end_reason in ("caller_hangup", "agent_hangup", "transferred")
            assert world.gateway.registry.live == 0
            carrier = world.gateway.carriers[-1].control
            assert carrier is not None
            ends = [entry for entry in world.journal if entry.kind == "end"]
            assert len(ends) == 1

    run(main())
    no_errors(caplog)


def test_many_calls_at_once_do_not_disturb_one_another(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with sip_world(tmp_path, Scenario(turns=[ORDER, BYE])) as world:
            async with asyncio.TaskGroup() as group:
                calls = [group.create_task(world.call(SCRIPT, seed=seed)) for seed in range(4)]
            assert {call.result().call.ended_by for call in calls} == {"rest"}
            assert [call.end_reason for call in world.store.calls.values()] == ["agent_hangup"] * 4
            assert len({call.carrier_call_id for call in world.store.calls.values()}) == 4

    run(main())
    no_errors(caplog)


def test_a_silent_caller_is_asked_and_then_let_go(tmp_path: Path) -> None:
    async def main() -> None:
        async with sip_world(tmp_path) as world:
            report = await world.call(Script([Pause(120), HangUp()]))
            assert (report.call.ended_by, world.record.end_reason) == ("rest", "idle")
            said = [str(entry["text"]) for entry in world.kinds("AgentSaid")]
            assert said[1] == "Are you still there?"

    run(main())


def test_a_call_that_lasts_too_long_ends_with_a_goodbye(tmp_path: Path) -> None:
    async def main() -> None:
        agents = SIP_AGENTS + "    limits: {max_duration_s: 30}\n"
        async with sip_world(tmp_path, agents=agents.replace("idle: {after_s: 15", "idle: {after_s: 300")) as world:
            report = await world.call(Script([Pause(120), HangUp()]))
            assert (report.call.ended_by, world.record.end_reason) == ("rest", "duration_limit")
            assert 30 < report.call.duration_s < 46

    run(main())
