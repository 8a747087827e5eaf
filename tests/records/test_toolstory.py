"""What became of each function call is told from the journal that the core's own events and commands make."""

import pytest

from gateway.core import CallPlan
from gateway.core import events as ev
from gateway.core import operator as op
from gateway.core.invoking import MOST_UNATTENDED
from gateway.core.plan import Confirmation, Filler, OnInterrupt, ToolRules, TransferTarget, TurnMode, TurnTaking
from gateway.records.story import ToolWait
from tests.core.lists import answer, ask, done, quiet, speech, until
from tests.records.recorded import RecordedCall

QUIET = ToolRules(filler=None)
ROOM = '{"room":2}'
BOOK = ev.FunctionCall("c1", "book", '{"day": "friday"}', "f1")
TWICE = ev.FunctionCall("c2", "book", '{"day":"friday"}', "f2")


def calling(rules: ToolRules = QUIET, plan: CallPlan | None = None) -> RecordedCall:
    """A call whose model has called `book` at 2.0, without a word."""
    call = RecordedCall(plan or CallPlan(tools={"book": rules}))
    call.receive(ev.ResponseCreated("r1", ""), 2.0)
    call.receive(done("r1", BOOK), 2.0)
    return call


def test_a_failure_says_what_the_model_was_told_and_why() -> None:
    call = calling()
    call.receive(ev.ToolResult("c1", False, '{"error":"no room"}', "HTTP 409"), 2.5)
    assert call.told("tool_") == [(2.0, 'book {"day": "friday"}'), (2.5, 'book fails {"error":"no room"} (HTTP 409)')]
    assert call.timeline().tools == (ToolWait("book", 2.0, 2.5, False),)


def test_a_promise_and_its_result_are_told_with_the_wait() -> None:
    call = calling()
    call.receive(ev.ToolResult("c1", True, '{"status":"in progress"}', pending=True), 2.2)
    answer(call, "r2", "a2", 500, 2.5, "w1")
    call.receive(ev.ToolResult("c1", True, ROOM), 44.2)
    call.receive(ev.ToolResult("c1", True, ROOM), 45.0)
    told = [(line.kind, line.what, line.ms) for line in call.lines("tool_")][1:]
    assert told == [
        ("tool_pending", 'book is being worked on, its result comes later {"status":"in progress"}', 200),
        ("tool_result", f"book answers, as was promised 42.0 s before: {ROOM}", 42_200),
        ("tool_result", f"book answers once more; nobody waits for it {ROOM}", None),
    ]
    assert call.timeline().tools == (ToolWait("book", 2.0, 44.2, True, 2.2),)


def test_a_promise_that_is_not_kept_is_told() -> None:
    call = calling(ToolRules(filler=None, pending_s=30.0))
    call.receive(ev.ToolResult("c1", True, "{}", pending=True), 3.0)
    answer(call, "r2", "a2", 500, 3.5, "w1")
    quiet(call, 33.0)
    assert call.told("tool_timeout") == [(33.0, "book has not given the result that was promised in time")]
    assert call.timeline().tools == (ToolWait("book", 2.0, 33.0, False, 3.0, "timed_out"),)


def test_an_answer_behind_the_deadline_is_told_as_late() -> None:
    call = calling(ToolRules(filler=None, deadline_s=4.0))
    until(call, 6.0)
    call.receive(ev.ToolResult("c1", True, ROOM), 8.0)
    told = [(line.what, line.ms) for line in call.lines("tool_timeout", "tool_result")]
    assert told == [("book has not given an answer in time", 4000), (f"book answers too late {ROOM}", None)]
    assert call.timeline().tools == (ToolWait("book", 2.0, 6.0, False, None, "timed_out"),)


def test_an_equal_call_is_told_to_share_the_result() -> None:
    call = calling()
    call.receive(ev.ResponseCreated("r2", ""), 2.5)
    call.receive(done("r2", TWICE), 2.6)
    assert call.told("tool_repeated") == [
        (2.6, "book is not carried out again: it shares the result of the equal call at 2.00 s")
    ]
    assert len(call.timeline().tools) == 1


