"""What lists of events are made of."""

import base64
from typing import TypeVar

from gateway.core import Call, CallPlan, Phase
from gateway.core import commands as cmd
from gateway.core import events as ev
from gateway.core import operator as op

C = TypeVar("C", bound=cmd.Command)


def speech(ms: int, byte: int = 0x33) -> str:
    return base64.b64encode(bytes([byte]) * (ms * 8)).decode()


def active(plan: CallPlan | None = None) -> Call:
    """A call whose stream and model are up, at time 1."""
    call = Call(plan or CallPlan())
    call.receive(ev.CallOffered(), 0.0)
    call.receive(ev.SessionReady("s"), 0.5)
    call.receive(ev.StreamStarted("MZ1"), 1.0)
    assert call.phase is Phase.ACTIVE
    return call


def speaking(plan: CallPlan, ms: int = 4000, *, at: float = 2.0) -> Call:
    """A call whose agent has begun to say `ms` in item a1 of response r1, which the model has finished."""
    call = active(plan)
    answer(call, "r1", "a1", ms, at)
    return call


def answer(call: Call, response_id: str, item_id: str, ms: int, now: float, wish_id: str = "") -> list[cmd.Command]:
    commands = call.receive(ev.ResponseCreated(response_id, wish_id), now)
    commands += call.receive(ev.AudioDelta(response_id, item_id, speech(ms)), now)
    return commands + call.receive(done(response_id), now)


def done(response_id: str, *calls: ev.FunctionCall, status: str = "completed", reason: str = "") -> ev.ResponseDone:
    return ev.ResponseDone(response_id, status, reason, calls, None)


def until(call: Call, now: float) -> list[cmd.Command]:
    """Let time pass, tick by tick, as the owner does."""
    commands: list[cmd.Command] = []
    while call.deadline is not None and call.deadline <= now:
        commands += call.receive(ev.Tick(), call.deadline)
    return commands


def quiet(call: Call, now: float, marks: int = 40) -> list[cmd.Command]:
    """Let everything be heard: time passes and every mark comes back."""
    commands = until(call, now)
    for number in range(1, marks):
        commands += call.receive(ev.MarkPlayed(f"m{number}"), now)
    return commands


def only(commands: list[cmd.Command], kind: type[C]) -> list[C]:
    return [command for command in commands if isinstance(command, kind)]


def records(commands: list[cmd.Command], kind: str) -> list[cmd.Record]:
    return [record for record in only(commands, cmd.Record) if record.kind == kind]


def played_ms(commands: list[cmd.Command]) -> float:
    return sum(command.ms for command in only(commands, cmd.PlayAudio))


def ask(call: Call, command_id: str, action: op.Action, now: float) -> list[cmd.Command]:
    return call.receive(ev.OperatorAsked(command_id, "ops", action), now)
