"""A call whose media is elsewhere: the model's server has the caller, we have only the events.

So much the smaller is what can be done. `elsewhere` takes out of a plan what would silently not work, and what is
asked of a running call all the same is refused with a sentence (`refusal`). Turns are taken by the server alone: it
hears the caller, answers, falls silent and cuts its own item. When the socket is lost the media goes on without us, and
so does the session: a new socket finds it as it is, except for what was told meanwhile.
"""

from dataclasses import replace

from gateway.core import operator as op
from gateway.core.commands import ClearOutput, Command, CreateItem, Record, SubmitToolOutput
from gateway.core.deadlines import Timer
from gateway.core.events import AgentSaid, ItemTruncated, Playback, PlaybackState
from gateway.core.functions import SEND_DIGITS
from gateway.core.plan import CallPlan, Filler, ToolRules, TransferMode, TurnMode, TurnTaking
from gateway.core.remoteplayout import RemotePlayout
from gateway.core.state import CallState
from gateway.core.toolcalls import ToolCallState

__all__ = ["Elsewhere", "elsewhere", "refusal"]

CONNECT_S = 8.0
RECOVER_S = 20.0
"""The media goes on meanwhile: the caller may still be heard and answered."""
MISSED_S = 4.0
"""Quiet after which, with the socket back, an answer that was due counts as missed."""
NOTE = (
    "The control connection of this call was lost for a moment and is back. A function that you called meanwhile was "
    "not carried out: if you still need its result, call it again."
)


def elsewhere(plan: CallPlan) -> CallPlan:
    """Return the plan as it can be kept where the media is elsewhere; the README of the carrier lists what goes."""
    turns = plan.turns if plan.turns.mode is not TurnMode.MANUAL else TurnTaking()
    targets = {name: to for name, to in plan.transfer_targets.items() if to.mode is TransferMode.BLIND}
    return replace(
        plan,
        media_elsewhere=True,
        greeting_interruptible=True,
        turns=replace(turns, own_ear=False),
        reversible=None,
        early_reply=None,
        transfer_targets=targets,
        tools={name: _spoken(rules) for name, rules in plan.tools.items()},
        built_in=plan.built_in - {SEND_DIGITS},
        connect_s=max(plan.connect_s, CONNECT_S),
        recover_s=max(plan.recover_s, RECOVER_S),
    )


def _spoken(rules: ToolRules) -> ToolRules:
    """A tone cannot be played: the model finds words."""
    filler = rules.filler
    return replace(rules, filler=Filler(filler.after_s)) if filler is not None and filler.sound else rules


def refusal(action: op.Action) -> str:
    """Return why an operator's command cannot be done where the media is elsewhere; "" when it can."""
    match action:
        case op.MuteCaller():
            return "the model's server hears the caller directly: they cannot be muted from here"
        case op.PressKeys():
            return "no keys can be pressed on a call whose media is elsewhere"
        case op.CollectDigits(secure=True):
            return "digits cannot be hidden from the model on a call whose media is elsewhere"
        case op.Say(interruptible=False):
            return "words cannot be protected from interruption on a call whose media is elsewhere"
        case op.EndTurn() | op.ChangeTurns(turns=TurnTaking(mode=TurnMode.MANUAL)):
            return "only the model's server can take turns on a call whose media is elsewhere"
        case _:
            return ""


class Elsewhere:
    """Keeps the account of such a call. Asked by `Call`; what it finds is cut goes into the conversation."""

    def __init__(self, state: CallState, playout: RemotePlayout) -> None:
        self._state = state
        self._playout = playout
        self._missed_s: float | None = None
        self._ours = False
        """Whether it was we who had the server fall silent."""

    @property
    def deadline(self) -> float | None:
        return self._missed_s if self._state.active else None

    def playback(self, event: Playback, now: float) -> list[Command]:
        """Take the server's word about what the caller hears."""
        self.alive()
        match event.state:
            case PlaybackState.STARTED:
                self._playout.started(event.response_id, now)
                self._state.timers.clear(Timer.SILENCE)
                latency = self._state.turn.answered(now)
                return [Record("turn_latency", {"item_id": "", "ms": latency})] if latency is not None else []
            case PlaybackState.STOPPED:
                return list(self._playout.stopped(event.response_id, now))
            case PlaybackState.CLEARED:
                self._playout.cleared(event.response_id, now)
                return []

    def truncated(self, event: ItemTruncated, now: float) -> list[Command]:
        self._playout.truncated(event.item_id, event.audio_end_ms, now)
        return []

    def said(self, event: AgentSaid, now: float) -> None:
        """The words of an item are known."""
        self._playout.said(event.response_id, event.item_id, event.text, now)

    def caller_speaks(self) -> None:
        """The server has heard the caller: it stops by itself what it plays."""
        self.alive()
        self._playout.leave_to_server()

    def alive(self) -> None:
        """Something goes on: no answer was missed."""
        self._missed_s = None

    def resume(self, now: float, *, owes: bool) -> list[Command]:
        """The socket is back. The session is the same: only outputs that it may not have got are told again."""
        state = self._state
        unheard = [call for call in state.tool_calls.untold() if call.state is ToolCallState.ANSWERED]
        outputs = [SubmitToolOutput(call.tool_call_id, call.output) for call in unheard]
        if outputs:
            state.slot.want(outputs={output.tool_call_id for output in outputs})
        elif owes and not state.tool_calls.running():
            self._missed_s = now + MISSED_S
        return [CreateItem(state.conversation.tell(NOTE)), *outputs]

    def silence(self) -> list[Command]:
        """Have the server drop what it plays, if that is wanted."""
        if not self._playout.take_silence() or not self._state.model_up:
            return []
        self._ours = True
        return [ClearOutput()]

    def settle(self, now: float) -> list[Command]:
        """Note what was cut, and do what has become due."""
        state = self._state
        settled = self._playout.settle(now)
        commands = list(settled.commands)
        for item in settled.items:
            state.conversation.cut(item.item_id, item.heard_ms, item.received_ms)
            ms = {"heard_ms": item.heard_ms, "received_ms": item.received_ms}
            commands.append(Record("cut_short" if self._ours else "barge_in", {"item_id": item.item_id, **ms}))
            said = state.conversation.cut_text(item.item_id)
            if said is not None:
                commands.append(Record("heard_text", {"item_id": item.item_id, "text": said.text, **ms, "estimate": 1}))
        if not self._playout.unheard:
            self._ours = False
        commands += self.silence()
        if self._missed_s is not None and now >= self._missed_s:
            self._missed_s = None
            if state.active and not state.talking and not state.turn.speaking:
                state.slot.want()
        return commands
