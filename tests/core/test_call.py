"""The call core by lists of events: what comes in, what goes out, at literal times."""

import base64
from pathlib import Path

import pytest

from gateway.core import Call, CallPlan, Phase, TurnTaking
from gateway.core import commands as cmd
from gateway.core import events as ev
from gateway.core.call import TRANSITIONS
from gateway.core.plan import ToolRules

USAGE = None


def speech(ms: int) -> str:
    return base64.b64encode(b"\x33" * (ms * 8)).decode()


def done(response_id: str, *calls: ev.FunctionCall, status: str = "completed", reason: str = "") -> ev.ResponseDone:
    return ev.ResponseDone(response_id, status, reason, calls, USAGE)


def lookup(tool_call_id: str = "c1") -> ev.FunctionCall:
    return ev.FunctionCall(tool_call_id, "lookup", '{"id": "7"}')


def active(plan: CallPlan | None = None) -> Call:
    """A call whose stream and model are up, at time 1."""
    call = Call(plan or CallPlan())
    call.receive(ev.CallOffered(), 0.0)
    call.receive(ev.SessionReady("s"), 0.5)
    call.receive(ev.StreamStarted("MZ1"), 1.0)
    assert call.phase is Phase.ACTIVE
    return call


def until(call: Call, now: float) -> list[cmd.Command]:
    """Let time pass, tick by tick, as the owner does."""
    commands: list[cmd.Command] = []
    while call.deadline is not None and call.deadline <= now:
        commands += call.receive(ev.Tick(), call.deadline)
    return commands


def only(commands: list[cmd.Command], kind: type) -> list[cmd.Command]:
    return [command for command in commands if isinstance(command, kind)]


def ends(call: Call) -> str:
    return "" if call.end_reason is None else call.end_reason.value


# --- both ends --------------------------------------------------------------------------------------


def test_an_offer_opens_the_model_before_the_stream_is_there() -> None:
    assert Call(CallPlan()).receive(ev.CallOffered(), 0.0) == [cmd.OpenModel()]


@pytest.mark.parametrize("model_first", [True, False])
def test_the_greeting_is_asked_once_both_ends_are_up(model_first: bool) -> None:
    call = Call(CallPlan(instructions="Be brief.", greeting="Hello."))
    call.receive(ev.CallOffered(), 0.0)
    first, second = ev.SessionReady("s"), ev.StreamStarted("MZ1")
    if not model_first:
        first, second = second, first  # type: ignore[assignment]  # the same two events the other way round
    assert only(call.receive(first, 0.5), cmd.CreateResponse) == []
    (ask,) = only(call.receive(second, 1.0), cmd.CreateResponse)
    assert isinstance(ask, cmd.CreateResponse)
    assert ask.instructions == 'Be brief.\n\nSay exactly: "Hello."'


def test_early_caller_audio_is_kept_two_seconds_and_comes_first() -> None:
    call = Call(CallPlan())
    call.receive(ev.CallOffered(), 0.0)
    call.receive(ev.StreamStarted("MZ1"), 0.1)
    for number in range(150):
        assert call.receive(ev.CallerAudio(base64.b64encode(bytes([number]) * 160).decode()), 0.1) == []
    kept = only(call.receive(ev.SessionReady("s"), 3.0), cmd.AppendAudio)
    assert len(kept) == 100
    assert kept[0] == cmd.AppendAudio(base64.b64encode(bytes([50]) * 160).decode())


def test_caller_audio_passes_through_untouched() -> None:
    assert active().receive(ev.CallerAudio("/////w=="), 2.0) == [cmd.AppendAudio("/////w==")]


def test_a_model_that_cannot_be_reached_ends_the_stream_so_that_the_apology_is_heard() -> None:
    call = Call(CallPlan())
    call.receive(ev.CallOffered(), 0.0)
    call.receive(ev.ModelClosed("429", "", False), 0.5)
    assert only(call.receive(ev.StreamStarted("MZ1"), 1.0), cmd.HangUp) == [cmd.HangUp(cmd.EndReason.MODEL_UNREACHABLE)]


