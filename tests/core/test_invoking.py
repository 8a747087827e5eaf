"""Function calls: promises, what answers bring along, silence, claims, and calls of an earlier session."""

import json

import pytest

from gateway.core import Call, CallPlan, Phase
from gateway.core import commands as cmd
from gateway.core import events as ev
from gateway.core import operator as op
from gateway.core.invoking import MOST_UNATTENDED
from gateway.core.plan import Filler, OnInterrupt, ToolRules, TransferTarget, TurnMode, TurnTaking
from tests.core.lists import active, answer, done, only, quiet, records, speech, until

QUIET = ToolRules(filler=None)
BOOK = ev.FunctionCall("c1", "book", '{"day": "friday", "room": 2}', "f1")


def running(rules: ToolRules = QUIET, plan: CallPlan | None = None) -> Call:
    """A call whose model has just called `book`, without a word."""
    call = active(plan or CallPlan(tools={"book": rules}))
    call.receive(ev.ResponseCreated("r1", ""), 2.0)
    assert only(call.receive(done("r1", BOOK), 2.0), cmd.InvokeTool) == [
        cmd.InvokeTool("c1", "book", BOOK.arguments, 10.0)
    ]
    return call


def lost_and_back(call: Call, now: float) -> list[cmd.Command]:
    call.receive(ev.ModelClosed("1006", "", False), now)
    return call.receive(ev.SessionReady("s2"), now + 0.5)


def texts(commands: list[cmd.Command]) -> str:
    return json.dumps([command.item for command in only(commands, cmd.CreateItem)])


# --- promises -----------------------------------------------------------------------------------------


def test_a_promised_result_reaches_the_model_once_when_it_comes() -> None:
    call = running()
    promised = call.receive(ev.ToolResult("c1", True, '{"status":"in progress"}', pending=True), 3.0)
    assert promised[0] == cmd.SubmitToolOutput("c1", '{"status":"in progress"}')
    assert len(only(promised, cmd.CreateResponse)) == 1
    answer(call, "r2", "a2", 500, 3.5, "w1")
    quiet(call, 5.0)
    kept = call.receive(ev.ToolResult("c1", True, '{"room":2}'), 60.0)
    assert '{\\\\\\"room\\\\\\":2}' in json.dumps(texts(kept))
    assert len(only(kept, cmd.CreateResponse)) == 1
    again = call.receive(ev.ToolResult("c1", True, '{"room":3}'), 61.0)
    assert only(again, cmd.CreateItem) == []
    assert records(again, "tool_result_ignored")


def test_a_promise_that_is_not_kept_is_told_to_the_model() -> None:
    call = running(ToolRules(filler=None, pending_s=30.0))
    call.receive(ev.ToolResult("c1", True, "{}", pending=True), 3.0)
    answer(call, "r2", "a2", 500, 3.5, "w1")
    quiet(call, 32.9)
    late = until(call, 33.0)
    assert "has not come" in texts(late)
    assert "after all" in texts(call.receive(ev.ToolResult("c1", True, '{"room":2}'), 34.0))
    assert only(call.receive(ev.ToolResult("c1", True, '{"room":2}'), 35.0), cmd.CreateItem) == []


def test_a_promised_result_that_comes_while_the_model_is_away_is_told_to_the_new_one() -> None:
    call = running()
    call.receive(ev.ToolResult("c1", True, "{}", pending=True), 3.0)
    answer(call, "r2", "a2", 500, 3.5, "w1")
    quiet(call, 5.0)
    call.receive(ev.ModelClosed("1006", "", False), 6.0)
    assert only(call.receive(ev.ToolResult("c1", True, '{"room":2}'), 6.1), cmd.CreateItem) == []
    back = call.receive(ev.SessionReady("s2"), 6.5)
    assert "room" in texts(back)
    assert len(only(back, cmd.CreateResponse)) == 1


# --- what an answer brings along ----------------------------------------------------------------------


