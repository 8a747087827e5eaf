"""Functions that need the caller's agreement: who was asked, who has answered, and to what."""

import pytest

from gateway.core import Call, CallPlan
from gateway.core import commands as cmd
from gateway.core import events as ev
from gateway.core import operator as op
from gateway.core.invoking import MOST_UNATTENDED
from gateway.core.plan import Confirmation, Filler, ReversibleBargeIn, ToolRules, TurnMode, TurnTaking
from tests.core.lists import active, answer, ask, done, only, quiet, records, speech, until

BOOK = '{"day": "friday", "room": 2}'


def consenting(confirmation: Confirmation) -> Call:
    return active(CallPlan(tools={"book": ToolRules(filler=None, confirmation=confirmation)}))


def tries(call: Call, number: int, now: float, text: str = BOOK) -> list[cmd.InvokeTool]:
    response = f"t{number}"
    call.receive(ev.ResponseCreated(response, ""), now)
    commands = call.receive(done(response, ev.FunctionCall(f"c{number}", "book", text)), now + 0.1)
    call.receive(ev.OutputAccepted(f"c{number}"), now + 0.15)
    return only(commands, cmd.InvokeTool)


def asks(call: Call, now: float) -> None:
    """The agent asks the caller."""
    answer(call, f"ask{now}", f"ask{now}", 800, now, "w1")
    quiet(call, now + 1.0)


def speaks(call: Call, now: float, words: str = "Yes please.") -> None:
    call.receive(ev.SpeechStarted(f"u{now}", 0), now)
    call.receive(ev.SpeechStopped(f"u{now}", 900), now + 0.9)
    call.receive(ev.CallerSaid(f"u{now}", words), now + 1.0)


def test_nothing_is_done_before_the_caller_was_asked_and_has_spoken() -> None:
    call = consenting(Confirmation.SPOKEN)
    assert tries(call, 1, 2.0) == []
    assert tries(call, 2, 2.5) == [], "the model alone does not confirm"
    speaks(call, 3.0)
    assert tries(call, 3, 5.0) == [], "the agent has not asked"
    asks(call, 6.0)
    assert tries(call, 4, 7.5) == [], "the caller has not spoken"
    speaks(call, 8.0)
    assert [one.tool_call_id for one in tries(call, 5, 10.0)] == ["c5"]
    assert tries(call, 6, 11.0) == [], "an agreement counts once"


def test_other_arguments_are_another_question() -> None:
    call = consenting(Confirmation.SPOKEN)
    tries(call, 1, 2.0)
    asks(call, 3.0)
    speaks(call, 5.0)
    assert tries(call, 2, 7.0, '{"day": "monday"}') == []
    assert tries(call, 3, 8.0) != []


@pytest.mark.parametrize(
    "words", ["No.", "Nein!", "no no stop", "", "no never do that", "Nein, danke.", "Absolutely not!"]
)
def test_a_plain_no_is_no_agreement(words: str) -> None:
    call = consenting(Confirmation.SPOKEN)
    tries(call, 1, 2.0)
    asks(call, 3.0)
    speaks(call, 5.0, words)
    assert tries(call, 2, 7.0) == []


def test_only_the_key_agrees_where_the_key_is_asked_for() -> None:
    call = consenting(Confirmation.KEY)
    tries(call, 1, 2.0)
    call.receive(ev.Dtmf("1"), 2.2)
    asks(call, 4.0)
    speaks(call, 6.0)
    call.receive(ev.Dtmf("2"), 7.5)
    assert tries(call, 2, 10.0) == []
    call.receive(ev.Dtmf("1"), 11.0)
    assert tries(call, 3, 14.0) != []


# --- who was asked ------------------------------------------------------------------------------------


def begins_to_ask(call: Call, now: float, ms: int = 4000) -> None:
    call.receive(ev.ResponseCreated("q", ""), now)
    call.receive(ev.AudioDelta("q", "q", speech(ms)), now)
    call.receive(done("q"), now + 0.1)


def test_a_question_that_was_cut_before_it_was_heard_is_not_agreed_to() -> None:
    call = consenting(Confirmation.SPOKEN)
    tries(call, 1, 2.0)
    begins_to_ask(call, 3.0)
    until(call, 3.5)
    speaks(call, 3.5)
    assert tries(call, 2, 6.0) == []


