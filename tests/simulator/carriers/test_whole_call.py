"""A carrier in the frame calls the real application, on the virtual clock."""

from pathlib import Path

from gateway.simulator.carrier import BargeIn, Dtmf, HangUp, Pause, Say, Script, Wait, tone
from gateway.simulator.carriers.report import CarrierReport
from gateway.simulator.carriers.world import carrier_world
from gateway.simulator.model import Scenario, ScriptedEngine
from tests.clock import run
from tests.simulator.carriers.familiar import FAMILIAR
from tests.world import AGENTS, Business

SPEECH = tone(440, 900)
SCENARIO = Scenario.model_validate(
    {
        "turns": [
            {
                "say": "Let me see.",
                "calls": [{"name": "lookup_order", "arguments": {"order_id": "A17"}}],
                "result": "It is {status}, and it will be with you in the course of the next week, on Monday.",
            },
            {"say": "You are welcome."},
        ]
    }
)


def call(folder: Path, script: Script) -> tuple[CarrierReport, str | None, list[bytes]]:
    async def main() -> tuple[CarrierReport, str | None, list[bytes]]:
        engine = ScriptedEngine(SCENARIO)
        async with carrier_world(folder, AGENTS, FAMILIAR, engine, business=Business().app()) as everything:
            report = await everything.ring(script)
            await everything.settled()
            spoken = [bytes(spoken.audio) for spoken in everything.session.spoken.values()]
            return report, everything.record.end_reason, spoken

    return run(main())


def test_a_call_goes_from_greeting_to_hang_up(tmp_path: Path) -> None:
    script = Script([Wait("agent_done"), Say(SPEECH), Wait("agent_done"), HangUp()])
    report, end, spoken = call(tmp_path, script)
    assert report.outcome == "completed"
    assert report.call.ended_by == "caller" and end == "caller_hangup"
    assert report.call.script_error is None and not report.call.warnings
    assert report.call.media.underruns == 0
    (wire,) = report.wires
    assert len(wire.sent) == report.call.media.frames_sent * 160
    assert bytes(wire.received) == b"".join(spoken)


def test_a_barge_in_clears_what_is_queued_and_marks_come_back(tmp_path: Path) -> None:
    script = Script([Wait("agent_done"), Say(SPEECH), BargeIn(SPEECH, 900), Pause(6), Dtmf("1"), HangUp()])
    report, end, _ = call(tmp_path, script)
    assert [deed.name for deed in report.call.deeds] == ["say", "barge_in", "dtmf", "hang_up"]
    assert len(report.call.media.clears) == 1
    assert any(mark.detail == "played" for mark in report.call.media.marks)