def test_what_is_given_up_for_the_caller_is_told() -> None:
    call = calling(ToolRules(filler=None, on_interrupt=OnInterrupt.CANCEL))
    call.receive(ev.SpeechStarted("u1", 0), 2.7)
    assert call.told("tool_cancelled") == [(2.7, "book is given up: the caller goes on speaking")]
    assert call.timeline().tools == (ToolWait("book", 2.0, 2.7, False, None, "given_up"),)


# --- agreement ------------------------------------------------------------------------------------


def agreeing(confirmation: Confirmation) -> RecordedCall:
    """A call whose agent has asked whether to book, and was heard until 4.0."""
    call = calling(ToolRules(filler=None, confirmation=confirmation))
    answer(call, "r2", "a2", 500, 2.5, "w1")
    quiet(call, 4.0)
    return call


def call_again(call: RecordedCall, now: float) -> None:
    call.receive(ev.ResponseCreated("r3", ""), now)
    call.receive(done("r3", TWICE), now)


NOT_YET = (2.0, 'book {"day": "friday"} is not carried out: the caller has to agree first')


ANSWERED = "the caller has answered the question about book"


@pytest.mark.parametrize(("text", "told"), [("Yes, please.", f'{ANSWERED}: "Yes, please."'), ("", ANSWERED)])
def test_an_answer_by_word_is_told_with_the_words(text: str, told: str) -> None:
    call = agreeing(Confirmation.SPOKEN)
    call.receive(ev.SpeechStarted("u1", 4000), 4.5)
    call.receive(ev.SpeechStopped("u1", 5000), 5.0)
    call_again(call, 5.5)
    if text:
        call.receive(ev.CallerSaid("u1", text), 6.0)  # words come late
    assert call.told("confirmation_asked", "confirmed", "tool_call") == [
        NOT_YET,
        (5.0, told),
        (5.5, 'book {"day":"friday"}'),
    ]


def test_a_turn_by_key_is_told_with_words_whose_item_comes_later() -> None:
    rules = ToolRules(filler=None, confirmation=Confirmation.SPOKEN)
    call = calling(plan=CallPlan(tools={"book": rules}, turns=TurnTaking(TurnMode.MANUAL, key="#")))
    answer(call, "r2", "a2", 500, 2.5, "w1")
    quiet(call, 4.0)
    call.receive(ev.CallerAudio(speech(800)), 5.0)
    call.receive(ev.Dtmf("#"), 6.0)
    call.receive(ev.InputCommitted("u1"), 6.1)
    call.receive(ev.CallerSaid("u1", "Yes."), 6.5)
    assert call.told("confirmed") == [(6.0, f'{ANSWERED}: "Yes."')]


def test_a_refusal_is_told_with_the_words() -> None:
    call = agreeing(Confirmation.SPOKEN)
    call.receive(ev.SpeechStarted("u1", 4000), 4.5)
    call.receive(ev.SpeechStopped("u1", 5000), 5.0)
    call.receive(ev.CallerSaid("u1", "No, never do that."), 5.4)
    assert call.told("confirmation_refused") == [(5.4, 'the caller has refused book: "No, never do that."')]
    call_again(call, 6.0)
    assert call.told("tool_call") == []


def test_a_key_is_told_to_agree_to_its_own_question_only() -> None:
    rules = {"book": Confirmation.SPOKEN, "cancel": Confirmation.KEY}
    tools = {name: ToolRules(filler=None, confirmation=kind) for name, kind in rules.items()}
    call = RecordedCall(CallPlan(tools=tools))
    call.receive(ev.ResponseCreated("r1", ""), 2.0)
    call.receive(done("r1", BOOK, ev.FunctionCall("x1", "cancel", "{}")), 2.0)
    for tool_call_id in ("c1", "x1"):
        call.receive(ev.OutputAccepted(tool_call_id), 2.1)
    answer(call, "r2", "a2", 500, 2.5, "w1")
    quiet(call, 4.0)
    call.receive(ev.Dtmf("1"), 5.0)
    assert call.told("confirmed") == [(5.0, "agrees by pressing 1: cancel")]


