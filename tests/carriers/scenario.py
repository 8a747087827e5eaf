"""One call, the same for every carrier: greeting, question, function call, barge-in, key, transfer, goodbye.

`play(name, ending, folder)` has the carrier's simulator make it against the real application, in process, on the
virtual clock. What it left is compared with `EXPECTED`; what a carrier cannot do stands in `CANNOT`, nowhere else.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx2
from twilio.http.response import Response

from gateway.app import Gateway
from gateway.carriers.twilio.rest import RestHttp, TwilioRest
from gateway.records.timeline import tell
from gateway.simulator.asgi import AsgiHost
from gateway.simulator.carrier import BargeIn, CallReport, Dtmf, Party, Pause, Say, Script, Wait, parties
from gateway.simulator.carrier import TwilioRest as SimulatedRest
from gateway.simulator.carrier.parts import Connector
from gateway.simulator.carriers.report import WireLog
from gateway.simulator.carriers.world import carrier_world
from gateway.simulator.model import Scenario, ScriptedEngine, SessionRecord
from gateway.simulator.model.scripted import babble
from gateway.simulator.openai_sip import SipReport
from gateway.simulator.world import ACCOUNT, NUMBER, TOKEN, world
from gateway.store.rows import JournalEntry, StoredCall
from gateway.wire import TextSocket, pipe
from tests.clock import run
from tests.openai_sip.stage import sip_world
from tests.world import Business

__all__ = ["CANNOT", "ENDINGS", "NAMES", "Left", "Told", "expected", "play"]

HUMAN = "+14155550150"
ENDINGS = ("busy", "reached")
"""The human is busy, so that the caller comes back and says goodbye; or talks with them for five seconds."""

AGENTS = f"""
agents:
  support:
    numbers: ["{NUMBER}"]
    instructions: You help customers of Acme.
    greeting: Hello, this is Acme. How can I help?
    tools:
      - name: lookup_order
        description: Look up the status of an order.
        parameters:
          type: object
          properties: {{order_id: {{type: string}}}}
          required: [order_id]
        url: https://orders.example.com/lookup
        timeout_s: 5
    transfer:
      targets:
        sales: {{number: "{HUMAN}", mode: blind, ring_s: 10}}
    fallback: {{say: Sorry. Please call later.}}
