"""What operators ask, and callers who have gone silent."""

import pytest

from gateway.core import Call, CallPlan, Phase
from gateway.core import commands as cmd
from gateway.core import events as ev
from gateway.core import operator as op
from gateway.core.plan import Idle, ReversibleBargeIn, TurnMode, TurnTaking
from tests.core.lists import active, answer, ask, done, only, played_ms, quiet, records, speaking, speech, until

# --- operators ----------------------------------------------------------------------------------------


def test_a_command_is_done_once_and_written_down_with_who_asked() -> None:
    call = active()
    first = ask(call, "c1", op.MuteCaller(), 2.0)
    assert records(first, "operator")[0].data == {
        "command_id": "c1",
        "who": "ops",
        "action": "mute_caller",
        "outcome": "done",
    }
    assert ask(call, "c1", op.Unmute(), 2.1) == []
    assert call.receive(ev.CallerAudio(speech(20)), 2.2) == [cmd.AppendAudio(speech(20, 0xFF))]


def test_a_muted_agent_is_not_heard_and_what_it_says_counts_as_not_said() -> None:
    call = speaking(CallPlan(), 4000)
    until(call, 3.0)
    muted = ask(call, "c1", op.MuteAgent(), 3.0)
    assert cmd.TruncateItem("a1", 1000) in muted
    later = answer(call, "r2", "a2", 1000, 3.5)
    assert played_ms(later) == 0
    assert cmd.DeleteItem("a2") in later
    ask(call, "c2", op.Unmute(), 5.0)
    assert played_ms(answer(call, "r3", "a3", 300, 6.0)) == 300


@pytest.mark.parametrize("action", [op.Unmute(), op.EndCall()])
def test_what_a_muted_agent_was_saying_is_not_heard_afterwards(action: op.Action) -> None:
    call = active()
    ask(call, "c1", op.MuteAgent(), 2.0)
    call.receive(ev.ResponseCreated("r1", ""), 3.0)
    call.receive(ev.AudioDelta("r1", "a1", speech(3000)), 3.0)
    commands = ask(call, "c2", action, 4.0)
    assert played_ms(commands + until(call, 6.0)) == 0
    assert cmd.CancelResponse("r1") in commands


def test_a_muted_caller_does_not_interrupt() -> None:
    call = speaking(CallPlan(reversible=ReversibleBargeIn()))
    ask(call, "c1", op.MuteCaller(), 2.5)
    assert call.receive(ev.VoiceStarted(3.0), 3.0) == []


def test_nothing_is_said_after_the_goodbye() -> None:
    call = active()
    call.receive(ev.ResponseCreated("r1", ""), 2.0)
    call.receive(ev.AudioDelta("r1", "a1", speech(500)), 2.0)
    ask(call, "c1", op.Say("One moment."), 2.1)
    calls = ev.FunctionCall("f1", "lookup", "{}"), ev.FunctionCall("f2", "hang_up", "{}")
    commands = call.receive(done("r1", *calls), 2.2)
    commands += call.receive(ev.ToolResult("f1", True, "{}"), 2.3) + quiet(call, 4.0)
    assert only(commands, cmd.CreateResponse) == []
    assert len(only(commands, cmd.HangUp)) == 1


def test_speech_on_its_way_when_the_goodbye_is_due_does_not_hold_it_up() -> None:
    call = active()
    call.receive(ev.ResponseCreated("r1", ""), 2.0)
    call.receive(ev.AudioDelta("r1", "a1", speech(300)), 2.0)
    ask(call, "c1", op.EndCall(), 2.1)
    call.receive(ev.SpeechStarted("u1", 0), 2.15)
    assert len(only(call.receive(done("r1"), 2.3), cmd.CreateResponse)) == 1


def test_a_reply_is_forced_with_instructions_for_this_once() -> None:
    call = active(CallPlan(instructions="Be brief."))
    (asked,) = only(ask(call, "c1", op.ForceReply("Offer a refund."), 2.0), cmd.CreateResponse)
    assert asked.instructions == "Be brief.\n\nOffer a refund."


