"""How a call of a carrier begins, goes on and ends, whatever the dialect."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import httpx2
import pytest

from gateway.simulator.carrier import HangUp, Party, Pause, Script, Wait, parties
from gateway.simulator.carriers.frame import CarrierNetwork, CarrierReport, LiveCall, Plan, Step
from gateway.wire import TextSocket, WireClosed, pipe
from tests.clock import run
from tests.simulator.carriers.toy import ToyWire, toy

HUMAN = "+14155550150"
STAYS = Script(stay_s=300.0)
Begin = Callable[[LiveCall], Awaitable[Step | None]]


def call(begin: Begin, script: Script = STAYS, people: Sequence[Party] = ()) -> tuple[CarrierReport, list[str]]:
    """Make one call to an application that takes every socket and says nothing."""
    life: list[str] = []

    async def main() -> CarrierReport:
        async with asyncio.TaskGroup() as group:

            async def connect(url: str, headers: object) -> TextSocket:
                ours, theirs = pipe()
                group.create_task(listen(theirs, life))
                return ours

            async with httpx2.AsyncClient() as http:
                carrier = toy(begin, life)
                public = "https://gw.example.com"
                network = CarrierNetwork(carrier, {}, http, connect, public_url=public, parties=people)
                return await network.call(Plan(to="+1", from_="+2", script=script))

    return run(main()), life


async def listen(socket: TextSocket, life: list[str]) -> None:
    while True:
        try:
            frame = await socket.receive()
        except WireClosed:
            return
        if isinstance(frame, str):
            life.append(frame)


async def stream(live: LiveCall) -> Step | None:
    live.answer()
    await live.stream("wss://gw.example.com/media", ToyWire(), {})
    return None


def test_a_caller_who_hangs_up_ends_the_stream_as_the_carrier_does() -> None:
    report, life = call(stream, Script([Pause(1), HangUp()]))
    assert (report.outcome, report.call.ended_by) == ("completed", "caller")
    assert report.call.duration_s == pytest.approx(1.0)
    assert life == ["hello", "stop", "over: caller"]


def test_nobody_answers_for_ever() -> None:
    async def ring(live: LiveCall) -> Step | None:
        await live.forever()
        return None

    report, life = call(ring)
    assert (report.outcome, report.call.ended_by) == ("no-answer", "not_answered")
    assert life == ["over: not_answered"]


def test_a_call_that_is_turned_away_was_never_answered() -> None:
    async def refuse(live: LiveCall) -> Step | None:
        live.refuse("busy")
        await asyncio.sleep(60)
        return None

    report, _ = call(refuse)
    assert (report.outcome, report.call.ended_by, report.call.duration_s) == ("busy", "reject", 0.0)


def test_a_redirect_ends_the_stream_and_what_follows_it_is_done() -> None:
    async def begin(live: LiveCall) -> Step | None:
        async def elsewhere() -> Step | None:
            await live.say("Goodbye.")
            return None

        async def by_rest() -> None:
            await asyncio.sleep(2)
            live.redirect(elsewhere)

        live.answer()
        live.spawn(by_rest())
        return await stream(live)

    report, life = call(begin)
    assert report.call.says_heard == ["Goodbye."]
    assert report.call.ended_by == "instructions"
    assert life == ["hello", "stop", "over: instructions"]


def test_rest_hangs_up_whatever_goes_on() -> None:
    async def begin(live: LiveCall) -> Step | None:
        async def by_rest() -> None:
            await asyncio.sleep(1)
            live.hang_up()
            live.redirect(lambda: stream(live))  # too late

        live.spawn(by_rest())
        return await stream(live)

    report, life = call(begin)
    assert (report.outcome, report.call.ended_by) == ("completed", "application")
    assert life == ["hello", "stop", "over: application"]


@pytest.mark.parametrize(
    ("people", "status", "took_s"),
    [
        ([], "no-answer", 20.0),
        ([Party(HUMAN, parties.busy(after_s=1.0))], "busy", 1.0),
        ([Party(HUMAN, parties.silent())], "no-answer", 20.0),
        ([Party(HUMAN, parties.unreachable())], "failed", 0.0),
        ([Party(HUMAN, parties.answers(ring_s=2.0, talk_s=5.0))], "completed", 7.0),
        ([Party(HUMAN, parties.answers(ring_s=30.0))], "no-answer", 20.0),
    ],
    ids=["nobody", "busy", "silent", "unreachable", "answers", "answers too late"],
)
def test_a_dialled_human_answers_or_does_not(people: list[Party], status: str, took_s: float) -> None:
    told: list[str] = []

    async def begin(live: LiveCall) -> Step | None:
        live.answer()
        began = live.clock()
        dialled = await live.dial(HUMAN, timeout_s=20.0, told=told.append)
        told.append(dialled.status)
        assert live.clock() - began == pytest.approx(took_s)
        return None

    report, _ = call(begin, people=people)
    assert told[-1] == status and told[0] == "ringing"
    assert bool(report.call.bridges) == (status == "completed") == ("bridged" in told)
    assert report.call.sounds[0].kind == "ring"


def test_a_caller_who_hangs_up_while_it_rings_lets_the_human_go() -> None:
    told: list[str] = []

    async def begin(live: LiveCall) -> Step | None:
        live.answer()
        await live.dial(HUMAN, told=told.append)
        return None

    script = Script([Wait("ringing"), HangUp()])
    report, _ = call(begin, script, [Party(HUMAN, parties.answers(ring_s=5.0))])
    assert (told, report.call.ended_by) == (["ringing"], "caller")


def test_a_human_who_is_not_let_through_never_hears_the_caller() -> None:
    async def begin(live: LiveCall) -> Step | None:
        async def whisper(human: object) -> bool:
            await asyncio.sleep(3)
            return False

        live.answer()
        dialled = await live.dial(HUMAN, whisper=whisper)
        assert dialled.status == "rejected"
        return None

    report, _ = call(begin, people=[Party(HUMAN, parties.answers())])
    assert report.call.bridges == []


def test_a_stream_that_cannot_be_opened_is_a_warning_and_the_dialect_goes_on() -> None:
    async def begin(live: LiveCall) -> Step | None:
        live.answer()
        assert await live.stream("ftp://gw.example.com/media", ToyWire(), {}) == 0
        return None

    report, _ = call(begin)
    assert [warning.name for warning in report.call.warnings] == ["9102"]
    assert report.call.ended_by == "instructions"
