"""How a caller goes on in the dialplan: told over ARI before our channel closes."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from gateway.carriers.asterisk.control import DialplanControl, variable_of
from gateway.carriers.asterisk.rest import Ari
from gateway.carriers.base import CallOffer
from gateway.carriers.front import Fallback, Front
from gateway.core.commands import CancelTransfer, CompleteTransfer, EndReason, HangUp, StartTransfer
from gateway.core.events import Event, TransferProgress
from gateway.core.plan import TransferMode
from gateway.errors import CarrierError
from gateway.registry import Registry
from gateway.simulator.carrier import HangUp as PutDown
from gateway.simulator.carrier import Party, Pause, Say, Script, Wait, parties, tone
from gateway.simulator.carriers.asterisk import CARRIER
from gateway.simulator.carriers.audiosocket import CARRIER as AUDIOSOCKET
from gateway.simulator.carriers.frame import Carrier
from gateway.simulator.carriers.report import CarrierReport
from gateway.simulator.carriers.world import CarrierWorld, carrier_world
from gateway.simulator.model import Scenario, ScriptedEngine
from tests.carriers.scenario import CONNECT
from tests.clock import run

HUMAN = "+14155550150"
CALL = "1795332868.16"
AGENTS = """
agents:
  support:
    numbers: ["+14155550199"]
    instructions: You help customers of Acme.
    greeting: Hello, this is Acme. How can I help?
    transfer: {targets: {sales: {number: "+14155550150", mode: blind, ring_s: 10}}}
    fallback: {say: Sorry., dial: "+14155550177"}
"""
TRANSFER = {"say": "One moment.", "calls": [{"name": "transfer_call", "arguments": {"target": "sales", "summary": ""}}]}
BACK = {"say": "Goodbye.", "calls": [{"name": "hang_up", "arguments": {}}]}
ASKS = Script([Wait("agent_done"), Say(tone(440, 900)), Pause(40)], stay_s=5)

pytestmark = pytest.mark.usefixtures("no_errors_logged")


# --- ARI ------------------------------------------------------------------------------------------


class Asked(list[tuple[str, str, dict[str, Any]]]):
    """Every request: method, path with query, body."""

    def __init__(self, status: int = 200, body: bytes = b"{}") -> None:
        super().__init__()
        self.status, self.body = status, body

    def answer(self, request: httpx2.Request) -> httpx2.Response:
        told = json.loads(request.content) if request.content else {}
        self.append((request.method, request.url.raw_path.decode(), told))
        assert request.headers["authorization"].startswith("Basic ")

        async def pieces() -> Any:
            yield self.body

        return httpx2.Response(self.status, content=pieces())

    def ari(self) -> Ari:
        return Ari("http://pbx:8088", "gateway", "ari-secret", transport=httpx2.MockTransport(self.answer))


def test_every_request_is_one_that_works_outside_of_stasis() -> None:
    asked = Asked(body=b'{"value": "ANSWER"}')

    async def main() -> None:
        ari = asked.ari()
        await ari.hang_up("1.2")
        assert await ari.lives("a/b")
        assert await ari.variable("1.2", "DIALSTATUS") == "ANSWER"
        await ari.set_global("GATEWAY_NEXT_12", "transfer:+14155550150:10:gateway-out")
        await ari.forget_global("GATEWAY_NEXT_12")
        assert await ari.global_variable("GATEWAY_NEXT_12") == "ANSWER"
        await ari.close()

    run(main())
    assert asked == [
        ("DELETE", "/ari/channels/1.2?reason=normal", {}),
        ("GET", "/ari/channels/a%2Fb", {}),
        ("GET", "/ari/channels/1.2/variable?variable=DIALSTATUS", {}),
        (
            "POST",
            "/ari/asterisk/variable",
            {"variable": "GATEWAY_NEXT_12", "value": "transfer:+14155550150:10:gateway-out"},
        ),
        ("POST", "/ari/asterisk/variable", {"variable": "GATEWAY_NEXT_12"}),
        ("GET", "/ari/asterisk/variable?variable=GATEWAY_NEXT_12", {}),
    ]


def test_a_channel_that_is_gone_counts_as_hung_up() -> None:
    async def main() -> None:
        ari = Asked(404).ari()
        await ari.hang_up("1.2")
        assert not await ari.lives("1.2")
        assert await ari.variable("1.2", "DIALSTATUS") == ""

    run(main())


@pytest.mark.parametrize(
    ("status", "body", "permanent"),
    [
        (401, b"", True),
        (403, b"", True),
        (409, b"", True),
        (302, b"", True),
        (500, b"", False),
        (429, b"", False),
        (200, b"not JSON", False),
        (200, b"[]", False),
        (200, b"x" * 100_000, False),
    ],
)
def test_every_other_answer_is_an_error(status: int, body: bytes, permanent: bool) -> None:
    async def main() -> None:
        with pytest.raises(CarrierError) as failed:
            await Asked(status, body).ari().variable("1.2", "DIALSTATUS")
        assert failed.value.permanent is permanent

    run(main())


def test_an_asterisk_that_does_not_answer_is_waited_for_three_seconds() -> None:
    class Silent(httpx2.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            await asyncio.sleep(3600)
            raise AssertionError

    class Absent(httpx2.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            raise httpx2.ConnectError("refused")

    async def main() -> None:
        for transport, code in ((Silent(), "timeout"), (Absent(), "not_sent")):
            with pytest.raises(CarrierError) as failed:
                await Ari("http://pbx:8088", "gateway", "x", transport=transport).hang_up("1.2")
            assert (failed.value.code, failed.value.permanent) == (code, False)

    run(main())


# --- control --------------------------------------------------------------------------------------


class Line:
    """A live call and its leg, which only note."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.sent: list[object] = []

    def attach(self, leg: object, stream_id: str, audio: object = None) -> None:
        pass

    def feed(self, event: Event) -> None:
        self.events.append(event)

    def send(self, command: object) -> None:
        self.sent.append(command)

    async def close(self) -> None:
        pass


