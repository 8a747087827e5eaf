"""The call: one event and the time in, commands out.

The law:

1. `Call.receive(event, now)` is the only way in; the returned commands are the only way out.
2. The core never awaits, never reads a clock, never draws a random number, never logs, never raises because of
   what a peer did. It imports the standard library and itself.
3. `Call.deadline` says when a `Tick` is due; the owner calls then, not before.
4. One owner per call, in one task group. Nothing started for a call outlives it.
5. `feed(event)` is synchronous: it steps the core and hands every command to its adapter's `send(command)`, which
   never awaits and never blocks. So no lock exists, and a socket callback may call `feed` directly.
6. What an adapter has accepted but not yet written is bounded; when the bound is reached the call ends with a reason.
7. Every call has exactly one end record, whatever happened, cancellation included.

Theory. A call needs two ends: the leg (the carrier's stream) and the model's session; it is ACTIVE once both are up.
The caller is never left on a silent line: every wait for the model has a deadline. A lost, silent or failing model is
replaced once by a new session that is told what was said (RECOVERING); when that fails, the stream is ended and the
carrier goes on with its next instruction, an apology. ENDING covers the goodbye and the wait for the stream to close.
"""

from enum import Enum
from typing import assert_never

from gateway.core import events as ev
from gateway.core.commands import (
    AppendAudio,
    CancelResponse,
    CancelTool,
    CloseModel,
    Command,
    EndReason,
    HangUp,
    OpenModel,
    Record,
    SubmitToolOutput,
)
from gateway.core.conversation import Conversation
from gateway.core.deadlines import Deadlines, Timer
from gateway.core.early import EarlyAudio
from gateway.core.plan import CallPlan
from gateway.core.playout import Playout
from gateway.core.recovery import Recovery, is_permanent
from gateway.core.responses import ResponseSlot, SlotState
from gateway.core.toolcalls import ToolCalls, error_output
from gateway.core.turns import TurnClock

__all__ = ["TRANSITIONS", "Call", "Phase"]

SILENT = "silent"
"""`ModelClosed.code` of a session that was given up because its server said nothing at all."""
HANG_UP_TOOL = "hang_up"
"""The built-in function with which the model ends the call."""
MAX_CALLS = 16
"""Function calls that may run at once; a model that asks for more gets an error."""
WISH_S = 1.5
"""After caller speech the server begins a response by itself; how long to leave it that chance."""
GOODBYE_S = 15.0
"""Longest time from deciding to hang up to hanging up."""
LAST_ANSWER_S = 6.0
"""How much of an answer may still be heard before the goodbye at a limit; a longer one is cut short."""
HEARD_GRACE_S = 0.5
"""How long after its end by the clock the last mark is waited for, before the goodbye counts as heard."""
LEG_S = 5.0
"""How long a stream that we ended may take to say so."""


class Phase(Enum):
    """Where a call stands."""

    CONNECTING = "connecting"
    ACTIVE = "active"
    RECOVERING = "recovering"
    ENDING = "ending"
    ENDED = "ended"


TRANSITIONS: dict[Phase, frozenset[Phase]] = {
    Phase.CONNECTING: frozenset({Phase.ACTIVE, Phase.ENDING, Phase.ENDED}),
    Phase.ACTIVE: frozenset({Phase.RECOVERING, Phase.ENDING, Phase.ENDED}),
    Phase.RECOVERING: frozenset({Phase.ACTIVE, Phase.ENDING, Phase.ENDED}),
    Phase.ENDING: frozenset({Phase.ENDED}),
    Phase.ENDED: frozenset(),
}