def test_an_agreement_by_key_is_told_with_the_key() -> None:
    call = agreeing(Confirmation.KEY)
    call.receive(ev.Dtmf("1"), 5.0)
    call_again(call, 6.0)
    assert call.told("confirmation_asked", "confirmed", "tool_call") == [
        NOT_YET,
        (5.0, "agrees by pressing 1: book"),
        (6.0, 'book {"day":"friday"}'),
    ]


def test_a_model_that_does_not_wait_for_the_caller_is_told() -> None:
    call = agreeing(Confirmation.KEY)
    call_again(call, 4.5)
    assert call.told("confirmation_asked", "tool_call") == [
        NOT_YET,
        (4.5, 'book {"day":"friday"} is not carried out: the caller has not agreed yet'),
    ]


# --- what a business wants beside its answer ------------------------------------------------------


def test_words_and_the_action_of_a_business_are_told() -> None:
    plan = CallPlan(tools={"book": QUIET}, transfer_targets={"desk": TransferTarget("+15550100")})
    call = calling(plan=plan)
    result = ev.ToolResult("c1", True, ROOM, say="Goodbye.", action=ev.ToolAction.TRANSFER, target="desk")
    call.receive(result, 2.5)
    answer(call, "r2", "a2", 500, 2.6, "w1")
    quiet(call, 5.0)
    assert [what for _, what in call.told("tool_say", "tool_wants", "tool_action")] == [
        'book has the agent say: "Goodbye."',
        "book wants the caller transferred, to desk",
        "transfers the caller, as the business asked, to desk",
    ]


def test_a_transfer_to_nobody_that_is_known_is_told() -> None:
    call = calling()
    call.receive(ev.ToolResult("c1", True, ROOM, action=ev.ToolAction.TRANSFER, target="desk"), 2.5)
    told = "the caller is not transferred, as the business wanted, to desk: there is no such transfer target"
    assert call.told("tool_action_refused") == [(2.5, told)]


def test_a_call_of_a_model_that_loops_is_told_as_refused() -> None:
    call = RecordedCall(CallPlan())
    names = [f"n{number}" for number in range(MOST_UNATTENDED)]
    call.receive(ev.ResponseCreated("r1", ""), 2.0)
    call.receive(done("r1", *(ev.FunctionCall(name, "note", f'{{"n":"{name}"}}') for name in names)), 2.0)
    for name in names:
        call.receive(ev.ToolResult(name, True, "{}"), 2.0)
    call.receive(ev.ResponseCreated("r2", "w1"), 2.0)
    call.receive(done("r2", ev.FunctionCall("more", "note", "{}")), 2.0)
    told = "note is not carried out: too many function calls without a word of the caller: speak with the caller first"
    assert call.told("tool_refused") == [(2.0, told)]


def test_words_for_which_there_is_no_room_are_told() -> None:
    call = calling()
    for number in range(64):
        ask(call, f"o{number}", op.Say("Hello."), 2.1)
    call.receive(ev.ToolResult("c1", True, ROOM, say="Goodbye."), 2.5)
    assert call.told("tool_say")[-1] == (2.5, "the words of book are not said: too many wait to be said")


# --- silences -------------------------------------------------------------------------------------


def test_a_tone_is_told_to_be_heard_or_not() -> None:
    call = calling(ToolRules(filler=Filler(1.0, sound=True)))
    until(call, 3.0)
    assert call.told("filler") == [(3.0, "fills the silence while book runs with a soft tone that is not heard")]
    quiet(call, 3.5)
    (line,) = call.lines("filler")
    assert (line.what, line.ms, line.who) == ("fills the silence while book runs with a soft tone", 1000, "agent")


