"""Turns of both sides: reversible barge-in, early reply, words that cannot be interrupted, manual turns."""

import base64

import pytest

from gateway.core import Call, CallPlan, Phase
from gateway.core import commands as cmd
from gateway.core import events as ev
from gateway.core.operator import CancelReply, ChangeTurns, EndTurn, ForceReply, Say
from gateway.core.plan import EarlyReply, ReversibleBargeIn, TurnMode, TurnTaking
from tests.core.lists import active, answer, ask, done, only, played_ms, quiet, records, speaking, speech, until

REVERSIBLE = CallPlan(reversible=ReversibleBargeIn(confirm_ms=600))
EARLY = CallPlan(early_reply=EarlyReply(server_silence_ms=200, confirm_ms=500), transcribes=False)
EARLY_WORDS = CallPlan(early_reply=EarlyReply(server_silence_ms=200, confirm_ms=500, unfinished_ms=1300))
PROTECTED = CallPlan(greeting="This call is recorded.", greeting_interruptible=False)
LOOKUP = ev.FunctionCall("c1", "lookup", "{}", "f1")


# --- reversible barge-in ------------------------------------------------------------------------------


def test_a_voice_holds_what_plays_and_a_short_one_lets_it_go_on_where_it_was_left() -> None:
    call = speaking(REVERSIBLE, 2000)
    until(call, 2.9)
    held = call.receive(ev.VoiceStarted(2.85), 2.9)
    assert cmd.ClearAudio() in held
    assert only(held, cmd.TruncateItem) == []
    call.receive(ev.VoiceStopped(3.1), 3.26)
    assert played_ms(until(call, 3.4)) == 0
    resumed = until(call, 9.0)
    assert played_ms(resumed) == pytest.approx(1100, abs=0.4)
    assert [record.data["why"] for record in records(resumed, "resumed")] == ["short"]
    assert only(resumed, cmd.TruncateItem) == []


def test_a_voice_that_lasts_and_that_the_server_hears_too_is_an_interruption() -> None:
    call = speaking(REVERSIBLE)
    until(call, 3.0)
    call.receive(ev.VoiceStarted(3.0), 3.0)
    call.receive(ev.SpeechStarted("u1", 0), 3.2)
    cut = until(call, 4.6)
    assert cmd.TruncateItem("a1", 1000) in cut
    assert records(cut, "barge_in")
    call.receive(ev.VoiceStopped(5.0), 5.2)
    asked = call.receive(ev.SpeechStopped("u1", 0), 5.5)
    assert len(only(asked, cmd.CreateResponse)) == 1, "the server creates none by itself in this mode"


def test_a_voice_that_the_server_does_not_hear_never_cuts() -> None:
    call = speaking(REVERSIBLE, 2000)
    until(call, 3.0)
    call.receive(ev.VoiceStarted(3.0), 3.0)
    commands = until(call, 20.0)
    assert only(commands, cmd.TruncateItem) == []
    assert played_ms(commands) > 500


def test_speech_that_only_the_server_hears_is_our_echo_and_holds_nothing() -> None:
    call = speaking(REVERSIBLE)
    until(call, 3.0)
    assert only(call.receive(ev.SpeechStarted("u1", 0), 3.0), cmd.ClearAudio) == []
    assert only(call.receive(ev.SpeechStopped("u1", 0), 4.0), cmd.CreateResponse) == []
    forgotten = call.receive(ev.CallerSaid("u1", ""), 4.3)
    assert forgotten == [cmd.DeleteItem("u1")]


def test_a_short_word_that_is_no_backchannel_interrupts_once_it_is_known() -> None:
    call = speaking(REVERSIBLE)
    until(call, 3.0)
    call.receive(ev.VoiceStarted(3.0), 3.0)
    call.receive(ev.SpeechStarted("u1", 0), 3.1)
    call.receive(ev.VoiceStopped(3.3), 3.4)
    call.receive(ev.SpeechStopped("u1", 0), 3.8)
    until(call, 4.0)
    cut = call.receive(ev.CallerSaid("u1", "Stop!"), 4.1)
    assert len(only(cut, cmd.TruncateItem)) == 1
    assert len(only(cut, cmd.CreateResponse)) == 1


