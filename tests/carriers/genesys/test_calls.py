"""Whole sessions of the simulated Genesys: audio, output variables, the two-step end."""

import asyncio
import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random
from types import MappingProxyType
from typing import Any

import pytest

from gateway.core.events import StopAsked
from gateway.simulator.asgi import UpgradeRefused
from gateway.simulator.carrier import BargeIn, HangUp, Party, Say, Script, Wait, parties, tone
from gateway.simulator.carriers.genesys import CARRIER, NIL, ORGANIZATION, signed_headers
from gateway.simulator.carriers.report import CarrierReport
from gateway.simulator.carriers.world import CarrierWorld, carrier_world
from gateway.simulator.model import ModelOptions, Scenario, ScriptedEngine
from gateway.simulator.world import CALLER, NUMBER
from gateway.wire import TextSocket, WireClosed
from tests.clock import run

pytestmark = pytest.mark.usefixtures("no_errors_logged")

HUMAN = "+14155550150"
SPEECH = tone(440, 900)
MEDIA = "wss://gw.example.com/genesys/media"
SESSION = "30b0e395-84d3-4570-ac13-9a62d8f514c0"
CONVERSATION = "090eaa2f-72fa-480a-83e0-8667ff89c0ec"
TALKS = Scenario.model_validate({"turns": [{"say": "You are very welcome, and thank you for asking me."}] * 3})
GOODBYE = Scenario.model_validate({"turns": [{"say": "Goodbye.", "calls": [{"name": "hang_up", "arguments": {}}]}]})
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
ONCE = Script([Wait("agent_done"), Say(SPEECH)], stay_s=30)


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
    fallback: {{say: Sorry. Please call later., dial: "{HUMAN}"}}
  night:
    instructions: You help at night.
    greeting: Good evening.
