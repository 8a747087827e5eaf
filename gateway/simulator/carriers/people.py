"""Rings somebody else for a call, and connects the two: what every transfer comes down to.

Who is at a number is one of `gateway.simulator.carrier.parties`; they ring, answer or not, follow a script of their own
and hang up at its end.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

from gateway.simulator.carrier.caller import Caller, ScriptFailed
from gateway.simulator.carrier.line import PhoneLine
from gateway.simulator.carrier.mouth import Mouth
from gateway.simulator.carrier.plan import Callee
from gateway.simulator.carrier.report import CallReport
from gateway.simulator.carrier.room import Member, Room
from gateway.simulator.carrier.script import clips_of

__all__ = ["Dialled", "Human", "Told", "dial"]

Told = Callable[[str], None]
"""Is told how it goes: ringing, answered, bridged."""


@dataclass(slots=True, frozen=True)
class Dialled:
    """How it ended."""

    status: Literal["completed", "busy", "no-answer", "failed", "rejected"]
    """`completed`: they talked. `rejected`: the human answered and hung up, or `whisper` said no."""
    talked_s: float = 0.0


@dataclass(slots=True, frozen=True, eq=False)
class Human:
    """Who has answered: `line.announce()` is heard by them, `line.pressed` gets their keys."""

    report: CallReport
    line: PhoneLine


async def dial(
    report: CallReport,
    line: PhoneLine,
    callee: Callee | None,
    *,
    name: str = "human",
    timeout_s: float = 30.0,
    told: Told = lambda state: None,
    whisper: Callable[[Human], Awaitable[bool]] | None = None,
) -> Dialled:
    """Ring `callee` for the caller on `line`, connect them, and return when either has hung up.

    None is a number where nobody answers; `name` is what the report calls them.
    `whisper` is done with the human alone, before; False lets them go.
    Cancelling this is the caller's hanging up.
    """
    line.hear("ring")
    try:
        told("ringing")
        refused = await _ring(callee, timeout_s)
        if refused is not None or callee is None:
            return Dialled(refused or "no-answer")
        told("answered")
        return await _meet(report, line, callee, name, told, whisper)
    finally:
        line.hear("")


async def _ring(callee: Callee | None, timeout_s: float) -> Literal["busy", "no-answer", "failed"] | None:
    """Return why it was not answered; None: it was."""
    if callee is None or callee.outcome == "no-answer" or callee.ring_s > timeout_s:
        await asyncio.sleep(timeout_s)
        return "no-answer"
    if callee.outcome == "failed":
        return "failed"
    await asyncio.sleep(callee.ring_s)
    return "busy" if callee.outcome == "busy" else None


async def _meet(
    report: CallReport,
    line: PhoneLine,
    callee: Callee,
    name: str,
    told: Told,
    whisper: Callable[[Human], Awaitable[bool]] | None,
) -> Dialled:
    chance = random.Random(f"{report.call_sid} human {callee.seed}")
    theirs = CallReport(name, report.call_sid, "completed")
    human = Human(theirs, PhoneLine(theirs, Mouth(callee.surroundings, clips_of(callee.script), chance)))
    async with asyncio.TaskGroup() as group:
        beside = [group.create_task(human.line.run())]
        life = group.create_task(_live(Caller(human.line, theirs, chance), callee, theirs))
        talked_s = None
        if whisper is None or await _whispered(group, life, whisper, human):
            told("bridged")
            talked_s = await _talk(report, line, human, life)
        for task in (*beside, life):
            task.cancel()
    return Dialled("rejected") if talked_s is None else Dialled("completed", talked_s)


async def _live(caller: Caller, callee: Callee, theirs: CallReport) -> None:
    try:
        await caller.run(callee.script)
    except ScriptFailed as error:
        theirs.script_error = str(error)


async def _whispered(
    group: asyncio.TaskGroup,
    life: "asyncio.Task[None]",
    whisper: Callable[[Human], Awaitable[bool]],
    human: Human,
) -> bool:
    async def ask() -> bool:
        return await whisper(human)

    asking = group.create_task(ask())
    await asyncio.wait([asking, life], return_when=asyncio.FIRST_COMPLETED)
    if asking.done():
        return asking.result()
    asking.cancel()
    return False


async def _talk(report: CallReport, line: PhoneLine, human: Human, life: "asyncio.Task[None]") -> float:
    """Connect both until the human hangs up."""
    began = line.clock()
    room = Room(f"{report.call_sid} room")
    async with asyncio.TaskGroup() as group:
        staying = [
            group.create_task(room.stay(Member(report, line), _quiet)),
            group.create_task(room.stay(Member(human.report, human.line), _quiet)),
        ]
        await asyncio.wait([life])
        for task in staying:
            task.cancel()
    return line.clock() - began


async def _quiet() -> None:
    """Leave the sound as it is."""