def test_a_caller_who_answers_over_the_last_words_has_agreed() -> None:
    call = consenting(Confirmation.SPOKEN)
    tries(call, 1, 2.0)
    begins_to_ask(call, 3.0, 2000)
    until(call, 4.8)
    speaks(call, 4.8)
    assert tries(call, 2, 7.0) != []


def test_a_key_that_was_pressed_before_the_question_was_heard_agrees_to_nothing() -> None:
    call = consenting(Confirmation.KEY)
    tries(call, 1, 2.0)
    begins_to_ask(call, 3.0)
    until(call, 3.5)
    call.receive(ev.Dtmf("1"), 3.5)
    until(call, 6.0)
    assert tries(call, 2, 9.0) == []


def test_a_word_of_listening_over_the_question_is_no_agreement() -> None:
    rules = {"book": ToolRules(filler=None, confirmation=Confirmation.SPOKEN)}
    call = active(CallPlan(tools=rules, reversible=ReversibleBargeIn()))
    tries(call, 1, 2.0)
    begins_to_ask(call, 3.0)
    until(call, 3.5)
    call.receive(ev.VoiceStarted(3.5), 3.5)
    call.receive(ev.SpeechStarted("u1", 0), 3.6)
    call.receive(ev.VoiceStopped(3.7), 3.8)
    call.receive(ev.SpeechStopped("u1", 400), 4.2)
    call.receive(ev.InputCommitted("u1"), 4.2)
    call.receive(ev.CallerSaid("u1", "Mm-hm."), 4.5)
    quiet(call, 9.0)
    assert tries(call, 2, 10.0) == []


def test_a_turn_by_our_own_ear_agrees() -> None:
    rules = {"book": ToolRules(filler=None, confirmation=Confirmation.SPOKEN)}
    call = active(CallPlan(tools=rules, turns=TurnTaking(TurnMode.MANUAL, own_ear=True)))
    tries(call, 1, 2.0)
    asks(call, 3.0)
    call.receive(ev.VoiceStarted(5.0), 5.0)
    call.receive(ev.CallerAudio(speech(800)), 5.5)
    call.receive(ev.VoiceStopped(6.0), 6.1)
    assert tries(call, 2, 6.2) == [], "the turn is not over"
    until(call, 8.0)
    assert tries(call, 3, 9.0) != []


def test_a_filler_and_an_announcement_ask_nothing() -> None:
    rules = {"book": ToolRules(confirmation=Confirmation.SPOKEN), "find": ToolRules(filler=Filler(1.0))}
    call = active(CallPlan(tools=rules))
    call.receive(ev.ResponseCreated("r1", ""), 2.0)
    calls = ev.FunctionCall("f1", "find", "{}"), ev.FunctionCall("c1", "book", BOOK)
    call.receive(done("r1", *calls), 2.1)
    call.receive(ev.OutputAccepted("c1"), 2.2)
    (filler,) = only(until(call, 3.2), cmd.CreateResponse)
    answer(call, "r2", "a2", 500, 3.3, filler.wish_id)
    quiet(call, 4.1)
    (said,) = only(ask(call, "o1", op.Say("This call is recorded."), 4.1), cmd.CreateResponse)
    answer(call, "r3", "a3", 500, 4.2, said.wish_id)
    quiet(call, 5.0)
    speaks(call, 5.0)
    assert tries(call, 2, 7.0) == []


def test_words_of_a_response_that_did_not_know_of_the_question_do_not_ask_it() -> None:
    call = consenting(Confirmation.SPOKEN)
    call.receive(ev.ResponseCreated("t1", ""), 2.0)
    call.receive(done("t1", ev.FunctionCall("c1", "book", BOOK)), 2.1)
    answer(call, "r2", "a2", 500, 2.2)
    call.receive(ev.OutputAccepted("c1"), 2.9)
    quiet(call, 4.0)
    speaks(call, 5.0)
    assert tries(call, 2, 7.0) == []


# --- to what ------------------------------------------------------------------------------------------


def test_an_agreement_that_the_conversation_has_left_behind_counts_no_more() -> None:
    call = consenting(Confirmation.SPOKEN)
    tries(call, 1, 2.0)
    asks(call, 3.0)
    speaks(call, 5.0, "No, make it Saturday.")
    assert tries(call, 2, 7.0, '{"day": "saturday"}') == []
    asks(call, 8.0)
    speaks(call, 10.0)
    assert tries(call, 3, 12.0) == [], "Friday was declined"
    assert tries(call, 4, 13.0, '{"day": "saturday"}') != []


