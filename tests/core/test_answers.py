"""Whether every answer reaches the caller: what is said word for word stands in the way of no other answer."""

import pytest

from gateway.core import Call, CallPlan
from gateway.core import commands as cmd
from gateway.core import events as ev
from gateway.core import operator as op
from gateway.core.plan import Filler, OnInterrupt, ReversibleBargeIn, ToolRules
from tests.core.lists import active, answer, ask, done, only, quiet, speech, until

QUIET = ToolRules(filler=None)


def runs(call: Call, response_id: str, now: float, *names: str) -> None:
    """The model calls functions, without a word; their ids are c_ and the name."""
    call.receive(ev.ResponseCreated(response_id, ""), now)
    call.receive(done(response_id, *(ev.FunctionCall(f"c_{name}", name, "{}") for name in names)), now)


def result(call: Call, name: str, now: float, say: str = "") -> list[cmd.Command]:
    commands = call.receive(ev.ToolResult(f"c_{name}", True, '{"n":1}', say=say), now)
    return commands + call.receive(ev.OutputAccepted(f"c_{name}"), now)


def asked(commands: list[cmd.Command]) -> list[bool]:
    """Return of each response that is asked for whether it was given its words."""
    return [one.instructions is not None for one in only(commands, cmd.CreateResponse)]


def test_words_that_were_asked_for_first_do_not_swallow_the_answer_to_an_output() -> None:
    call = active(CallPlan(tools={"book": QUIET}))
    runs(call, "r1", 2.0, "book")
    (said,) = only(ask(call, "o1", op.Say("One moment."), 2.5), cmd.CreateResponse)
    result(call, "book", 2.6)
    later = answer(call, "r2", "a2", 500, 2.7, said.wish_id) + quiet(call, 5.0)
    assert asked(later) == [False]


def test_words_that_the_server_was_faster_than_do_not_swallow_the_answer_to_an_output() -> None:
    call = active(CallPlan(tools={"book": QUIET}))
    runs(call, "r1", 2.0, "book")
    ask(call, "o1", op.Say("One moment."), 2.5)
    call.receive(ev.ResponseCreated("r2", ""), 2.6)
    result(call, "book", 2.7)
    call.receive(ev.AudioDelta("r2", "a2", speech(300)), 2.8)
    first = only(call.receive(done("r2"), 2.9), cmd.CreateResponse)
    second = answer(call, "r3", "a3", 300, 3.0, first[0].wish_id) + quiet(call, 5.0)
    assert sorted(asked([*first, *second])) == [False, True]


def test_words_do_not_answer_the_caller_s_own_turn() -> None:
    call = active(CallPlan(reversible=ReversibleBargeIn(), transcribes=False))
    call.receive(ev.VoiceStarted(2.0), 2.1)
    call.receive(ev.SpeechStarted("u1", 0), 2.1)
    ask(call, "o1", op.Say("This call is recorded."), 2.5)
    call.receive(ev.VoiceStopped(3.0), 3.1)
    first = only(call.receive(ev.SpeechStopped("u1", 900), 3.5), cmd.CreateResponse)
    second = answer(call, "r1", "a1", 300, 4.0, first[0].wish_id) + quiet(call, 6.0)
    assert asked([*first, *second]) == [True, False]


def test_two_answers_with_words_are_both_said() -> None:
    call = active(CallPlan(tools={"book": QUIET, "pay": QUIET}))
    runs(call, "r1", 2.0, "book", "pay")
    first = result(call, "book", 2.5, "It is booked.")
    first += result(call, "pay", 2.6, "It is paid.")
    wish = only(first, cmd.CreateResponse)[0].wish_id
    second = answer(call, "r2", "a2", 300, 3.0, wish) + quiet(call, 5.0)
    said = [one.instructions or "" for one in only(first + second, cmd.CreateResponse)]
    assert ["booked" in said[0], "paid" in said[1]] == [True, True]
    assert len(said) == 2


def test_an_output_that_only_words_were_said_after_is_told_to_a_new_session() -> None:
    call = active(CallPlan(tools={"book": QUIET}))
    runs(call, "r1", 2.0, "book")
    (said,) = only(ask(call, "o1", op.Say("One moment."), 2.5), cmd.CreateResponse)
    result(call, "book", 2.6)
    answer(call, "r2", "a2", 500, 2.7, said.wish_id)
    call.receive(ev.ModelClosed("1006", "", False), 2.8)
    assert cmd.SubmitToolOutput("c_book", '{"n":1}') in call.receive(ev.SessionReady("s2"), 3.2)


