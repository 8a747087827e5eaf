"""Whole calls over the simulated Plivo: audio, transfers, ends, and what follows a stream."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from gateway.core.events import StopAsked
from gateway.simulator.carrier import BargeIn, HangUp, Party, Pause, Say, Script, Wait, parties, tone
from gateway.simulator.carriers.plivo import CARRIER
from gateway.simulator.carriers.report import CarrierReport
from gateway.simulator.carriers.world import CarrierWorld, carrier_world
from gateway.simulator.model import ModelOptions, Scenario, ScriptedEngine
from gateway.simulator.world import NUMBER
from tests.clock import run

pytestmark = pytest.mark.usefixtures("no_errors_logged")

HUMAN = "+14155550150"
SPEECH = tone(440, 900)
HOLDS = replace(CARRIER, keys=lambda settings: {**CARRIER.keys(settings), "after_stream": "hold"})
"""A Plivo that keeps the call after the stream and runs nothing."""


def agents(mode: str = "blind") -> str:
    return f"""
agents:
  support:
    numbers: ["{NUMBER}"]
    instructions: You help customers of Acme.
    greeting: Hello, this is Acme. How can I help?
    transfer:
      targets:
        sales: {{number: "{HUMAN}", mode: {mode}, ring_s: 10}}
    fallback: {{say: Sorry. Please call later.}}