def test_words_of_the_business_are_said_exactly_and_only_once() -> None:
    call = running()
    commands = call.receive(ev.ToolResult("c1", True, "{}", say="You are booked for Friday."), 3.0)
    (asked,) = only(commands, cmd.CreateResponse)
    assert asked.instructions is not None and 'Say exactly: "You are booked for Friday."' in asked.instructions
    call.receive(ev.OutputAccepted("c1"), 3.1)
    said = answer(call, "r2", "a2", 1500, 3.5, asked.wish_id) + quiet(call, 20.0)
    assert only(said, cmd.CreateResponse) == []


def test_an_answer_with_words_does_not_keep_another_one_from_being_answered() -> None:
    call = active()
    call.receive(ev.ResponseCreated("r1", ""), 2.0)
    call.receive(done("r1", BOOK, ev.FunctionCall("c2", "lookup", "{}")), 2.0)
    call.receive(ev.ToolResult("c2", True, "2"), 2.5)
    first = only(call.receive(ev.ToolResult("c1", True, "{}", say="Booked."), 3.0), cmd.CreateResponse)
    second = only(answer(call, "r2", "a2", 300, 3.5, first[0].wish_id) + quiet(call, 10.0), cmd.CreateResponse)
    assert [bool(one.instructions) for one in (*first, *second)] == [False, True]


def test_the_business_ends_the_call_when_its_words_were_heard() -> None:
    call = running()
    action = ev.ToolResult("c1", True, "{}", say="Goodbye.", action=ev.ToolAction.HANG_UP)
    (asked,) = only(call.receive(action, 3.0), cmd.CreateResponse)
    answer(call, "r2", "a2", 1000, 3.5, asked.wish_id)
    assert call.phase is Phase.ACTIVE
    assert cmd.HangUp(cmd.EndReason.AGENT_HANGUP) in quiet(call, 6.0)


def test_the_business_transfers_to_listed_targets_only() -> None:
    plan = CallPlan(transfer_targets={"sales": TransferTarget("+14155550111")}, tools={"book": QUIET})
    call = running(plan=plan)
    call.receive(ev.ToolResult("c1", True, "{}", action=ev.ToolAction.TRANSFER, target="sales"), 3.0)
    moved = answer(call, "r2", "a2", 500, 3.5, "w1") + quiet(call, 6.0)
    assert [start.number for start in only(moved, cmd.StartTransfer)] == ["+14155550111"]


def test_an_unlisted_target_of_the_business_is_put_on_record_and_nobody_is_told() -> None:
    call = running(plan=CallPlan(transfer_targets={"sales": TransferTarget("+14155550111")}, tools={"book": QUIET}))
    result = ev.ToolResult("c1", True, "{}", say="One moment.", action=ev.ToolAction.TRANSFER, target="+1900")
    commands = call.receive(result, 3.0)
    why = {"target": "+1900", "why": "there is no such transfer target"}
    assert records(commands, "tool_action_refused") == [
        cmd.Record("tool_action_refused", {"tool_call_id": "c1", **why})
    ]
    assert len(only(commands, cmd.CreateResponse)) == 1, "the words are said all the same"
    after = answer(call, "r2", "a2", 500, 3.5, "w1") + quiet(call, 9.0)
    assert (
        not only(after, cmd.StartTransfer) and not only(after, cmd.CreateItem) and not only(after, cmd.CreateResponse)
    )


# --- a model that goes on by itself -------------------------------------------------------------------


def goes_on(call: Call, number: int, now: float, wish_id: str = "w1") -> list[cmd.Command]:
    """The model answers by one more function call, which the business carries out if it gets it."""
    call.receive(ev.ResponseCreated(f"g{number}", wish_id), now)
    commands = call.receive(done(f"g{number}", ev.FunctionCall(f"g{number}", "note", f'{{"n": {number}}}')), now)
    call.receive(ev.OutputAccepted(f"g{number}"), now)
    if only(commands, cmd.InvokeTool):
        commands += call.receive(ev.ToolResult(f"g{number}", True, "{}"), now + 0.2)
        call.receive(ev.OutputAccepted(f"g{number}"), now + 0.2)
    return commands


def looped(times: int = MOST_UNATTENDED) -> tuple[Call, str]:
    """A call whose model has called so often without a word of the caller, and the wish that answers the last."""
    call, wish_id = active(), ""
    for number in range(times):
        commands = goes_on(call, number, 2.0 + 0.3 * number, wish_id)
        assert only(commands, cmd.InvokeTool), number
        wish_id = only(commands, cmd.CreateResponse)[0].wish_id
    return call, wish_id


