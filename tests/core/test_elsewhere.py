"""Calls whose media is elsewhere, as lists of events: what the server says is what was heard."""

import pytest

from gateway.core import Call, Phase
from gateway.core import commands as cmd
from gateway.core import events as ev
from gateway.core import operator as op
from gateway.core.commands import EndReason
from gateway.core.elsewhere import elsewhere
from gateway.core.events import PlaybackState
from gateway.core.plan import (
    CallPlan,
    EarlyReply,
    Filler,
    ReversibleBargeIn,
    ToolRules,
    TransferMode,
    TransferTarget,
    TurnMode,
    TurnTaking,
)

PLAN = CallPlan(
    instructions="Be kind.",
    transfer_targets={
        "desk": TransferTarget("+14155550100"),
        "warm": TransferTarget("+14155550101", TransferMode.WARM),
    },
    built_in=frozenset({"hang_up", "send_digits", "collect_digits", "transfer_call"}),
)
TEXT = "Your order is on its way and will be with you tomorrow."


def begun(plan: CallPlan = PLAN) -> Call:
    """Return a call that talks; the time is 0.1 s."""
    call = Call(elsewhere(plan))
    call.receive(ev.CallOffered(), 0.0)
    call.receive(ev.StreamStarted("rtc_1"), 0.1)
    call.receive(ev.SessionReady("sess_1"), 0.1)
    assert call.phase is Phase.ACTIVE
    return call


def speak(call: Call, now: float, *, calls: tuple[ev.FunctionCall, ...] = (), text: str = TEXT) -> list[cmd.Command]:
    """The server answers by itself: generated at once, and it begins to play."""
    call.receive(ev.ResponseCreated("r1", ""), now)
    call.receive(ev.Playback("r1", PlaybackState.STARTED), now)
    call.receive(ev.AgentSaid("r1", "i1", text), now)
    return call.receive(ev.ResponseDone("r1", "completed", "", calls, None), now)


def records(commands: list[cmd.Command], kind: str) -> list[cmd.Record]:
    return [command for command in commands if isinstance(command, cmd.Record) and command.kind == kind]


def kinds(commands: list[cmd.Command]) -> list[type]:
    return [type(command) for command in commands]


def test_a_plan_is_reduced_to_what_can_be_kept() -> None:
    rich = CallPlan(
        greeting_interruptible=False,
        reversible=ReversibleBargeIn(),
        early_reply=EarlyReply(),
        turns=TurnTaking(TurnMode.MANUAL, key="#", own_ear=True),
        tools={"look": ToolRules(filler=Filler(1.0, "Wait.", sound=True)), "say": ToolRules(filler=Filler(1.0, "Hm."))},
        transfer_targets=PLAN.transfer_targets,
        built_in=PLAN.built_in,
    )
    plan = elsewhere(rich)
    assert not plan.needs_ear
    assert plan.server_answers
    assert plan.greeting_interruptible
    assert plan.turns.mode is TurnMode.SERVER_VAD
    assert plan.tools["look"].filler == Filler(1.0)
    assert plan.tools["say"] == rich.tools["say"]
    assert set(plan.transfer_targets) == {"desk"}
    assert "send_digits" not in plan.built_in


def test_no_audio_is_sent_played_or_marked() -> None:
    call = begun()
    delta = call.receive(ev.AudioDelta("r1", "i1", "////"), 1.0)
    assert kinds([*delta, *speak(call, 1.0)]) == []


def test_the_line_goes_down_when_the_server_has_played_the_goodbye() -> None:
    call = begun()
    hang_up = ev.FunctionCall("c1", "hang_up", "{}")
    commands = speak(call, 1.0, calls=(hang_up,), text="Goodbye.")
    assert cmd.HangUp not in kinds(commands)
    assert call.phase is Phase.ENDING
    commands = call.receive(ev.Playback("r1", PlaybackState.STOPPED), 1.9)
    assert kinds(commands)[-1] is cmd.HangUp
    (heard,) = [command for command in commands if isinstance(command, cmd.Heard)]
    assert (heard.item_id, heard.begins_s) == ("i1", 1.0)


@pytest.mark.parametrize("started", [True, False])
def test_a_goodbye_of_whose_end_nothing_is_told_is_waited_for_within_a_bound(started: bool) -> None:
    call = begun()
    call.receive(ev.ResponseCreated("r1", ""), 1.0)
    if started:
        call.receive(ev.Playback("r1", PlaybackState.STARTED), 1.0)
    call.receive(ev.AgentSaid("r1", "i1", "Goodbye."), 1.0)
    call.receive(ev.ResponseDone("r1", "completed", "", (ev.FunctionCall("c1", "hang_up", "{}"),), None), 1.0)
    now, commands = 1.0, list[cmd.Command]()
    while cmd.HangUp not in kinds(commands):
        assert call.deadline is not None
        now = max(now, call.deadline)
        commands = call.receive(ev.Tick(), now)
    assert 2.0 < now < 7.0