def test_a_reply_is_cancelled_whole() -> None:
    call = active()
    call.receive(ev.ResponseCreated("r1", ""), 2.0)
    call.receive(ev.AudioDelta("r1", "a1", speech(3000)), 2.0)
    commands = ask(call, "c1", op.CancelReply(), 2.5)
    assert cmd.ClearAudio() in commands
    assert cmd.CancelResponse("r1") in commands
    assert call.receive(ev.AudioDelta("r1", "a1", speech(300)), 2.6) == []


@pytest.mark.parametrize("action", [op.CancelReply(), op.MuteAgent()])
def test_a_model_whose_reply_was_cancelled_is_not_taken_for_silent(action: op.Action) -> None:
    call = active()
    call.receive(ev.ResponseCreated("r1", ""), 2.0)
    call.receive(ev.AudioDelta("r1", "a1", speech(3000)), 2.0)
    ask(call, "c1", action, 2.5)
    call.receive(done("r1", status="cancelled"), 2.6)
    assert only(until(call, 60.0), cmd.OpenModel) == []


def test_a_reply_that_was_asked_and_has_not_begun_is_cancelled_when_it_comes() -> None:
    call = active()
    (asked,) = only(ask(call, "c1", op.ForceReply(), 2.0), cmd.CreateResponse)
    ask(call, "c2", op.CancelReply(), 2.1)
    assert call.receive(ev.ResponseCreated("r1", asked.wish_id), 2.3) == [cmd.CancelResponse("r1")]
    assert call.receive(ev.AudioDelta("r1", "a1", speech(300)), 2.4) == []
    call.receive(done("r1", status="cancelled"), 2.5)
    assert only(until(call, 60.0), cmd.OpenModel) == []


def test_a_memory_is_inserted_where_it_belongs_and_survives_a_lost_model() -> None:
    call = active()
    commands = ask(call, "c1", op.InsertMemory("The caller is a doctor.", after="root"), 2.0)
    (item,) = only(commands, cmd.CreateItem)
    assert item.after == "root"
    assert only(commands, cmd.CreateResponse) == []
    call.receive(ev.ModelClosed("1006", "", False), 3.0)
    seed = only(call.receive(ev.SessionReady("s2"), 3.5), cmd.CreateItem)
    assert any("doctor" in str(kept.item) for kept in seed)


def test_a_memory_of_an_unknown_role_is_refused() -> None:
    call = active()
    assert only(ask(call, "c1", op.InsertMemory("x", role="root"), 2.0), cmd.CreateItem) == []
    assert call.outcome("c1").startswith("refused")


def test_nothing_is_done_on_a_call_that_is_ending() -> None:
    call = active()
    ask(call, "c1", op.EndCall(), 2.0)
    assert call.phase is Phase.ENDING
    ask(call, "c2", op.Say("Wait."), 2.1)
    assert call.outcome("c2") == "refused: the call is ending"


def test_a_hang_up_of_an_operator_comes_after_a_goodbye() -> None:
    call = active()
    (asked,) = only(ask(call, "c1", op.EndCall(), 2.0), cmd.CreateResponse)
    answer(call, "r1", "a1", 600, 2.5, asked.wish_id)
    assert only(quiet(call, 3.2), cmd.HangUp) == [cmd.HangUp(cmd.EndReason.OPERATOR_HANGUP)]


def test_sentences_that_wait_are_bounded() -> None:
    call = active()
    for number in range(12):
        ask(call, f"c{number}", op.Say("x"), 2.0)
    assert call.outcome("c11") == "refused: too many sentences wait to be said"


def test_an_ear_that_is_not_there_cannot_end_turns() -> None:
    call = active()
    ask(call, "c1", op.ChangeTurns(TurnTaking(TurnMode.MANUAL, own_ear=True)), 2.0)
    assert call.outcome("c1").startswith("refused")


# --- idle ---------------------------------------------------------------------------------------------


def idling(*, transcribes: bool = True) -> Call:
    return active(CallPlan(idle=Idle(10.0, ("Hello?", "Are you there?")), transcribes=transcribes))


def prompt(call: Call, now: float) -> str:
    """Return what is asked for until `now`, and let it be said."""
    commands = until(call, now)
    asked = only(commands, cmd.CreateResponse)
    if not asked:
        return ""
    answer(call, f"r{now}", f"a{now}", 200, now, asked[0].wish_id)
    quiet(call, now + 0.3)
    return (asked[0].instructions or "").rpartition("exactly: ")[2]