def test_a_filler_never_answers_an_output() -> None:
    call = active(CallPlan(tools={"book": ToolRules(filler=Filler(1.0))}))
    runs(call, "r1", 2.0, "book")
    (filler,) = only(until(call, 3.0), cmd.CreateResponse)
    result(call, "book", 3.1)
    said = answer(call, "r2", "a2", 500, 3.2, filler.wish_id)
    assert asked(said) == [False]
    call.receive(ev.ModelClosed("1006", "", False), 3.4)
    assert cmd.SubmitToolOutput("c_book", '{"n":1}') in call.receive(ev.SessionReady("s2"), 3.8)


def test_a_greeting_that_was_lost_with_the_model_is_said_once_and_nothing_else() -> None:
    call = active(CallPlan(greeting="Hello."))
    call.receive(ev.ModelClosed("1006", "", False), 1.2)
    (again,) = only(call.receive(ev.SessionReady("s2"), 1.6), cmd.CreateResponse)
    assert again.instructions is not None and "Hello." in again.instructions
    assert asked(answer(call, "r1", "a1", 500, 2.0, again.wish_id) + quiet(call, 5.0)) == []


@pytest.mark.parametrize("protected", [True, False])
def test_only_protected_words_keep_the_model_from_hearing_the_caller(protected: bool) -> None:
    call = active()
    (said,) = only(ask(call, "o1", op.Say("It is recorded.", interruptible=not protected), 2.0), cmd.CreateResponse)
    ask(call, "o2", op.ForceReply(), 2.1)
    (next_one,) = only(answer(call, "r1", "a1", 500, 2.2, said.wish_id), cmd.CreateResponse)
    assert bool(call.receive(ev.CallerAudio(speech(20)), 2.4)) is not protected
    quiet(call, 3.5)
    call.receive(ev.ResponseCreated("r2", next_one.wish_id), 3.6)
    assert call.receive(ev.CallerAudio(speech(20)), 3.7) != []


# --- what was told is what was heard ------------------------------------------------------------------


def booked_and_answered(ms: int) -> Call:
    """The answer to a booking is complete at 3.2 and lasts `ms`."""
    call = active(CallPlan(tools={"book": QUIET}))
    runs(call, "r1", 2.0, "book")
    (wish,) = only(result(call, "book", 2.5), cmd.CreateResponse)
    answer(call, "r2", "a2", ms, 3.0, wish.wish_id)
    return call


def test_an_answer_that_was_complete_but_cut_before_it_was_heard_has_told_nothing() -> None:
    call = booked_and_answered(4000)
    until(call, 3.3)
    call.receive(ev.SpeechStarted("u1", 0), 3.3)
    call.receive(ev.ModelClosed("1006", "", False), 3.5)
    assert cmd.SubmitToolOutput("c_book", '{"n":1}') in call.receive(ev.SessionReady("s2"), 4.0)
    call.receive(ev.ResponseCreated("r3", ""), 4.1)
    again = call.receive(done("r3", ev.FunctionCall("c9", "book", "{}")), 4.2)
    assert only(again, cmd.InvokeTool) == [], "a model that knows no better books once"
    assert cmd.SubmitToolOutput("c9", '{"n":1}') in again


def test_an_answer_that_plays_while_the_model_is_replaced_is_not_given_twice() -> None:
    call = booked_and_answered(4000)
    until(call, 3.5)
    call.receive(ev.ModelClosed("1006", "", False), 3.5)
    back = call.receive(ev.SessionReady("s2"), 4.0)
    assert only(back, cmd.SubmitToolOutput) == []
    assert only(back, cmd.CreateResponse) == []


def test_an_answer_that_was_heard_has_told() -> None:
    call = booked_and_answered(500)
    quiet(call, 4.0)
    call.receive(ev.ModelClosed("1006", "", False), 4.1)
    assert only(call.receive(ev.SessionReady("s2"), 4.6), cmd.SubmitToolOutput) == []


# --- results that come in odd ways --------------------------------------------------------------------