def test_a_model_that_loops_is_stopped_and_speaks_without_functions() -> None:
    call, wish_id = looped()
    refused = goes_on(call, 50, 8.0, wish_id)
    assert only(refused, cmd.InvokeTool) == []
    (output,) = only(refused, cmd.SubmitToolOutput)
    assert "speak with the caller first" in output.output
    assert [note.data["tool"] for note in records(refused, "tool_refused")] == ["note"]
    (asked,) = only(refused, cmd.CreateResponse)
    assert not asked.tools
    ended = goes_on(call, 51, 9.0, asked.wish_id)
    assert not only(ended, cmd.InvokeTool) and not only(ended, cmd.CreateResponse)
    assert len(only(ended, cmd.SubmitToolOutput)) == 1, "each call is answered once"
    assert only(until(call, 15.0), cmd.CreateResponse) == []


def test_calls_of_one_response_beyond_the_bound_are_refused_with_one_answer() -> None:
    call, wish_id = looped(MOST_UNATTENDED - 1)
    call.receive(ev.ResponseCreated("g50", wish_id), 8.0)
    calls = [ev.FunctionCall(f"p{n}", "note", f'{{"p": {n}}}') for n in range(3)]
    commands = call.receive(done("g50", *calls), 8.0)
    assert [one.tool_call_id for one in only(commands, cmd.InvokeTool)] == ["p0"]
    commands = call.receive(ev.ToolResult("p0", True, "{}"), 8.2)
    assert [one.tools for one in only(commands, cmd.CreateResponse)] == [False]


@pytest.mark.parametrize(
    "sign",
    [
        (ev.SpeechStarted("u1", 0), ev.SpeechStopped("u1", 500)),
        (ev.Dtmf("5"),),
        (ev.OperatorAsked("o1", "ops", op.ForceReply("Note the rest.")),),
    ],
)
def test_a_sign_of_the_caller_or_an_operator_lets_the_model_call_anew(sign: tuple[ev.Event, ...]) -> None:
    call, wish_id = looped()
    assert only(goes_on(call, 50, 8.0, wish_id), cmd.InvokeTool) == []
    for event in sign:
        call.receive(event, 9.0)
    assert only(goes_on(call, 51, 10.0, ""), cmd.InvokeTool)


def test_an_answer_that_waits_when_the_caller_speaks_may_call_functions_again() -> None:
    call = active(CallPlan(turns=TurnTaking(TurnMode.MANUAL, key="#")))
    wish_id = ""
    for number in range(MOST_UNATTENDED):
        commands = goes_on(call, number, 2.0 + 0.3 * number, wish_id)
        wish_id = only(commands, cmd.CreateResponse)[0].wish_id
    call.receive(ev.ResponseCreated("g50", wish_id), 8.0)
    call.receive(ev.CallerAudio(speech(800)), 8.1)
    call.receive(ev.Dtmf("#"), 8.2)
    commands = call.receive(done("g50", ev.FunctionCall("g50", "note", "{}")), 8.3)
    assert only(commands, cmd.InvokeTool), "the caller has spoken"


def test_a_filler_calls_no_function() -> None:
    call = running(ToolRules(filler=Filler(1.0)))
    (filler,) = only(until(call, 3.0), cmd.CreateResponse)
    assert not filler.tools
    call.receive(ev.ResponseCreated("r2", filler.wish_id), 3.1)
    commands = call.receive(done("r2", ev.FunctionCall("c2", "cancel", "{}")), 3.2)
    assert not only(commands, cmd.InvokeTool) and not only(commands, cmd.CreateResponse)
    assert [one.tool_call_id for one in only(commands, cmd.SubmitToolOutput)] == ["c2"]
    assert records(commands, "tool_refused")


# --- silence ------------------------------------------------------------------------------------------