class Reports:
    def call_state(self, carrier_call_id: str, state: str, sequence: int | None = None) -> None: ...
    def call_refused(self, offer: CallOffer, why: str) -> None: ...
    async def attempt_state(self, a: str, b: str, c: str, d: int | None) -> None: ...
    async def attempt_agent(self, attempt_id: str, carrier_call_id: str) -> str | None:
        return None


class Calls(Registry):
    """Notes what is told of transfers and hang-ups."""

    def __init__(self) -> None:
        super().__init__(10)
        self.progress: list[TransferProgress] = []
        self.gone: list[str] = []

    def transfer_progress(self, carrier_call_id: str, progress: TransferProgress) -> None:
        self.progress.append(progress)

    def hung_up(self, carrier_call_id: str) -> None:
        self.gone.append(carrier_call_id)


def controlled(part: Callable[[DialplanControl, Calls], Awaitable[None]], ari: Ari | None) -> None:
    async def main() -> None:
        calls = Calls()
        front = Front("https://gw.example.com", "wss://gw.example.com", False, calls, Reports(), lambda *_: Fallback())
        control = DialplanControl(front, ari, "gateway-out")
        async with control.running():
            await part(control, calls)

    run(main())


def offer() -> CallOffer:
    return CallOffer("asterisk", CALL, "", "inbound", "+14155550101", "+14155550199")


def blind(number: str = HUMAN, mode: TransferMode = TransferMode.BLIND, ring_s: float = 10) -> StartTransfer:
    return StartTransfer("t1", "sales", number, mode, "", "", ring_s)


def test_letters_and_digits_of_the_call_name_its_variable() -> None:
    assert variable_of("pbx-1.example-1795332868.16") == "GATEWAY_NEXT_pbx1example179533286816"


@pytest.mark.parametrize(
    ("command", "channel", "with_ari", "code"),
    [
        (blind(mode=TransferMode.WARM), CALL, True, "no_warm"),
        (blind(), CALL, False, "no_ari"),
        (blind(), "", True, "no_channel"),
        (blind("1;rm"), CALL, True, "not_e164"),
        (CompleteTransfer("t1"), CALL, True, "no_warm"),
    ],
)
def test_what_cannot_be_done_is_refused_in_words(command: Any, channel: str, with_ari: bool, code: str) -> None:
    asked = Asked(204)

    async def part(control: DialplanControl, calls: Calls) -> None:
        line = Line()
        control.caller(line, offer(), 0, channel, fills=False).attach(line, "1")
        with pytest.raises(CarrierError) as refused:
            await control.carry_out(offer(), command)
        assert refused.value.permanent and refused.value.code == code
        assert not line.sent

    controlled(part, asked.ari() if with_ari else None)
    assert not asked


def test_a_transfer_is_said_before_the_channel_closes_and_not_when_it_was_cancelled() -> None:
    asked = Asked(204)

    async def part(control: DialplanControl, calls: Calls) -> None:
        line = Line()
        control.caller(line, offer(), 0, CALL, fills=False).attach(line, "1")
        async with asyncio.TaskGroup() as group:
            moving = group.create_task(control.carry_out(offer(), blind()))
            await asyncio.sleep(0)
            await control.carry_out(offer(), CancelTransfer("t1"))
            await moving
        assert not line.sent
        assert [told.get("value") for _, _, told in asked] in ([], ["transfer:+14155550150:10:gateway-out", None])
        asked.clear()
        await control.carry_out(offer(), blind())
        assert asked[0][2]["value"] == "transfer:+14155550150:10:gateway-out"
        assert [type(command) for command in line.sent] == [HangUp]
        control.call_over(CALL)

    controlled(part, asked.ari())


