"""Goodbyes while functions run: the caller does not leave with a promise that nobody keeps."""

from gateway.core import Call, CallPlan, Phase
from gateway.core import commands as cmd
from gateway.core import events as ev
from gateway.core.plan import ToolRules
from tests.core.lists import active, answer, done, only, quiet, records, speech, until

PLAN = CallPlan(tools={"book": ToolRules(filler=None), "pay": ToolRules(filler=None)})
HUNG_UP = [cmd.HangUp(cmd.EndReason.AGENT_HANGUP)]


def leaving() -> Call:
    """An agent that has said "It is booked, goodbye" and hangs up while it books."""
    call = active(PLAN)
    call.receive(ev.ResponseCreated("r1", ""), 2.0)
    call.receive(ev.AudioDelta("r1", "a1", speech(1000)), 2.0)
    calls = ev.FunctionCall("c1", "book", "{}"), ev.FunctionCall("h1", "hang_up", "{}")
    call.receive(done("r1", *calls), 2.1)
    assert call.phase is Phase.ENDING
    assert only(quiet(call, 4.0), cmd.HangUp) == [], "it is not known yet whether it is booked"
    return call


def test_the_line_goes_down_when_the_function_has_succeeded() -> None:
    assert only(leaving().receive(ev.ToolResult("c1", True, "{}"), 5.0), cmd.HangUp) == HUNG_UP


def test_a_caller_is_told_what_failed_before_the_line_goes_down() -> None:
    call = leaving()
    commands = call.receive(ev.ToolResult("c1", False, '{"error":"fully booked"}'), 5.0)
    (asked,) = only(commands, cmd.CreateResponse)
    assert asked.instructions is None
    assert only(commands + answer(call, "r2", "a2", 1000, 5.5, asked.wish_id), cmd.HangUp) == []
    assert only(quiet(call, 8.0), cmd.HangUp) == HUNG_UP


def test_a_function_that_gives_no_answer_does_not_keep_the_line_up() -> None:
    call = leaving()
    commands = until(call, 40.0)
    assert len(only(commands, cmd.CreateResponse)) == 1, "the caller is told that it is not certain"
    assert only(commands, cmd.HangUp) == HUNG_UP


def test_words_of_the_business_are_said_before_the_line_goes_down() -> None:
    call = leaving()
    (asked,) = only(call.receive(ev.ToolResult("c1", True, "{}", say="Friday at ten."), 5.0), cmd.CreateResponse)
    assert asked.instructions is not None and "Friday at ten." in asked.instructions
    answer(call, "r2", "a2", 800, 5.5, asked.wish_id)
    assert only(quiet(call, 8.0), cmd.HangUp) == HUNG_UP


def test_without_a_model_nobody_waits_to_be_told() -> None:
    call = leaving()
    assert only(call.receive(ev.ModelClosed("1006", "", False), 5.0), cmd.HangUp) == HUNG_UP


def test_the_business_hangs_up_only_when_every_function_has_answered() -> None:
    call = active(PLAN)
    call.receive(ev.ResponseCreated("r1", ""), 2.0)
    call.receive(done("r1", ev.FunctionCall("c1", "book", "{}"), ev.FunctionCall("c2", "pay", "{}")), 2.1)
    call.receive(ev.ToolResult("c1", True, "{}", action=ev.ToolAction.HANG_UP), 2.5)
    assert call.phase is Phase.ACTIVE
    (asked,) = only(call.receive(ev.ToolResult("c2", True, "{}"), 3.0), cmd.CreateResponse)
    answer(call, "r2", "a2", 500, 3.5, asked.wish_id)
    assert records(quiet(call, 5.0), "tool_action")