def test_a_silence_is_filled_and_the_answer_follows_the_filler() -> None:
    call = running(ToolRules(filler=Filler(1.2, "One moment, please.")))
    (filler,) = only(until(call, 3.3), cmd.CreateResponse)
    assert not filler.tools
    assert filler.instructions is not None and "One moment, please." in filler.instructions
    call.receive(ev.ResponseCreated("r2", filler.wish_id), 3.4)
    early = call.receive(ev.ToolResult("c1", True, "1"), 3.5)
    assert early == [cmd.SubmitToolOutput("c1", "1")]
    call.receive(ev.OutputAccepted("c1"), 3.6)
    call.receive(ev.AudioDelta("r2", "a2", speech(800)), 3.7)
    (real,) = only(call.receive(done("r2"), 3.8), cmd.CreateResponse)
    assert real.tools and real.instructions is None


def test_words_before_the_call_push_the_filler_back() -> None:
    call = active(CallPlan(tools={"book": ToolRules(filler=Filler(1.2))}))
    call.receive(ev.ResponseCreated("r1", ""), 2.0)
    call.receive(ev.AudioDelta("r1", "a1", speech(2000)), 2.0)
    call.receive(done("r1", BOOK), 2.2)
    assert only(quiet(call, 4.0) + until(call, 5.1), cmd.CreateResponse) == []
    assert len(only(until(call, 5.3), cmd.CreateResponse)) == 1


def test_a_filler_is_dropped_for_an_answer_of_the_server() -> None:
    call = running(ToolRules(filler=Filler(1.2)))
    (filler,) = only(until(call, 3.3), cmd.CreateResponse)
    call.receive(ev.ModelFault("conversation_already_has_active_response", "", filler.wish_id), 3.4)
    call.receive(ev.ResponseCreated("r9", ""), 3.4)
    call.receive(ev.AudioDelta("r9", "a9", speech(500)), 3.5)
    assert only(call.receive(done("r9"), 3.6), cmd.CreateResponse) == []


def test_a_tone_needs_no_model() -> None:
    call = running(ToolRules(filler=Filler(1.0, sound=True)))
    tones = only(until(call, 3.0), cmd.PlayAudio)
    assert [tone.item_id for tone in tones] == ["own:wait_1"] * len(tones) and tones
    quiet(call, 3.5)
    assert {tone.item_id for tone in only(until(call, 6.0), cmd.PlayAudio)} == {"own:wait_2"}


def test_nothing_fills_the_caller_s_own_speech() -> None:
    call = running(ToolRules(filler=Filler(1.2)))
    call.receive(ev.SpeechStarted("u1", 0), 2.5)
    assert only(until(call, 8.0), cmd.CreateResponse) == []


# --- interruption -------------------------------------------------------------------------------------


def test_only_a_function_that_says_so_is_given_up_when_the_caller_speaks() -> None:
    rules = {"book": QUIET, "search": ToolRules(filler=None, on_interrupt=OnInterrupt.CANCEL)}
    call = active(CallPlan(tools=rules))
    call.receive(ev.ResponseCreated("r1", ""), 2.0)
    call.receive(done("r1", BOOK, ev.FunctionCall("c2", "search", "{}")), 2.0)
    commands = call.receive(ev.SpeechStarted("u1", 0), 3.0)
    assert only(commands, cmd.CancelTool) == [cmd.CancelTool("c2")]
    assert [one.tool_call_id for one in only(commands, cmd.SubmitToolOutput)] == ["c2"]
    assert only(call.receive(ev.ToolResult("c2", True, "late"), 3.1), cmd.SubmitToolOutput) == []
    assert len(only(call.receive(ev.ToolResult("c1", True, "1"), 3.2), cmd.SubmitToolOutput)) == 1


def test_functions_of_a_model_whose_caller_is_with_somebody_else_are_refused_and_do_not_run() -> None:
    plan = CallPlan(transfer_targets={"sales": TransferTarget("+14155550111")}, built_in=frozenset({"transfer_call"}))
    call = active(plan)
    call.receive(ev.ResponseCreated("r1", ""), 2.0)
    call.receive(done("r1", ev.FunctionCall("t1", "transfer_call", '{"target": "sales"}')), 2.0)
    until(call, 3.0)
    assert call.phase is Phase.TRANSFERRING
    call.receive(ev.ResponseCreated("r2", ""), 3.1)
    commands = call.receive(done("r2", BOOK), 3.2)
    assert only(commands, cmd.InvokeTool) == []
    assert [one.tool_call_id for one in only(commands, cmd.SubmitToolOutput)] == ["c1"]