def test_a_transfer_that_asterisk_refuses_leaves_the_caller_with_the_agent() -> None:
    async def part(control: DialplanControl, calls: Calls) -> None:
        line = Line()
        control.caller(line, offer(), 0, CALL, fills=False).attach(line, "1")
        with pytest.raises(CarrierError):
            await control.carry_out(offer(), blind())
        assert not line.sent

    controlled(part, Asked(403).ari())


def test_without_ari_the_end_is_the_close_of_the_channel() -> None:
    async def part(control: DialplanControl, calls: Calls) -> None:
        line = Line()
        caller = control.caller(line, offer(), 0, CALL, fills=False)
        caller.attach(line, "1")
        caller.send(HangUp(EndReason.AGENT_HANGUP))
        caller.send(HangUp(EndReason.AGENT_HANGUP))
        assert len(line.sent) == 1

    controlled(part, None)


def test_an_asterisk_that_refuses_to_be_told_does_not_keep_the_channel_open() -> None:
    async def part(control: DialplanControl, calls: Calls) -> None:
        line = Line()
        caller = control.caller(line, offer(), 0, CALL, fills=False)
        caller.attach(line, "1")
        caller.send(HangUp(EndReason.AGENT_HANGUP))
        assert not line.sent
        await asyncio.sleep(5)
        assert [type(command) for command in line.sent] == [HangUp]

    controlled(part, Asked(500).ari())


# --- whole calls ----------------------------------------------------------------------------------


def ring(
    folder: Path,
    script: Script,
    turns: list[dict[str, Any]],
    *,
    human: Party | None = None,
    meanwhile: Callable[[CarrierWorld], Awaitable[None]] | None = None,
    carrier: Carrier = CARRIER,
    **settings: object,
) -> tuple[CarrierReport, list[str], list[str]]:
    """Return the report, how each of our calls ended, and what was told of transfers."""

    async def main() -> tuple[CarrierReport, list[str], list[str]]:
        engine = ScriptedEngine(Scenario.model_validate({"turns": turns}))
        people = [human] if human is not None else []
        async with carrier_world(
            folder, AGENTS, carrier, engine, parties=people, settings=settings, connect=CONNECT.get(carrier.name)
        ) as it:
            async with asyncio.TaskGroup() as group:
                calling = group.create_task(it.ring(script))
                if meanwhile is not None:
                    await meanwhile(it)
            await it.settled()
            states = [
                str(entry.data["state"])
                for entries in it.store.journals.values()
                for entry in entries
                if entry.kind == "transfer"
            ]
            return calling.result(), [str(call.end_reason) for call in it.store.calls.values()], states

    return run(main())


def test_a_goodbye_hangs_the_caller_up(tmp_path: Path) -> None:
    report, ends, _ = ring(tmp_path, ASKS, [BACK])
    assert ends == ["agent_hangup"]
    assert report.call.ended_by == "application"
    assert [event.name for event in report.requests] == ["hangup"]
    assert not report.call.warnings


def test_a_caller_who_hangs_up_is_recorded_so(tmp_path: Path) -> None:
    report, ends, _ = ring(tmp_path, Script([Wait("agent_done"), PutDown()]), [BACK])
    assert ends == ["caller_hangup"] and not report.requests


@pytest.mark.parametrize(
    ("human", "state"),
    [
        (Party(HUMAN, parties.busy()), "busy"),
        (Party(HUMAN, parties.silent()), "no_answer"),
        (Party(HUMAN, parties.unreachable()), "failed"),
    ],
    ids=["busy", "no_answer", "failed"],
)
def test_whoever_is_not_reached_the_caller_comes_back(tmp_path: Path, human: Party, state: str) -> None:
    turn = TRANSFER | {"result": "Nobody is free."}
    report, ends, states = ring(tmp_path, ASKS, [turn], human=human)
    assert states == ["asked", state]
    assert ends == ["caller_hangup"]
    assert len(report.wires) == 2 and not report.call.warnings


def test_a_caller_who_hangs_up_while_it_rings_is_not_counted_as_transferred(tmp_path: Path) -> None:
    script = Script([Wait("agent_done"), Say(tone(440, 900)), Pause(6), PutDown()])
    _, ends, states = ring(tmp_path, script, [TRANSFER], human=Party(HUMAN, parties.silent()))
    assert states == ["asked"] and ends == ["caller_hangup"]


