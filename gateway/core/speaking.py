"""Who speaks, and what of it is let through: the two sides of a conversation and what may stand between them.

Five things decide whether the agent is heard: the play-out itself, a doubt whether the caller interrupts (`doubt.py`),
the gate of an early reply (`gate.py`), words that cannot be interrupted (`shield.py`), and an operator's mute. A hold
is on while any of them wants it. Who ends a turn is the server where it answers by itself, else we.
"""

from collections import deque
from dataclasses import dataclass
from enum import Enum

from gateway.core import events as ev
from gateway.core.audio import silence_like
from gateway.core.commands import (
    AppendAudio,
    Command,
    CommitInput,
    ConfigureTurns,
    DeleteItem,
    PlayAudio,
    Record,
)
from gateway.core.deadlines import Timer
from gateway.core.doubt import Doubt, Verdict
from gateway.core.early import EarlyAudio
from gateway.core.gate import Gate, HeldCalls
from gateway.core.hearsay import Heard, Hearsay
from gateway.core.plan import TurnMode, TurnTaking
from gateway.core.responses import SlotState
from gateway.core.shield import Shield
from gateway.core.state import CallState, Phase
from gateway.core.turns import InputBuffer
from gateway.core.words import echoes, has_words, only_backchannels

__all__ = ["MOST_SAYS", "Speaking"]

WISH_S = 1.5
"""After caller speech the server begins a response by itself; how long to leave it that chance."""
WORDS_S = 2.0
"""Longest wait for the words of a turn in which our own ear heard no voice."""
MOST_SAYS = 8
"""Sentences that operators may have waiting."""
END_S = 1.0
"""What is said over the last second of the agent's words may answer them."""
ECHOING = 4
"""Items of the agent whose echo may be understood as words."""
OWN_EAR = "own ear"
"""Stands for the item of speech that only our own ear reports: the server names it when we commit it."""


class Hold(Enum):
    """Why nothing leaves for the caller."""

    DOUBT = "doubt"
    GATE = "gate"
    MUTED = "muted"


@dataclass(slots=True, frozen=True)
class _Say:
    text: str
    interruptible: bool
    speaks_for: str
    """The function call whose answer it is; "" for nobody's."""