"""


def call(
    folder: Path,
    scenario: Scenario,
    script: Script,
    *,
    file: str = "",
    people: Sequence[Party] = (),
    plan: Mapping[str, object] = MappingProxyType({}),
) -> tuple[CarrierReport, CarrierWorld]:
    async def main() -> tuple[CarrierReport, CarrierWorld]:
        engine, options = ScriptedEngine(scenario), ModelOptions(keep_audio=True)
        async with carrier_world(folder, file or agents(), CARRIER, engine, options, parties=people) as everything:
            report = await everything.ring(script, **plan)
            await everything.settled()
            return report, everything

    return run(main())


def output(report: CarrierReport) -> object:
    return report.extra["output_variables"]


def states(world: CarrierWorld) -> list[Any]:
    return [data["state"] for data in world.kinds("transfer")]


# --- whole calls ----------------------------------------------------------------------------------


def test_what_either_says_passes_through_untouched(tmp_path: Path) -> None:
    script = Script([Wait("agent_done"), Say(SPEECH), Wait("agent_done"), HangUp()])
    report, world = call(tmp_path, TALKS, script)
    assert report.call.warnings == [] and report.call.script_error is None
    (wire,) = report.wires
    at = 0
    for item in world.session.spoken.values():  # each ends in a frame that silence fills
        audio = bytes(item.audio)
        assert wire.received[at : at + len(audio)] == audio
        at += -(-len(audio) // 160) * 160
    assert at == len(wire.received)
    heard = bytes(world.session.caller.audio)
    assert SPEECH in heard and heard in bytes(wire.sent)
    assert (report.extra["refused_429"], output(report)) == (0, {})
    record = world.record
    assert (record.carrier, record.end_reason) == ("genesys", "caller_hangup")
    assert (record.from_number, record.to_number) == (CALLER, NUMBER)


def test_a_barge_in_is_told_and_the_answer_is_cut_where_our_clock_says(tmp_path: Path) -> None:
    script = Script([Wait("agent_speaking"), BargeIn(SPEECH, after_ms=700), Wait("agent_done"), HangUp()])
    report, world = call(tmp_path, TALKS, script)
    assert report.call.warnings == []
    assert len(report.call.media.clears) == 1
    (cut,) = world.session.truncations
    assert 500 <= cut.audio_end_ms <= 1800


def test_the_agents_goodbye_is_heard_whole_and_hands_the_call_back(tmp_path: Path) -> None:
    report, world = call(tmp_path, GOODBYE, ONCE)
    assert report.call.warnings == []
    assert output(report) == {"action": "hangup", "reason": "agent_hangup"}
    assert (report.call.ended_by, world.record.end_reason) == ("application", "agent_hangup")
    said = sum(len(item.audio) for item in world.session.spoken.values())
    assert sum(stream.heard_bytes(1000) for stream in report.call.media.streams) >= said


def test_a_transfer_is_told_to_the_flow_by_name_and_number(tmp_path: Path) -> None:
    report, world = call(tmp_path, TRANSFER, ONCE, people=[Party(HUMAN, parties.answers(talk_s=4.0))])
    assert report.call.warnings == []
    assert output(report) == {"action": "transfer", "target": "sales", "number": HUMAN, "summary": "Ann."}
    assert states(world) == ["asked", "answered"]
    assert world.record.end_reason == "transferred"
    (bridge,) = report.call.bridges
    assert (bridge.end_s or report.call.duration_s) - bridge.start_s == pytest.approx(4.0, abs=0.2)


def test_a_warm_transfer_is_refused_and_the_caller_stays(tmp_path: Path) -> None:
    script = Script([Wait("agent_done"), Say(SPEECH), Wait("agent_done", quiet_ms=3000), Say(SPEECH)], stay_s=30)
    report, world = call(tmp_path, TRANSFER, script, file=agents("warm"))
    assert states(world) == ["asked", "failed"]
    assert output(report) == {"action": "hangup", "reason": "agent_hangup"}


def test_a_caller_whom_we_cannot_serve_is_handed_to_the_fallback(tmp_path: Path) -> None:
    async def main() -> CarrierReport:
        async with carrier_world(tmp_path, agents(), CARRIER, ScriptedEngine(TALKS)) as everything:
            async with asyncio.TaskGroup() as group:
                ringing = group.create_task(everything.ring(Script([Wait("agent_done")], stay_s=30)))
                await asyncio.sleep(4)
                everything.gateway.registry.sessions()[0].feed(StopAsked("for a test"))
            return ringing.result()

    report = run(main())
    assert output(report) == {
        "action": "fallback",
        "reason": "stopped",
        "say": "Sorry. Please call later.",
        "target": HUMAN,
    }
    assert report.call.warnings == []


def test_the_flow_may_name_the_agent(tmp_path: Path) -> None:
    _, world = call(tmp_path, TALKS, Script([Wait("agent_done"), HangUp()]), plan={"agent": "night"})
    assert world.record.agent == "night"


# --- message by message ---------------------------------------------------------------------------


class Session:
    """A socket, Genesys' end."""

    def __init__(self, socket: TextSocket) -> None:
        self.socket = socket
        self.seq = 0
        self.texts: list[dict[str, Any]] = []
        self.audio: list[bytes] = []
        self.code: int | None = None

    async def say(self, kind: str, **parameters: object) -> None:
        self.seq += 1
        body = {"version": "2", "id": SESSION, "type": kind, "seq": self.seq, "serverseq": len(self.texts)}
        await self.socket.send(json.dumps({**body, "position": "PT0S", "parameters": parameters}))

    async def open(self, conversation: str = CONVERSATION) -> None:
        participant = {"id": NIL, "ani": CALLER, "dnis": NUMBER}
        media = [{"type": "audio", "format": "PCMU", "channels": ["external"], "rate": 8000}]
        await self.say(
            "open",
            organizationId=ORGANIZATION,
            conversationId=conversation,
            participant=participant,
            media=media,
        )

    async def listen(self, seconds: float) -> None:
        """Read what comes within a while."""
        try:
            async with asyncio.timeout(seconds):
                while True:
                    frame = await self.socket.receive()
                    if isinstance(frame, bytes):
                        self.audio.append(frame)
                    else:
                        self.texts.append(json.loads(frame))
        except TimeoutError:
            return
        except WireClosed as closed:
            self.code = closed.code

    def kinds(self) -> list[str]:
        return [text["type"] for text in self.texts]


async def connect(world: CarrierWorld, seed: int = 1) -> Session:
    keys = CARRIER.keys(world.gateway.settings)
    headers = signed_headers(keys, MEDIA, ORGANIZATION, SESSION, Random(seed), world.carrier.unix_s())
    return Session(await world.host.connect(MEDIA, headers))


def with_world(folder: Path, test: Any, **settings: object) -> None:
    async def main() -> None:
        async with carrier_world(folder, agents(), CARRIER, ScriptedEngine(TALKS), settings=settings) as everything:
            await test(everything)

    run(main())


def test_a_probe_is_opened_and_closed_and_leaves_no_record(tmp_path: Path) -> None:
    async def test(world: CarrierWorld) -> None:
        session = await connect(world)
        await session.open(NIL)
        await session.listen(0.5)
        await session.say("close", reason="end")
        await session.listen(0.5)
        assert session.kinds() == ["opened", "closed"]
        assert [text["seq"] for text in session.texts] == [1, 2]
        await session.socket.close()
        assert world.store.calls == {}

    with_world(tmp_path, test)