def test_a_backchannel_is_neither_answered_nor_deleted() -> None:
    call = speaking(REVERSIBLE)
    until(call, 3.0)
    call.receive(ev.VoiceStarted(3.0), 3.0)
    call.receive(ev.SpeechStarted("u1", 0), 3.1)
    call.receive(ev.VoiceStopped(3.3), 3.4)
    call.receive(ev.SpeechStopped("u1", 0), 3.8)
    assert call.receive(ev.CallerSaid("u1", "Mm-hm, okay."), 4.1) == []


@pytest.mark.parametrize(
    ("text", "interrupts"), [("Actually, hold on.", True), ("Okay, I see, sure.", False), ("", False)]
)
def test_a_longer_voice_holds_until_its_words_are_known(text: str, interrupts: bool) -> None:
    call = speaking(REVERSIBLE)
    until(call, 3.0)
    call.receive(ev.VoiceStarted(3.0), 3.0)
    call.receive(ev.SpeechStarted("u1", 0), 3.1)
    call.receive(ev.VoiceStopped(3.9), 4.06)
    call.receive(ev.SpeechStopped("u1", 0), 4.5)
    assert until(call, 4.7) == []
    told = call.receive(ev.CallerSaid("u1", text), 4.8)
    assert bool(only(told, cmd.TruncateItem)) is interrupts
    assert bool(only(told, cmd.CreateResponse)) is interrupts
    assert (played_ms(told) > 0) is not interrupts


def test_words_that_never_come_leave_it_an_interruption() -> None:
    call = speaking(REVERSIBLE)
    until(call, 3.0)
    call.receive(ev.VoiceStarted(3.0), 3.0)
    call.receive(ev.SpeechStarted("u1", 0), 3.1)
    call.receive(ev.VoiceStopped(3.9), 4.06)
    call.receive(ev.SpeechStopped("u1", 0), 4.5)
    cut = until(call, 6.0)
    assert only(cut, cmd.TruncateItem) == [cmd.TruncateItem("a1", 1000)]
    assert len(only(cut, cmd.CreateResponse)) == 1


@pytest.mark.parametrize(("text", "heard_at"), [("My order number is", 4.3), ("Where is my order?", 3.5), (None, 3.75)])
def test_an_early_answer_waits_for_the_words_and_longer_after_those_that_go_on(
    text: str | None, heard_at: float
) -> None:
    call = active(EARLY_WORDS)
    call.receive(ev.SpeechStarted("u1", 0), 2.0)
    call.receive(ev.VoiceStopped(3.0), 3.16)
    call.receive(ev.SpeechStopped("u1", 0), 3.2)
    answer(call, "r1", "a1", 1000, 3.4)
    if text is not None:
        call.receive(ev.CallerSaid("u1", text), 3.45)
    assert played_ms(until(call, heard_at - 0.02)) == 0
    assert played_ms(until(call, heard_at + 0.02)) > 0


def test_a_yes_over_the_end_of_a_question_is_an_answer() -> None:
    call = speaking(REVERSIBLE, 2000)
    until(call, 3.7)
    call.receive(ev.VoiceStarted(3.7), 3.75)
    call.receive(ev.SpeechStarted("u1", 0), 3.8)
    call.receive(ev.VoiceStopped(4.0), 4.16)
    quiet(call, 4.5)
    call.receive(ev.SpeechStopped("u1", 0), 4.5)
    assert len(only(call.receive(ev.CallerSaid("u1", "Yes."), 4.8), cmd.CreateResponse)) == 1


def test_an_answer_that_is_still_generated_is_cancelled_by_us() -> None:
    call = active(REVERSIBLE)
    call.receive(ev.ResponseCreated("r1", ""), 2.0)
    call.receive(ev.AudioDelta("r1", "a1", speech(3000)), 2.0)
    call.receive(ev.VoiceStarted(2.5), 2.5)
    call.receive(ev.SpeechStarted("u1", 0), 2.6)
    assert cmd.CancelResponse("r1") in until(call, 4.2)


