"""No byte of a voice is changed on the way: from the caller's wire to the model, and from the model back.

The gateway may add silence, before the caller's stream begins, where it stops, and to fill the last frame of a word; it
may not take a byte away, change one, or let two change places. Legs whose encoding the model does not speak are
converted between 8 kHz mu-law and linear samples, which loses nothing either.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path

import pytest

from gateway.simulator.carrier import HangUp, Say, Script, Wait
from gateway.simulator.carriers.asterisk import CARRIER as ASTERISK
from gateway.simulator.carriers.asterisk import AsteriskWire, InDialplan
from gateway.simulator.carriers.encoding import Decoder, Encoding
from gateway.simulator.carriers.frame import Carrier
from gateway.simulator.carriers.report import WireLog
from gateway.simulator.carriers.telnyx import Trouble, telnyx
from gateway.simulator.carriers.world import carrier_world
from gateway.simulator.model import ModelOptions, Scenario, ScriptedEngine, SessionRecord
from tests.carriers.scenario import AGENTS, CONNECT, NAMES
from tests.clock import run
from tests.simulator.carriers.familiar import FAMILIAR

pytestmark = pytest.mark.usefixtures("no_errors_logged")

NOISE = bytes(random.Random(5).choices([code for code in range(256) if code not in (0x7F, 0xFF)], k=12_345))
"""Every mu-law code but the two of silence, of which only one comes back from linear samples."""
SCENARIO = Scenario.model_validate(
    {"turns": [{"say": "It was sent on Monday, and it will be there tomorrow."}, {"say": "You are welcome."}]}
)
DONE = Wait("agent_done", quiet_ms=1000)
SCRIPT = Script([DONE, Say(NOISE), DONE, Say(NOISE[::-1]), DONE, HangUp()])
NATIVE = {Encoding.MULAW: "audio/pcmu", Encoding.ALAW: "audio/pcma", Encoding.PCM24: "audio/pcm"}
"""What the model is to speak with a leg that speaks so."""
FRAMED = [name for name in NAMES if name not in ("twilio", "openai-sip")]


@dataclass(frozen=True, slots=True)
class Passed:
    """Both ends of a call."""

    wire: WireLog
    session: SessionRecord

    @property
    def formats(self) -> set[str]:
        return {str(form) for _, form in self.session.caller.formats}

    @property
    def native(self) -> bool:
        return self.wire.encoding in NATIVE


def _of(name: str) -> Carrier:
    carrier: Carrier = import_module(f"gateway.simulator.carriers.{name}").CARRIER
    return carrier


def _asterisk(encoding: Encoding) -> Carrier:
    class Other(InDialplan):
        def wire(self) -> AsteriskWire:
            return AsteriskWire(f"{self.call.call_id}9", encoding)

    return replace(ASTERISK, dialect=Other)


LEGS: dict[str, Callable[[], Carrier]] = {
    "twilio": lambda: FAMILIAR,
    **{name: (lambda name=name: _of(name)) for name in FRAMED},  # type: ignore[misc]
    "telnyx, A-law": lambda: telnyx(Trouble(trunk="PCMA")),
    "asterisk, A-law": lambda: _asterisk(Encoding.ALAW),
    "asterisk, PCM": lambda: _asterisk(Encoding.PCM24),
}


@pytest.fixture(params=LEGS)
def passed(request: pytest.FixtureRequest, tmp_path: Path) -> Passed:
    carrier = LEGS[request.param]()

    async def main() -> Passed:
        engine, options = ScriptedEngine(SCENARIO), ModelOptions(keep_audio=True)
        connect = CONNECT.get(carrier.name)
        async with carrier_world(tmp_path, AGENTS, carrier, engine, options, connect=connect) as everything:
            report = await everything.ring(SCRIPT)
            await everything.settled()
            assert report.call.script_error is None and report.call.warnings == []
            (wire,) = report.wires
            return Passed(wire, everything.session)

    return run(main())


def test_the_caller_reaches_the_model_unchanged(
    passed: Passed, record_property: Callable[[str, object], None], request: pytest.FixtureRequest
) -> None:
    sent, arrived = bytes(passed.wire.sent), bytes(passed.session.caller.audio)
    if passed.native:
        assert passed.formats == {NATIVE[passed.wire.encoding]}
    else:
        assert passed.formats == {"audio/pcmu"}
        sent = Decoder(passed.wire.encoding).decode(sent)
    silence = passed.wire.encoding.silence if passed.native else Encoding.MULAW.silence
    leg, how = request.node.callspec.params["passed"], "untouched" if passed.native else "as mu-law"
    label = f"{leg:<15} {passed.wire.encoding.label:<15} {how:<9} {len(sent)} bytes of the caller"
    record_property("identity", f"{label}, {len(passed.wire.received)} of the agent")
    assert len(_voice(sent, silence)) > 2 * len(NOISE)
    assert _voice(arrived, silence) == _voice(sent, silence)
    if passed.wire.encoding.rate_hz == 8000 and passed.wire.encoding is not Encoding.ALAW:
        assert NOISE in arrived and NOISE[::-1] in arrived


def test_the_agent_reaches_the_caller_unchanged(passed: Passed) -> None:
    spoken = [bytes(item.audio) for item in passed.session.spoken.values()]
    received, silence = bytes(passed.wire.received), Encoding.MULAW.silence
    if passed.native:
        silence = passed.wire.encoding.silence
    else:
        received = Decoder(passed.wire.encoding).decode(received)
    assert len(spoken) == 3
    assert all(_voice(audio, silence) in received for audio in spoken)
    assert _sounds(received, silence) == _sounds(b"".join(spoken), silence)


def _voice(audio: bytes, silence: bytes) -> bytes:
    """Return audio without the silence around it, in whole samples."""
    size = len(silence)
    first, last = 0, len(audio)
    while audio[first : first + size] == silence:
        first += size
    while last > first and audio[last - size : last] == silence:
        last -= size
    return audio[first:last]


def _sounds(audio: bytes, silence: bytes) -> list[bytes]:
    """Return the samples that are not silent, in order."""
    size = len(silence)
    return [one for at in range(0, len(audio), size) if (one := audio[at : at + size]) != silence]