# --- a new session of the model -----------------------------------------------------------------------


def test_a_new_session_that_calls_again_gets_the_output_and_nothing_runs() -> None:
    call = running()
    call.receive(ev.ToolResult("c1", True, '{"room":2}'), 2.5)
    lost_and_back(call, 2.6)
    call.receive(ev.ResponseCreated("r2", ""), 3.2)
    equal = ev.FunctionCall("c7", "book", '{"room":2,"day":"friday"}')
    commands = call.receive(done("r2", equal), 3.4)
    assert only(commands, cmd.InvokeTool) == []
    assert cmd.SubmitToolOutput("c7", '{"room":2}') in commands


def test_a_new_session_that_calls_again_shares_a_result_that_is_still_on_its_way() -> None:
    call = running()
    lost_and_back(call, 2.6)
    call.receive(ev.ResponseCreated("r2", ""), 3.2)
    assert only(call.receive(done("r2", ev.FunctionCall("c7", "book", BOOK.arguments)), 3.4), cmd.InvokeTool) == []
    result = call.receive(ev.ToolResult("c1", True, '{"room":2}'), 4.0)
    assert {one.tool_call_id for one in only(result, cmd.SubmitToolOutput)} == {"c1", "c7"}


def test_a_response_that_could_not_see_the_output_and_calls_again_shares_it() -> None:
    call = running()
    call.receive(ev.SpeechStarted("u1", 0), 2.2)
    call.receive(ev.SpeechStopped("u1", 500), 2.7)
    call.receive(ev.ResponseCreated("r2", ""), 2.8)
    call.receive(ev.ToolResult("c1", True, '{"room":2}'), 3.0)
    call.receive(ev.OutputAccepted("c1"), 3.1)
    commands = call.receive(done("r2", ev.FunctionCall("c7", "book", BOOK.arguments)), 3.2)
    assert only(commands, cmd.InvokeTool) == []
    assert cmd.SubmitToolOutput("c7", '{"room":2}') in commands


def test_a_response_that_has_seen_the_output_means_it_when_it_calls_again() -> None:
    call = running()
    call.receive(ev.ToolResult("c1", True, '{"room":2}'), 3.0)
    call.receive(ev.OutputAccepted("c1"), 3.1)
    call.receive(ev.ResponseCreated("r2", "w1"), 3.2)
    commands = call.receive(done("r2", ev.FunctionCall("c7", "book", BOOK.arguments)), 3.4)
    assert [one.tool_call_id for one in only(commands, cmd.InvokeTool)] == ["c7"]


def test_two_equal_calls_of_one_response_are_two() -> None:
    call = active(CallPlan(tools={"book": QUIET}))
    call.receive(ev.ResponseCreated("r1", ""), 2.0)
    twice = (BOOK, ev.FunctionCall("c2", "book", BOOK.arguments))
    assert len(only(call.receive(done("r1", *twice), 2.0), cmd.InvokeTool)) == 2


def test_other_arguments_and_a_second_repeat_are_meant() -> None:
    call = running()
    call.receive(ev.ToolResult("c1", True, '{"room":2}'), 2.5)
    lost_and_back(call, 2.6)
    call.receive(ev.ResponseCreated("r2", ""), 3.2)
    calls = [ev.FunctionCall(f"c{n}", "book", text) for n, text in enumerate((BOOK.arguments, BOOK.arguments, "{}"), 7)]
    commands = call.receive(done("r2", *calls), 3.4)
    assert [one.tool_call_id for one in only(commands, cmd.InvokeTool)] == ["c8", "c9"]


