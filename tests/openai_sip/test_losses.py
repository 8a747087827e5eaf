"""The sideband is lost while the media goes on: nothing that was done is lost, nothing is done twice."""

from pathlib import Path

import pytest

from gateway.core.commands import EndReason
from gateway.simulator.carrier.script import HangUp, Pause, Script
from gateway.simulator.model import Scenario
from gateway.simulator.openai_sip import SipFaults
from tests.clock import run
from tests.openai_sip.stage import sip_world
from tests.openai_sip.test_whole_calls import ASK, BYE, DONE, ORDER, SHIPPED, THANK, turns
from tests.world import Business


@pytest.mark.parametrize("refuse_s", [0.0, 3.0])
def test_a_tool_that_answers_while_the_sideband_is_away_is_heard_of(tmp_path: Path, refuse_s: float) -> None:
    async def main() -> None:
        async with sip_world(tmp_path, Scenario(turns=[ORDER, BYE]), business=Business(delay_s=1.0)) as world:
            faults = SipFaults(lose_sideband_at_s=[5.6], refuse_s=refuse_s)  # the call is made at 5.3 s
            report = await world.call(Script([DONE, ASK, DONE, THANK], stay_s=20), faults)
            assert (report.sidebands, report.call.ended_by, report.call.script_error) == (2, "rest", None)
            assert len(world.business.calls) == 1
            said = [text for role, text, _ in turns(world) if role == "agent"]
            assert [text for text in said if text == SHIPPED] == [SHIPPED]
            assert world.record.end_reason == EndReason.AGENT_HANGUP
            outputs = [entry for entry in world.journal if entry.kind == "SubmitToolOutput"]
            assert len(outputs) == 2, "one for each function, none twice"

    run(main())


def test_a_short_loss_in_silence_changes_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        async with sip_world(tmp_path, Scenario(turns=[ORDER, BYE])) as world:
            script = Script([DONE, Pause(3), ASK, DONE, THANK], stay_s=20)
            report = await world.call(script, SipFaults(lose_sideband_at_s=[3.5]))
            assert (report.sidebands, report.call.ended_by) == (2, "rest")
            assert report.events.count(">response.create") == 2, "the greeting, and the answer with the result"
            assert len(world.model.sessions) == 1, "the session is the same"

    run(main())


def test_a_function_call_that_was_missed_is_asked_for_again(tmp_path: Path) -> None:
    async def main() -> None:
        turns_ = [ORDER, ORDER.model_copy(update={"heard": ""})]
        async with sip_world(tmp_path, Scenario(turns=turns_, default_result=SHIPPED)) as world:
            # The caller's turn ends at 5.3 s, and the model calls a function that nobody hears of.
            faults = SipFaults(lose_sideband_at_s=[4.5], refuse_s=2.0)
            report = await world.call(Script([DONE, ASK, Pause(12), HangUp()]), faults)
            assert report.sidebands == 2
            noted = [entry for entry in world.journal if entry.kind == "CreateItem"]
            assert any("was not carried out" in str(entry.data) for entry in noted)
            assert report.events.count(">response.create") == 3, "the greeting, the answer that was due, its result"
            assert len(world.business.calls) == 1

    run(main())


def test_a_sideband_that_stays_away_ends_the_call(tmp_path: Path) -> None:
    async def main() -> None:
        async with sip_world(tmp_path) as world:
            report = await world.call(Script([Pause(90), HangUp()]), SipFaults(lose_sideband_at_s=[5], refuse_s=300))
            assert report.call.ended_by == "rest"
            assert 15 < report.call.duration_s < 40
            assert world.record.end_reason == EndReason.MODEL_LOST

    run(main())


def test_the_third_loss_within_two_minutes_ends_the_call(tmp_path: Path) -> None:
    async def main() -> None:
        async with sip_world(tmp_path) as world:
            report = await world.call(Script([Pause(60), HangUp()]), SipFaults(lose_sideband_at_s=[5, 7, 9]))
            assert report.call.ended_by == "rest"
            assert world.record.end_reason == EndReason.MODEL_LOST

    run(main())
