"""Random histories of calls whose media is elsewhere: nothing is played, one end, and time always leads to it."""

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core import Call, Phase
from gateway.core import commands as cmd
from gateway.core import events as ev
from gateway.core import operator as op
from gateway.core.elsewhere import elsewhere
from gateway.core.events import PlaybackState
from gateway.core.plan import CallPlan, Idle, TransferTarget

PLAN = CallPlan(
    greeting="Hello.",
    idle=Idle(),
    transfer_targets={"desk": TransferTarget("+14155550100")},
    built_in=frozenset({"hang_up", "transfer_call", "collect_digits"}),
    max_duration_s=120.0,
)
IMPOSSIBLE = (
    cmd.PlayAudio,
    cmd.SendMark,
    cmd.ClearAudio,
    cmd.SendDigits,
    cmd.AppendAudio,
    cmd.CommitInput,
    cmd.TruncateItem,
    cmd.CompleteTransfer,
)
MOST_TICKS = 400

responses, items, users = st.sampled_from(["r1", "r2", "r3"]), st.sampled_from(["i1", "i2", "i3"]), st.just("u1")
words = st.sampled_from(["", "Yes.", "Your order is on its way and will be with you tomorrow."])
calls = st.sampled_from(
    [
        (),
        (ev.FunctionCall("c1", "look", "{}"),),
        (ev.FunctionCall("c2", "hang_up", "{}"),),
        (ev.FunctionCall("c3", "transfer_call", '{"target": "desk"}'),),
        (ev.FunctionCall("c4", "collect_digits", '{"max_digits": 2}'),),
    ]
)
actions = st.sampled_from(
    [op.MuteCaller(), op.MuteAgent(), op.Unmute(), op.Say("Hm."), op.CancelReply(), op.ForceReply(), op.EndCall()]
)
happenings = st.one_of(
    st.builds(ev.ResponseCreated, responses, st.sampled_from(["", "w1", "w2"])),
    st.builds(ev.Playback, responses, st.sampled_from(PlaybackState)),
    st.builds(ev.ItemTruncated, items, st.integers(0, 10_000)),
    st.builds(ev.AgentSaid, responses, items, words),
    st.builds(ev.ResponseDone, responses, st.sampled_from(["completed", "cancelled", "failed"]), st.just(""), calls),
    st.builds(ev.SpeechStarted, users, st.just(0)),
    st.builds(ev.SpeechStopped, users, st.just(500)),
    st.builds(ev.CallerSaid, users, words),
    st.builds(ev.AudioDelta, responses, items, st.just("////")),
    st.builds(ev.Dtmf, st.sampled_from("1#")),
    st.builds(ev.ToolResult, st.just("c1"), st.booleans(), st.just("{}")),
    st.builds(ev.OutputAccepted, st.sampled_from(["c1", "c2"])),
    st.builds(ev.ModelClosed, st.sampled_from(["1006", "silent"]), st.just(""), st.just(False)),
    st.builds(ev.SessionReady, st.just("s")),
    st.builds(ev.TransferProgress, st.just("t1"), st.sampled_from(ev.TransferState)),
    st.builds(ev.OperatorAsked, st.uuids().map(str), st.just("desk"), actions),
    st.builds(ev.ModelFault, st.sampled_from(["conversation_already_has_active_response", "x"]), st.just("")),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(happenings, st.floats(0, 3)), max_size=25))
def test_whatever_happens_nothing_is_played_and_the_call_ends_once(history: list[tuple[ev.Event, float]]) -> None:
    call = Call(elsewhere(PLAN))
    now, said = 0.0, list[cmd.Command]()
    for begins in (ev.CallOffered(), ev.StreamStarted("rtc_1"), ev.SessionReady("s")):
        said += call.receive(begins, now)
    for event, after_s in history:
        now += after_s
        said += call.receive(event, now)
    for _ in range(MOST_TICKS):
        if call.phase is Phase.ENDED:
            break
        assert call.deadline is not None, "nothing would ever end it"
        now = max(now, call.deadline)
        said += call.receive(ev.Tick(), now)
    assert call.phase is Phase.ENDED
    assert not [command for command in said if isinstance(command, IMPOSSIBLE)]
    assert len([command for command in said if isinstance(command, cmd.Record) and command.kind == "end"]) == 1
    asked = [command for command in said if isinstance(command, cmd.CreateResponse)]
    assert len({command.wish_id for command in asked}) >= 1
    heard = [command for command in said if isinstance(command, cmd.Heard)]
    assert all(command.payload == "" and command.ms > 0 for command in heard)
