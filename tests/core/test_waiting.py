"""When a silence is filled, when it is not, and who is taken for a caller who has gone."""

import pytest

from gateway.core import Call, CallPlan, Phase
from gateway.core import commands as cmd
from gateway.core import events as ev
from gateway.core import operator as op
from gateway.core.plan import EarlyReply, Filler, Idle, ToolRules, TransferTarget
from tests.core.lists import active, answer, ask, done, only, quiet, records, speech, until

WORDS = ToolRules(filler=Filler(1.0, "One moment."))
TONE = ToolRules(filler=Filler(1.0, sound=True))


def running(rules: ToolRules, now: float = 2.0) -> Call:
    call = active(CallPlan(tools={"book": rules}))
    runs(call, now)
    return call


def runs(call: Call, now: float) -> None:
    call.receive(ev.ResponseCreated("r1", ""), now)
    call.receive(done("r1", ev.FunctionCall("c1", "book", "{}")), now)


@pytest.mark.parametrize("rules", [WORDS, TONE])
def test_nothing_fills_the_silence_of_an_agent_that_is_muted(rules: ToolRules) -> None:
    call = running(rules)
    ask(call, "o1", op.MuteAgent(), 2.5)
    filled = until(call, 8.0)
    assert records(filled, "filler") == []
    call.receive(ev.ToolResult("c1", True, "{}", action=ev.ToolAction.HANG_UP), 9.0)
    answer(call, "r2", "a2", 300, 9.1, "w1")
    assert call.phase is Phase.ENDING, "no tone that nobody hears keeps the line up"


def test_no_filler_follows_an_answer_that_the_server_was_about_to_give() -> None:
    call = running(WORDS)
    call.receive(ev.SpeechStarted("u1", 0), 2.2)
    call.receive(ev.SpeechStopped("u1", 500), 3.0)
    until(call, 4.1)
    call.receive(ev.ResponseCreated("r2", ""), 4.2)
    call.receive(ev.AudioDelta("r2", "a2", speech(400)), 4.3)
    assert only(call.receive(done("r2"), 4.4), cmd.CreateResponse) == []


def test_a_filler_that_the_caller_interrupts_is_cut_like_any_other_words() -> None:
    call = running(WORDS)
    (filler,) = only(until(call, 3.0), cmd.CreateResponse)
    call.receive(ev.ResponseCreated("r2", filler.wish_id), 3.1)
    call.receive(ev.AudioDelta("r2", "a2", speech(1000)), 3.2)
    until(call, 3.6)
    cut = call.receive(ev.SpeechStarted("u1", 0), 3.6)
    assert [one.item_id for one in only(cut, cmd.TruncateItem)] == ["a2"]
    call.receive(done("r2", status="cancelled"), 3.7)
    call.receive(ev.SpeechStopped("u1", 0), 4.5)
    said = answer(call, "r3", "a3", 300, 4.8) + call.receive(ev.ToolResult("c1", True, "1"), 5.0)
    assert [one.tool_call_id for one in only(said, cmd.SubmitToolOutput)] == ["c1"]
    assert [one.tools for one in only(said + quiet(call, 6.0), cmd.CreateResponse)] == [True]


def test_a_model_that_never_answers_an_output_after_a_filler_is_noticed() -> None:
    call = running(WORDS)
    (filler,) = only(until(call, 3.0), cmd.CreateResponse)
    call.receive(ev.ToolResult("c1", True, "1"), 3.1)
    assert len(only(answer(call, "r2", "a2", 400, 3.2, filler.wish_id), cmd.CreateResponse)) == 1
    quiet(call, 5.0)
    assert records(until(call, 20.0), "recover")


def test_a_filler_gives_way_to_words_that_wait() -> None:
    call = active(CallPlan(tools={"book": WORDS}, early_reply=EarlyReply()))
    runs(call, 2.0)
    call.receive(ev.SpeechStarted("u1", 0), 2.2)
    call.receive(ev.SpeechStopped("u1", 500), 2.6)
    assert records(until(call, 3.3), "filler") == [], "an answer is behind the gate, or on its way to it"


def test_silences_are_filled_no_longer_than_a_function_may_take() -> None:
    call = running(TONE)
    tones = records(until(call, 60.0), "filler")
    assert 2 <= len(tones) <= 6


def test_a_promised_result_keeps_the_caller_from_being_taken_for_gone() -> None:
    call = active(CallPlan(tools={"book": ToolRules(filler=None, pending_s=40.0)}, idle=Idle(10.0, ("Hello?",))))
    runs(call, 2.0)
    call.receive(ev.ToolResult("c1", True, "{}", pending=True), 2.5)
    answer(call, "r2", "a2", 500, 3.0, "w1")
    assert records(quiet(call, 4.0) + until(call, 40.0), "idle") == []


# --- calls that are let through when nobody listens ---------------------------------------------------


def test_calls_behind_the_gate_do_not_run_for_a_caller_who_has_been_moved() -> None:
    plan = CallPlan(early_reply=EarlyReply(), transfer_targets={"sales": TransferTarget("+14155550111")})
    call = active(plan)
    call.receive(ev.SpeechStarted("u1", 0), 2.0)
    call.receive(ev.SpeechStopped("u1", 500), 2.5)
    call.receive(ev.ResponseCreated("r1", ""), 2.6)
    call.receive(done("r1", ev.FunctionCall("c1", "book", "{}")), 2.7)
    ask(call, "o1", op.AskTransfer("sales"), 2.8)
    assert call.phase is Phase.TRANSFERRING
    commands = call.receive(ev.TransferProgress("t1", ev.TransferState.RINGING), 8.0)
    assert only(commands, cmd.InvokeTool) == []
    assert [one.tool_call_id for one in only(commands, cmd.SubmitToolOutput)] == ["c1"]