def test_a_call_that_is_handed_over_is_offered_again(tmp_path: Path) -> None:
    async def meanwhile(it: CarrierWorld) -> None:
        await asyncio.sleep(6)
        it.gateway.registry.hand_over()

    script = Script([Wait("agent_done"), Pause(20), PutDown()])
    report, ends, _ = ring(tmp_path, script, [BACK], meanwhile=meanwhile)
    assert [event.name for event in report.requests][:1] == ["variable again"]
    assert ends[0] == "handed_over"


def test_a_call_that_fails_is_apologised_for_and_the_fallback_is_dialled(tmp_path: Path) -> None:
    fallback = Party("+14155550177", parties.answers(talk_s=3.0))

    async def meanwhile(it: CarrierWorld) -> None:
        await asyncio.sleep(6)
        it.gateway.registry.stop()

    report, ends, _ = ring(tmp_path, Script([Pause(60)]), [BACK], human=fallback, meanwhile=meanwhile)
    assert ends == ["stopped"]
    assert [event.name for event in report.requests] == ["variable apology"]
    assert report.call.bridges


def test_a_gateway_that_cannot_be_reached_is_called_again_and_then_apologised_for(tmp_path: Path) -> None:
    async def meanwhile(it: CarrierWorld) -> None:
        it.gateway.registry.drain()

    report, ends, _ = ring(tmp_path, Script([Pause(60)]), [BACK], meanwhile=meanwhile)
    assert ends in ([], ["refused_draining"])
    assert [spoken.text for spoken in report.call.spoken] == ["We are sorry, an error has occurred."]


def test_without_ari_a_transfer_is_refused_and_a_goodbye_still_ends_the_call(tmp_path: Path) -> None:
    without: dict[str, Any] = {"asterisk_ari_url": None, "asterisk_ari_password": None}
    turns = [TRANSFER | {"result": "I cannot put you through."}, BACK]
    asks, done = Say(tone(440, 900)), Wait("agent_done")
    script = Script([done, asks, done, asks, done, Pause(5)], stay_s=10)
    report, ends, states = ring(tmp_path, script, turns, human=Party(HUMAN, parties.answers()), **without)
    assert states == ["asked", "failed"] and ends == ["agent_hangup"]
    assert report.call.ended_by == "instructions" and not report.requests
    assert len(report.wires) == 1 and not report.call.bridges


@pytest.mark.parametrize("password", [None, "left over"])
@pytest.mark.parametrize("carrier", [CARRIER, AUDIOSOCKET], ids=lambda carrier: str(carrier.name))
def test_without_ari_a_caller_who_stays_after_the_goodbye_is_not_rung_back_in(
    tmp_path: Path, carrier: Carrier, password: str | None
) -> None:
    script = Script([Wait("agent_done"), Say(tone(440, 900))], stay_s=25)
    without: dict[str, Any] = {"asterisk_ari_url": None, "asterisk_ari_password": password}
    report, ends, _ = ring(tmp_path, script, [BACK], carrier=carrier, **without)
    assert ends == ["agent_hangup"] and report.call.ended_by == "instructions"
    assert len(report.wires) == 1
    assert not report.call.spoken and not report.call.warnings


@pytest.mark.parametrize("at_s", [0.0, 0.03, 3.0, 3.9, 4.4, 4.8, 5.2, 6.0, 7.0, 7.5, 9.6, 13.0])
def test_whenever_the_caller_hangs_up_each_call_ends_once_and_nothing_fails(tmp_path: Path, at_s: float) -> None:
    async def meanwhile(it: CarrierWorld) -> None:
        await asyncio.sleep(at_s)
        (live,) = it.carrier.calls.values()
        live.hang_up("caller")

    script = Script([Wait("agent_done"), Say(tone(440, 900)), Pause(60)])
    report, ends, states = ring(
        tmp_path, script, [TRANSFER], human=Party(HUMAN, parties.answers(talk_s=4.0)), meanwhile=meanwhile
    )
    assert len(ends) <= 1 and set(ends) <= {"caller_hangup", "transferred"}
    assert ("answered" in states) == (ends == ["transferred"])
    assert not report.call.warnings


@pytest.mark.parametrize("at_s", [0.5, 4.4, 4.8, 5.2, 6.6, 7.5, 13.0])
def test_whenever_the_gateway_stops_the_caller_is_not_left_in_silence(tmp_path: Path, at_s: float) -> None:
    async def meanwhile(it: CarrierWorld) -> None:
        await asyncio.sleep(at_s)
        it.gateway.registry.stop()

    script = Script([Wait("agent_done"), Say(tone(440, 900)), Pause(90)])
    human = Party(HUMAN, parties.answers(talk_s=4.0))
    report, ends, _ = ring(tmp_path, script, [TRANSFER], human=human, meanwhile=meanwhile)
    assert len(ends) == 1 and ends[0] in ("stopped", "transferred")
    assert report.call.bridges or report.call.spoken
