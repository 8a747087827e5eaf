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
carrier goes on with its next instruction, an apology. TRANSFERRING: the carrier moves the caller to a human, so the
stream may end and come back. ENDING covers the goodbye and the wait for the stream to close.

This file knows the phases and hands everything else to the part whose matter it is: `speaking.py` (turns of both
sides), `invoking.py` (function calls), `keypad.py` (keys), `moving.py` (transfers), `presence.py` (callers who have
gone silent), `beginning.py`, `ending.py`, `operations.py` (what operators ask).
"""

from typing import assert_never

from gateway.core import events as ev
from gateway.core.beginning import Beginning
from gateway.core.commands import CloseModel, Command, EndReason, OpenModel, Record, SendDigits
from gateway.core.deadlines import Timer
from gateway.core.digits import KEY_S
from gateway.core.elsewhere import Elsewhere
from gateway.core.ending import Ending
from gateway.core.invoking import OK_OUTPUT, Invoking
from gateway.core.keypad import Keypad
from gateway.core.moving import Moving, failed_output, failed_text
from gateway.core.moving import Step as MovingStep
from gateway.core.operations import Operations
from gateway.core.plan import CallPlan
from gateway.core.presence import Presence
from gateway.core.recovery import Recovery, is_permanent, submitted
from gateway.core.remoteplayout import RemotePlayout
from gateway.core.responses import SlotState
from gateway.core.speaking import Speaking
from gateway.core.state import TRANSITIONS, CallState, Phase
from gateway.core.telling import Telling

__all__ = ["TRANSITIONS", "Call", "Phase"]

SILENT = "silent"
"""`ModelClosed.code` of a session that was given up because its server said nothing at all."""
BUSY_S = 2.0
"""How long a response that the server says is active, and that we know nothing of, keeps ours waiting."""


class Call:
    """One phone call. See the law above."""

    def __init__(self, plan: CallPlan) -> None:
        self.plan = plan
        self.state = CallState(plan)
        self._speaking = Speaking(self.state)
        self._keypad = Keypad(self.state, self._speaking)
        self._moving = Moving(self.state, self._speaking)
        self._ending = Ending(self.state, self._speaking)
        self._presence = Presence(self.state, self._speaking, self._keypad, self._ending)
        self._operations = Operations(self.state, self._speaking, self._keypad, self._moving)
        self._invoking = Invoking(
            self.state, self._speaking, self._keypad, self._moving, self._operations, self._ending
        )
        self._beginning = Beginning(self.state, self._speaking, self._invoking.corrections)
        self._recovery = Recovery()
        self._pressing_s: float | None = None
        """Until when keys sound that were sent; the line stays up for them."""
        self._audible = ""
        """The response whose audio came last."""
        self._audible_item = ""
        """The item whose audio came last."""
        self._telling = Telling(self.state)
        remote = self.state.playout if isinstance(self.state.playout, RemotePlayout) else None
        self._elsewhere = Elsewhere(self.state, remote) if remote is not None else None

    @property
    def phase(self) -> Phase:
        return self.state.phase

    @property
    def end_reason(self) -> EndReason | None:
        return self.state.end_reason

    @property
    def hidden(self) -> bool:
        """Whether what the caller says and keys now must be shown to nobody: neither journal nor recording."""
        return self._keypad.hidden

    @property
    def keys_hidden(self) -> bool:
        """Whether a key that the caller presses now must be shown to nobody."""
        return self._keypad.keys_hidden

    @property
    def deadline(self) -> float | None:
        """When the next `Tick` is due; None when nothing is awaited."""
        state = self.state
        if state.phase is Phase.ENDED:
            return None
        candidates = (
            state.timers.earliest,
            state.playout.deadline,
            state.tool_calls.deadline,
            state.transfer.deadline if state.phase is not Phase.ENDING else None,
            self._ending.deadline,
            self._speaking.deadline if state.active else None,
            self._keypad.deadline,
            self._keys_out_at,
            None if self._ending.hanging_up else self._pressing_s,
            self._presence.deadline,
            self._invoking.deadline,
            self._elsewhere.deadline if self._elsewhere is not None else None,
        )
        return min((at for at in candidates if at is not None), default=None)

    def outcome(self, command_id: str) -> str:
        """Return what became of an operator's command: "done", or "refused: why"; "" for one never asked."""
        return self._operations.outcome(command_id)

    def fail(self) -> None:
        """The owner gives the call up because of an error of ours; only the end record is left to write."""
        self.state.end_reason = EndReason.INTERNAL_ERROR

    def receive(self, event: ev.Event, now: float) -> list[Command]:  # noqa: C901 - one case per group of events
        """Take one event and return what is to be done, in order. `now` must not go back. Never raises."""
        if self.state.phase is Phase.ENDED:
            return []
        match event:
            case ev.CallerAudio():
                return self._speaking.caller_audio(event.payload, hidden=self._keypad.hidden)
            case ev.AudioDelta():
                return self._audio_delta(event, now)
            case ev.StreamStarted() | ev.MarkPlayed() | ev.Dtmf() | ev.LegEnded():
                commands = self._from_leg(event, now)
            case ev.SpeechStarted() | ev.SpeechStopped() | ev.VoiceStarted() | ev.VoiceStopped():
                commands = self._from_ears(event, now)
            case ev.CallerSaid() | ev.AgentSaid() | ev.InputCommitted():
                commands = self._from_words(event, now)
            case ev.SessionReady() | ev.ModelClosed() | ev.ModelFault():
                commands = self._from_session(event, now)
            case ev.ResponseCreated() | ev.ResponseDone() | ev.OutputAccepted() | ev.ToolResult():
                commands = self._from_responses(event, now)
            case ev.Playback() | ev.ItemTruncated():
                commands = self._from_elsewhere(event, now)
            case ev.TransferProgress() | ev.SecretKept() | ev.OperatorAsked():
                commands = self._from_people(event, now)
            case ev.CallOffered() | ev.Briefed() | ev.Tick() | ev.Spent() | ev.DrainAsked() | ev.StopAsked():
                commands = self._from_owner(event, now)
            case _:
                assert_never(event)
        settled = commands + self._settle(now)
        return settled + self._elsewhere.silence() if self._elsewhere is not None else settled

    @property
    def _over(self) -> bool:
        return self.state.phase is Phase.ENDED

    # --- groups of events ---------------------------------------------------------------------

    def _from_leg(self, event: ev.StreamStarted | ev.MarkPlayed | ev.Dtmf | ev.LegEnded, now: float) -> list[Command]:
        match event:
            case ev.MarkPlayed():
                return list(self.state.playout.played(event.name, now))
            case ev.StreamStarted():
                return self._stream_started(event, now)
            case ev.Dtmf():
                self._presence.sign(now)
                taken = self._keypad.keys_hidden or self._keypad.collecting
                agreed = [] if taken else self._invoking.pressed(event.digit)
                return agreed + self._keypad.press(event.digit, now)
            case ev.LegEnded():
                return self._leg_ended(event, now)

    def _from_ears(
        self, event: ev.SpeechStarted | ev.SpeechStopped | ev.VoiceStarted | ev.VoiceStopped, now: float
    ) -> list[Command]:
        match event:
            case ev.SpeechStarted():
                silenced = self._speaking.speech_started(event, now)
                if self._elsewhere is not None:
                    self._elsewhere.caller_speaks()
                return silenced
            case ev.SpeechStopped():
                if not self.plan.transcribes:
                    self._presence.sign(now)
                return self._speaking.speech_stopped(event, now)
            case ev.VoiceStarted():
                self._presence.voice(event, now)
                # Who is muted, or keys in a secret, is not heard by our own ear either.
                deaf = self._keypad.hidden or self._speaking.caller_muted
                return [] if deaf else self._speaking.voice_started(event, now)
            case ev.VoiceStopped():
                self._presence.voice(event, now)
                return self._speaking.voice_stopped(event, now)

    def _from_words(self, event: ev.CallerSaid | ev.AgentSaid | ev.InputCommitted, now: float) -> list[Command]:
        match event:
            case ev.CallerSaid():
                if any(character.isalnum() for character in event.text):
                    self._presence.sign(now)
                return [*self._invoking.consents.caller_said(event.text), *self._speaking.caller_said(event, now)]
            case ev.AgentSaid():
                said = self._speaking.agent_said(event)
                if self._elsewhere is not None and event.text:
                    self._elsewhere.said(event, now)
                    self._audible, self._audible_item = event.response_id, event.item_id
                self._invoking.corrections.said(event.item_id, event.text)
                return said
            case ev.InputCommitted():
                self._speaking.committed(event.item_id)
                return []

    def _from_session(self, event: ev.SessionReady | ev.ModelClosed | ev.ModelFault, now: float) -> list[Command]:
        match event:
            case ev.SessionReady():
                return self._session_ready(now)
            case ev.ModelClosed():
                return self._model_closed(event, now)
            case ev.ModelFault():
                return self._model_fault(event, now)

    def _from_responses(
        self, event: ev.ResponseCreated | ev.ResponseDone | ev.OutputAccepted | ev.ToolResult, now: float
    ) -> list[Command]:
        match event:
            case ev.ResponseCreated():
                if self._elsewhere is not None:
                    self._elsewhere.alive()
                commands = self._speaking.response_created(event)
                self._invoking.seen_by(event.response_id)
                return commands
            case ev.ResponseDone():
                return self._response_done(event, now)
            case ev.OutputAccepted():
                self.state.tool_calls.accepted(event.tool_call_id)
                self.state.slot.output_accepted(event.tool_call_id)
                return []
            case ev.ToolResult():
                return self._invoking.result(event, now)

    def _from_elsewhere(self, event: ev.Playback | ev.ItemTruncated, now: float) -> list[Command]:
        if self._elsewhere is None:
            return []
        match event:
            case ev.Playback():
                return self._elsewhere.playback(event, now)
            case ev.ItemTruncated():
                return self._elsewhere.truncated(event, now)

    def _from_people(self, event: ev.TransferProgress | ev.SecretKept | ev.OperatorAsked, now: float) -> list[Command]:
        match event:
            case ev.TransferProgress():
                return self._moved(self._moving.progress(event, now), now)
            case ev.SecretKept():
                self._keypad.secret_kept(event.secret_id, event.token)
                return []
            case ev.OperatorAsked():
                return self._operations.ask(event, now, self._operator_ends)

    def _from_owner(
        self,
        event: ev.CallOffered | ev.Briefed | ev.Tick | ev.Spent | ev.DrainAsked | ev.StopAsked,
        now: float,
    ) -> list[Command]:
        own_end = self._ending.own_end
        match event:
            case ev.CallOffered():
                self._beginning.offered(now)
                return [OpenModel()]
            case ev.Briefed():
                return [*self._beginning.briefed(event), *self._begin(now)]
            case ev.Tick():
                return self._tick(now)
            case ev.Spent():
                limit = self.plan.max_cost_usd
                leaving = self.state.phase in (Phase.ENDING, Phase.TRANSFERRING)
                over = limit is not None and event.usd >= limit and not leaving
                return self._ending.goodbye(EndReason.COST_LIMIT, now) if over else []
            case ev.DrainAsked():
                return self._ending.hang_up(own_end or EndReason.HANDED_OVER, now)
            case ev.StopAsked():
                stopped = self._ending.hang_up(own_end or EndReason.STOPPED, now)
                return [Record("stop", {"reason": event.reason}), *stopped]

    # --- both ends ----------------------------------------------------------------------------

    def _stream_started(self, event: ev.StreamStarted, now: float) -> list[Command]:
        state = self.state
        if state.stream_up:
            return []
        state.stream_up = True
        return [*state.tune(event.audio), *self._caller_there(now)]

    def _caller_there(self, now: float) -> list[Command]:
        state = self.state
        if state.phase is Phase.TRANSFERRING:
            return self._moved(self._moving.stream_back(), now)
        state.timers.clear(Timer.START)
        state.timers.set(Timer.DURATION, now + self.plan.max_duration_s)
        if state.end_reason is not None:
            return self._ending.hang_up(state.end_reason, now)
        if not state.model_up:
            state.timers.set(Timer.CONNECT, now + self.plan.connect_s)
        return self._begin(now)

    def _session_ready(self, now: float) -> list[Command]:
        state = self.state
        state.model_up = True
        if state.phase is Phase.RECOVERING:
            return self._resume(now)
        return self._begin(now)

    def _begin(self, now: float) -> list[Command]:
        """Let the call begin as soon as both ends are up and what is known about the caller is here."""
        state = self.state
        both_up = state.stream_up and state.model_up
        if not both_up or state.phase is not Phase.CONNECTING or self._beginning.waits:
            return []
        return self._beginning.activate(now)

    def _resume(self, now: float) -> list[Command]:
        state = self.state
        state.timers.clear(Timer.RECOVER)
        state.enter(Phase.ACTIVE)
        if self._elsewhere is not None:
            owes = self._recovery.owes_answer(state.conversation)
            told = self._elsewhere.resume(now, owes=owes)
            return [Record("recovered", {"after_s": self._recovery.took(now)}), *told]
        self._telling.expect_heard()
        seed = self._recovery.seed(state.conversation, state.tool_calls)
        # While a function call runs its result is what is waited for; asked before, the model would call again.
        if self._recovery.owes_answer(state.conversation) and not state.tool_calls.running():
            state.slot.want()
        outputs = submitted(state.tool_calls, state.slot)
        configured = [*self._speaking.resumed(), *self._invoking.resumed()]
        told = [*configured, *seed, *outputs, *self._speaking.early_audio()]
        return [Record("recovered", {"after_s": self._recovery.took(now)}), *told]

    def _leg_ended(self, event: ev.LegEnded, now: float) -> list[Command]:
        """A stream that we ended, or that broke after we had decided to, ends for our reason: it must not resume."""
        if self.state.phase is Phase.TRANSFERRING and not event.call_over:
            return self._moved(self._moving.stream_ended(now), now)
        hanging_up = self._ending.hanging_up
        hung_up = event.reason is ev.LegEnd.CALLER_HANGUP and not hanging_up
        ours = None if hung_up else self._ending.own_end
        return self._ending.end(ours or EndReason(event.reason.value), "" if hanging_up else event.detail, now)

    # --- loss of the model --------------------------------------------------------------------

    def _model_closed(self, event: ev.ModelClosed, now: float) -> list[Command]:
        state = self.state
        was_up, state.model_up = state.model_up, False
        if state.phase is Phase.ENDING:
            state.slot.reset()
            return []
        if state.phase is Phase.TRANSFERRING:
            return []
        if was_up and not event.permanent:
            return self._recover(EndReason.MODEL_SILENT if event.code == SILENT else EndReason.MODEL_LOST, now)
        if event.permanent:
            return self._fail(EndReason.MODEL_REFUSED, now)
        lost = state.phase is Phase.RECOVERING
        return self._fail(self._recovery.reason if lost else EndReason.MODEL_UNREACHABLE, now)

    def _recover(self, reason: EndReason, now: float) -> list[Command]:
        """Open a new session and tell it what was said; when that was tried too often, give up."""
        state = self.state
        if state.phase is Phase.CONNECTING:
            if not self._recovery.begin(reason, now, answering=False):
                return self._fail(reason, now)
            return [Record("recover", {"reason": reason.value}), CloseModel(), OpenModel(), *state.retuned]
        if not state.active:
            return []
        if not self._recovery.begin(reason, now, answering=state.slot.answer_due):
            return self._fail(reason, now)
        state.enter(Phase.RECOVERING)
        state.model_up = False
        state.slot.reset(keep_words=True)
        state.playout.detach()
        state.turn.reset()
        state.timers.clear(Timer.SILENCE, Timer.WISH, Timer.TURN, Timer.BUSY)
        state.timers.set(Timer.RECOVER, now + self.plan.recover_s)
        silenced = self._speaking.reset(now)
        return [*silenced, Record("recover", {"reason": reason.value}), CloseModel(), OpenModel(), *state.retuned]

    def _fail(self, reason: EndReason, now: float) -> list[Command]:
        """Without a model there is nothing to say: end the stream, the carrier goes on with the apology."""
        self.state.model_up = False
        if self.state.stream_up:
            return self._ending.hang_up(reason, now)
        self.state.end_reason = reason
        return []

    def _model_fault(self, event: ev.ModelFault, now: float) -> list[Command]:
        if event.code == "conversation_already_has_active_response":
            self.state.slot.refused(event.wish_id)
            self.state.slot.busy()
            self.state.timers.set(Timer.BUSY, now + BUSY_S)
        elif event.wish_id:
            self.state.slot.rejected(event.wish_id)
        return []

    # --- responses ----------------------------------------------------------------------------

    def _audio_delta(self, event: ev.AudioDelta, now: float) -> list[Command]:
        state = self.state
        both_up = state.model_up and state.stream_up and state.phase is not Phase.TRANSFERRING
        if not both_up or self._ending.hanging_up or state.playout.is_cut(event.response_id):
            return []
        if state.slot.state is SlotState.ACTIVE:
            # The rest of the answer must come as well; `response.done` ends the wait.
            state.timers.set(Timer.SILENCE, now + self.plan.answer_s)
        else:
            state.timers.clear(Timer.SILENCE)
        self._audible, self._audible_item = event.response_id, event.item_id
        return self._speaking.audio_delta(event, now) + self._presence.settle(now)

    def _response_done(self, event: ev.ResponseDone, now: float) -> list[Command]:
        state = self.state
        mine = state.slot.done(event.response_id)
        commands = state.playout.finish(event.response_id, now)
        unheard = event.status == "incomplete" and self._audible != event.response_id
        if (event.status == "failed" or unheard) and state.active:
            give_up = is_permanent(event.reason)
            reason = EndReason.RESPONSE_FAILED
            return commands + (self._fail(reason, now) if give_up else self._recover(reason, now))
        if mine and event.status != "cancelled" and self._audible == event.response_id:
            # One that brought nothing to hear is no answer: the wait goes on.
            state.timers.clear(Timer.SILENCE)
        elif mine and state.playout.is_cut(event.response_id) and not state.timers.is_set(Timer.WISH):
            # We did not want it: nothing is waited for but what the server may be about to begin.
            state.timers.clear(Timer.SILENCE)
        if event.status == "cancelled":
            commands += self._speaking.cut_off(event.response_id, now)
        if self._speaking.agent_muted:
            commands += self._speaking.fall_silent("muted", now)
        completed = event.status == "completed"
        if self._audible == event.response_id:
            self._telling.done(event.response_id, self._audible_item, completed=completed)
            if not state.slot.instructed:
                self._invoking.consents.agent_spoke(event.response_id, state.tool_calls, ours=state.slot.ours)
        elif completed:
            state.tool_calls.told_by(event.response_id)
        return commands + (self._completed(event, now) if completed else [])

    def _completed(self, event: ev.ResponseDone, now: float) -> list[Command]:
        """What a response asks for that was completed: nothing of any other is ever carried out."""
        state = self.state
        if not state.active or not event.calls:
            return self._run(event.calls, event.response_id, now)
        forgotten = self._speaking.drop_calls(event.calls, event.response_id)
        if forgotten is not None:
            return forgotten
        if self._speaking.keep_calls(event.calls, event.response_id):
            return []
        return self._run(event.calls, event.response_id, now)

    def _run(self, calls: tuple[ev.FunctionCall, ...], response_id: str, now: float) -> list[Command]:
        """Carry out what nothing stands in the way of any more but perhaps that the caller is not here."""
        if self.state.phase is Phase.TRANSFERRING and self.state.model_up:
            return self._invoking.refuse(calls, response_id, now)
        return self._invoking.run(calls, response_id, now) if self.state.active and calls else []

    # --- transfers, keys, operators -----------------------------------------------------------

    def _moved(self, step: MovingStep, now: float) -> list[Command]:
        """Do what a step of a transfer means for the whole call."""
        if step.reached:
            return step.commands + self._ending.end(EndReason.TRANSFERRED, "", now)
        if step.failed is None:
            return step.commands
        asked, why = step.failed
        tool_call_id = asked.tool_call_id
        invoking = self._invoking
        told = (
            invoking.answer(tool_call_id, failed_output(why))
            if tool_call_id
            else invoking.tell(failed_text(asked, why))
        )
        lost = self.state.active and not self.state.model_up  # while the caller was away
        return step.commands + told + (self._recover(EndReason.MODEL_LOST, now) if lost else [])

    def _entries(self) -> list[Command]:
        """Hand finished entries of keys to whoever waits for them."""
        commands: list[Command] = []
        answered, self._keypad.answered = self._keypad.answered, []
        for done in answered:
            if done.entry.tool_call_id:
                commands += self._invoking.answer(done.entry.tool_call_id, done.output)
            else:
                commands += self._invoking.tell(
                    f"An operator asked the caller to key something in. Result: {done.output}"
                )
        return commands

    def _operator_ends(self, now: float) -> list[Command]:
        return self._ending.goodbye(EndReason.OPERATOR_HANGUP, now)

    def _send_keys(self, now: float) -> list[Command]:
        """Press the keys that wait, once nothing plays any more."""
        due = self._keys_out_at
        if due is None or now < due:
            return []
        digits, asked = self._operations.take_keys()
        self.state.playout.occupy(len(digits) * KEY_S, now)
        self._pressing_s = now + len(digits) * KEY_S
        # Told only now: else the model would speak of keys that its own words hold back.
        answers = [command for tool_call_id in asked for command in self._invoking.answer(tool_call_id, OK_OUTPUT)]
        return [SendDigits(digits), *answers]

    @property
    def _keys_out_at(self) -> float | None:
        """When keys that wait may be pressed: once what we sent before has sounded."""
        may = self.state.active or self._ending.saying_goodbye
        wait = self._operations.keys_out and may and not self.state.playout.unheard
        return self.state.playout.free_s() if wait else None

    # --- time ---------------------------------------------------------------------------------

    def _tick(self, now: float) -> list[Command]:
        state = self.state
        commands = [*state.playout.release(now), *self._invoking.expire(now)]
        for timer in state.timers.due(now):
            commands += self._timer(timer, now)
        return commands

    def _timer(self, timer: Timer, now: float) -> list[Command]:  # noqa: C901, PLR0911, PLR0912 - one case per timer
        state = self.state
        match timer:
            case Timer.START:
                return self._ending.end(state.end_reason or EndReason.NEVER_STARTED, "", now)
            case Timer.BRIEF:
                return self._begin(now)
            case Timer.CONNECT if state.model_up:
                return self._beginning.activate(now)
            case Timer.CONNECT:
                return self._fail(EndReason.MODEL_UNREACHABLE, now)
            case Timer.RECOVER:
                return self._fail(self._recovery.reason, now)
            case Timer.SILENCE:
                return self._recover(EndReason.MODEL_SILENT, now)
            case Timer.DURATION:
                return self._ending.limit(now)
            case Timer.GOODBYE:
                return self._ending.hang_up(state.end_reason or EndReason.AGENT_HANGUP, now)
            case Timer.LEG:
                return self._ending.end(state.end_reason or EndReason.LEG_LOST, "", now)
            case Timer.TURN:
                return self._speaking.end_turn(now)
            case Timer.WORDS:
                return self._speaking.words_overdue(now)
            case Timer.BUSY:
                state.slot.unblock()
                return []
            case Timer.RING:
                return self._moving.ring(now)
            case Timer.WISH | Timer.HIDDEN | Timer.LATE_KEYS:
                return []

    def _settle(self, now: float) -> list[Command]:
        """What may have become possible by any event: asking for a wish, moving a caller, hanging up."""
        if self._over or self._ending.hanging_up:
            return []
        cut = self._elsewhere.settle(now) if self._elsewhere is not None else []
        noted = [*cut, *self._invoking.note_heard(self._telling.settle())]
        commands = noted + self._keypad.settle(now) + self._entries() + self._moved(self._moving.settle(now), now)
        if self._over:
            return commands
        commands += self._send_keys(now) + self._invoking.settle(now) + self._speaking.settle(now)
        released, self._speaking.released = self._speaking.released, []
        for held in released:
            commands += self._run(held.calls, held.response_id, now)
        if released:
            commands += self._entries() + self._send_keys(now) + self._speaking.settle(now)
        commands += self._presence.settle(now)
        if self._pressing_s is not None and now >= self._pressing_s:
            self._pressing_s = None
        keys = self._pressing_s is not None or self._keys_out_at is not None
        return commands if keys else commands + self._ending.settle(now)