def test_a_model_that_is_not_ready_in_time_ends_the_stream() -> None:
    call = Call(CallPlan(connect_s=5))
    call.receive(ev.CallOffered(), 0.0)
    call.receive(ev.StreamStarted("MZ1"), 1.0)
    assert call.deadline == 6.0
    assert cmd.HangUp(cmd.EndReason.MODEL_UNREACHABLE) in call.receive(ev.Tick(), 6.0)


def test_an_offer_whose_stream_never_starts_ends() -> None:
    call = Call(CallPlan(start_s=15))
    call.receive(ev.CallOffered(), 0.0)
    commands = call.receive(ev.Tick(), 15.0)
    assert call.phase is Phase.ENDED
    assert ends(call) == "never_started"
    assert cmd.CloseModel() in commands


# --- interruption -----------------------------------------------------------------------------------


def test_barge_in_while_generating_clears_truncates_and_drops_late_audio() -> None:
    call = active()
    call.receive(ev.ResponseCreated("r1", ""), 2.0)
    call.receive(ev.AudioDelta("r1", "a1", speech(3000)), 2.0)
    until(call, 2.6)
    commands = call.receive(ev.SpeechStarted("u1", 0), 2.6)
    assert commands[0] == cmd.ClearAudio()
    assert cmd.TruncateItem("a1", 600) in commands
    assert only(commands, cmd.CancelResponse) == []
    assert call.receive(ev.AudioDelta("r1", "a1", speech(500)), 2.7) == []


def test_barge_in_after_the_response_was_done_truncates_as_well() -> None:
    call = active()
    call.receive(ev.ResponseCreated("r1", ""), 2.0)
    call.receive(ev.AudioDelta("r1", "a1", speech(3000)), 2.0)
    call.receive(done("r1"), 2.1)
    until(call, 3.0)
    assert cmd.TruncateItem("a1", 1000) in call.receive(ev.SpeechStarted("u1", 0), 3.0)


def test_a_response_of_ours_that_begins_while_the_caller_speaks_is_cancelled_by_id() -> None:
    call = active(CallPlan(greeting="Hello."))
    call.receive(ev.SpeechStarted("u1", 0), 2.0)
    assert call.receive(ev.ResponseCreated("r1", "w1"), 2.1) == [cmd.CancelResponse("r1")]
    assert call.receive(ev.AudioDelta("r1", "a1", speech(100)), 2.2) == []


def test_latency_counts_from_the_end_of_speech_to_the_first_audio() -> None:
    call = active(CallPlan(turns=TurnTaking(silence_ms=500)))
    call.receive(ev.SpeechStarted("u1", 0), 2.0)
    call.receive(ev.SpeechStopped("u1", 0), 4.0)
    call.receive(ev.ResponseCreated("r1", ""), 4.1)
    commands = call.receive(ev.AudioDelta("r1", "a1", speech(100)), 4.3)
    assert cmd.Record("turn_latency", {"item_id": "a1", "ms": 800}) in commands


# --- function calls ---------------------------------------------------------------------------------


def test_parallel_calls_are_answered_together_with_one_response() -> None:
    call = active()
    call.receive(ev.ResponseCreated("r1", ""), 2.0)
    assert len(only(call.receive(done("r1", lookup("c1"), lookup("c2")), 2.1), cmd.InvokeTool)) == 2
    first = call.receive(ev.ToolResult("c1", True, "1"), 2.2)
    assert first == [cmd.SubmitToolOutput("c1", "1")]
    second = call.receive(ev.ToolResult("c2", True, "2"), 2.3)
    assert second[0] == cmd.SubmitToolOutput("c2", "2")
    assert len(only(second, cmd.CreateResponse)) == 1


@pytest.mark.parametrize("status", ["cancelled", "incomplete"])
def test_calls_of_a_response_that_did_not_complete_never_run(status: str) -> None:
    call = active()
    call.receive(ev.ResponseCreated("r1", ""), 2.0)
    assert only(call.receive(done("r1", lookup(), status=status), 2.1), cmd.InvokeTool) == []


