"""Transfers: blind and warm, reached and not, and what the caller hears meanwhile."""

import json

import pytest

from gateway.core import Call, CallPlan, Phase
from gateway.core import commands as cmd
from gateway.core import events as ev
from gateway.core.events import TransferState as State
from gateway.core.operator import AskTransfer
from gateway.core.plan import TransferMode, TransferTarget
from tests.core.lists import active, answer, ask, done, only, played_ms, quiet, records, until

SALES = TransferTarget("+14155550111", TransferMode.BLIND, ring_s=20)
EXPERT = TransferTarget("+14155550112", TransferMode.WARM, brief="A customer of Acme.", accept_key="1", ring_s=20)
PLAN = CallPlan(transfer_targets={"sales": SALES, "expert": EXPERT}, built_in=frozenset({"hang_up", "transfer_call"}))


def asked_for(target: str, *, spoken_ms: int = 0) -> tuple[Call, list[cmd.Command]]:
    call = active(PLAN)
    call.receive(ev.ResponseCreated("r1", ""), 2.0)
    if spoken_ms:
        call.receive(ev.AudioDelta("r1", "a1", "IiIi" * (spoken_ms * 8 // 3)), 2.0)
    arguments = json.dumps({"target": target, "summary": "Wants a refund."})
    return call, call.receive(done("r1", ev.FunctionCall("c1", "transfer_call", arguments)), 2.1)


def tell(call: Call, state: State, now: float) -> list[cmd.Command]:
    return call.receive(ev.TransferProgress("t1", state), now)


def test_a_blind_transfer_waits_for_the_last_words() -> None:
    call, commands = asked_for("sales", spoken_ms=1200)
    assert only(commands, cmd.StartTransfer) == []
    (start,) = only(quiet(call, 3.4), cmd.StartTransfer)
    assert (start.number, start.mode, start.brief) == ("+14155550111", TransferMode.BLIND, "Wants a refund.")
    assert call.phase is Phase.TRANSFERRING


def test_the_end_of_the_stream_is_not_the_end_of_a_call_that_is_transferred() -> None:
    call, _ = asked_for("sales")
    call.receive(ev.LegEnded(ev.LegEnd.CALLER_HANGUP), 3.0)
    assert call.phase is Phase.TRANSFERRING
    ended = tell(call, State.ANSWERED, 8.0)
    assert records(ended, "end")[0].data["reason"] == "transferred"
    assert only(ended, cmd.CancelTransfer) == []


@pytest.mark.parametrize("state", [State.BUSY, State.NO_ANSWER, State.REJECTED, State.FAILED])
def test_a_blind_transfer_that_reaches_nobody_brings_the_caller_back(state: State) -> None:
    call, _ = asked_for("sales")
    call.receive(ev.LegEnded(ev.LegEnd.CALLER_HANGUP), 3.0)
    assert only(tell(call, state, 9.0), cmd.SubmitToolOutput) == []
    back = call.receive(ev.StreamStarted("MZ2"), 10.0)
    assert call.phase is Phase.ACTIVE
    output = json.dumps({"transferred": False, "reason": state.value})
    assert cmd.SubmitToolOutput("c1", output) in back
    assert played_ms(answer(call, "r2", "a2", 500, 10.5, "w1")) > 0


def test_a_refusal_of_the_carrier_keeps_the_caller_on_the_stream() -> None:
    call, _ = asked_for("sales")
    back = tell(call, State.FAILED, 2.5)
    assert call.phase is Phase.ACTIVE
    assert len(only(back, cmd.SubmitToolOutput)) == 1


def test_a_caller_who_hangs_up_meanwhile_ends_the_call() -> None:
    call, _ = asked_for("sales")
    call.receive(ev.LegEnded(ev.LegEnd.CALLER_HANGUP), 3.0)
    ended = call.receive(ev.LegEnded(ev.LegEnd.CALLER_HANGUP, "", call_over=True), 5.0)
    assert records(ended, "end")[0].data["reason"] == "caller_hangup"
    assert only(ended, cmd.CancelTransfer) == [cmd.CancelTransfer("t1")]


def test_a_carrier_that_never_says_what_became_of_the_caller_has_the_caller() -> None:
    call, _ = asked_for("sales")
    call.receive(ev.LegEnded(ev.LegEnd.CALLER_HANGUP), 3.0)
    assert records(until(call, 60.0), "end")[0].data["reason"] == "transferred"


def test_a_model_that_was_lost_meanwhile_is_replaced_when_the_caller_is_back() -> None:
    call, _ = asked_for("sales")
    call.receive(ev.LegEnded(ev.LegEnd.CALLER_HANGUP), 3.0)
    assert call.receive(ev.ModelClosed("1006", "", False), 4.0) == []
    tell(call, State.BUSY, 5.0)
    assert cmd.OpenModel() in call.receive(ev.StreamStarted("MZ2"), 6.0)
    seeded = call.receive(ev.SessionReady("s2"), 6.5)
    assert [command.tool_call_id for command in only(seeded, cmd.SubmitToolOutput)] == ["c1"]


def test_a_model_that_was_lost_meanwhile_is_replaced_when_the_carrier_refuses() -> None:
    call, _ = asked_for("sales")
    call.receive(ev.ModelClosed("1006", "", False), 2.3)
    assert len(only(tell(call, State.FAILED, 2.5), cmd.OpenModel)) == 1
    assert call.phase is Phase.RECOVERING
    ready = call.receive(ev.SessionReady("s2"), 3.0)
    assert len(only(ready, cmd.SubmitToolOutput)) == 1
    assert len(only(ready, cmd.CreateResponse)) == 1


def test_a_caller_who_comes_back_after_the_longest_call_is_said_goodbye_to() -> None:
    plan = CallPlan(transfer_targets=PLAN.transfer_targets, built_in=PLAN.built_in, max_duration_s=10)
    call = active(plan)
    call.receive(ev.ResponseCreated("r1", ""), 2.0)
    call.receive(done("r1", ev.FunctionCall("c1", "transfer_call", '{"target": "sales"}')), 2.1)
    call.receive(ev.LegEnded(ev.LegEnd.CALLER_HANGUP), 3.0)
    until(call, 12.0)
    tell(call, State.BUSY, 13.0)
    call.receive(ev.StreamStarted("MZ2"), 14.0)
    assert records(until(call, 60.0), "end")[0].data["reason"] == "duration_limit"


def test_what_the_call_costs_does_not_end_a_transfer() -> None:
    plan = CallPlan(transfer_targets=PLAN.transfer_targets, built_in=PLAN.built_in, max_cost_usd=1.0)
    call = active(plan)
    call.receive(ev.ResponseCreated("r1", ""), 2.0)
    call.receive(done("r1", ev.FunctionCall("c1", "transfer_call", '{"target": "sales"}')), 2.1)
    assert call.receive(ev.Spent(1.5), 2.2) == []


def test_a_warm_transfer_calls_the_human_at_once_and_the_caller_hears_it_ring() -> None:
    call, commands = asked_for("expert")
    (start,) = only(commands, cmd.StartTransfer)
    assert (start.brief, start.accept_key) == ("A customer of Acme. Wants a refund.", "1")
    assert call.phase is Phase.ACTIVE
    rings = [command for command in until(call, 10.0) if isinstance(command, cmd.PlayAudio)]
    assert sum(ring.ms for ring in rings) >= 2000
    assert all(ring.item_id.startswith("own:") for ring in rings)


def test_a_caller_may_speak_while_it_rings_and_no_model_is_told_of_the_ring() -> None:
    call, _ = asked_for("expert")
    until(call, 4.0)
    commands = call.receive(ev.SpeechStarted("u1", 0), 4.0)
    assert cmd.ClearAudio() in commands
    assert only(commands, cmd.TruncateItem) == []
    assert only(commands, cmd.DeleteItem) == []


def test_once_the_human_accepts_both_are_connected_and_the_record_ends_with_the_stream() -> None:
    call, _ = asked_for("expert")
    tell(call, State.RINGING, 3.0)
    tell(call, State.ANSWERED, 5.0)
    assert cmd.CompleteTransfer("t1") in tell(call, State.ACCEPTED, 9.0)
    assert call.phase is Phase.TRANSFERRING
    ended = call.receive(ev.LegEnded(ev.LegEnd.CALLER_HANGUP), 9.5)
    assert records(ended, "end")[0].data["reason"] == "transferred"
    assert only(ended, cmd.CancelTransfer) == []


def test_a_human_who_cannot_be_connected_leaves_the_caller_with_the_agent() -> None:
    call, _ = asked_for("expert")
    tell(call, State.ACCEPTED, 9.0)
    back = tell(call, State.FAILED, 9.4)
    assert call.phase is Phase.ACTIVE
    assert len(only(back, cmd.SubmitToolOutput)) == 1


def test_a_human_who_does_not_accept_in_time_is_let_go() -> None:
    call, _ = asked_for("expert")
    commands = until(call, 82.2)
    assert only(commands, cmd.CancelTransfer) == [cmd.CancelTransfer("t1")]
    assert len(only(commands, cmd.SubmitToolOutput)) == 1
    assert only(tell(call, State.ACCEPTED, 83.0), cmd.CompleteTransfer) == []


def test_a_caller_who_hangs_up_leaves_nobody_ringing() -> None:
    call, _ = asked_for("expert")
    ended = call.receive(ev.LegEnded(ev.LegEnd.CALLER_HANGUP), 5.0)
    assert only(ended, cmd.CancelTransfer) == [cmd.CancelTransfer("t1")]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ('{"target": "police"}', "there is no such transfer target"),
        ('{"target": 7}', "target must be the name of a transfer target"),
        ("nonsense", "the arguments are not JSON"),
    ],
)
def test_only_targets_of_the_agent_are_called(arguments: str, error: str) -> None:
    call = active(PLAN)
    call.receive(ev.ResponseCreated("r1", ""), 2.0)
    commands = call.receive(done("r1", ev.FunctionCall("c1", "transfer_call", arguments)), 2.1)
    assert only(commands, cmd.StartTransfer) == []
    assert cmd.SubmitToolOutput("c1", json.dumps({"error": error})) in commands


def test_an_operator_may_transfer_too_and_the_model_is_told_if_it_fails() -> None:
    call = active(PLAN)
    assert len(only(ask(call, "o1", AskTransfer("expert"), 2.0), cmd.StartTransfer)) == 1
    ask(call, "o2", AskTransfer("expert"), 2.1)
    assert call.outcome("o2") == "refused: a transfer is under way"
    told = tell(call, State.BUSY, 5.0)
    assert len(only(told, cmd.CreateItem)) == 1
    assert len(only(told, cmd.CreateResponse)) == 1
