"""Callers brought to humans by Telnyx, and back."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.simulator.carrier import HangUp, Party, Pause, Say, Script, Wait, parties, tone
from gateway.simulator.carrier.plan import Callee
from gateway.simulator.carriers.report import CarrierReport
from gateway.simulator.carriers.telnyx import Trouble
from gateway.simulator.model import Scenario
from tests.carriers.telnyx.stage import HUMAN, Stage, agents, stage
from tests.clock import run

pytestmark = pytest.mark.usefixtures("no_errors_logged")

SPEECH = tone(440, 900)
TRANSFERS = Scenario.model_validate(
    {
        "turns": [
            {
                "say": "One moment.",
                "calls": [{"name": "transfer_call", "arguments": {"target": "sales", "summary": "Order 427."}}],
                "result": "Nobody is free.",
            },
            {"say": "Goodbye.", "calls": [{"name": "hang_up", "arguments": {}}]},
        ]
    }
)
WAITS = Script([Wait("agent_done"), Say(SPEECH), Pause(40), Say(SPEECH)], stay_s=30)


def call(
    folder: Path,
    human: Callee,
    mode: str = "blind",
    script: Script = WAITS,
    *,
    trouble: Trouble | None = None,
    beside: Callable[[Stage], Awaitable[None]] | None = None,
    **more: Any,
) -> tuple[CarrierReport, Stage]:
    async def main() -> tuple[CarrierReport, Stage]:
        yaml = agents(mode, **more)
        people = [Party(HUMAN, human)]
        async with stage(folder, TRANSFERS, agents_yaml=yaml, parties=people, trouble=trouble) as it:
            async with asyncio.TaskGroup() as group:
                if beside is not None:
                    group.create_task(_run(beside, it))
                return await it.ring(script), it

    async def _run(work: Callable[[Stage], Awaitable[None]], it: Stage) -> None:
        await work(it)

    return run(main())


def reason(it: Stage) -> object:
    """What the model was told of the transfer."""
    return json.loads(it.world.session.outputs[0].output)["reason"]


def humans_gone(it: Stage) -> bool:
    return all(human.gone.is_set() for human in it.dialect.humans.values())


# --- blind ------------------------------------------------------------------------------------------


def test_a_blind_transfer_that_is_answered_ends_our_part_and_stops_the_stream(tmp_path: Path) -> None:
    report, it = call(tmp_path, parties.answers(talk_s=5))
    assert it.transfer == ["asked", "answered"] and it.ends == ["transferred"]
    assert it.asked == [("answer", "200"), ("transfer", "200"), ("streaming_stop", "200")]
    assert len(report.call.bridges) == 1 and report.call.ended_by == "instructions"


@pytest.mark.parametrize(
    ("human", "told"),
    [(parties.busy(), "busy"), (parties.silent(), "no_answer"), (parties.unreachable(), "failed")],
    ids=["busy", "silent", "unreachable"],
)
def test_a_blind_transfer_that_fails_leaves_the_caller_with_the_agent(tmp_path: Path, human: Callee, told: str) -> None:
    report, it = call(tmp_path, human)
    assert it.transfer == ["asked", told] and reason(it) == told
    assert len(report.wires) == 1 and it.ends == ["agent_hangup"] and report.call.warnings == []


def test_events_of_a_transfer_that_repeat_are_told_once(tmp_path: Path) -> None:
    _, it = call(tmp_path, parties.busy(), trouble=Trouble(repeated=True))
    assert it.transfer == ["asked", "busy"] and it.ends == ["agent_hangup"]


def test_a_transfer_that_telnyx_refuses_leaves_the_caller_with_the_agent(tmp_path: Path) -> None:
    _, it = call(tmp_path, parties.answers(), trouble=Trouble(broken=frozenset({"transfer"})))
    assert it.transfer == ["asked", "failed"] and it.ends == ["agent_hangup"]
    assert it.actions.count("transfer") == 3


@pytest.mark.parametrize("mode", ["blind", "warm"])
def test_a_caller_who_hangs_up_while_it_rings_leaves_nobody_ringing(tmp_path: Path, mode: str) -> None:
    script = Script([Wait("agent_done"), Say(SPEECH), Pause(8), HangUp()])
    _, it = call(tmp_path, parties.silent(), mode, script, ring_s=30)
    assert it.ends == ["caller_hangup"] and humans_gone(it)


@pytest.mark.parametrize(
    "human", [parties.busy(after_s=6), parties.answers(ring_s=6, talk_s=5)], ids=["busy", "answers"]
)
def test_a_stream_that_breaks_while_it_rings_is_replaced_only_if_nobody_answers(tmp_path: Path, human: Callee) -> None:
    async def breaks(it: Stage) -> None:
        await asyncio.sleep(9)
        asked_before.extend(it.actions)
        await it.sockets[0].close(1006)

    asked_before: list[str] = []
    report, it = call(tmp_path, human, beside=breaks)
    assert asked_before == ["answer", "transfer"]
    busy = it.transfer == ["asked", "busy"]
    assert busy or it.transfer == ["asked", "answered"]
    assert it.ends == (["agent_hangup"] if busy else ["transferred"])
    assert len(report.wires) == (2 if busy else 1) and len(report.call.bridges) == (0 if busy else 1)


def test_a_caller_who_cannot_be_streamed_again_is_told_so(tmp_path: Path) -> None:
    async def breaks(it: Stage) -> None:
        await asyncio.sleep(9)
        await it.sockets[0].close(1006)

    trouble = Trouble(refused=frozenset({"streaming_start"}))
    script = Script([Wait("agent_done"), Say(SPEECH)], stay_s=120)
    report, it = call(tmp_path, parties.busy(after_s=6), script=script, trouble=trouble, beside=breaks, dial="")
    assert [one.text for one in report.call.spoken] == ["Sorry. Please call later."]
    assert it.ends == ["leg_broken"] and it.actions[-1] == "hangup"


# --- warm -------------------------------------------------------------------------------------------


def test_a_warm_transfer_tells_the_brief_and_joins_both_when_the_key_is_pressed(tmp_path: Path) -> None:
    report, it = call(tmp_path, parties.presses("1", talk_s=10), "warm")
    assert it.transfer == ["asked", "ringing", "answered", "accepted"] and it.ends == ["transferred"]
    # The last is harmless: whether the bridge was made before the human hung up is not known for sure.
    assert it.actions == ["answer", "dial", "gather_using_speak", "bridge", "streaming_stop", "hangup"]
    assert len(report.call.bridges) == 1 and humans_gone(it)


@pytest.mark.parametrize("key", ["2", "#"])
def test_another_key_is_a_refusal_and_the_human_is_let_go(tmp_path: Path, key: str) -> None:
    report, it = call(tmp_path, parties.presses(key), "warm")
    assert it.transfer[-1] == "rejected" and reason(it) == "rejected"
    assert humans_gone(it) and report.call.bridges == [] and it.ends == ["agent_hangup"]


def test_a_machine_that_presses_nothing_is_a_refusal(tmp_path: Path) -> None:
    _, it = call(tmp_path, parties.machine(SPEECH), "warm")
    assert it.transfer[-1] == "rejected" and humans_gone(it)


def test_without_a_key_whoever_answers_gets_the_caller_after_the_brief(tmp_path: Path) -> None:
    report, it = call(tmp_path, parties.answers(talk_s=15), "warm", accept_key="")
    assert it.actions == ["answer", "dial", "speak", "bridge", "streaming_stop", "hangup"]
    assert it.ends == ["transferred"] and len(report.call.bridges) == 1


@pytest.mark.parametrize(
    ("human", "told"),
    [(parties.busy(), "busy"), (parties.silent(), "no_answer"), (parties.hangs_up(), "rejected")],
    ids=["busy", "silent", "hangs up"],
)
def test_a_warm_transfer_that_fails_leaves_the_caller_with_the_agent(tmp_path: Path, human: Callee, told: str) -> None:
    report, it = call(tmp_path, human, "warm")
    assert it.transfer[-1] == told and reason(it) == told
    assert len(report.wires) == 1 and it.ends == ["agent_hangup"] and humans_gone(it)


def test_a_bridge_that_fails_lets_the_human_go_and_keeps_the_caller(tmp_path: Path) -> None:
    trouble = Trouble(broken=frozenset({"bridge"}))
    report, it = call(tmp_path, parties.presses("1"), "warm", trouble=trouble)
    assert it.transfer[-1] == "failed" and humans_gone(it)
    assert report.call.bridges == [] and it.ends == ["agent_hangup"]


def test_a_brief_that_cannot_be_told_fails_the_transfer(tmp_path: Path) -> None:
    trouble = Trouble(broken=frozenset({"gather_using_speak"}))
    _, it = call(tmp_path, parties.presses("1", talk_s=60, within_s=60), "warm", trouble=trouble)
    assert it.transfer[-1] == "failed" and humans_gone(it) and it.ends == ["agent_hangup"]


@pytest.mark.parametrize("mode", ["blind", "warm"])
@pytest.mark.parametrize("at_s", [6.6, 8.1, 12.5, 16.0, 17.3, 19.5])
def test_whenever_the_caller_hangs_up_nobody_is_left_behind(tmp_path: Path, mode: str, at_s: float) -> None:
    script = Script([Wait("agent_done"), Say(SPEECH)], stay_s=60, hang_up_at_s=at_s)
    trouble = Trouble(repeated=at_s % 1 > 0.4)
    report, it = call(tmp_path, parties.presses("1", talk_s=3), mode, script, trouble=trouble)
    assert len(it.ends) == 1 and it.ends[0] in ("caller_hangup", "transferred")
    assert humans_gone(it) and report.call.ended_by in ("caller", "instructions", "application")
    assert it.world.gateway.registry.live == 0