class Call:
    """One phone call. See the law above."""

    def __init__(self, plan: CallPlan) -> None:
        self.plan = plan
        self.phase = Phase.CONNECTING
        self.end_reason: EndReason | None = None
        self.playout = Playout(plan.lead_ms)
        self.slot = ResponseSlot()
        self.tool_calls = ToolCalls()
        self.conversation = Conversation()
        self._timers = Deadlines()
        self._early = EarlyAudio()
        self._turn = TurnClock()
        self._recovery = Recovery()
        self._stream_up = self._model_up = False
        self._audible = ""

    @property
    def deadline(self) -> float | None:
        """When the next `Tick` is due; None when nothing is awaited."""
        if self.phase is Phase.ENDED:
            return None
        last_words = self._saying_goodbye and self._all_said and self.playout.unheard
        heard_by = self.playout.ends_s() + HEARD_GRACE_S if last_words else None
        candidates = (self._timers.earliest, self.playout.deadline, self.tool_calls.deadline, heard_by)
        return min((at for at in candidates if at is not None), default=None)

    def receive(self, event: ev.Event, now: float) -> list[Command]:
        """Take one event and return what is to be done, in order. `now` must not go back. Never raises."""
        if self.phase is Phase.ENDED:
            return []
        match event:
            case ev.CallerAudio():
                return self._caller_audio(event)
            case ev.AudioDelta():
                return self._audio_delta(event, now)
            case ev.StreamStarted() | ev.MarkPlayed() | ev.Dtmf() | ev.LegEnded():
                commands = self._from_leg(event, now)
            case ev.SpeechStarted() | ev.SpeechStopped() | ev.CallerSaid() | ev.AgentSaid():
                commands = self._from_speech(event, now)
            case ev.SessionReady() | ev.ModelClosed() | ev.ModelFault():
                commands = self._from_session(event, now)
            case ev.ResponseCreated() | ev.ResponseDone() | ev.OutputAccepted() | ev.ToolResult():
                commands = self._from_responses(event, now)
            case ev.CallOffered() | ev.Tick() | ev.Spent() | ev.DrainAsked() | ev.StopAsked():
                commands = self._from_owner(event, now)
            case ev.VoiceStarted() | ev.VoiceStopped() | ev.InputCommitted() | ev.OperatorAsked():
                return []
            case ev.TransferProgress() | ev.SecretKept():
                return []
            case _:
                assert_never(event)
        return commands + self._settle(now)

    # --- groups of events ---------------------------------------------------------------------

    def _from_leg(self, event: ev.StreamStarted | ev.MarkPlayed | ev.Dtmf | ev.LegEnded, now: float) -> list[Command]:
        match event:
            case ev.MarkPlayed():
                return list(self.playout.played(event.name, now))
            case ev.StreamStarted():
                return self._stream_started(now)
            case ev.Dtmf():
                return []
            case ev.LegEnded():
                return self._leg_ended(event, now)

    def _from_speech(
        self, event: ev.SpeechStarted | ev.SpeechStopped | ev.CallerSaid | ev.AgentSaid, now: float
    ) -> list[Command]:
        match event:
            case ev.SpeechStarted():
                return self._speech_started(event, now)
            case ev.SpeechStopped():
                return self._speech_stopped(now)
            case ev.CallerSaid():
                self.conversation.say(event.item_id, "user", event.text)
            case ev.AgentSaid():
                self.conversation.say(event.item_id, "assistant", event.text)
        return []

    def _from_session(self, event: ev.SessionReady | ev.ModelClosed | ev.ModelFault, now: float) -> list[Command]:
        match event:
            case ev.SessionReady():
                return self._session_ready(now)
            case ev.ModelClosed():
                return self._model_closed(event, now)
            case ev.ModelFault():
                return self._model_fault(event)

    def _from_responses(
        self, event: ev.ResponseCreated | ev.ResponseDone | ev.OutputAccepted | ev.ToolResult, now: float
    ) -> list[Command]:
        match event:
            case ev.ResponseCreated():
                return self._response_created(event)
            case ev.ResponseDone():
                return self._response_done(event, now)
            case ev.OutputAccepted():
                self.tool_calls.accepted(event.tool_call_id)
                self.slot.output_accepted(event.tool_call_id)
                return []
            case ev.ToolResult():
                return self._tool_result(event)

    def _from_owner(
        self, event: ev.CallOffered | ev.Tick | ev.Spent | ev.DrainAsked | ev.StopAsked, now: float
    ) -> list[Command]:
        match event:
            case ev.CallOffered():
                self._timers.set(Timer.START, now + self.plan.start_s)
                return [OpenModel()]
            case ev.Tick():
                return self._tick(now)
            case ev.Spent():
                limit = self.plan.max_cost_usd
                over = limit is not None and event.usd >= limit and self.phase is not Phase.ENDING
                return self._goodbye(EndReason.COST_LIMIT, now) if over else []
            case ev.DrainAsked():
                return self._hang_up(self._own_end or EndReason.HANDED_OVER, now)
            case ev.StopAsked():
                return [
                    Record("stop", {"reason": event.reason}),
                    *self._hang_up(self._own_end or EndReason.STOPPED, now),
                ]

    # --- audio --------------------------------------------------------------------------------

    def _caller_audio(self, event: ev.CallerAudio) -> list[Command]:
        if self._model_up and self._stream_up:
            return [AppendAudio(event.payload)]
        self._early.keep(event.payload)
        return []

    def _audio_delta(self, event: ev.AudioDelta, now: float) -> list[Command]:
        both_up = self._model_up and self._stream_up
        if not both_up or self._hanging_up or self.playout.is_cut(event.response_id):
            return []
        if self.slot.state is SlotState.ACTIVE:
            # The rest of the answer must come as well; `response.done` ends the wait.
            self._timers.set(Timer.SILENCE, now + self.plan.answer_s)
        else:
            self._timers.clear(Timer.SILENCE)
        self._audible = event.response_id
        self.conversation.place(event.item_id, "assistant")
        commands = self.playout.receive(event.response_id, event.item_id, event.payload, now)
        latency = self._turn.answered(now)
        if latency is not None:
            commands.append(Record("turn_latency", {"item_id": event.item_id, "ms": latency}))
        return commands

    # --- both ends ----------------------------------------------------------------------------

    def _stream_started(self, now: float) -> list[Command]:
        if self._stream_up:
            return []
        self._stream_up = True
        self._timers.clear(Timer.START)
        self._timers.set(Timer.DURATION, now + self.plan.max_duration_s)
        if self.end_reason is not None:
            return self._hang_up(self.end_reason, now)
        if self._model_up:
            return self._activate()
        self._timers.set(Timer.CONNECT, now + self.plan.connect_s)
        return []

    def _session_ready(self, now: float) -> list[Command]:
        self._model_up = True
        if self.phase is Phase.RECOVERING:
            return self._resume(now)
        return self._activate() if self._stream_up and self.phase is Phase.CONNECTING else []

    def _activate(self) -> list[Command]:
        self._timers.clear(Timer.CONNECT)
        self._enter(Phase.ACTIVE)
        if self.plan.greeting is not None:
            self.slot.want(f'{self.plan.instructions}\n\nSay exactly: "{self.plan.greeting}"')
        return list(self._early.release())

    def _resume(self, now: float) -> list[Command]:
        self._timers.clear(Timer.RECOVER)
        self._enter(Phase.ACTIVE)
        seed = self._recovery.seed(self.conversation, self.tool_calls)
        # While a function call runs its result is what is waited for; asked before, the model would call again.
        if self._recovery.owes_answer(self.conversation) and not self.tool_calls.running():
            self.slot.want()
        outputs = [SubmitToolOutput(call.tool_call_id, call.output) for call in self.tool_calls.submit_again()]
        if outputs:
            self.slot.want(outputs={output.tool_call_id for output in outputs})
        return [Record("recovered", {"after_s": self._recovery.took(now)}), *seed, *outputs, *self._early.release()]

    def _leg_ended(self, event: ev.LegEnded, now: float) -> list[Command]:
        """A stream that we ended, or that broke after we had decided to, ends for our reason: it must not resume."""
        hung_up = event.reason is ev.LegEnd.CALLER_HANGUP and not self._hanging_up
        ours = None if hung_up else self._own_end
        return self._end(ours or EndReason(event.reason.value), "" if self._hanging_up else event.detail, now)

    # --- loss of the model --------------------------------------------------------------------

    def _model_closed(self, event: ev.ModelClosed, now: float) -> list[Command]:
        was_up, self._model_up = self._model_up, False
        if self.phase is Phase.ENDING:
            self.slot.reset()
            return []
        if was_up and not event.permanent:
            silent = event.code == SILENT
            return self._recover(EndReason.MODEL_SILENT if silent else EndReason.MODEL_LOST, now)
        if event.permanent:
            return self._fail(EndReason.MODEL_REFUSED, now)
        lost = self.phase is Phase.RECOVERING
        return self._fail(self._recovery.reason if lost else EndReason.MODEL_UNREACHABLE, now)

    def _recover(self, reason: EndReason, now: float) -> list[Command]:
        """Open a new session and tell it what was said; when that was tried too often, give up."""
        if self.phase is Phase.CONNECTING:
            if not self._recovery.begin(reason, now, answering=False):
                return self._fail(reason, now)
            return [Record("recover", {"reason": reason.value}), CloseModel(), OpenModel()]
        if self.phase is not Phase.ACTIVE:
            return []
        if not self._recovery.begin(reason, now, answering=self.slot.state is not SlotState.FREE or self.slot.wanted):
            return self._fail(reason, now)
        self._enter(Phase.RECOVERING)
        self._model_up = False
        self.slot.reset()
        self.playout.detach()
        self._turn.reset()
        self._timers.clear(Timer.SILENCE, Timer.WISH)
        self._timers.set(Timer.RECOVER, now + self.plan.recover_s)
        return [Record("recover", {"reason": reason.value}), CloseModel(), OpenModel()]

    def _fail(self, reason: EndReason, now: float) -> list[Command]:
        """Without a model there is nothing to say: end the stream, the carrier goes on with the apology."""
        self._model_up = False
        if self._stream_up:
            return self._hang_up(reason, now)
        self.end_reason = reason
        return []

    def _model_fault(self, event: ev.ModelFault) -> list[Command]:
        if event.code == "conversation_already_has_active_response":
            self.slot.refused(event.wish_id)
            self.slot.busy()
        elif event.wish_id:
            self.slot.rejected(event.wish_id)
        return []

    # --- turns --------------------------------------------------------------------------------

    def _speech_started(self, event: ev.SpeechStarted, now: float) -> list[Command]:
        self.conversation.place(event.item_id, "user")
        self._turn.started()
        self._timers.clear(Timer.SILENCE, Timer.WISH)
        if self.phase is not Phase.ACTIVE:
            return []
        return self._fall_silent("barge_in", now)

    def _fall_silent(self, why: str, now: float) -> list[Command]:
        """Stop what is played and being said, and tell the model what of it was heard."""
        interruption = self.playout.interrupt(now, self.slot.response_id)
        commands = list(interruption.commands)
        for item in interruption.items:
            self.conversation.cut(item.item_id, item.heard_ms, item.received_ms)
            cut: dict[str, str | int | float] = {"heard_ms": item.heard_ms, "received_ms": item.received_ms}
            commands.append(Record(why, {"item_id": item.item_id, **cut}))
        return commands

    def _speech_stopped(self, now: float) -> list[Command]:
        self._turn.stopped(now - self.plan.turns.known_silence_ms / 1000)
        if self.phase is Phase.ACTIVE:
            self._timers.set(Timer.SILENCE, now + self.plan.answer_s)
            self._timers.set(Timer.WISH, now + WISH_S)
        return []

    def _response_created(self, event: ev.ResponseCreated) -> list[Command]:
        self._timers.clear(Timer.WISH)
        self.slot.created(event.response_id, event.wish_id)
        self.tool_calls.seen_by(event.response_id)
        if event.wish_id and self._turn.speaking and self.phase is Phase.ACTIVE:
            # It was created after the caller began to speak, so the server does not interrupt it.
            self.playout.silence(event.response_id)
            return [CancelResponse(event.response_id)]
        return []

    def _response_done(self, event: ev.ResponseDone, now: float) -> list[Command]:
        mine = self.slot.done(event.response_id)
        commands = self.playout.finish(event.response_id, now)
        unheard = event.status == "incomplete" and self._audible != event.response_id
        if (event.status == "failed" or unheard) and self.phase is Phase.ACTIVE:
            give_up = is_permanent(event.reason)
            reason = EndReason.RESPONSE_FAILED
            return commands + (self._fail(reason, now) if give_up else self._recover(reason, now))
        if mine and event.status != "cancelled" and self._audible == event.response_id:
            # One that brought nothing to hear is no answer: the wait goes on.
            self._timers.clear(Timer.SILENCE)
        if event.status == "completed":
            self.tool_calls.told_by(event.response_id)
        if event.status != "completed" or self.phase is not Phase.ACTIVE:
            return commands
        for call in event.calls:
            commands += self._function_call(call, event.response_id, now)
        if self.tool_calls.running() or self.slot.wanted:
            self._timers.clear(Timer.SILENCE)
        return commands

    # --- tools --------------------------------------------------------------------------------

    def _function_call(self, call: ev.FunctionCall, response_id: str, now: float) -> list[Command]:
        if call.name == HANG_UP_TOOL and HANG_UP_TOOL in self.plan.built_in:
            output = SubmitToolOutput(call.tool_call_id, '{"ok": true}')
            return [output, *self._goodbye(EndReason.AGENT_HANGUP, now)]
        if len(self.tool_calls.running()) >= MAX_CALLS:
            self.slot.want(outputs={call.tool_call_id})
            return [SubmitToolOutput(call.tool_call_id, error_output("too many function calls at once"))]
        deadline_s = self.plan.tool_deadline_s.get(call.name, self.plan.default_tool_deadline_s)
        if self.tool_calls.repeated(call.tool_call_id, response_id):
            # It will not run again, and the model waits: let it speak with the output that it has.
            self.slot.want()
        return list(self.tool_calls.start(call, response_id, deadline_s, now))

    def _tool_result(self, event: ev.ToolResult) -> list[Command]:
        call = self.tool_calls.answer(event.tool_call_id, event.output)
        if call is None:
            return [Record("tool_result_ignored", {"tool_call_id": event.tool_call_id})]
        if not self._model_up:
            return []
        if not self.tool_calls.waiting_for(call.response_id):
            self.slot.want(outputs=self.tool_calls.unaccepted(call.response_id))
        return [SubmitToolOutput(event.tool_call_id, event.output)]

    # --- time ---------------------------------------------------------------------------------

    def _tick(self, now: float) -> list[Command]:
        commands = self.playout.release(now)
        for call in self.tool_calls.expired(now):
            late = ev.ToolResult(call.tool_call_id, False, error_output("the system did not answer in time"))
            commands += [Record("tool_timeout", {"tool_call_id": call.tool_call_id}), CancelTool(call.tool_call_id)]
            commands += self._tool_result(late)
        for timer in self._timers.due(now):
            commands += self._timer(timer, now)
        return commands

    def _timer(self, timer: Timer, now: float) -> list[Command]:
        match timer:
            case Timer.START:
                return self._end(self.end_reason or EndReason.NEVER_STARTED, "", now)
            case Timer.CONNECT:
                return self._fail(EndReason.MODEL_UNREACHABLE, now)
            case Timer.RECOVER:
                return self._fail(self._recovery.reason, now)
            case Timer.SILENCE:
                return self._recover(EndReason.MODEL_SILENT, now)
            case Timer.DURATION:
                return self._goodbye(EndReason.DURATION_LIMIT, now) if self.phase is not Phase.ENDING else []
            case Timer.GOODBYE:
                return self._hang_up(self.end_reason or EndReason.AGENT_HANGUP, now)
            case Timer.LEG:
                return self._end(self.end_reason or EndReason.LEG_LOST, "", now)
            case Timer.WISH:
                return []

    def _settle(self, now: float) -> list[Command]:
        """What may have become possible by any event: asking for a wish, hanging up after the goodbye."""
        if self.phase is Phase.ENDED or self._hanging_up:
            return []
        commands: list[Command] = []
        may_ask = self._model_up and not self._turn.speaking and not self._timers.is_set(Timer.WISH)
        if may_ask and self.phase in (Phase.ACTIVE, Phase.ENDING):
            asked = self.slot.ask()
            if asked:
                self._timers.set(Timer.SILENCE, now + self.plan.answer_s)
            commands += asked
        if self._saying_goodbye and self._goodbye_heard(now):
            commands += self._hang_up(self.end_reason or EndReason.AGENT_HANGUP, now)
        return commands

    # --- the end ------------------------------------------------------------------------------

    @property
    def _hanging_up(self) -> bool:
        return self._timers.is_set(Timer.LEG)

    @property
    def _own_end(self) -> EndReason | None:
        """Why we decided to end the call, if we did."""
        return self.end_reason if self.phase is Phase.ENDING else None

    @property
    def _saying_goodbye(self) -> bool:
        return self.phase is Phase.ENDING and not self._hanging_up

    def _goodbye(self, reason: EndReason, now: float) -> list[Command]:
        """End the call once the caller has heard the last words; ask for them if the agent has not said any."""
        if self.phase is not Phase.ACTIVE:
            return self._hang_up(reason, now) if self.phase is not Phase.ENDING else []
        self._enter(Phase.ENDING)
        self.end_reason = reason
        self._timers.clear(Timer.SILENCE, Timer.WISH, Timer.DURATION)
        self._timers.set(Timer.GOODBYE, now + GOODBYE_S)
        self._turn.reset()
        if reason is EndReason.AGENT_HANGUP and not self.conversation.unanswered():
            return []
        commands: list[Command] = []
        if self.playout.left_s(now) > LAST_ANSWER_S:
            # Else the goodbye would come too late to be heard.
            commands = self._fall_silent("cut_short", now)
            if self.slot.response_id:
                commands.append(CancelResponse(self.slot.response_id))
        self.slot.want(self.plan.goodbye)
        return commands

    def _goodbye_heard(self, now: float) -> bool:
        if self.playout.waiting():
            return False
        heard = not self.playout.unheard or now >= self.playout.ends_s() + HEARD_GRACE_S
        return heard and self._all_said

    @property
    def _all_said(self) -> bool:
        return self.slot.state is SlotState.FREE and not self.slot.wanted

    def _hang_up(self, reason: EndReason, now: float) -> list[Command]:
        """End the stream. Its end is then reported by the leg; LEG_S bounds that."""
        if self._hanging_up:
            return []
        self.end_reason = reason
        if not self._stream_up:
            return self._end(reason, "", now)
        if self.phase is not Phase.ENDING:
            self._enter(Phase.ENDING)
        self._timers.clear_all()
        self._timers.set(Timer.LEG, now + LEG_S)
        self._model_up = False
        return [*self.playout.close(now), CloseModel(), HangUp(reason)]

    def _end(self, reason: EndReason, detail: str, now: float) -> list[Command]:
        self.end_reason = reason
        commands: list[Command] = list(self.playout.close(now))
        commands += [CancelTool(call.tool_call_id) for call in self.tool_calls.running()]
        self._timers.clear_all()
        self._enter(Phase.ENDED)
        return [*commands, CloseModel(), Record("end", {"reason": reason.value, "detail": detail})]

    def _enter(self, phase: Phase) -> None:
        assert phase in TRANSITIONS[self.phase], f"{self.phase} to {phase}"
        self.phase = phase