def test_a_turn_with_nobody_talking_is_answered_at_once_if_our_ear_heard_a_voice() -> None:
    call = active(REVERSIBLE)
    call.receive(ev.SpeechStarted("u1", 0), 2.0)
    call.receive(ev.VoiceStarted(2.0), 2.1)
    call.receive(ev.VoiceStopped(2.4), 2.6)
    assert len(only(call.receive(ev.SpeechStopped("u1", 0), 3.0), cmd.CreateResponse)) == 1


@pytest.mark.parametrize(("text", "answered"), [("Yes.", True), ("", False), ("and when it will be", False)])
def test_a_turn_in_which_our_ear_heard_nobody_is_judged_by_its_words(text: str, answered: bool) -> None:
    call = speaking(REVERSIBLE, 500)
    call.receive(ev.AgentSaid("r1", "a1", "This is what we know and when it will be delivered"), 2.1)
    quiet(call, 2.6)
    call.receive(ev.SpeechStarted("u1", 0), 2.7)
    assert only(call.receive(ev.SpeechStopped("u1", 0), 3.5), cmd.CreateResponse) == []
    told = call.receive(ev.CallerSaid("u1", text), 3.8)
    assert bool(only(told, cmd.CreateResponse)) is answered
    assert bool(only(told, cmd.DeleteItem)) is not answered


def test_a_turn_without_voice_and_words_is_answered_all_the_same_after_a_while() -> None:
    call = active(REVERSIBLE)
    call.receive(ev.SpeechStarted("u1", 0), 2.0)
    call.receive(ev.SpeechStopped("u1", 0), 3.0)
    assert only(until(call, 4.9), cmd.CreateResponse) == []
    assert len(only(until(call, 5.0), cmd.CreateResponse)) == 1


def test_a_held_answer_that_goes_on_arriving_waits_too() -> None:
    call = active(REVERSIBLE)
    call.receive(ev.ResponseCreated("r1", ""), 2.0)
    call.receive(ev.AudioDelta("r1", "a1", speech(300)), 2.0)
    call.receive(ev.VoiceStarted(2.1), 2.1)
    assert played_ms(call.receive(ev.AudioDelta("r1", "a1", speech(300)), 2.2)) == 0
    call.receive(ev.VoiceStopped(2.2), 2.3)
    assert played_ms(until(call, 4.0)) == pytest.approx(500, abs=0.4)


# --- early reply --------------------------------------------------------------------------------------


def test_an_early_answer_is_heard_once_the_silence_has_lasted() -> None:
    call = active(EARLY)
    call.receive(ev.VoiceStarted(2.0), 2.05)
    call.receive(ev.SpeechStarted("u1", 0), 2.1)
    call.receive(ev.VoiceStopped(3.0), 3.16)
    call.receive(ev.SpeechStopped("u1", 0), 3.2)
    assert played_ms(answer(call, "r1", "a1", 1000, 3.4)) == 0
    assert played_ms(until(call, 3.49)) == 0
    out = until(call, 3.5)
    assert played_ms(out) > 0
    assert [record.data["ms"] for record in records(out, "turn_latency")] == [500]
    assert records(out, "early_released")


def test_a_caller_who_goes_on_drops_the_early_answer_unheard_and_no_tool_has_run() -> None:
    call = active(EARLY)
    call.receive(ev.SpeechStarted("u1", 0), 2.0)
    call.receive(ev.VoiceStopped(3.0), 3.16)
    call.receive(ev.SpeechStopped("u1", 0), 3.2)
    call.receive(ev.ResponseCreated("r1", ""), 3.25)
    call.receive(ev.AudioDelta("r1", "a1", speech(1000)), 3.3)
    assert only(call.receive(done("r1", LOOKUP), 3.35), cmd.InvokeTool) == []
    dropped = call.receive(ev.SpeechStarted("u2", 0), 3.4)
    assert cmd.DeleteItem("a1") in dropped
    assert cmd.DeleteItem("f1") in dropped
    assert [record.data for record in records(dropped, "early_dropped")] == [{"response_id": "r1", "calls": 1}]
    assert only(until(call, 9.0), cmd.InvokeTool) == []