def test_at_an_interruption_the_servers_cut_is_what_was_heard() -> None:
    call = begun()
    speak(call, 1.0)
    commands = call.receive(ev.SpeechStarted("u1", 500), 2.0)
    assert cmd.ClearOutput not in kinds(commands), "the server has heard the caller itself"
    call.receive(ev.Playback("r1", PlaybackState.CLEARED), 2.05)
    commands = call.receive(ev.ItemTruncated("i1", 1020), 2.06)
    (cut,) = records(commands, "barge_in")
    assert cut.data == {"item_id": "i1", "heard_ms": 1020, "received_ms": 65 * len(TEXT)}
    (told,) = records(commands, "heard_text")
    assert TEXT.startswith(str(told.data["text"]))
    assert cmd.TruncateItem not in kinds(commands)


def test_a_cut_that_is_never_told_is_estimated_by_the_clock() -> None:
    call = begun()
    speak(call, 1.0)
    call.receive(ev.SpeechStarted("u1", 500), 2.0)
    call.receive(ev.Playback("r1", PlaybackState.CLEARED), 2.0)
    assert call.deadline is not None
    (cut,) = records(call.receive(ev.Tick(), 2.7), "barge_in")
    assert cut.data["heard_ms"] == 1000


def test_an_order_of_events_that_nobody_promised_gives_the_same_cut() -> None:
    call = begun()
    call.receive(ev.ResponseCreated("r1", ""), 1.0)
    call.receive(ev.Playback("r1", PlaybackState.STARTED), 1.0)
    call.receive(ev.SpeechStarted("u1", 500), 2.0)
    call.receive(ev.ItemTruncated("i1", 1000), 2.0)
    call.receive(ev.AgentSaid("r1", "i1", "Your order is on its"), 2.01)
    commands = call.receive(ev.Playback("r1", PlaybackState.CLEARED), 2.02)
    commands += call.receive(ev.ResponseDone("r1", "cancelled", "turn_detected", (), None), 2.03)
    commands += call.receive(ev.Tick(), 3.0)
    cuts = records(commands, "barge_in")
    assert [cut.data["heard_ms"] for cut in cuts] in ([1000], [])
    assert not call.state.playout.unheard


def test_a_key_has_the_server_drop_what_it_plays() -> None:
    call = begun()
    speak(call, 1.0)
    assert kinds(call.receive(ev.Dtmf("1"), 2.0)).count(cmd.ClearOutput) == 1
    assert cmd.ClearOutput not in kinds(call.receive(ev.Dtmf("2"), 2.1))


def test_what_is_generated_is_cancelled_before_it_is_cleared() -> None:
    call = begun()
    call.receive(ev.ResponseCreated("r1", ""), 1.0)
    call.receive(ev.Playback("r1", PlaybackState.STARTED), 1.0)
    commands = call.receive(ev.OperatorAsked("o1", "desk", op.CancelReply()), 1.5)
    ours = [kind for kind in kinds(commands) if kind in (cmd.CancelResponse, cmd.ClearOutput)]
    assert ours == [cmd.CancelResponse, cmd.ClearOutput]


def test_a_muted_agent_is_cleared_as_often_as_it_begins_to_speak() -> None:
    call = begun()
    call.receive(ev.OperatorAsked("o1", "desk", op.MuteAgent()), 1.0)
    call.receive(ev.ResponseCreated("r1", ""), 2.0)
    assert cmd.ClearOutput in kinds(call.receive(ev.Playback("r1", PlaybackState.STARTED), 2.0))


@pytest.mark.parametrize(
    "action",
    [
        op.MuteCaller(),
        op.PressKeys("1"),
        op.CollectDigits(secure=True),
        op.Say("Listen.", interruptible=False),
        op.EndTurn(),
        op.ChangeTurns(TurnTaking(TurnMode.MANUAL)),
    ],
)
def test_what_cannot_be_done_is_refused_with_a_sentence(action: op.Action) -> None:
    call = begun()
    call.receive(ev.OperatorAsked("o1", "desk", action), 1.0)
    assert call.outcome("o1").startswith("refused: ")
    assert len(call.outcome("o1")) > 40


def test_what_can_be_done_is_done() -> None:
    call = begun()
    actions: list[op.Action] = [op.Say("Hello."), op.CollectDigits(), op.InsertMemory("x"), op.Unmute()]
    for number, action in enumerate(actions):
        call.receive(ev.OperatorAsked(f"o{number}", "desk", action), 1.0)
        assert call.outcome(f"o{number}") == "done"


