"""What the caller sends arrives at the model byte for byte, and back: mu-law, A-law, 24 kHz."""

from pathlib import Path

import pytest

from gateway.simulator.asgi import Application
from gateway.simulator.carrier import Pause, Say, Script, Wait, tone
from gateway.simulator.carriers.asterisk import CARRIER, AsteriskWire, InDialplan
from gateway.simulator.carriers.encoding import Encoding
from gateway.simulator.carriers.frame import Carrier, CarrierNetwork
from gateway.simulator.carriers.live import LiveCall
from gateway.simulator.carriers.world import carrier_world
from gateway.simulator.model import ModelOptions, Scenario, ScriptedEngine
from tests.clock import run
from tests.world import AGENTS

SCRIPT = Script([Wait("agent_done"), Say(tone(440, 1500)), Wait("agent_done"), Pause(1)])
SCENARIO = Scenario.model_validate({"turns": [{"say": "Good, and how are you today?"}]})

pytestmark = pytest.mark.usefixtures("no_errors_logged")


def speaking(encoding: Encoding, *, plain: bool = False) -> Carrier:
    """Return an Asterisk that dials with another codec, or an older one."""

    class Dialplan(InDialplan):
        def wire(self) -> AsteriskWire:
            return AsteriskWire(f"{self.call.call_id}9", encoding, plain=plain)

    def rest(network: CarrierNetwork) -> Application:
        assert CARRIER.rest is not None
        return CARRIER.rest(network)

    def dialect(call: LiveCall) -> InDialplan:
        return Dialplan(call)

    return Carrier(CARRIER.name, dialect, CARRIER.new_id, CARRIER.keys, CARRIER.settings, rest, CARRIER.rest_setting)


@pytest.mark.parametrize("plain", [False, True], ids=["json", "plain"])
@pytest.mark.parametrize("encoding", [Encoding.MULAW, Encoding.ALAW, Encoding.PCM24], ids=lambda one: one.label)
def test_both_voices_pass_untouched(tmp_path: Path, encoding: Encoding, plain: bool) -> None:
    async def main() -> None:
        engine, options = ScriptedEngine(SCENARIO), ModelOptions(keep_audio=True)
        async with carrier_world(tmp_path, AGENTS, speaking(encoding, plain=plain), engine, options) as it:
            report = await it.ring(SCRIPT)
            await it.settled()
            (wire,) = report.wires
            assert wire.encoding is encoding and not report.call.warnings and report.call.script_error is None
            heard = bytes(it.session.caller.audio)
            assert wire.sent and heard and wire.sent.startswith(heard[: len(wire.sent)])
            assert len(wire.sent) - len(heard) <= encoding.frame_bytes
            spoken = b"".join(bytes(one.audio) for one in it.session.spoken.values())
            assert bytes(wire.received).replace(encoding.silence, b"") == spoken.replace(encoding.silence, b"")
            assert len(wire.received) % encoding.frame_bytes == 0

    run(main())