def test_filling_words_are_told_with_what_was_heard_of_them() -> None:
    call = calling(ToolRules(filler=Filler(1.2, "One moment.")))
    until(call, 3.3)
    assert call.told("filler") == [(3.2, "fills the silence while book runs with words that are not heard")]
    call.receive(ev.ResponseCreated("r2", "w1"), 3.4)
    call.receive(ev.AudioDelta("r2", "a2", speech(400)), 3.4)
    call.receive(ev.AgentSaid("r2", "a2", "One moment."), 3.4)
    call.receive(done("r2"), 3.5)
    quiet(call, 4.5)
    assert call.told("filler") == [(3.2, 'fills the silence while book runs with words: "One moment."')]


# --- claims, language, entries --------------------------------------------------------------------


def test_a_claim_and_its_correction_are_told() -> None:
    rules = ToolRules(filler=None, claims=("I have booked",))
    call = RecordedCall(CallPlan(tools={"book": rules}, corrects_claims=True))
    call.receive(ev.ResponseCreated("r1", ""), 2.0)
    call.receive(ev.AudioDelta("r1", "a1", speech(500)), 2.0)
    call.receive(ev.AgentSaid("r1", "a1", "I have booked a room for you."), 2.0)
    call.receive(done("r1"), 2.1)
    quiet(call, 4.0)
    assert [what for _, what in call.told("claim_")] == [
        'claims "I have booked a room for you.", but book was not carried out',
        "has the model set right what it claimed of book",
    ]


def test_a_change_of_language_is_told_once() -> None:
    plan = CallPlan(
        built_in=frozenset({"set_language"}),
        languages=frozenset({"es"}),
        transcription={"model": "m", "language": "en"},
    )
    call = RecordedCall(plan)
    call.receive(ev.ResponseCreated("r1", ""), 2.0)
    call.receive(done("r1", ev.FunctionCall("l1", "set_language", '{"language": "es"}')), 2.1)
    call.receive(ev.ModelClosed("1006", "", False), 5.0)
    call.receive(ev.SessionReady("s2"), 5.5)
    assert call.told("language") == [(2.1, "expects the caller to speak es")]


@pytest.mark.parametrize("reason", ["transferred", "caller_hangup"])
def test_an_entry_that_the_end_cuts_off_is_told(reason: str) -> None:
    plan = CallPlan(built_in=frozenset({"collect_digits"}), transfer_targets={"desk": TransferTarget("+15550100")})
    call = RecordedCall(plan)
    call.receive(ev.ResponseCreated("r1", ""), 2.0)
    call.receive(done("r1", ev.FunctionCall("d1", "collect_digits", '{"max_digits": 4}')), 2.1)
    if reason == "transferred":
        ask(call, "o1", op.AskTransfer("desk", ""), 2.5)
        call.receive(ev.TransferProgress("t1", ev.TransferState.ANSWERED), 4.0)
    else:
        call.hang_up(4.0)
    why = "the caller was transferred" if reason == "transferred" else "the call ended"
    assert call.told("digits") == [(4.0, f"keys in no complete entry: {why}")]


def test_an_entry_that_never_began_or_is_over_leaves_no_line_at_the_end() -> None:
    call = RecordedCall(CallPlan(built_in=frozenset({"collect_digits"})))
    call.receive(ev.ResponseCreated("r1", ""), 2.0)
    call.receive(done("r1", ev.FunctionCall("d1", "collect_digits", '{"max_digits": "many"}')), 2.1)
    call.hang_up(4.0)
    assert call.told("digits") == []
    call = RecordedCall(CallPlan())
    ask(call, "o1", op.CollectDigits(max_digits=1), 2.0)
    call.receive(ev.Dtmf("7"), 3.0)
    call.hang_up(4.0)
    assert [what for _, what in call.told("digits")] == ["keys in 1 digit: complete"]
