"""Whole calls from Telnyx: what is asked by REST, what the caller hears, and what is left behind."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.simulator.carrier import HangUp, Party, Pause, Say, Script, Wait, parties, tone
from gateway.simulator.carriers.report import CarrierReport
from gateway.simulator.carriers.telnyx import Trouble
from gateway.simulator.model import Scenario
from tests.carriers.telnyx.stage import FALLBACK, Stage, agents, stage
from tests.clock import run

pytestmark = pytest.mark.usefixtures("no_errors_logged")

SPEECH = tone(440, 900)
ASKS = Script([Wait("agent_done"), Say(SPEECH), Wait("agent_done"), HangUp()])
SAYS_BYE = Scenario.model_validate({"turns": [{"say": "Goodbye.", "calls": [{"name": "hang_up", "arguments": {}}]}]})
FAILS = Scenario.model_validate({"server": {"refuse_first": [401, 99]}})
SORRY = "Sorry. Please call later."


def call(
    folder: Path,
    script: Script = ASKS,
    scenario: Scenario | None = None,
    *,
    beside: Callable[[Stage], Awaitable[None]] | None = None,
    patience_s: float = 30,
    **more: Any,
) -> tuple[CarrierReport, Stage]:
    async def main() -> tuple[CarrierReport, Stage]:
        async with stage(folder, scenario, **more) as it, asyncio.TaskGroup() as group:
            if beside is not None:
                group.create_task(_beside(beside, it))
            return await it.ring(script, ring_s=patience_s), it

    async def _beside(work: Callable[[Stage], Awaitable[None]], it: Stage) -> None:
        await work(it)

    return run(main())


def said(report: CarrierReport) -> list[str]:
    """What Telnyx' own voice said."""
    return [spoken.text for spoken in report.call.spoken]


def test_the_call_is_answered_with_a_stream_and_both_voices_pass_unchanged(tmp_path: Path) -> None:
    report, it = call(tmp_path)
    assert report.call.script_error is None and report.call.warnings == []
    assert it.asked == [("answer", "200")]
    assert it.ends == ["caller_hangup"]
    (wire,) = report.wires
    heard = it.world.session.caller.audio
    assert SPEECH in bytes(wire.sent) and SPEECH in bytes(heard)
    spoken = [bytes(one.audio) for one in it.world.session.spoken.values()]
    assert all(one.strip(b"\xff") in bytes(wire.received) for one in spoken) and spoken


def test_the_agent_hangs_up_by_command_after_its_goodbye(tmp_path: Path) -> None:
    script = Script([Wait("agent_done"), Say(SPEECH)], stay_s=20)
    report, it = call(tmp_path, script, SAYS_BYE)
    assert report.call.ended_by == "application" and it.ends == ["agent_hangup"]
    assert it.actions == ["answer", "hangup"]


def test_events_that_repeat_and_frames_out_of_order_change_nothing(tmp_path: Path) -> None:
    report, it = call(tmp_path, trouble=Trouble(repeated=True, shuffled=True))
    assert it.asked == [("answer", "200")]
    assert it.ends == ["caller_hangup"]
    assert report.call.warnings == []
    assert SPEECH in bytes(it.world.session.caller.audio)


def test_a_caller_whose_side_prefers_a_law_is_spoken_to_in_a_law(tmp_path: Path) -> None:
    report, it = call(tmp_path, trouble=Trouble(trunk="G729,PCMA,PCMU"))
    (wire,) = report.wires
    assert wire.encoding.label == "A-law"
    assert bytes(wire.sent).strip(b"\xd5")[:2000] in bytes(it.world.session.caller.audio)
    assert report.call.warnings == [] and it.ends == ["caller_hangup"]


def test_a_stream_in_another_codec_ends_with_the_apology_and_the_fallback_number(tmp_path: Path) -> None:
    people = [Party(FALLBACK, parties.answers(talk_s=5))]
    report, it = call(tmp_path, Script(stay_s=60), trouble=Trouble(speaks="G722"), parties=people)
    assert said(report) == [SORRY]
    assert it.actions == ["answer", "speak", "transfer", "hangup"]
    assert len(report.call.bridges) == 1 and it.ends == ["leg_broken"]


def test_a_fallback_number_that_is_busy_ends_the_call(tmp_path: Path) -> None:
    people = [Party(FALLBACK, parties.busy())]
    report, it = call(tmp_path, Script(stay_s=60), trouble=Trouble(speaks="G722"), parties=people)
    assert said(report) == [SORRY] and report.call.ended_by == "application"
    assert it.actions == ["answer", "speak", "transfer", "hangup"]


def test_without_a_fallback_number_the_apology_ends_the_call(tmp_path: Path) -> None:
    report, it = call(
        tmp_path, Script(stay_s=60), trouble=Trouble(speaks="OPUS", repeated=True), agents_yaml=agents(dial="")
    )
    assert said(report) == [SORRY] and it.actions == ["answer", "speak", "hangup"]