def test_a_key_agrees_to_what_was_asked_last() -> None:
    call = consenting(Confirmation.KEY)
    tries(call, 1, 2.0)
    asks(call, 3.0)
    speaks(call, 5.0, "Saturday, please.")
    assert tries(call, 2, 7.0, '{"day": "saturday"}') == []
    asks(call, 8.0)
    call.receive(ev.Dtmf("1"), 10.0)
    assert tries(call, 3, 13.0) == [], "nobody has agreed to Friday"
    assert tries(call, 4, 14.0, '{"day": "saturday"}') != []


def test_what_one_response_called_together_is_agreed_to_together() -> None:
    call = consenting(Confirmation.SPOKEN)
    call.receive(ev.ResponseCreated("t1", ""), 2.0)
    made = ev.FunctionCall("c1", "book", BOOK), ev.FunctionCall("c2", "book", '{"day": "saturday"}')
    call.receive(done("t1", *made), 2.1)
    for one in made:
        call.receive(ev.OutputAccepted(one.tool_call_id), 2.2)
    asks(call, 3.0)
    speaks(call, 5.0)
    assert tries(call, 3, 7.0) != []
    assert tries(call, 4, 8.0, '{"day": "saturday"}') != []


def test_of_two_calls_before_the_question_the_newest_is_agreed_to() -> None:
    call = consenting(Confirmation.SPOKEN)
    tries(call, 1, 2.0)
    tries(call, 2, 2.5, '{"day": "saturday"}')
    asks(call, 3.0)
    speaks(call, 5.0)
    assert tries(call, 3, 7.0) == []
    assert tries(call, 4, 8.0, '{"day": "saturday"}') != []


def both() -> Call:
    """A call with a function of each kind."""
    kinds = {"book": Confirmation.SPOKEN, "cancel": Confirmation.KEY}
    return active(CallPlan(tools={name: ToolRules(filler=None, confirmation=kind) for name, kind in kinds.items()}))


def calls(call: Call, number: int, now: float, *names: str) -> list[str]:
    """The model calls these functions together; return those that are carried out."""
    call.receive(ev.ResponseCreated(f"t{number}", ""), now)
    made = [ev.FunctionCall(f"{name}{number}", name, "{}") for name in names]
    commands = call.receive(done(f"t{number}", *made), now + 0.1)
    for one in made:
        call.receive(ev.OutputAccepted(one.tool_call_id), now + 0.15)
    return [one.name for one in only(commands, cmd.InvokeTool)]


def test_a_key_does_not_agree_to_what_is_agreed_to_by_word() -> None:
    call = both()
    calls(call, 1, 2.0, "book", "cancel")
    asks(call, 3.0)
    agreed = call.receive(ev.Dtmf("1"), 5.0)
    data = {"by": "key", "tool": "cancel", "tool_call_id": "cancel1", "key": "1"}
    assert records(agreed, "confirmed") == [cmd.Record("confirmed", data)]
    assert calls(call, 2, 9.0, "book", "cancel") == ["cancel"]


def test_a_turn_does_not_agree_to_what_is_agreed_to_by_key() -> None:
    call = both()
    calls(call, 1, 2.0, "book", "cancel")
    asks(call, 3.0)
    call.receive(ev.SpeechStarted("u1", 0), 5.0)
    agreed = call.receive(ev.SpeechStopped("u1", 900), 5.9)
    data = {"by": "spoken", "tool": "book", "tool_call_id": "book1"}
    assert records(agreed, "confirmed") == [cmd.Record("confirmed", data)]
    assert calls(call, 2, 9.0, "book", "cancel") == ["book"]


def test_what_was_asked_before_is_not_done_when_a_key_agrees_to_something_else() -> None:
    call = both()
    calls(call, 1, 2.0, "book")
    asks(call, 3.0)
    speaks(call, 5.0, "I would rather have my other one cancelled.")
    calls(call, 2, 7.0, "cancel")
    asks(call, 8.0)
    call.receive(ev.Dtmf("1"), 10.0)
    assert calls(call, 3, 13.0, "book", "cancel") == ["cancel"]


def test_the_question_says_by_what_it_can_be_agreed_to() -> None:
    call = both()
    call.receive(ev.ResponseCreated("t1", ""), 2.0)
    asked = call.receive(done("t1", ev.FunctionCall("c1", "cancel", "{}")), 2.1)
    (note,) = records(asked, "confirmation_asked")
    assert note.data == {"tool_call_id": "c1", "tool": "cancel", "by": "key"}


