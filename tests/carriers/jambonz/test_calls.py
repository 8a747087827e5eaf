"""Whole calls over the simulated jambonz: audio, transfers, ends."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from gateway.simulator.carrier import HangUp, Party, Pause, Say, Script, Wait, parties, tone
from gateway.simulator.carriers.jambonz import CARRIER
from gateway.simulator.carriers.report import CarrierReport
from gateway.simulator.carriers.world import CarrierWorld, carrier_world
from gateway.simulator.model import ModelOptions, Scenario, ScriptedEngine
from gateway.simulator.world import NUMBER
from tests.clock import run

pytestmark = pytest.mark.usefixtures("no_errors_logged")

HUMAN = "+14155550150"
SPEECH = tone(440, 900)
FALLBACK = "Sorry. Please call later."


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
    fallback: {{say: {FALLBACK}}}
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
ASKS = Script([Wait("agent_done"), Say(SPEECH), Pause(15), Wait("agent_done", quiet_ms=1000), Say(SPEECH)], stay_s=30)
ONCE = Script([Wait("agent_done"), Say(SPEECH)], stay_s=30)


def call(
    folder: Path,
    scenario: Scenario,
    script: Script,
    *,
    file: str = "",
    people: Sequence[Party] = (),
    **settings: Any,
) -> tuple[CarrierReport, CarrierWorld]:
    async def main() -> tuple[CarrierReport, CarrierWorld]:
        engine = ScriptedEngine(scenario)
        options = ModelOptions(keep_audio=True)
        async with carrier_world(
            folder, file or agents(), CARRIER, engine, options, parties=people, settings=settings
        ) as everything:
            report = await everything.ring(script)
            await everything.settled()
            await asyncio.sleep(5)  # on the virtual clock: for what REST is asked afterwards
            return report, everything

    return run(main())


def states(world: CarrierWorld) -> list[Any]:
    return [data["state"] for data in world.kinds("transfer") if data["state"] != "ringing"]


def test_what_either_says_passes_through_untouched(tmp_path: Path) -> None:
    script = Script([Wait("agent_done"), Say(SPEECH), Wait("agent_done"), HangUp()])
    report, world = call(tmp_path, Scenario.model_validate({"turns": [{"say": "You are welcome."}]}), script)
    assert report.call.warnings == [] and report.call.script_error is None
    (wire,) = report.wires
    assert wire.encoding.label == "PCM16 at 24 kHz"
    assert bytes(wire.received) == b"".join(bytes(item.audio) for item in world.session.spoken.values())
    sent, heard = bytes(wire.sent), bytes(world.session.received.sound.audio)
    assert len(heard) > 48 * 1000 and heard == sent[: len(heard)]
    assert len(sent) - len(heard) <= 960, "only the last frame may be under way when the line goes down"
    assert world.record.end_reason == "caller_hangup"


def test_the_agents_goodbye_ends_the_call(tmp_path: Path) -> None:
    report, world = call(tmp_path, GOODBYE, ONCE)
    assert (report.call.ended_by, world.record.end_reason) == ("application", "agent_hangup")
    asked = [(event.name, event.detail) for event in world.carrier.requests]
    assert asked == [("call_status", "404")], "REST came later and counts as done"


def test_without_rest_the_goodbye_ends_the_call_too(tmp_path: Path) -> None:
    report, world = call(tmp_path, GOODBYE, ONCE, jambonz_api_key=None, jambonz_api_url=None)
    assert (report.call.ended_by, world.record.end_reason) == ("application", "agent_hangup")
    assert world.carrier.requests == []


def test_a_human_who_does_not_answer_brings_the_caller_back(tmp_path: Path) -> None:
    report, world = call(tmp_path, TRANSFER, ASKS, people=[Party(HUMAN, parties.silent())])
    assert states(world) == ["asked", "no_answer"]
    assert report.call.warnings == [] and len(report.wires) == 2
    assert world.record.end_reason == "agent_hangup"


def test_a_human_who_answers_has_the_caller(tmp_path: Path) -> None:
    report, world = call(tmp_path, TRANSFER, ASKS, people=[Party(HUMAN, parties.answers(talk_s=4.0))])
    assert states(world) == ["asked", "answered"]
    assert [event.name for event in report.requests] == ["call_hook"]
    assert world.record.end_reason == "transferred"
    (bridge,) = report.call.bridges
    assert (bridge.end_s or report.call.duration_s) - bridge.start_s == pytest.approx(4.0, abs=0.2)


@pytest.mark.parametrize(
    ("mode", "settings"), [("warm", {}), ("blind", {"jambonz_api_key": None, "jambonz_api_url": None})]
)
def test_a_transfer_that_cannot_be_made_is_told_to_the_agent(
    mode: str, settings: dict[str, Any], tmp_path: Path
) -> None:
    report, world = call(tmp_path, TRANSFER, ASKS, file=agents(mode), **settings)
    assert states(world) == ["asked", "failed"]
    assert len(report.wires) == 1, "the caller never left"
    assert world.record.end_reason == "agent_hangup"


def test_a_key_that_the_api_refuses_is_told_to_the_agent_and_the_caller_stays(tmp_path: Path) -> None:
    async def main() -> None:
        engine = ScriptedEngine(TRANSFER)
        async with carrier_world(tmp_path, agents(), CARRIER, engine) as everything:
            everything.carrier.keys = {**everything.carrier.keys, "api_key": "another"}
            report = await everything.ring(ASKS)
            await everything.settled()
            assert [event.detail for event in report.requests][:1] == ["401"]
            assert states(everything) == ["asked", "failed"]
            assert len(report.wires) == 1

    run(main())


def test_a_node_that_goes_away_hands_the_call_to_the_next_instruction(tmp_path: Path) -> None:
    async def main() -> None:
        scenario = Scenario.model_validate({"turns": [{"say": "You are welcome."}] * 3})
        async with carrier_world(tmp_path, agents(), CARRIER, ScriptedEngine(scenario)) as everything:
            registry = everything.gateway.registry
            asyncio.get_running_loop().call_later(5, registry.hand_over)
            script = Script([Wait("agent_done"), Pause(8), Say(SPEECH), Wait("agent_done"), HangUp()])
            report = await everything.ring(script)
            await everything.settled()
            assert report.call.warnings == [] and report.call.script_error is None
            assert len(report.wires) == 2
            reasons = [call.end_reason for call in everything.store.calls.values()]
            assert reasons == ["handed_over", "caller_hangup"]

    run(main())
