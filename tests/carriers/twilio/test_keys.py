"""Keys that the model presses, as the far end hears them."""

from pathlib import Path

import pytest

from gateway.hearing.tones import ToneDetector
from gateway.simulator.carrier import HangUp, LineModel, Pause, Say, Script, Wait, tone
from gateway.simulator.model import Scenario
from tests.clock import run
from tests.world import NUMBER, world

pytestmark = pytest.mark.usefixtures("no_errors_logged")

AGENTS = f"""
agents:
  caller:
    numbers: ["{NUMBER}"]
    instructions: You reach people behind menus.
    greeting: Hello.
    send_digits: true
"""
KEYS = "4711*0#"
MENU = Script([Wait("agent_done"), Say(tone(440, 900)), Pause(8), HangUp()])
PRESS = {"name": "send_digits", "arguments": {"digits": KEYS}}


@pytest.mark.parametrize("line", [LineModel(), LineModel(downlink_ms=80, jitter_ms=40)], ids=["perfect", "jittery"])
@pytest.mark.parametrize("say", [[], ["I am pressing the keys now."]], ids=["silent", "speaking"])
def test_the_far_end_hears_the_keys_and_the_call_keeps_its_stream(
    tmp_path: Path, say: list[str], line: LineModel
) -> None:
    scenario = Scenario.model_validate({"turns": [{"say": say, "calls": [PRESS], "result": "Done."}]})

    async def main() -> None:
        async with world(tmp_path, scenario, agents=AGENTS, line=line) as w:
            report = await w.call(MENU)
            await w.settled()
            assert ToneDetector().feed(report.heard_bytes()) == KEYS
            assert [verb.name for verb in report.verbs] == ["Connect"]
            assert not report.warnings and not report.media.clears
            assert [output.output for output in w.session.outputs] == ['{"ok": true}']

    run(main())