def test_what_the_caller_was_told_of_may_be_done_again_after_a_loss() -> None:
    call = running()
    call.receive(ev.ToolResult("c1", True, '{"room":2}'), 2.5)
    call.receive(ev.OutputAccepted("c1"), 2.6)
    answer(call, "r2", "a2", 500, 3.0, "w1")
    quiet(call, 5.0)
    lost_and_back(call, 6.0)
    call.receive(ev.ResponseCreated("r3", ""), 7.0)
    commands = call.receive(done("r3", ev.FunctionCall("c7", "book", BOOK.arguments)), 7.5)
    assert [one.tool_call_id for one in only(commands, cmd.InvokeTool)] == ["c7"]


# --- claims -------------------------------------------------------------------------------------------


def claiming(call: Call, now: float, text: str = "I have booked a room for you.") -> list[cmd.Command]:
    commands = call.receive(ev.ResponseCreated(f"r{now}", ""), now)
    commands += call.receive(ev.AudioDelta(f"r{now}", f"a{now}", speech(1000)), now)
    commands += call.receive(ev.AgentSaid(f"r{now}", f"a{now}", text), now)
    return commands + call.receive(done(f"r{now}"), now + 0.1)


CLAIMS = {"book": ToolRules(filler=None, claims=("I have booked",))}


def test_a_claim_that_nothing_backs_is_put_on_record_and_corrected() -> None:
    call = active(CallPlan(tools=CLAIMS, corrects_claims=True))
    commands = claiming(call, 2.0) + quiet(call, 4.0)
    (note,) = records(commands, "claim_unbacked")
    assert note.data["tool"] == "book"
    assert "has not been done" in texts(commands)
    assert len(only(commands, cmd.CreateResponse)) == 1


def test_a_claim_is_only_put_on_record_where_no_correction_is_wanted() -> None:
    call = active(CallPlan(tools=CLAIMS))
    commands = claiming(call, 2.0) + quiet(call, 4.0)
    assert records(commands, "claim_unbacked")
    assert only(commands, cmd.CreateItem) == []


def test_a_claim_that_a_function_backs_is_no_matter() -> None:
    call = running(CLAIMS["book"])
    call.receive(ev.ToolResult("c1", True, "{}"), 2.5)
    assert records(claiming(call, 3.0) + quiet(call, 6.0), "claim_unbacked") == []


def test_a_claim_waits_for_the_function_that_runs_and_fails_with_it() -> None:
    call = running(CLAIMS["book"])
    assert records(claiming(call, 3.0) + quiet(call, 6.0), "claim_unbacked") == []
    assert records(call.receive(ev.ToolResult("c1", False, "{}"), 7.0), "claim_unbacked") == []
    answered = answer(call, "r9", "a9", 500, 8.0, "w1") + quiet(call, 10.0)
    assert records(answered, "claim_unbacked")


def test_a_claim_in_the_goodbye_is_corrected_before_the_line_goes_down() -> None:
    call = active(CallPlan(tools=CLAIMS, corrects_claims=True))
    call.receive(ev.ResponseCreated("r1", ""), 2.0)
    call.receive(ev.AudioDelta("r1", "a1", speech(1000)), 2.0)
    call.receive(ev.AgentSaid("r1", "a1", "I have booked it. Goodbye!"), 2.0)
    commands = call.receive(done("r1", ev.FunctionCall("h1", "hang_up", "{}")), 2.1)
    (asked,) = only(commands, cmd.CreateResponse)
    heard = answer(call, "r2", "a2", 1000, 2.5, asked.wish_id)
    assert only(commands + heard, cmd.HangUp) == []
    assert only(quiet(call, 6.0), cmd.HangUp) == [cmd.HangUp(cmd.EndReason.AGENT_HANGUP)]


def test_what_was_cut_before_it_was_claimed_is_no_claim() -> None:
    call = active(CallPlan(tools=CLAIMS))
    call.receive(ev.ResponseCreated("r1", ""), 2.0)
    call.receive(ev.AudioDelta("r1", "a1", speech(4000)), 2.0)
    call.receive(ev.AgentSaid("r1", "a1", "One moment while I look that up for you now, yes, I have booked it."), 2.0)
    call.receive(done("r1"), 2.1)
    until(call, 2.5)
    cut = call.receive(ev.SpeechStarted("u1", 0), 2.6)
    call.receive(ev.SpeechStopped("u1", 900), 3.5)
    assert records(cut + answer(call, "r2", "a2", 300, 4.0) + quiet(call, 6.0), "claim_unbacked") == []