@pytest.mark.parametrize("begun", [True, False])
def test_an_early_answer_that_is_complete_before_its_cancellation_runs_no_tool(begun: bool) -> None:
    plan = CallPlan(early_reply=EarlyReply(), reversible=ReversibleBargeIn(), transcribes=False)
    call = active(plan)
    call.receive(ev.SpeechStarted("u1", 0), 2.0)
    call.receive(ev.VoiceStopped(3.0), 3.16)
    (asked,) = only(call.receive(ev.SpeechStopped("u1", 0), 3.2), cmd.CreateResponse)
    created, spoke = ev.ResponseCreated("r1", asked.wish_id), ev.SpeechStarted("u2", 0)
    for event in (created, spoke) if begun else (spoke, created):
        call.receive(event, 3.4)
    assert call.receive(done("r1", LOOKUP), 3.45) == [cmd.DeleteItem("f1")]


def test_function_calls_behind_the_gate_run_when_it_opens() -> None:
    call = active(EARLY)
    call.receive(ev.SpeechStarted("u1", 0), 2.0)
    call.receive(ev.VoiceStopped(3.0), 3.16)
    call.receive(ev.SpeechStopped("u1", 0), 3.2)
    call.receive(ev.ResponseCreated("r1", ""), 3.25)
    call.receive(done("r1", LOOKUP), 3.3)
    assert [invoked.tool_call_id for invoked in only(until(call, 3.6), cmd.InvokeTool)] == ["c1"]


def test_a_voice_that_our_ear_hears_keeps_the_gate_closed_but_not_for_ever() -> None:
    call = active(EARLY)
    call.receive(ev.SpeechStarted("u1", 0), 2.0)
    call.receive(ev.SpeechStopped("u1", 0), 3.2)
    call.receive(ev.VoiceStarted(3.3), 3.3)
    answer(call, "r1", "a1", 1000, 3.4)
    assert played_ms(until(call, 6.1)) == 0
    assert played_ms(until(call, 6.3)) > 0


def test_an_early_answer_of_a_reversible_agent_is_asked_for_and_cancelled_by_us() -> None:
    call = active(CallPlan(early_reply=EarlyReply(), reversible=ReversibleBargeIn()))
    call.receive(ev.SpeechStarted("u1", 0), 2.0)
    call.receive(ev.VoiceStarted(2.0), 2.1)
    call.receive(ev.VoiceStopped(3.0), 3.15)
    (asked,) = only(call.receive(ev.SpeechStopped("u1", 0), 3.2), cmd.CreateResponse)
    call.receive(ev.ResponseCreated("r1", asked.wish_id), 3.25)
    assert cmd.CancelResponse("r1") in call.receive(ev.SpeechStarted("u2", 0), 3.4)


# --- words that cannot be interrupted -----------------------------------------------------------------


def test_what_the_caller_says_over_a_protected_greeting_is_handed_over_after_it() -> None:
    call = active(CallPlan(greeting="This call is recorded.", greeting_interruptible=False))
    answer(call, "r1", "a1", 1000, 1.5, "w1")
    words = base64.b64encode(b"\x44" * 160).decode()
    for _ in range(50):
        assert call.receive(ev.CallerAudio(words), 2.0) == []
    until(call, 2.5)
    kept = only(call.receive(ev.MarkPlayed("m1"), 2.5), cmd.AppendAudio)
    assert b"".join(base64.b64decode(append.payload) for append in kept) == b"\x44" * 160 * 50
    assert call.receive(ev.CallerAudio(words), 2.6) == [cmd.AppendAudio(words)]