def test_what_was_not_known_and_turns_out_later_is_told_once() -> None:
    call = active(CallPlan(tools={"book": QUIET}))
    runs(call, "r1", 2.0, "book")
    (asked_,) = only(call.receive(ev.ToolResult("c_book", False, '{"error":"not known"}'), 3.0), cmd.CreateResponse)
    answer(call, "r2", "a2", 300, 3.5, asked_.wish_id)
    quiet(call, 5.0)
    told = call.receive(ev.ToolResult("c_book", True, '{"room":2}'), 20.0)
    assert "room" in str(only(told, cmd.CreateItem))
    assert asked(told) == [False]
    assert only(call.receive(ev.ToolResult("c_book", True, '{"room":2}'), 21.0), cmd.CreateItem) == []


def test_words_for_a_result_that_two_equal_calls_share_are_the_answer_of_both() -> None:
    call = active(CallPlan(tools={"book": QUIET}))
    runs(call, "r1", 2.0, "book")
    call.receive(ev.ModelClosed("1006", "", False), 2.5)
    call.receive(ev.SessionReady("s2"), 3.0)
    call.receive(ev.ResponseCreated("r2", ""), 3.1)
    call.receive(done("r2", ev.FunctionCall("c9", "book", "{}")), 3.2)
    (said,) = only(result(call, "book", 4.0, "It is booked."), cmd.CreateResponse)
    assert asked(answer(call, "r3", "a3", 300, 4.2, said.wish_id) + quiet(call, 6.0)) == []


def test_a_promise_that_was_kept_while_the_model_was_away_is_no_promise_any_more() -> None:
    call = active(CallPlan(tools={"book": QUIET}))
    runs(call, "r1", 2.0, "book")
    call.receive(ev.ToolResult("c_book", True, '{"status":"in progress"}', pending=True), 2.5)
    call.receive(ev.ModelClosed("1006", "", False), 2.6)
    result(call, "book", 2.8)
    outputs = only(call.receive(ev.SessionReady("s2"), 3.1), cmd.SubmitToolOutput)
    assert outputs == [cmd.SubmitToolOutput("c_book", '{"n":1}')]


def test_a_result_whose_words_cannot_be_said_any_more_is_told_by_the_model() -> None:
    call = active(CallPlan(tools={"book": QUIET}))
    runs(call, "r1", 2.0, "book")
    call.receive(ev.ToolResult("c_book", True, "{}", pending=True, say="We are on it."), 2.5)
    for number in range(12):
        ask(call, f"o{number}", op.Say(f"Announcement {number}."), 3.0)
    call.receive(ev.ToolResult("c_book", True, '{"room":2}', say="Room two."), 4.0)
    wishes = only(answer(call, "r2", "a2", 100, 5.0, "w1"), cmd.CreateResponse)
    for number in range(20):
        said = answer(call, f"s{number}", f"s{number}", 100, 6.0 + number, wishes[-1].wish_id)
        wishes += only(said + quiet(call, 6.5 + number), cmd.CreateResponse)
    assert None in [wish.instructions for wish in wishes]


def test_a_call_too_many_is_answered_once_and_known_to_a_new_session() -> None:
    call = active(CallPlan(tools={f"f{n}": QUIET for n in range(17)}))
    runs(call, "r1", 2.0, *(f"f{n}" for n in range(16)))
    call.receive(ev.ResponseCreated("r2", ""), 2.5)
    extra = ev.FunctionCall("extra", "f16", "{}")
    assert len(only(call.receive(done("r2", extra), 2.6), cmd.SubmitToolOutput)) == 1
    call.receive(ev.ResponseCreated("r3", ""), 2.7)
    assert only(call.receive(done("r3", extra), 2.8), cmd.SubmitToolOutput) == []


def test_what_was_given_up_for_the_caller_may_be_asked_for_again_by_a_new_session() -> None:
    call = active(CallPlan(tools={"find": ToolRules(filler=None, on_interrupt=OnInterrupt.CANCEL)}))
    runs(call, "r1", 2.0, "find")
    assert only(call.receive(ev.SpeechStarted("u1", 0), 2.5), cmd.CancelTool) == [cmd.CancelTool("c_find")]
    call.receive(ev.ModelClosed("1006", "", False), 2.6)
    call.receive(ev.SessionReady("s2"), 3.0)
    call.receive(ev.ResponseCreated("r2", ""), 3.5)
    again = call.receive(done("r2", ev.FunctionCall("c9", "find", "{}")), 3.6)
    assert [one.tool_call_id for one in only(again, cmd.InvokeTool)] == ["c9"]