# --- before the first word ----------------------------------------------------------------------------


def offered(briefing_s: float = 2.0) -> Call:
    call = Call(CallPlan(greeting="Hello.", briefing_s=briefing_s, tools={"book": QUIET}))
    call.receive(ev.CallOffered(), 0.0)
    call.receive(ev.SessionReady("s"), 0.5)
    return call


def test_the_first_word_waits_for_what_is_known_about_the_caller() -> None:
    call = offered()
    assert call.receive(ev.StreamStarted("MZ1"), 1.0) == []
    commands = call.receive(ev.Briefed("Ms Smith, gold customer", "Hello Ms Smith."), 1.2)
    assert "gold customer" in texts(commands[:1])
    (asked,) = only(commands, cmd.CreateResponse)
    assert asked.instructions is not None and "Hello Ms Smith." in asked.instructions


def test_a_caller_does_not_wait_for_a_business_that_knows_nothing_in_time() -> None:
    call = offered()
    call.receive(ev.StreamStarted("MZ1"), 1.0)
    (asked,) = only(call.receive(ev.Tick(), 2.0), cmd.CreateResponse)
    assert asked.instructions is not None and "Hello." in asked.instructions
    late = call.receive(ev.Briefed("Ms Smith", "Hello Ms Smith."), 2.5)
    assert "Ms Smith" in texts(late)
    assert only(late, cmd.CreateResponse) == []


def test_a_telephone_call_that_goes_on_is_told_what_was_said_and_done() -> None:
    call = offered()
    call.receive(ev.StreamStarted("MZ1"), 1.0)
    known = ev.Briefed(
        words=(ev.PastWords("user", "Book me a room."), ev.PastWords("assistant", "One moment.")),
        calls=(ev.PastCall("c1", "book", BOOK.arguments, '{"room":2}'),),
        resumed=True,
    )
    commands = call.receive(known, 1.1)
    told = texts(commands)
    assert "Book me a room." in told and "One moment." in told and "interrupted" in told
    assert cmd.SubmitToolOutput("c1", '{"room":2}') in commands
    (asked,) = only(commands, cmd.CreateResponse)
    assert asked.instructions is None, "no greeting"


def test_a_call_of_unknown_outcome_is_asked_of_the_ledger_before_the_agent_speaks() -> None:
    call = offered()
    call.receive(ev.StreamStarted("MZ1"), 1.0)
    known = ev.Briefed(calls=(ev.PastCall("c1", "book", BOOK.arguments),), resumed=True)
    commands = call.receive(known, 1.1)
    assert only(commands, cmd.InvokeTool) == [cmd.InvokeTool("c1", "book", BOOK.arguments, 10.0, again=True)]
    assert only(commands, cmd.CreateResponse) == []
    known_now = call.receive(ev.ToolResult("c1", False, '{"error":"unknown"}'), 1.5)
    assert known_now[0] == cmd.SubmitToolOutput("c1", '{"error":"unknown"}')
    assert len(only(known_now, cmd.CreateResponse)) == 1


def test_the_language_is_changed_for_the_transcription_and_kept_for_a_new_session() -> None:
    plan = CallPlan(
        built_in=frozenset({"set_language"}),
        languages=frozenset({"es", "de"}),
        transcription={"model": "gpt-transcribe", "language": "en"},
    )
    call = active(plan)
    call.receive(ev.ResponseCreated("r1", ""), 2.0)
    commands = call.receive(done("r1", ev.FunctionCall("l1", "set_language", '{"language": "es"}')), 2.1)
    wanted = cmd.ConfigureLanguage({"model": "gpt-transcribe", "language": "es"})
    assert wanted in commands
    assert wanted in lost_and_back(call, 5.0)
    call.receive(ev.ResponseCreated("r2", ""), 6.0)
    refused = call.receive(done("r2", ev.FunctionCall("l2", "set_language", '{"language": "fr"}')), 6.1)
    assert only(refused, cmd.ConfigureLanguage) == []
    assert "de, es" in only(refused, cmd.SubmitToolOutput)[0].output