def test_our_own_echo_during_a_protected_greeting_is_not_answered() -> None:
    plan = CallPlan(greeting="Hi.", greeting_interruptible=False, reversible=ReversibleBargeIn())
    call = active(plan)
    answer(call, "r1", "a1", 1000, 1.5, "w1")
    for _ in range(50):
        call.receive(ev.CallerAudio(speech(20)), 2.0)
    until(call, 2.5)
    kept = only(call.receive(ev.MarkPlayed("m1"), 2.5), cmd.AppendAudio)
    assert sum(len(base64.b64decode(append.payload)) for append in kept) == 400 * 8


def test_protected_words_that_the_server_cancels_all_the_same_are_said_again() -> None:
    call = active(CallPlan(greeting="Legal notice.", greeting_interruptible=False))
    call.receive(ev.ResponseCreated("r1", "w1"), 1.5)
    again = call.receive(done("r1", status="cancelled", reason="turn_detected"), 1.6)
    (asked,) = only(again, cmd.CreateResponse)
    assert asked.instructions is not None
    assert "Legal notice." in asked.instructions


def test_a_protected_greeting_that_was_lost_with_the_model_is_said_by_the_next() -> None:
    call = Call(PROTECTED)
    greeted(call)
    call.receive(ev.CallerAudio(speech(20)), 1.1)
    call.receive(ev.ModelClosed("1006", "", False), 1.2)
    ready = call.receive(ev.SessionReady("s2"), 1.5)
    (asked,) = only(ready, cmd.CreateResponse)
    assert "This call is recorded." in str(asked.instructions)
    assert only(ready, cmd.AppendAudio) == [cmd.AppendAudio(speech(20))]


def test_a_voice_that_pauses_is_still_the_speech_that_the_server_hears() -> None:
    call = speaking(REVERSIBLE, 10_000)
    until(call, 3.0)
    call.receive(ev.VoiceStarted(3.0), 3.0)
    call.receive(ev.SpeechStarted("u1", 0), 3.1)
    call.receive(ev.VoiceStopped(3.2), 3.3)
    assert records(until(call, 3.55), "resumed")
    call.receive(ev.VoiceStarted(3.55), 3.6)
    assert records(until(call, 5.3), "barge_in")


def test_noise_does_not_end_the_wait_for_an_answer() -> None:
    call = active(REVERSIBLE)
    ask(call, "c1", ForceReply(), 3.0)
    call.receive(ev.SpeechStarted("u2", 0), 3.5)
    call.receive(ev.SpeechStopped("u2", 0), 4.0)
    call.receive(ev.CallerSaid("u2", ""), 4.5)
    assert len(only(until(call, 14.0), cmd.OpenModel)) == 1


def test_a_voice_does_not_end_the_wait_for_a_protected_greeting() -> None:
    plan = CallPlan(
        greeting="This call is recorded.",
        greeting_interruptible=False,
        turns=TurnTaking(TurnMode.MANUAL, own_ear=True),
    )
    call = Call(plan)
    greeted(call)
    call.receive(ev.VoiceStarted(2.0), 2.1)
    call.receive(ev.VoiceStopped(2.5), 2.7)
    assert len(only(until(call, 12.0), cmd.OpenModel)) == 1


def greeted(call: Call) -> str:
    """Bring a call with a protected greeting up, at time 1, and return the greeting's wish."""
    call.receive(ev.CallOffered(), 0.0)
    call.receive(ev.SessionReady("s"), 0.5)
    (asked,) = only(call.receive(ev.StreamStarted("MZ1"), 1.0), cmd.CreateResponse)
    return asked.wish_id


def test_what_the_caller_said_over_protected_words_is_handed_over_when_they_are_cut_short() -> None:
    call = Call(PROTECTED)
    wish_id = greeted(call)
    call.receive(ev.CallerAudio(speech(20)), 1.1)
    call.receive(ev.ResponseCreated("r1", wish_id), 1.2)
    cut = call.receive(done("r1", status="cancelled"), 1.3)
    assert only(cut, cmd.AppendAudio) == [cmd.AppendAudio(speech(20))]