def test_a_model_that_presses_keys_or_wants_secrets_is_told_why_not() -> None:
    for name, arguments in (
        ("send_digits", '{"digits": "1"}'),
        ("collect_digits", '{"max_digits": 4, "secure": true}'),
    ):
        plan = elsewhere(PLAN)
        assert name in PLAN.built_in
        call = Call(plan if name in plan.built_in else CallPlan(media_elsewhere=True, built_in=PLAN.built_in))
        for event in (ev.CallOffered(), ev.StreamStarted("rtc_1"), ev.SessionReady("s")):
            call.receive(event, 0.0)
        commands = speak(call, 1.0, calls=(ev.FunctionCall("c1", name, arguments),))
        (output,) = [command for command in commands if isinstance(command, cmd.SubmitToolOutput)]
        assert "media is elsewhere" in output.output


def test_a_new_socket_finds_the_session_as_it_is() -> None:
    call = begun()
    speak(call, 1.0, calls=(ev.FunctionCall("c1", "look", "{}"),))
    commands = call.receive(ev.ModelClosed("1006", "", False), 1.5)
    assert cmd.OpenModel in kinds(commands)
    assert call.receive(ev.ToolResult("c1", True, '{"x": 1}'), 2.0) == []
    commands = call.receive(ev.SessionReady("sess_1"), 3.0)
    outputs = [command for command in commands if isinstance(command, cmd.SubmitToolOutput)]
    assert [output.tool_call_id for output in outputs] == ["c1"]
    items = [command for command in commands if isinstance(command, cmd.CreateItem)]
    assert [item.item["role"] for item in items] == ["system"], "nothing is said again"
    call.receive(ev.OutputAccepted("c1"), 3.1)
    # What plays goes on playing, and the answer with the result waits for nothing.
    assert cmd.CreateResponse in kinds(commands)


def test_an_output_that_the_session_has_is_not_submitted_twice() -> None:
    call = begun()
    speak(call, 1.0, calls=(ev.FunctionCall("c1", "look", "{}"),))
    call.receive(ev.ToolResult("c1", True, "{}"), 1.2)
    call.receive(ev.OutputAccepted("c1"), 1.3)
    call.receive(ev.ModelClosed("1006", "", False), 1.5)
    assert cmd.SubmitToolOutput not in kinds(call.receive(ev.SessionReady("sess_1"), 3.0))


def test_an_answer_that_was_missed_is_asked_for_and_one_that_plays_is_not() -> None:
    for goes_on in (True, False):
        call = begun()
        call.receive(ev.SpeechStarted("u1", 0), 1.0)
        call.receive(ev.SpeechStopped("u1", 900), 2.0)
        call.receive(ev.ModelClosed("1006", "", False), 2.1)
        call.receive(ev.SessionReady("sess_1"), 3.0)
        if goes_on:
            call.receive(ev.Playback("r9", PlaybackState.STARTED), 3.5)
        commands = call.receive(ev.Tick(), 7.1)
        assert (cmd.CreateResponse in kinds(commands)) is not goes_on


def test_a_transfer_takes_the_call_away() -> None:
    call = begun()
    transfer = ev.FunctionCall("c1", "transfer_call", '{"target": "desk"}')
    speak(call, 1.0, calls=(transfer,))
    commands = call.receive(ev.Playback("r1", PlaybackState.STOPPED), 4.0)
    (start,) = [command for command in commands if isinstance(command, cmd.StartTransfer)]
    call.receive(ev.TransferProgress(start.transfer_id, ev.TransferState.RINGING), 4.2)
    assert call.receive(ev.ModelClosed("1000", "", False), 5.0) == []
    call.receive(ev.TransferProgress(start.transfer_id, ev.TransferState.ANSWERED), 5.0)
    assert call.end_reason is EndReason.TRANSFERRED


def test_a_warm_target_is_not_known() -> None:
    call = begun()
    transfer = ev.FunctionCall("c1", "transfer_call", '{"target": "warm"}')
    commands = speak(call, 1.0, calls=(transfer,))
    (output,) = [command for command in commands if isinstance(command, cmd.SubmitToolOutput)]
    assert "no such transfer target" in output.output


def test_a_call_that_ends_in_mid_sentence_tells_what_was_heard() -> None:
    call = begun()
    speak(call, 1.0)
    commands = call.receive(ev.LegEnded(ev.LegEnd.CALLER_HANGUP, call_over=True), 2.0)
    (heard,) = [command for command in commands if isinstance(command, cmd.Heard)]
    assert heard.ms == 1000
    (told,) = records(commands, "heard_text")
    assert TEXT.startswith(str(told.data["text"]))
    assert commands[-1] == cmd.Record("end", {"reason": "caller_hangup", "detail": ""})


def test_events_of_a_server_that_plays_mean_nothing_where_a_carrier_does() -> None:
    call = Call(CallPlan())
    call.receive(ev.CallOffered(), 0.0)
    assert call.receive(ev.Playback("r1", PlaybackState.STARTED), 0.1) == []
    assert call.receive(ev.ItemTruncated("i1", 5), 0.1) == []