# --- words that refuse --------------------------------------------------------------------------------


def test_who_refuses_and_then_agrees_in_one_turn_has_agreed() -> None:
    call = consenting(Confirmation.SPOKEN)
    tries(call, 1, 2.0)
    asks(call, 3.0)
    speaks(call, 5.0, "No, yes, do it.")
    assert tries(call, 2, 7.0) != []


def test_what_was_refused_has_to_be_asked_anew() -> None:
    call = consenting(Confirmation.SPOKEN)
    tries(call, 1, 2.0)
    asks(call, 3.0)
    call.receive(ev.SpeechStarted("u1", 0), 5.0)
    call.receive(ev.SpeechStopped("u1", 900), 5.9)
    refused = call.receive(ev.CallerSaid("u1", "No, never do that."), 6.0)
    data = {"by": "spoken", "tool": "book", "tool_call_id": "c1"}
    assert records(refused, "confirmation_refused") == [cmd.Record("confirmation_refused", data)]
    speaks(call, 8.0, "When do you open?")
    assert tries(call, 2, 11.0) == []
    asks(call, 12.0)
    speaks(call, 14.0)
    assert tries(call, 3, 17.0) != []


def test_words_that_come_after_the_second_call_are_too_late() -> None:
    call = consenting(Confirmation.SPOKEN)
    tries(call, 1, 2.0)
    asks(call, 3.0)
    call.receive(ev.SpeechStarted("u1", 0), 5.0)
    call.receive(ev.SpeechStopped("u1", 900), 5.9)
    assert tries(call, 2, 6.5) != []
    assert records(call.receive(ev.CallerSaid("u1", "No!"), 7.0), "confirmation_refused") == []


def test_words_that_make_a_turn_and_refuse_agree_to_nothing() -> None:
    rules = {"book": ToolRules(filler=None, confirmation=Confirmation.SPOKEN)}
    call = active(CallPlan(tools=rules, reversible=ReversibleBargeIn()))
    tries(call, 1, 2.0)
    asks(call, 3.0)
    call.receive(ev.SpeechStarted("u1", 0), 5.0)
    call.receive(ev.SpeechStopped("u1", 400), 5.5)  # our own ear has heard no voice: the words decide
    call.receive(ev.CallerSaid("u1", "No, never."), 5.8)
    assert call.state.turn.taken == 1
    assert tries(call, 2, 8.0) == []


def test_a_key_of_an_entry_is_no_agreement() -> None:
    call = consenting(Confirmation.KEY)
    tries(call, 1, 2.0)
    asks(call, 3.0)
    ask(call, "o1", op.CollectDigits(max_digits=4), 5.0)
    call.receive(ev.Dtmf("1"), 5.5)
    assert tries(call, 2, 9.0) == []


def test_an_agreement_outlives_the_model_that_asked() -> None:
    call = consenting(Confirmation.SPOKEN)
    tries(call, 1, 2.0)
    asks(call, 3.0)
    speaks(call, 5.0)
    call.receive(ev.ModelClosed("1006", "", False), 6.1)
    call.receive(ev.SessionReady("s2"), 6.6)
    assert tries(call, 2, 7.0) != []


def test_a_new_model_has_to_ask_what_the_lost_one_had_not() -> None:
    call = consenting(Confirmation.SPOKEN)
    tries(call, 1, 2.0)
    call.receive(ev.ModelClosed("1006", "", False), 2.5)
    call.receive(ev.SessionReady("s2"), 3.0)
    speaks(call, 4.0)
    assert tries(call, 2, 6.0) == []


def test_a_model_that_calls_for_ever_in_place_of_asking_is_stopped() -> None:
    call = consenting(Confirmation.SPOKEN)
    asked: list[cmd.CreateResponse] = []
    for number in range(40):
        wish_id = asked[-1].wish_id if asked else ""
        call.receive(ev.ResponseCreated(f"t{number}", wish_id), 2.0 + number / 10)
        commands = call.receive(done(f"t{number}", ev.FunctionCall(f"c{number}", "book", BOOK)), 2.0 + number / 10)
        call.receive(ev.OutputAccepted(f"c{number}"), 2.0 + number / 10)
        if not only(commands, cmd.CreateResponse):
            break
        asked += only(commands, cmd.CreateResponse)
    assert [one.tools for one in asked] == [True] * MOST_UNATTENDED + [False]