@pytest.mark.parametrize("code", ["bad_response_create", "conversation_already_has_active_response"])
def test_a_refused_greeting_leaves_the_caller_heard(code: str) -> None:
    call = Call(PROTECTED)
    wish_id = greeted(call)
    call.receive(ev.CallerAudio(speech(20)), 1.1)
    refused = call.receive(ev.ModelFault(code, "", wish_id), 1.3)
    assert only(refused, cmd.AppendAudio) == [cmd.AppendAudio(speech(20))]


def test_protected_words_that_were_refused_and_joined_by_others_do_not_deafen_the_model() -> None:
    call = active()
    (asked,) = only(ask(call, "c1", Say("This call is recorded.", interruptible=False), 2.0), cmd.CreateResponse)
    ask(call, "c2", ForceReply(), 2.1)
    call.receive(ev.ModelFault("conversation_already_has_active_response", "", asked.wish_id), 2.2)
    call.receive(ev.ResponseCreated("r0", ""), 2.3)
    (again,) = only(call.receive(done("r0"), 2.4), cmd.CreateResponse)
    answer(call, "r1", "a1", 500, 2.5, again.wish_id)
    assert call.receive(ev.CallerAudio(speech(20)), 2.6) == []
    quiet(call, 4.0)
    assert call.receive(ev.CallerAudio(speech(20)), 5.0) == [cmd.AppendAudio(speech(20))]


def test_what_came_before_a_protected_greeting_cannot_interrupt_it() -> None:
    call = Call(PROTECTED)
    call.receive(ev.CallOffered(), 0.0)
    call.receive(ev.StreamStarted("MZ1"), 0.2)
    call.receive(ev.CallerAudio(speech(20)), 0.3)
    (asked,) = call.receive(ev.SessionReady("s"), 0.5)
    assert isinstance(asked, cmd.CreateResponse)
    answer(call, "r1", "a1", 500, 0.6, asked.wish_id)
    assert only(quiet(call, 2.0), cmd.AppendAudio) == [cmd.AppendAudio(speech(20))]


def test_protected_words_that_an_operator_cancels_are_not_said_again() -> None:
    call = Call(PROTECTED)
    call.receive(ev.ResponseCreated("r1", greeted(call)), 1.2)
    call.receive(ev.AudioDelta("r1", "a1", speech(3000)), 1.3)
    ask(call, "c1", CancelReply(), 1.8)
    assert only(call.receive(done("r1", status="cancelled"), 1.9), cmd.CreateResponse) == []


def test_several_sentences_of_an_operator_are_said_one_after_the_other() -> None:
    call = active()
    first = ask(call, "c1", Say("One."), 2.0)
    assert ask(call, "c2", Say('Two "and" three.'), 2.0) == [
        cmd.Record("operator", {"command_id": "c2", "who": "ops", "action": "say", "outcome": "done"})
    ]
    (asked,) = only(first, cmd.CreateResponse)
    second = answer(call, "r1", "a1", 100, 2.2, asked.wish_id)
    (asked,) = only(second, cmd.CreateResponse)
    assert asked.instructions == '\n\nSay exactly: "Two \\"and\\" three."'


# --- manual turns and changes -------------------------------------------------------------------------


def test_a_key_ends_a_manual_turn() -> None:
    call = active(CallPlan(turns=TurnTaking(TurnMode.MANUAL, key="#")))
    call.receive(ev.CallerAudio(speech(200)), 1.9)
    commands = call.receive(ev.Dtmf("#"), 2.0)
    assert commands[0] == cmd.CommitInput()
    assert len(only(commands, cmd.CreateResponse)) == 1


def test_a_turn_in_which_the_server_heard_nothing_is_not_committed() -> None:
    call = active(CallPlan(turns=TurnTaking(TurnMode.MANUAL, key="#")))
    call.receive(ev.CallerAudio(speech(200)), 1.9)
    call.receive(ev.Dtmf("#"), 2.0)
    call.receive(ev.CallerAudio(speech(80)), 2.08)
    assert call.receive(ev.Dtmf("#"), 2.08) == []