"""
LOOKED_UP = "Order 427 has shipped. It left our warehouse this morning and it will be with you in a day or two."
SCENARIO = Scenario.model_validate(
    {
        "turns": [
            {
                "heard": "What is the status of order 427?",
                "say": "Let me look that up.",
                "calls": [{"name": "lookup_order", "arguments": {"order_id": "427"}}],
                "result": LOOKED_UP,
            },
            {"heard": "Wait, when exactly?", "say": "On Tuesday. Press one to talk to our sales team."},
            {
                "heard": "keys",
                "say": "One moment, I am putting you through.",
                "calls": [{"name": "transfer_call", "arguments": {"target": "sales", "summary": "Order 427."}}],
                "result": "Nobody is free. What else can I do for you?",
            },
            {"heard": "Nothing, goodbye.", "say": "Goodbye.", "calls": [{"name": "hang_up", "arguments": {}}]},
        ]
    }
)
SCRIPT = Script(
    [
        Wait("agent_done"),
        Say(babble("What is the status of order 427?")),
        Wait("agent_speaking"),
        BargeIn(babble("Wait, when exactly?"), after_ms=3000),
        Wait("agent_done", quiet_ms=1000),
        Dtmf("1"),
        Pause(12),  # agent's last words, ringing, and what is said afterwards
        Wait("agent_done", quiet_ms=1000),
        Say(babble("Nothing, goodbye.")),
    ],
    stay_s=20,
    name="the same scenario",
)


@dataclass(slots=True, frozen=True)
class Left:
    """What of a call must be the same everywhere."""

    transcript: Sequence[tuple[str, str]]
    """Who said what, as the console shows it."""
    functions: Sequence[tuple[str, str]]
    """What the model called, with its arguments."""
    asked: Sequence[object]
    """Arguments that the business was asked with."""
    outputs: Sequence[str]
    """What the model was answered."""
    transfer: Sequence[str]
    """What became of the transfer; that it rang is not told by every carrier."""
    end_reason: str
    bridged: bool = False
    """The caller talked with the human."""


@dataclass(slots=True)
class Told:
    """A call of the scenario, to be looked into."""

    report: CallReport
    record: StoredCall
    journal: Sequence[JournalEntry]
    session: SessionRecord
    asked: list[object]
    wires: Sequence[WireLog] = ()

    @property
    def left(self) -> Left:
        said = [(line.who, line.what) for line in tell(self.record, self.journal).lines if line.kind == "said"]
        states = [str(entry.data["state"]) for entry in self.journal if entry.kind == "transfer"]
        return Left(
            said,
            [(call.name, call.arguments) for call in self.session.calls],
            self.asked,
            [output.output for output in self.session.outputs],
            [state for state in states if state != "ringing"],
            str(self.record.end_reason),
            self.bridged_s > 0,
        )

    @property
    def bridged_s(self) -> float:
        """How long the caller talked with the human."""
        return sum((one.end_s or self.report.duration_s) - one.start_s for one in self.report.bridges)

    def line(self, name: str, ending: str) -> str:
        """Say it in one line."""
        left = self.left
        return (
            f"{name:<12} {ending:<8} {len(left.transcript):>2} lines, {len(left.functions)} functions, "
            f"{len(self.session.truncations)} cut, transfer {'/'.join(left.transfer) or 'none'}, "
            f"{self.bridged_s:.1f} s with the human, {left.end_reason}, {len(self.report.warnings)} warnings"
        )


# --- the carriers ---------------------------------------------------------------------------------


@dataclass
class _Rest(RestHttp):
    """Requests of the official Twilio client, to an application in this process."""

    http: httpx2.AsyncClient
    is_async: bool = True

    async def request(self, method: str, url: str, **more: Any) -> Response:
        answer = await self.http.request(method, url, data=more.get("data"), auth=more.get("auth"))
        return Response(answer.status_code, answer.text)

    async def close(self) -> None:
        pass


async def _twilio(folder: Path, people: Sequence[Party]) -> Told:
    business, rest = Business(), list[_Rest]()
    client = TwilioRest(ACCOUNT, auth_token=TOKEN, open_http=lambda url: rest[0])
    async with world(
        folder,
        AGENTS,
        ScriptedEngine(SCENARIO),
        business=business.app(),
        settings={"twilio_account_sid": ACCOUNT},
        carrier=client,
        parties=people,
    ) as it:
        async with AsgiHost(SimulatedRest(it.network).app) as api, api.http() as http:
            rest.append(_Rest(http))
            report = await it.call(SCRIPT)
            await it.settled()
        return Told(report, it.record, it.journal, it.session, _arguments(business))


async def _framed(name: str, folder: Path, people: Sequence[Party]) -> Told:
    business = Business()
    carrier = import_module(f"gateway.simulator.carriers.{name}").CARRIER
    async with carrier_world(
        folder,
        AGENTS,
        carrier,
        ScriptedEngine(SCENARIO),
        business=business.app(),
        parties=people,
        connect=CONNECT.get(name),
    ) as it:
        report = await it.ring(SCRIPT)
        await it.settled()
        return Told(report.call, it.record, it.journal, it.session, _arguments(business), report.wires)


async def _openai_sip(folder: Path, people: Sequence[Party]) -> Told:
    business = Business()
    async with sip_world(folder, SCENARIO, agents=AGENTS, business=business) as it:
        report: SipReport = await it.call(SCRIPT)
        return Told(report.call, it.record, it.journal, it.model.sessions[-1], _arguments(business))


def _arguments(business: Business) -> list[object]:
    return [call["data"]["arguments"] for call in business.calls]  # type: ignore[index]


# --- what is expected -----------------------------------------------------------------------------

_ASKED = [("lookup_order", '{"order_id": "427"}')]
_TRANSFER = ("transfer_call", '{"target": "sales", "summary": "Order 427."}')
_SHIPPED = '{"order_id":"427","status":"shipped"}'
_TO_THE_TRANSFER = [
    ("agent", "Hello, this is Acme. How can I help?"),
    ("caller", "What is the status of order 427?"),
    ("agent", "Let me look that up."),
    ("agent", "Order 427 has shipped. It left … [cut here, estimate]"),
    ("caller", "Wait, when exactly?"),
    ("agent", "On Tuesday. Press one to talk to our sales team."),
    ("agent", "One moment, I am putting you through."),
]
_TO_THE_GOODBYE = [
    *_TO_THE_TRANSFER,
    ("agent", "Nobody is free. What else can I do for you?"),
    ("caller", "Nothing, goodbye."),
    ("agent", "Goodbye."),
]


def _back(reason: str) -> Left:
    return Left(
        _TO_THE_GOODBYE,
        [*_ASKED, _TRANSFER, ("hang_up", "{}")],
        [{"order_id": "427"}],
        [_SHIPPED, f'{{"transferred": false, "reason": "{reason}"}}', '{"ok": true}'],
        ["asked", reason],
        "agent_hangup",
    )


def _gone(*, bridged: bool) -> Left:
    return Left(
        _TO_THE_TRANSFER,
        [*_ASKED, _TRANSFER],
        [{"order_id": "427"}],
        [_SHIPPED],
        ["asked", "answered"],
        "transferred",
        bridged,
    )


EXPECTED: Mapping[str, Left] = {"busy": _back("busy"), "reached": _gone(bridged=True)}
CANNOT: Mapping[str, tuple[str, Mapping[str, Left]]] = {
    "openai-sip": (
        "a REFER is answered by nobody: who was called, and whether they took it, is the trunk's to know",
        {"busy": _gone(bridged=False), "reached": _gone(bridged=False)},
    ),
    "genesys": (
        "the session ends with output variables; the Architect flow dials, and tells nobody what came of it",
        {"busy": _gone(bridged=False), "reached": _gone(bridged=True)},
    ),
}
"""Why, and what is left instead."""


# --- playing it -----------------------------------------------------------------------------------

FRAMED = ("telnyx", "signalwire", "plivo", "vonage", "jambonz", "genesys", "asterisk", "audiosocket")


def _exists(name: str) -> bool:
    return all(find_spec(f"gateway.{side}.{name}") for side in ("carriers", "simulator.carriers"))


NAMES = ("twilio", *(name for name in FRAMED if _exists(name)), "openai-sip")


def _audiosocket(gateway: Gateway, group: asyncio.TaskGroup) -> Connector:
    async def connect(url: str, headers: Mapping[str, str]) -> TextSocket:
        from gateway.carriers.audiosocket import AudioSocketCarrier

        (door,) = (carrier for carrier in gateway.carriers if isinstance(carrier, AudioSocketCarrier))
        ours, theirs = pipe()
        group.create_task(door.server.serve(theirs))
        return ours

    return connect


CONNECT: Mapping[str, Callable[[Gateway, asyncio.TaskGroup], Connector]] = {"audiosocket": _audiosocket}
"""How the simulator reaches the gateway in process where that is no WebSocket."""


def play(name: str, ending: str, folder: Path) -> Told:
    """Make the call; `ending` is one of `ENDINGS`."""
    human = parties.busy() if ending == "busy" else parties.answers(talk_s=5.0)
    people = [Party(HUMAN, human)]
    match name:
        case "twilio":
            return run(_twilio(folder, people))
        case "openai-sip":
            return run(_openai_sip(folder, people))
        case _:
            return run(_framed(name, folder, people))


def expected(name: str, ending: str) -> Left:
    """Return what the call must leave."""
    return CANNOT[name][1][ending] if name in CANNOT else EXPECTED[ending]