def test_a_close_is_answered_at_once_and_the_socket_is_left_to_genesys(tmp_path: Path) -> None:
    async def test(world: CarrierWorld) -> None:
        session = await connect(world)
        await session.open()
        await session.say("ping")
        await session.listen(3)
        await session.say("close", reason="end")
        await session.listen(0.5)
        assert session.kinds() == ["opened", "pong", "closed"]
        assert session.code is None
        assert [text["seq"] for text in session.texts] == [1, 2, 3]
        assert session.texts[-1]["clientseq"] == 3
        assert session.audio, "the greeting"
        await session.socket.close()
        await world.settled()
        assert world.record.end_reason == "caller_hangup"

    with_world(tmp_path, test)


def test_a_genesys_that_never_answers_a_disconnect_is_left(tmp_path: Path) -> None:
    async def test(world: CarrierWorld) -> None:
        session = await connect(world)
        await session.open()
        await session.listen(3)
        world.gateway.registry.sessions()[0].feed(StopAsked("for a test"))
        await session.listen(10)
        assert session.kinds()[-1] == "disconnect"
        assert session.code == 1000
        await world.settled()

    with_world(tmp_path, test)


def test_after_a_429_nothing_is_sent_until_genesys_takes_it(tmp_path: Path) -> None:
    async def test(world: CarrierWorld) -> None:
        session = await connect(world)
        await session.open()
        await session.say("error", code=429, message="slow", retryAfter="PT2S")
        await session.listen(1.5)
        assert (session.kinds(), session.audio) == (["opened"], [])
        await session.listen(3)
        assert len(session.audio[0]) > 1600, "joined"
        await session.socket.close()

    with_world(tmp_path, test)


def test_what_genesys_discarded_does_not_shorten_the_callers_timeline(tmp_path: Path) -> None:
    async def test(world: CarrierWorld) -> None:
        session = await connect(world)
        await session.open()
        for _ in range(2):
            for _ in range(10):
                await session.socket.send(b"\x55" * 800)
                await asyncio.sleep(0.1)
            await asyncio.sleep(0.2)
            await session.say("discarded", start="PT1.0S", discarded="PT0.2S")
            await session.say("paused")
            await session.say("resumed", start="PT1.2S", discarded="PT0S")
        await session.socket.send(b"\x55" * 800)
        await asyncio.sleep(0.05)
        assert world.session.caller.ms == pytest.approx(2500, abs=60)
        await session.socket.close()

    with_world(tmp_path, test)


def test_a_second_session_of_a_conversation_is_a_call_of_its_own(tmp_path: Path) -> None:
    async def test(world: CarrierWorld) -> None:
        for seed in (1, 2):
            session = await connect(world, seed)
            await session.open()
            await session.listen(2)
            await session.say("close", reason="end")
            await session.listen(0.2)
            assert session.kinds()[-1] == "closed"
            await session.socket.close()
            await world.settled()
        ids = [call.carrier_call_id for call in world.store.calls.values()]
        assert ids == [CONVERSATION, f"{CONVERSATION}/{SESSION[:8]}"]

    with_world(tmp_path, test)


def test_a_full_gateway_turns_a_session_away(tmp_path: Path) -> None:
    async def test(world: CarrierWorld) -> None:
        first, second = await connect(world, 1), await connect(world, 2)
        await first.open()
        await first.listen(0.5)
        await second.open("190eaa2f-72fa-480a-83e0-8667ff89c0ec")
        await second.listen(0.5)
        assert (second.kinds(), second.code) == ([], 1008)
        refused = [call.end_reason for call in world.store.calls.values() if call.end_reason is not None]
        assert refused == ["refused_full"]
        await first.socket.close()

    with_world(tmp_path, test, max_calls=1)


def test_what_is_not_signed_by_genesys_is_refused_late_and_before_it_is_a_socket(tmp_path: Path) -> None:
    async def test(world: CarrierWorld) -> None:
        keys = {"api_key": "simulated-genesys-api-key", "secret": b64encode(b"another").decode()}
        forged = signed_headers(keys, MEDIA, ORGANIZATION, SESSION, Random(3), world.carrier.unix_s())
        for headers in ({}, forged):
            began = asyncio.get_running_loop().time()
            with pytest.raises(UpgradeRefused):
                await world.host.connect(MEDIA, headers)
            assert asyncio.get_running_loop().time() - began >= 0.5

    with_world(tmp_path, test)


def test_a_session_of_another_organization_than_signed_is_refused(tmp_path: Path) -> None:
    async def test(world: CarrierWorld) -> None:
        session = await connect(world)
        await session.say("open", organizationId="00000000-1111-2222-3333-444444444444", conversationId=CONVERSATION)
        await session.listen(1)
        assert (session.kinds(), session.code) == ([], 1008)

    with_world(tmp_path, test)