def test_our_own_ear_ends_a_manual_turn_after_the_silence_and_interrupts_at_a_voice() -> None:
    call = speaking(CallPlan(turns=TurnTaking(TurnMode.MANUAL, own_ear=True, silence_ms=700)))
    until(call, 3.0)
    assert cmd.TruncateItem("a1", 1000) in call.receive(ev.VoiceStarted(2.95), 3.0)
    call.receive(ev.CallerAudio(speech(200)), 4.0)
    call.receive(ev.VoiceStopped(4.0), 4.16)
    assert only(until(call, 4.69), cmd.CommitInput) == []
    ended = until(call, 4.7)
    assert only(ended, cmd.CommitInput) == [cmd.CommitInput()]
    assert len(only(ended, cmd.CreateResponse)) == 1


def test_a_manual_turn_that_ends_without_a_model_is_committed_to_the_next() -> None:
    call = active(CallPlan(turns=TurnTaking(TurnMode.MANUAL, own_ear=True, silence_ms=500)))
    call.receive(ev.ModelClosed("1006", "", False), 2.0)
    call.receive(ev.VoiceStarted(2.0), 2.1)
    call.receive(ev.CallerAudio(speech(200)), 2.3)
    call.receive(ev.VoiceStopped(2.5), 2.7)
    until(call, 3.1)
    ready = call.receive(ev.SessionReady("s2"), 3.5)
    kinds = [type(one) for one in ready if isinstance(one, cmd.AppendAudio | cmd.CommitInput | cmd.CreateResponse)]
    assert kinds == [cmd.AppendAudio, cmd.CommitInput, cmd.CreateResponse]


def test_a_manual_turn_with_nothing_to_commit_does_not_hold_up_what_is_to_be_said() -> None:
    call = active(CallPlan(turns=TurnTaking(TurnMode.MANUAL, own_ear=True, silence_ms=500)))
    call.receive(ev.VoiceStarted(2.0), 2.1)
    call.receive(ev.VoiceStopped(2.2), 2.3)
    assert only(until(call, 3.0), cmd.CommitInput) == []
    assert len(only(ask(call, "c1", ForceReply(), 4.0), cmd.CreateResponse)) == 1


def test_turn_taking_changes_in_mid_call_and_a_new_session_is_told() -> None:
    call = active()
    spelling = TurnTaking(silence_ms=1800)
    assert cmd.ConfigureTurns(spelling, True, True) in ask(call, "c1", ChangeTurns(spelling), 2.0)
    call.receive(ev.ModelClosed("1006", "", False), 3.0)
    assert cmd.ConfigureTurns(spelling, True, True) in call.receive(ev.SessionReady("s2"), 3.5)


def test_ending_a_turn_by_hand_is_refused_where_the_server_does_it() -> None:
    call = active()
    ask(call, "c1", EndTurn(), 2.0)
    assert call.outcome("c1") == "refused: turn-taking is not manual"


def test_the_text_heard_of_a_cut_item_is_told_once_as_an_estimate() -> None:
    call = speaking(CallPlan())
    call.receive(ev.AgentSaid("r1", "a1", "one two three four"), 2.1)
    until(call, 4.0)
    (heard,) = records(call.receive(ev.SpeechStarted("u1", 0), 4.0), "heard_text")
    assert heard.data == {"item_id": "a1", "text": "one two", "heard_ms": 2000, "received_ms": 4000, "estimate": 1}
    assert records(call.receive(ev.AgentSaid("r1", "a1", "one two three four"), 4.1), "heard_text") == []


def test_the_goodbye_is_heard_although_a_doubt_was_open() -> None:
    call = speaking(REVERSIBLE, 1000)
    call.receive(ev.VoiceStarted(2.3), 2.3)
    call.receive(ev.ResponseCreated("r2", ""), 2.4)
    commands = call.receive(done("r2", ev.FunctionCall("c1", "hang_up", "{}")), 2.4)
    assert played_ms(commands) > 0
    ended = quiet(call, 4.0)
    assert call.phase is Phase.ENDING
    assert only(ended, cmd.HangUp) == [cmd.HangUp(cmd.EndReason.AGENT_HANGUP)]