def test_a_duplicate_or_unknown_result_is_not_passed_on() -> None:
    call = active()
    call.receive(ev.ResponseCreated("r1", ""), 2.0)
    call.receive(done("r1", lookup()), 2.1)
    call.receive(ev.ToolResult("c1", True, "1"), 2.2)
    for name in ("c1", "c9"):
        assert only(call.receive(ev.ToolResult(name, True, "1"), 2.3), cmd.SubmitToolOutput) == []


def test_a_tool_that_does_not_answer_is_answered_for() -> None:
    call = active(CallPlan(tools={"lookup": ToolRules(deadline_s=4.0, filler=None)}))
    call.receive(ev.ResponseCreated("r1", ""), 2.0)
    call.receive(done("r1", lookup()), 2.0)
    assert call.deadline == 6.0
    commands = call.receive(ev.Tick(), 6.0)
    assert cmd.CancelTool("c1") in commands
    (output,) = only(commands, cmd.SubmitToolOutput)
    assert isinstance(output, cmd.SubmitToolOutput) and "error" in output.output
    assert only(call.receive(ev.ToolResult("c1", True, "late"), 6.1), cmd.SubmitToolOutput) == []


def test_a_result_while_the_caller_speaks_asks_for_no_second_answer() -> None:
    call = active()
    call.receive(ev.ResponseCreated("r1", ""), 2.0)
    call.receive(done("r1", lookup()), 2.1)
    call.receive(ev.SpeechStarted("u1", 0), 2.5)
    result = call.receive(ev.ToolResult("c1", True, "1"), 2.6)
    assert only(result, cmd.CreateResponse) == []
    call.receive(ev.OutputAccepted("c1"), 2.7)
    call.receive(ev.SpeechStopped("u1", 0), 3.0)
    call.receive(ev.ResponseCreated("r2", ""), 3.1)
    assert only(call.receive(done("r2"), 3.5), cmd.CreateResponse) == []


# --- the end ----------------------------------------------------------------------------------------


def test_the_agent_hangs_up_when_its_goodbye_was_heard() -> None:
    call = active()
    call.receive(ev.ResponseCreated("r1", ""), 2.0)
    sent = call.receive(ev.AudioDelta("r1", "a1", speech(300)), 2.0)
    sent += call.receive(done("r1", ev.FunctionCall("c1", "hang_up", "{}")), 2.1)
    assert only(sent, cmd.HangUp) == []
    (mark,) = only(sent, cmd.SendMark)
    assert isinstance(mark, cmd.SendMark)
    heard = call.receive(ev.MarkPlayed(mark.name), 2.35)
    assert cmd.HangUp(cmd.EndReason.AGENT_HANGUP) in heard


def test_without_a_goodbye_said_one_is_asked_for_and_only_one() -> None:
    call = active()
    call.receive(ev.SpeechStarted("u1", 0), 2.0)
    call.receive(ev.SpeechStopped("u1", 0), 2.5)
    call.receive(ev.ResponseCreated("r1", ""), 2.6)
    asked = call.receive(done("r1", ev.FunctionCall("c1", "hang_up", "{}")), 2.7)
    assert len(only(asked, cmd.CreateResponse)) == 1
    call.receive(ev.ResponseCreated("r2", "w1"), 2.8)
    call.receive(ev.AudioDelta("r2", "a2", speech(200)), 2.9)
    again = call.receive(done("r2", ev.FunctionCall("c2", "hang_up", "{}")), 3.0)
    assert only(again, cmd.CreateResponse) == []
    assert cmd.HangUp(cmd.EndReason.AGENT_HANGUP) in call.receive(ev.Tick(), call.deadline or 0.0)


def test_a_caller_who_hangs_up_ends_everything_at_once() -> None:
    call = active()
    commands = call.receive(ev.LegEnded(ev.LegEnd.CALLER_HANGUP), 5.0)
    assert cmd.CloseModel() in commands
    assert call.phase is Phase.ENDED
    assert ends(call) == "caller_hangup"
    assert call.receive(ev.CallerAudio("AAAA"), 5.1) == []