def test_a_stream_that_could_not_be_opened_is_asked_for_again(tmp_path: Path) -> None:
    report, it = call(tmp_path, trouble=Trouble(unreachable=2))
    assert report.call.script_error is None
    assert it.actions == ["answer", "streaming_start", "streaming_start"]
    assert it.ends == ["caller_hangup"]


def test_a_stream_that_can_never_be_opened_ends_with_the_apology(tmp_path: Path) -> None:
    report, it = call(tmp_path, Script(stay_s=90), trouble=Trouble(unreachable=9), agents_yaml=agents(dial=""))
    assert said(report) == [SORRY] and report.call.ended_by == "application"
    assert it.actions == ["answer", *["streaming_start"] * 3, "speak", "hangup"]


def test_a_stream_that_breaks_is_replaced_and_the_call_goes_on(tmp_path: Path) -> None:
    async def breaks(it: Stage) -> None:
        await asyncio.sleep(6)
        await it.sockets[0].close(1006)

    script = Script([Wait("agent_done"), Pause(8), Say(SPEECH), Wait("agent_done"), HangUp()])
    report, it = call(tmp_path, script, beside=breaks)
    assert report.call.script_error is None
    assert it.actions == ["answer", "streaming_start"]
    assert it.ends == ["leg_lost", "caller_hangup"]
    assert len(report.wires) == 2


def test_a_caller_who_hangs_up_as_the_stream_breaks_is_not_called_back(tmp_path: Path) -> None:
    async def breaks(it: Stage) -> None:
        await asyncio.sleep(6)
        await it.sockets[0].close(1006)

    report, it = call(tmp_path, Script(stay_s=60, hang_up_at_s=6.2), beside=breaks)
    assert it.actions == ["answer"] and it.ends == ["leg_lost"]


def test_a_number_of_nobody_is_rejected(tmp_path: Path) -> None:
    report, it = call(tmp_path, agents_yaml=agents(number="+14155559999"))
    assert (report.outcome, it.asked) == ("failed", [("reject", "200")])


def test_a_full_gateway_is_busy(tmp_path: Path) -> None:
    async def fills(it: Stage) -> None:
        it.world.gateway.registry.max_calls = 0

    report, it = call(tmp_path, beside=fills)
    assert (report.outcome, it.asked) == ("busy", [("reject", "200")])


def test_a_node_that_drains_leaves_new_calls_to_others_and_in_the_end_apologises(tmp_path: Path) -> None:
    async def drains(it: Stage) -> None:
        it.world.gateway.registry.drain()

    report, it = call(tmp_path, Script(stay_s=60), beside=drains, agents_yaml=agents(dial=""))
    offered = [event.detail[:3] for event in report.call.webhooks if event.name == "call.initiated"]
    assert offered == ["503", "503", "503", "200"]
    assert said(report) == [SORRY] and it.actions == ["answer", "speak", "hangup"]
    assert it.ends == ["refused_draining"]


def test_a_node_that_is_ready_again_takes_the_repeated_event(tmp_path: Path) -> None:
    async def drains(it: Stage) -> None:
        it.world.gateway.registry.drain()
        await asyncio.sleep(0.7)
        it.world.gateway.registry.draining = False

    report, it = call(tmp_path, beside=drains)
    assert it.actions == ["answer"] and it.ends == ["caller_hangup"]


def test_a_caller_who_gives_up_before_the_answer_leaves_nothing_behind(tmp_path: Path) -> None:
    report, it = call(tmp_path, trouble=Trouble(broken=frozenset({"answer"})), patience_s=2)
    assert set(it.actions) == {"answer"} and it.ends == ["caller_hangup"]


def test_a_model_that_refuses_ends_with_the_apology(tmp_path: Path) -> None:
    report, it = call(tmp_path, Script(stay_s=60), FAILS, agents_yaml=agents(dial=""))
    assert said(report) == [SORRY] and it.ends == ["model_refused"]


def test_a_caller_who_says_nothing_is_not_lost_to_telnyx_silence_rule(tmp_path: Path) -> None:
    report, it = call(tmp_path, Script([Wait("agent_done"), Pause(9), HangUp()]))
    assert report.call.ended_by == "caller"


def test_a_speech_command_that_fails_puts_the_caller_through_or_hangs_up(tmp_path: Path) -> None:
    trouble = Trouble(speaks="G722", broken=frozenset({"speak"}))
    report, it = call(tmp_path, Script(stay_s=60), trouble=trouble, agents_yaml=agents(dial=""))
    assert report.call.ended_by == "application" and it.actions[-1] == "hangup"


def test_a_gateway_that_is_stopped_has_its_callers_told(tmp_path: Path) -> None:
    async def main() -> list[str]:
        async with stage(tmp_path, agents_yaml=agents(dial="")) as it, asyncio.TaskGroup() as group:
            calling = group.create_task(it.world.ring(Script(stay_s=60)))
            await asyncio.sleep(8)
            await it.world.host.__aexit__(None, None, None)
            actions = it.actions
            calling.cancel()
        return actions

    assert run(main()) == ["answer", "speak"]