"""


TRANSFER = Scenario.model_validate(
    {
        "turns": [
            {
                "say": "One moment, I am putting you through.",
                "calls": [{"name": "transfer_call", "arguments": {"target": "sales", "summary": "Ann."}}],
                "result": "Nobody is free, sorry.",
            },
            {"say": "Goodbye.", "calls": [{"name": "hang_up", "arguments": {}}]},
        ]
    }
)
GOODBYE = Scenario.model_validate({"turns": [{"say": "Goodbye.", "calls": [{"name": "hang_up", "arguments": {}}]}]})
ASKS = Script([Wait("agent_done"), Say(SPEECH), Pause(16), Wait("agent_done"), Say(SPEECH)], stay_s=30)
ONCE = Script([Wait("agent_done"), Say(SPEECH)], stay_s=30)
TALKS = Scenario.model_validate({"turns": [{"say": "You are very welcome, and thank you for asking me."}] * 3})


def call(
    folder: Path,
    scenario: Scenario,
    script: Script,
    *,
    carrier: Any = CARRIER,
    file: str = "",
    people: Sequence[Party] = (),
    settings: Mapping[str, object] = MappingProxyType({}),
) -> tuple[CarrierReport, CarrierWorld]:
    async def main() -> tuple[CarrierReport, CarrierWorld]:
        engine, options = ScriptedEngine(scenario), ModelOptions(keep_audio=True)
        async with carrier_world(
            folder, file or agents(), carrier, engine, options, parties=people, settings=settings
        ) as everything:
            report = await everything.ring(script)
            await everything.settled()
            await asyncio.sleep(5)
            return report, everything

    return run(main())


def states(world: CarrierWorld) -> list[Any]:
    return [data["state"] for data in world.kinds("transfer") if data["state"] != "ringing"]


def test_what_either_says_passes_through_untouched(tmp_path: Path) -> None:
    script = Script([Wait("agent_done"), Say(SPEECH), Wait("agent_done"), HangUp()])
    report, world = call(tmp_path, TALKS, script)
    assert report.call.warnings == [] and report.call.script_error is None
    (wire,) = report.wires
    assert bytes(wire.received) == b"".join(bytes(item.audio) for item in world.session.spoken.values())
    heard = bytes(world.session.caller.audio)
    assert SPEECH in heard and heard in bytes(wire.sent)
    assert world.record.end_reason == "caller_hangup"
    assert (world.record.from_number, world.record.to_number) == ("+14155550101", NUMBER)


def test_a_barge_in_leaves_nothing_of_the_old_answer(tmp_path: Path) -> None:
    script = Script([Wait("agent_speaking"), BargeIn(SPEECH, after_ms=700), Wait("agent_done"), HangUp()])
    report, world = call(tmp_path, TALKS, script)
    assert report.call.warnings == []
    assert len(report.call.media.clears) == 1
    assert all(mark.detail == "played" for mark in report.call.media.marks), "a mark that was cleared is void"
    (cut,) = world.session.truncations
    assert 500 <= cut.audio_end_ms <= 1800


@pytest.mark.parametrize("carrier", [CARRIER, HOLDS], ids=["runs what follows", "holds the call"])
def test_the_agents_goodbye_ends_the_call_whatever_follows_a_stream(carrier: Any, tmp_path: Path) -> None:
    report, world = call(tmp_path, GOODBYE, ONCE, carrier=carrier)
    assert report.call.ended_by == "application"
    assert world.record.end_reason == "agent_hangup"
    asked = [(event.name, event.detail) for event in world.carrier.requests]
    assert asked == ([] if carrier is CARRIER else [("hangup", "204")])


def test_without_rest_the_goodbye_ends_the_call_too(tmp_path: Path) -> None:
    report, world = call(tmp_path, GOODBYE, ONCE, settings={"plivo_auth_id": None})
    assert (report.call.ended_by, world.record.end_reason) == ("application", "agent_hangup")
    assert world.carrier.requests == []


@pytest.mark.parametrize("carrier", [CARRIER, HOLDS], ids=["runs what follows", "holds the call"])
def test_a_caller_whose_agent_is_lost_is_told_so(carrier: Any, tmp_path: Path) -> None:
    async def main() -> tuple[CarrierReport, CarrierWorld]:
        async with carrier_world(tmp_path, agents(), carrier, ScriptedEngine(TALKS)) as everything:
            async with asyncio.TaskGroup() as group:
                ringing = group.create_task(everything.ring(Script([Wait("agent_done")], stay_s=30)))
                await asyncio.sleep(4)
                everything.gateway.registry.sessions()[0].call.fail()
                everything.gateway.registry.sessions()[0].feed(StopAsked("for a test"))
            return ringing.result(), everything

    report, world = run(main())
    assert [said.text for said in report.call.spoken] == ["Sorry. Please call later."]
    assert [event.name for event in report.requests] == ([] if carrier is CARRIER else ["transfer"])


@pytest.mark.parametrize(
    ("human", "state"), [(parties.silent(), "no_answer"), (parties.busy(), "busy")], ids=["silent", "busy"]
)
def test_a_human_who_does_not_take_the_call_brings_the_caller_back(human: Any, state: str, tmp_path: Path) -> None:
    report, world = call(tmp_path, TRANSFER, ASKS, people=[Party(HUMAN, human)])
    assert states(world) == ["asked", state]
    assert report.call.warnings == [] and len(report.wires) == 2
    assert world.record.end_reason == "agent_hangup"


def test_a_human_who_answers_has_the_caller(tmp_path: Path) -> None:
    report, world = call(tmp_path, TRANSFER, ASKS, people=[Party(HUMAN, parties.answers(talk_s=4.0))])
    assert states(world) == ["asked", "answered"]
    assert [event.name for event in report.requests] == ["transfer"], "and nobody puts the call down"
    assert world.record.end_reason == "transferred"
    (bridge,) = report.call.bridges
    assert (bridge.end_s or report.call.duration_s) - bridge.start_s == pytest.approx(4.0, abs=0.2)


@pytest.mark.parametrize(("mode", "settings"), [("warm", {}), ("blind", {"plivo_auth_id": None})])
def test_a_transfer_that_cannot_be_made_is_told_to_the_agent(
    mode: str, settings: dict[str, object], tmp_path: Path
) -> None:
    report, world = call(tmp_path, TRANSFER, ASKS, file=agents(mode), settings=settings)
    assert states(world) == ["asked", "failed"]
    assert len(report.wires) == 1, "the caller never left"
    assert world.record.end_reason == "agent_hangup"


def test_wrong_credentials_fail_the_transfer_and_the_caller_stays(tmp_path: Path) -> None:
    async def main() -> None:
        async with carrier_world(tmp_path, agents(), CARRIER, ScriptedEngine(TRANSFER)) as everything:
            everything.carrier.keys = {**everything.carrier.keys, "account": "MAOTHER00000000000000"}
            report = await everything.ring(ASKS)
            await everything.settled()
            assert [event.detail for event in report.requests][:1] == ["401"]
            assert states(everything) == ["asked", "failed"]
            assert len(report.wires) == 1

    run(main())


def test_a_caller_who_hangs_up_while_the_human_rings_ends_the_call(tmp_path: Path) -> None:
    script = Script([Wait("agent_done"), Say(SPEECH), Pause(8), HangUp()])
    report, world = call(tmp_path, TRANSFER, script, people=[Party(HUMAN, parties.silent())])
    assert report.call.sounds, "it rang"
    assert report.call.script_error is None
    assert world.record.end_reason == "caller_hangup"
    assert [event.name for event in report.requests] == ["transfer"]


def test_a_barge_in_while_the_last_clear_is_under_way_loses_nothing(tmp_path: Path) -> None:
    speaking, first, second = Wait("agent_speaking"), BargeIn(SPEECH, after_ms=700), BargeIn(SPEECH, after_ms=300)
    script = Script([speaking, first, speaking, second, Wait("agent_done"), HangUp()])
    report, world = call(tmp_path, TALKS, script)
    assert report.call.warnings == [] and report.call.script_error is None
    assert len(report.call.media.clears) == 2
    assert world.record.end_reason == "caller_hangup"