def test_a_silent_caller_is_prompted_twice_and_then_said_goodbye_to() -> None:
    call = idling()
    call.receive(ev.MarkPlayed("none"), 1.0)
    assert prompt(call, 10.9) == ""
    assert prompt(call, 11.0) == '"Hello?"'
    assert prompt(call, 21.4) == '"Are you there?"'
    until(call, 31.8)
    assert call.phase is Phase.ENDING
    assert call.end_reason is cmd.EndReason.IDLE


def test_a_word_or_a_key_is_a_sign_of_life() -> None:
    call = idling()
    call.receive(ev.CallerSaid("u1", "I am looking for it."), 9.0)
    assert prompt(call, 18.9) == ""
    call.receive(ev.Dtmf("1"), 18.9)
    assert only(until(call, 19.5), cmd.CreateResponse) == []


def test_noise_that_the_server_takes_for_speech_keeps_no_call_alive() -> None:
    call = idling()
    now = 2.0
    while call.phase is Phase.ACTIVE and now < 120:
        until(call, now)
        call.receive(ev.SpeechStarted(f"u{now}", 0), now)
        call.receive(ev.SpeechStopped(f"u{now}", 0), now + 1)
        call.receive(ev.CallerSaid(f"u{now}", ""), now + 1.2)
        wished = only(answer(call, f"r{now}", f"a{now}", 500, now + 1.4), cmd.CreateResponse)
        for asked in wished:
            answer(call, f"p{now}", f"b{now}", 100, now + 1.5, asked.wish_id)
        quiet(call, now + 2.2, marks=400)
        now += 3
    assert call.end_reason is cmd.EndReason.IDLE


def test_a_caller_who_speaks_in_a_manual_turn_is_not_prompted() -> None:
    call = active(CallPlan(idle=Idle(6.0), turns=TurnTaking(TurnMode.MANUAL, key="#")))
    call.receive(ev.VoiceStarted(2.0), 2.1)
    assert records(until(call, 16.0), "idle") == []
    call.receive(ev.VoiceStopped(16.0), 16.2)
    assert records(until(call, 22.1), "idle") == []
    assert records(until(call, 22.3), "idle")


@pytest.mark.parametrize("transcribes", [True, False])
def test_speech_that_never_ends_is_no_speech(transcribes: bool) -> None:
    call = idling(transcribes=transcribes)
    call.receive(ev.SpeechStarted("u1", 0), 2.0)
    assert only(until(call, 50.0), cmd.CreateResponse) == []
    assert records(until(call, 62.1), "idle")


def test_music_that_the_server_takes_for_speech_is_prompted_and_said_goodbye_to() -> None:
    call = idling()
    call.receive(ev.SpeechStarted("u1", 0), 2.0)
    for number, at in ((1, 63.0), (2, 76.0)):
        (asked,) = only(until(call, at), cmd.CreateResponse)
        answer(call, f"r{number}", f"a{number}", 500, at, asked.wish_id)
        quiet(call, at + 1.0)
    until(call, 120.0)
    assert call.end_reason is cmd.EndReason.IDLE


def test_a_mark_that_is_lost_stops_neither_the_idle_clock_nor_deafens_the_model() -> None:
    call = idling()
    (asked,) = only(ask(call, "c1", op.Say("Recorded.", interruptible=False), 2.0), cmd.CreateResponse)
    answer(call, "r1", "a1", 1000, 2.0, asked.wish_id)
    until(call, 7.9)
    assert call.receive(ev.CallerAudio(speech(20)), 7.9) == []
    assert only(until(call, 8.1), cmd.AppendAudio) == [cmd.AppendAudio(speech(20))]
    assert records(until(call, 18.1), "idle")


def test_the_clock_stands_while_the_agent_talks_or_a_function_runs() -> None:
    call = idling()
    answer(call, "r1", "a1", 9000, 1.0)
    quiet(call, 10.1)
    assert records(until(call, 20.0), "idle") == []
    call.receive(ev.ResponseCreated("r2", ""), 20.0)
    call.receive(done("r2", ev.FunctionCall("c1", "lookup", "{}")), 20.0)
    assert records(until(call, 29.0), "idle") == []