class Speaking:
    """Turns of both sides. Asked for commands by `Call`, which knows the phases."""

    def __init__(self, state: CallState) -> None:
        plan = state.plan
        self._state = state
        self._early = EarlyAudio()
        self._shield = Shield(ear=plan.needs_ear)
        # Without the server's turn detection nothing is transcribed before we have decided that it is a turn.
        words = plan.transcribes and plan.turns.mode is not TurnMode.MANUAL
        self._doubt = Doubt(plan.reversible, transcribes=words) if plan.reversible is not None else None
        self._gate = Gate(plan.early_reply, transcribes=plan.transcribes) if plan.early_reply is not None else None
        self._holds: set[Hold] = set()
        self._says: deque[_Say] = deque()
        self._turns = plan.turns
        self._buffer = InputBuffer()
        self._contested = ""
        """Speech of the server's hearing that began while the agent spoke and is not found to be an interruption."""
        self._over_the_end = False
        """Whether that speech began just before the agent had finished."""
        self._doubtful = Hearsay()
        self._held_s = 0.0
        self._dropped = ""
        """The early answer that was dropped last: it may have been complete before our cancellation came."""
        self.caller_muted = False
        self.released: list[HeldCalls] = []
        """Function calls that the gate has let through; whoever takes them empties it."""

    @property
    def deadline(self) -> float | None:
        candidates = (part.deadline for part in (self._doubt, self._gate) if part is not None)
        return min((at for at in candidates if at is not None), default=None)

    @property
    def agent_muted(self) -> bool:
        return Hold.MUTED in self._holds

    @property
    def holding(self) -> bool:
        return bool(self._holds)

    @property
    def turns(self) -> TurnTaking:
        """Turn-taking as it is now, as asked for."""
        return self._turns

    # --- the caller's side --------------------------------------------------------------------

    def caller_audio(self, payload: str, *, hidden: bool) -> list[Command]:
        """Pass one frame on to the model, or keep it for later. `hidden` and a mute turn it into silence.

        Once the goodbye is due the model hears nothing more: it would answer, or be interrupted.
        """
        if self._state.phase is Phase.ENDING:
            return []
        if hidden or self.caller_muted:
            payload = silence_like(payload, self._state.audio)
        if not (self._state.model_up and self._state.stream_up):
            self._early.keep(payload, self._state.audio)
            return []
        if self._shield.up:
            self._shield.keep(payload, self._state.audio)
            return []
        frame = AppendAudio(payload)
        if self._turns.mode is TurnMode.MANUAL:
            self._buffer.sent((frame,))
        return [frame]

    def early_audio(self) -> list[AppendAudio]:
        """Return what came before the model could hear it; it must not interrupt protected words either."""
        early = self._early.release(self._state.audio)
        if not self._shield.up:
            frames = [*self._shield.release(self._state.audio), *early]
            self._buffer.sent(frames)
            return frames
        for frame in early:
            self._shield.voice()  # nothing was played yet, so it is no echo
            self._shield.keep(frame.payload, self._state.audio)
        return []

    def speech_started(self, event: ev.SpeechStarted, now: float) -> list[Command]:
        self._state.conversation.place(event.item_id, "user")
        return self._caller_speaks(event.item_id, now)

    def _caller_speaks(self, item_id: str, now: float) -> list[Command]:
        state = self._state
        if state.phase is Phase.ENDING:
            return []  # on its way when the server was asked not to listen any more: its end will never be told
        # What is asked goes on where speech alone does not interrupt it, and so does the wait for it.
        going_on = state.slot.state is not SlotState.FREE and (self._shield.up or self._doubt is not None)
        state.timers.clear(Timer.WISH, *(() if going_on else (Timer.SILENCE,)))
        if not state.active:
            state.turn.started()
            return []
        if self._gate is not None and self._gate.closed:
            state.turn.started()
            return self._drop_early(now)
        if self._doubt is None or self._shield.up or not state.talking:
            state.turn.started()
            if self._doubt is not None:
                self._doubt.turn_began()
            return self.fall_silent("barge_in", now) if not self._shield.up else []
        self._contested = item_id
        self._over_the_end = state.slot.state is SlotState.FREE and state.playout.left_s(now) < END_S
        self._doubt.speech_started()
        if self._doubt.voice:
            return self._carry_out(self._doubt.voice_started(now, now, audible=True), now)
        return []

    def speech_stopped(self, event: ev.SpeechStopped, now: float) -> list[Command]:
        state = self._state
        if self._doubt is not None:
            self._doubt.speech_stopped()
        if self._contested:
            # It was an echo, or a word of listening, as far as we know: its words will tell.
            self._contested = ""
            voice = Heard.LAST if self._over_the_end else Heard.SPEECH
            self._doubtful.note(event.item_id, voice if self._doubt is None or self._doubt.voiced else Heard.ECHO)
            return []
        state.turn.stopped(now - state.plan.told(self._turns).known_silence_ms / 1000)
        if self._doubt is not None and not self._doubt.voiced and state.plan.transcribes and state.active:
            # Nobody else spoke, but our ear heard no voice: the end of our own echo, or a very quiet caller.
            self._doubtful.note(event.item_id, Heard.TURN)
            state.timers.set(Timer.WORDS, now + WORDS_S)
            return []
        return self._turn_over(event.item_id, now)

    def words_overdue(self, now: float) -> list[Command]:
        """A turn without a voice has got no words either: somebody may be waiting, so it is answered."""
        turns = self._doubtful.take_turns()
        return self._turn_over(turns[-1], now) if turns else []

    def _turn_over(self, item_id: str, now: float) -> list[Command]:
        """The caller has finished: an answer is due, from the server by itself or because we ask for it."""
        state = self._state
        if not state.active:
            return []
        state.turn.taken += 1
        if self._server_answers:
            state.timers.set(Timer.SILENCE, now + state.plan.answer_s)
            state.timers.set(Timer.WISH, now + WISH_S)
        else:
            state.slot.want()
        if self._gate is None or self._turns.mode is not TurnMode.SERVER_VAD:
            return []
        self._gate.close(item_id, now)
        return self._hold(Hold.GATE, now)

    def voice_started(self, event: ev.VoiceStarted, now: float) -> list[Command]:
        state = self._state
        state.timers.clear(Timer.TURN)
        if self._by_own_ear:
            self._buffer.turn_kept = False
        if self._gate is not None:
            self._gate.voice_started()
        if self._shield.up:
            self._shield.voice()
        elif self._doubt is not None and state.active:
            held = self._doubt.voice_started(event.at_s, now, audible=state.talking)
            commands = self._carry_out(held, now)
            return commands + (self._caller_speaks(OWN_EAR, now) if self._by_own_ear else [])
        return self._caller_speaks(OWN_EAR, now) if self._by_own_ear else []

    def voice_stopped(self, event: ev.VoiceStopped, now: float) -> list[Command]:
        if self._gate is not None:
            self._gate.voice_stopped(event.ended_s)
        if self._doubt is not None:
            self._doubt.voice_stopped(event.ended_s, now)
        if self._by_own_ear:
            self._state.timers.set(Timer.TURN, event.ended_s + self._turns.silence_ms / 1000)
        return []

    def end_turn(self, now: float) -> list[Command]:
        """The caller's turn is over because a key, our own ear or an operator says so. Manual turn-taking only."""
        state = self._state
        state.timers.clear(Timer.TURN)
        if self._doubt is not None:
            self._doubt.speech_stopped()
        if self._shield.up or state.phase in (Phase.CONNECTING, Phase.RECOVERING):
            self._buffer.turn_kept = True
            return []
        if self._contested or not state.active or not self._buffer.enough:
            self._contested = ""
            state.turn.reset()
            return []
        self._buffer.committed()
        commands = self.fall_silent("barge_in", now) if state.talking else []
        state.turn.stopped(now - (self._turns.silence_ms / 1000 if self._turns.own_ear else 0.0))
        return [*commands, CommitInput(), *self._turn_over(OWN_EAR, now)]

    def committed(self, item_id: str) -> None:
        """What the caller said is an item now; without the server's turn detection nothing named it before."""
        if self._turns.mode is TurnMode.MANUAL:
            self._state.conversation.place(item_id, "user")

    def caller_said(self, event: ev.CallerSaid, now: float) -> list[Command]:
        """Take a transcript. Of speech that was not taken for a turn, the words decide."""
        state = self._state
        state.conversation.say(event.item_id, "user", event.text)
        if self._gate is not None:
            self._gate.words(event.item_id, event.text)
        heard = self._doubtful.take(event.item_id)
        if heard is None:
            return []
        reversible, doubt = state.plan.reversible, self._doubt
        assert reversible is not None, "only a reversible barge-in doubts"
        assert doubt is not None
        why = ""
        if not has_words(event.text):
            why = "no_words"
        elif heard in (Heard.SPEECH, Heard.ECHO) and only_backchannels(event.text, reversible.backchannels):
            why = "backchannel"
        elif heard in (Heard.ECHO, Heard.TURN) and echoes(event.text, state.conversation.agent_said(ECHOING)):
            why = "echo"
        if not why:
            doubt.decide(interruption=True)
            return self._late_turn(now)
        state.conversation.forget(event.item_id)
        resumed = self._resume(why, now) if doubt.decide(interruption=False) is Verdict.RESUME else []
        return resumed if why == "backchannel" else [*resumed, DeleteItem(event.item_id)]

    def _late_turn(self, now: float) -> list[Command]:
        """What was not taken for a turn is one: it interrupts now, and is answered."""
        state = self._state
        if not state.active:
            return []
        commands = self.fall_silent("barge_in", now) if state.talking and not self._shield.up else []
        state.turn.taken += 1
        state.slot.want()
        return commands

    # --- the agent's side ---------------------------------------------------------------------

    def response_created(self, event: ev.ResponseCreated) -> list[Command]:
        state = self._state
        state.timers.clear(Timer.WISH)
        asked = state.slot.asked
        instructions = asked.instructions if asked is not None else None
        dropped = asked is not None and asked.dropped and asked.wish_id == event.wish_id
        state.slot.created(event.response_id, event.wish_id)
        self._shield.created(event.wish_id, event.response_id, instructions)
        # Ours was created after the caller began to speak: the server does not interrupt it.
        late = event.wish_id and state.turn.speaking and state.active and not self._shield.up
        # The server's own answers what came when the goodbye was due already.
        unwanted = not event.wish_id and state.phase is Phase.ENDING
        if dropped:
            self._shield.cut_off(event.response_id)
        if self._gate is not None and (late or dropped):
            self._dropped = event.response_id
        if late or unwanted or dropped:
            state.playout.silence(event.response_id)
            return list(state.slot.cancel())
        return []

    def audio_delta(self, event: ev.AudioDelta, now: float) -> list[Command]:
        state = self._state
        state.conversation.place(event.item_id, "assistant")
        return self._audible(state.playout.receive(event.response_id, event.item_id, event.payload, now), now)

    def agent_said(self, event: ev.AgentSaid) -> list[Command]:
        conversation = self._state.conversation
        conversation.say(event.item_id, "assistant", event.text)
        return self._heard_text(event.item_id)

    def fall_silent(self, why: str, now: float, *, cancel: bool = False) -> list[Command]:
        """Stop what is played and being said, and tell the model what of it was heard.

        The response being generated is cancelled where the server does not do so by itself, or with `cancel`.
        """
        state = self._state
        response_id = state.slot.response_id
        interruption = state.playout.interrupt(now, response_id)
        commands = list(interruption.commands)
        for item in interruption.items:
            state.conversation.cut(item.item_id, item.heard_ms, item.received_ms)
            cut: dict[str, str | int | float] = {"heard_ms": item.heard_ms, "received_ms": item.received_ms}
            commands.append(Record(why, {"item_id": item.item_id, **cut}))
            commands += self._heard_text(item.item_id)
        if cancel:
            self._shield.cut_off(response_id)  # it is not to be said again when the server tells of it
        if cancel or not self._server_answers:
            commands += state.slot.cancel()
        return commands + self._let_go(now, Hold.DOUBT)

    def close(self, now: float) -> list[Command]:
        """The stream is over: settle what was heard until then, and say so of what was cut by it."""
        closed = self._state.playout.close(now)
        commands = list(closed.commands)
        for item in closed.items:
            self._state.conversation.cut(item.item_id, item.heard_ms, item.received_ms)
            commands += self._heard_text(item.item_id)
        return commands

    def interrupt(self, now: float) -> list[Command]:
        """The caller interrupts with a key, of which the server knows nothing."""
        if self._shield.up or not self._state.active or not self._state.talking:
            return []
        return self._drop_gated(now) + self.fall_silent("barge_in", now, cancel=True)

    @property
    def has_to_say(self) -> bool:
        """Whether sentences wait to be said."""
        return bool(self._says)

    def say(self, text: str, *, interruptible: bool, speaks_for: str = "") -> bool:
        """Queue a sentence, the answer of a function call if one is named; False when too many wait."""
        if len(self._says) >= MOST_SAYS:
            return False
        self._says.append(_Say(text, interruptible, speaks_for))
        return True

    def greet(self, text: str, now: float) -> list[Command]:
        plan = self._state.plan
        self._state.slot.want(plan.exactly(text), protected=not plan.greeting_interruptible, exact=True)
        return self._ask(now)

    def cut_off(self, response_id: str, now: float) -> list[Command]:
        """The server cancelled a response by itself; words that must be heard are asked for again, once."""
        instructions = self._shield.cut_off(response_id)
        if instructions is None:
            return []
        commands = self.fall_silent("cut_short", now)
        self._state.slot.want(instructions, exact=True)
        return commands

    def drop_calls(self, calls: tuple[ev.FunctionCall, ...], response_id: str) -> list[Command] | None:
        """Have the model forget the calls of an early answer that was dropped; None if it was not."""
        if not calls or response_id != self._dropped:
            return None
        return [DeleteItem(call.item_id) for call in calls if call.item_id]

    def keep_calls(self, calls: tuple[ev.FunctionCall, ...], response_id: str) -> bool:
        """Hold function calls behind the gate; False when it is open and they may run."""
        if self._gate is None or not self._gate.closed:
            return False
        self._gate.keep(HeldCalls(response_id, calls))
        return True

    def stop_listening(self) -> list[Command]:
        """The last words come from us: the server answers nobody, and nothing is said that still waited."""
        self._says.clear()
        self._state.slot.forget_wish()
        if not self._server_answers or not self._state.model_up:
            return []
        return [ConfigureTurns(TurnTaking(TurnMode.MANUAL), creates=False, interrupts=False)]

    # --- what an operator changes -------------------------------------------------------------

    def mute_agent(self, now: float) -> list[Command]:
        """The caller hears nothing of the agent from now on; what was not heard is not said."""
        return self.fall_silent("muted", now, cancel=True) + self._hold(Hold.MUTED, now)

    def unmute(self, now: float) -> list[Command]:
        """What was said meanwhile stays unsaid."""
        self.caller_muted = False
        unsaid = self.agent_muted and self._state.playout.unheard
        dropped = self.fall_silent("muted", now, cancel=True) if unsaid else []
        return dropped + self._let_go(now, Hold.MUTED)

    def force_reply(self, instructions: str | None) -> None:
        """Have the model speak as soon as it can."""
        plan = self._state.plan
        self._state.slot.want(f"{plan.instructions}\n\n{instructions}" if instructions else None)

    def cancel_reply(self, now: float) -> list[Command]:
        """Drop what is being said, about to be said, and wished for."""
        self._says.clear()
        self._state.slot.forget_wish()
        return self._drop_gated(now) + self.fall_silent("cancelled", now, cancel=True)

    def change_turns(self, turns: TurnTaking) -> list[Command]:
        """Go on with another way to notice the end of a turn."""
        self._turns = turns
        self._buffer.unknown()
        self._state.turn.reset()
        self._contested = ""
        self._state.timers.clear(Timer.TURN)
        return [self._configured()]

    # --- time and ends ------------------------------------------------------------------------

    def settle(self, now: float) -> list[Command]:
        """Do what has become possible: judge doubts, open the gate, lower the shield, ask for what is wished."""
        commands: list[Command] = []
        if self._doubt is not None:
            commands += self._carry_out(self._doubt.judge(now), now)
        gate = self._gate
        if gate is not None and gate.deadline is not None and now >= gate.deadline:
            commands += self._open_gate(gate, now)
        return commands + self._lower_shield(now) + self._ask(now)

    def resumed(self) -> list[Command]:
        """The model's new session is told how turns are taken now, if that was changed."""
        return [self._configured()] if self._turns != self._state.plan.turns else []

    def reset(self, now: float) -> list[Command]:
        """The model is gone, or the last words are said: nothing is in doubt any more; what plays goes on playing."""
        self._shield.reset()
        self._buffer.committed()
        self._contested = ""
        self._doubtful.clear()
        if self._doubt is not None:
            self._doubt.reset()
        if self._gate is not None:
            self._gate.open()
        return self._let_go(now, Hold.DOUBT, Hold.GATE)

    # --- private ------------------------------------------------------------------------------

    @property
    def _server_answers(self) -> bool:
        return self._state.plan.server_answers and self._turns.mode is not TurnMode.MANUAL

    @property
    def _by_own_ear(self) -> bool:
        return self._turns.mode is TurnMode.MANUAL and self._turns.own_ear

    def _configured(self) -> ConfigureTurns:
        plan = self._state.plan
        return ConfigureTurns(plan.told(self._turns), creates=plan.server_answers, interrupts=plan.server_answers)

    def _carry_out(self, verdict: Verdict, now: float) -> list[Command]:
        match verdict:
            case Verdict.NOTHING:
                return []
            case Verdict.HOLD:
                self._held_s = now
                return [*self._hold(Hold.DOUBT, now), Record("held", {})]
            case Verdict.RESUME:
                return self._resume("short", now)
            case Verdict.CONFIRM:
                return self._confirm(now)

    def _confirm(self, now: float) -> list[Command]:
        """It was an interruption. Of speech that goes on, its end asks for the answer; else that is done here."""
        if not self._contested:
            self._doubtful.clear()
            return self._late_turn(now)
        self._contested = ""
        self._state.turn.started()
        return self.fall_silent("barge_in", now)

    def _resume(self, why: str, now: float) -> list[Command]:
        after_ms = round((now - self._held_s) * 1000)
        return [Record("resumed", {"why": why, "after_ms": after_ms}), *self._let_go(now, Hold.DOUBT)]

    def _hold(self, hold: Hold, now: float) -> list[Command]:
        self._holds.add(hold)
        return self._state.playout.hold(now)

    def _let_go(self, now: float, *holds: Hold) -> list[Command]:
        self._holds.difference_update(holds)
        if Hold.DOUBT in holds and self._doubt is not None:
            self._doubt.forget()
        return self._audible(self._state.playout.resume(now), now) if not self._holds else []

    def _drop_gated(self, now: float) -> list[Command]:
        """Drop the answer behind the gate, if there is one."""
        return self._drop_early(now) if self._gate is not None and self._gate.closed else []

    def _drop_early(self, now: float) -> list[Command]:
        """The caller goes on: the answer behind the gate was not heard, and its function calls do not run."""
        assert self._gate is not None
        held = self._gate.open()
        response_id = self._state.slot.response_id or self._state.playout.waiting_response
        self._dropped = self._state.slot.response_id
        commands = self.fall_silent("dropped", now)
        calls = [call for kept in held for call in kept.calls]
        commands += [DeleteItem(call.item_id) for call in calls if call.item_id]
        if response_id or held:
            response_id = response_id or held[0].response_id
            commands.append(Record("early_dropped", {"response_id": response_id, "calls": len(calls)}))
        return commands + self._let_go(now, Hold.GATE)

    def _open_gate(self, gate: Gate, now: float) -> list[Command]:
        held_ms = round(gate.held_s(now) * 1000)
        response_id = self._state.slot.response_id or self._state.playout.waiting_response
        self.released += gate.open()
        note: list[Command] = []
        if response_id:
            note = [Record("early_released", {"response_id": response_id, "held_ms": held_ms})]
        return note + self._let_go(now, Hold.GATE)

    def _lower_shield(self, now: float) -> list[Command]:
        """What the caller said meanwhile is handed over as soon as nothing is protected, heard or not."""
        state, shield = self._state, self._shield
        asked = state.slot.asked
        shield.still(asked.wish_id if asked is not None else "")
        shield.heard(lambda response: response == state.slot.response_id or state.playout.plays(response))
        if shield.up or not state.model_up or not state.active:
            return []
        frames = shield.release(state.audio)
        self._buffer.sent(frames)
        kept, self._buffer.turn_kept = self._buffer.turn_kept, False
        return [*frames, *(self.end_turn(now) if kept else [])]

    def _ask(self, now: float) -> list[Command]:
        state = self._state
        if self._says and not state.slot.wanted and state.slot.state is SlotState.FREE:
            said = self._says.popleft()
            words, protected = state.plan.exactly(said.text), not said.interruptible
            state.slot.want(words, protected=protected, exact=True, speaks_for=said.speaks_for)
        doubted = self._doubt is not None and self._doubt.open
        waits = state.turn.speaking or state.timers.is_set(Timer.WISH) or doubted
        if waits or not state.model_up or state.phase not in (Phase.ACTIVE, Phase.ENDING):
            return []
        asked = state.slot.ask()
        wish = state.slot.asked
        if asked and not (wish is not None and wish.refused and state.timers.is_set(Timer.SILENCE)):
            # Asked again after a refusal, the time does not begin anew.
            state.timers.set(Timer.SILENCE, now + state.plan.answer_s)
        if asked and wish is not None and wish.protected:
            self._shield.protect(wish.wish_id)
        return list(asked)

    def _audible(self, commands: list[Command], now: float) -> list[Command]:
        """Note how long the caller waited, once the first sound of the answer leaves."""
        if not any(isinstance(command, PlayAudio) for command in commands):
            return commands
        latency = self._state.turn.answered(now)
        if latency is None:
            return commands
        item_id = next(command.item_id for command in commands if isinstance(command, PlayAudio))
        return [*commands, Record("turn_latency", {"item_id": item_id, "ms": latency})]

    def _heard_text(self, item_id: str) -> list[Command]:
        """Say what was heard of an item that was cut, once its words are known."""
        said = self._state.conversation.cut_text(item_id)
        if said is None:
            return []
        ms = {"heard_ms": said.heard_ms, "received_ms": said.received_ms}
        return [Record("heard_text", {"item_id": item_id, "text": said.text, **ms, "estimate": 1})]