def test_a_stream_that_does_not_close_after_a_hang_up_does_not_hold_the_call() -> None:
    call = active()
    call.receive(ev.StopAsked("test"), 5.0)
    assert call.deadline == 10.0
    call.receive(ev.Tick(), 10.0)
    assert call.phase is Phase.ENDED
    assert ends(call) == "stopped"


def test_the_diagram_in_the_docs_is_drawn_from_the_table() -> None:
    lines = [f"    {a.value} --> {b.value}" for a, to in TRANSITIONS.items() for b in Phase if b in to]
    page = (Path(__file__).parents[2] / "gateway" / "core" / "README.md").read_text()
    assert "\n".join(["stateDiagram-v2", "    [*] --> connecting", *lines, "    ended --> [*]"]) in page


# --- found by review ----------------------------------------------------------------------------------


def test_an_answer_that_brings_nothing_to_hear_does_not_end_the_wait() -> None:
    call = active(CallPlan(answer_s=10.0))
    call.receive(ev.SpeechStarted("u1", 0), 2.0)
    call.receive(ev.SpeechStopped("u1", 500), 3.0)
    call.receive(ev.ResponseCreated("r1", ""), 3.2)
    call.receive(done("r1"), 3.5)
    assert cmd.Record("recover", {"reason": "model_silent"}) in until(call, 14.0)


def test_an_output_answered_after_a_barge_in_is_not_told_again_to_a_new_session() -> None:
    call = active()
    call.receive(ev.ResponseCreated("r1", ""), 3.2)
    call.receive(done("r1", lookup()), 3.5)
    call.receive(ev.ToolResult("c1", True, "{}"), 4.0)
    call.receive(ev.OutputAccepted("c1"), 4.1)
    call.receive(ev.ResponseCreated("r2", "w1"), 4.2)
    call.receive(ev.AudioDelta("r2", "i2", speech(300)), 4.3)
    call.receive(ev.SpeechStarted("u1", 0), 4.5)
    call.receive(ev.SpeechStopped("u1", 9), 5.5)
    call.receive(done("r2", status="cancelled"), 5.6)
    call.receive(ev.ResponseCreated("r3", ""), 6.0)
    call.receive(ev.AudioDelta("r3", "i3", speech(300)), 6.1)
    call.receive(done("r3"), 6.2)
    until(call, 100.0)
    call.receive(ev.ModelClosed("1011", "", False), 100.0)
    again = call.receive(ev.SessionReady("s2"), 101.0)
    assert only(again, cmd.SubmitToolOutput) == []
    assert only(again, cmd.CreateResponse) == []


@pytest.mark.parametrize(
    "event", [ev.DrainAsked(), ev.StopAsked("test"), ev.LegEnded(ev.LegEnd.SOCKET_LOST)], ids=lambda e: type(e).__name__
)
def test_a_call_that_said_goodbye_is_not_taken_up_again(event: ev.Event) -> None:
    call = active()
    call.receive(ev.ResponseCreated("r1", ""), 3.2)
    call.receive(ev.AudioDelta("r1", "i1", speech(3000)), 3.3)
    call.receive(done("r1", ev.FunctionCall("x", "hang_up", "{}")), 3.5)
    call.receive(event, 4.0)
    assert ends(call) == "agent_hangup"


def test_a_barge_in_at_an_underrun_tells_where_the_answer_stopped() -> None:
    call = active()
    call.receive(ev.ResponseCreated("r1", ""), 2.0)
    call.receive(ev.AudioDelta("r1", "i1", speech(200)), 2.1)
    until(call, 2.5)
    assert cmd.TruncateItem("i1", 200) in call.receive(ev.SpeechStarted("u1", 0), 2.5)
    assert call.receive(ev.AudioDelta("r1", "i1", speech(1000)), 2.51) == []
