"""How a call ends: the goodbye is heard to its end, the line goes down at once after it, one end record is written.

ENDING has two halves: first the last words (asked for if the agent has not said any, bounded by GOODBYE_S), then the
wait for the stream to close after `HangUp` (bounded by LEG_S). A function that still runs when the agent has said
goodbye is waited for within the same bound; when it fails the caller is told before the line goes down. Only the first
decision to hang up counts.
"""

from gateway.core.commands import CancelTool, CloseModel, Command, EndReason, HangUp, Record
from gateway.core.deadlines import Timer
from gateway.core.responses import SlotState
from gateway.core.speaking import Speaking
from gateway.core.state import CallState, Phase

__all__ = ["Ending"]

GOODBYE_S = 15.0
"""Longest time from deciding to hang up to hanging up."""
LAST_ANSWER_S = 6.0
"""How much of an answer may still be heard before the goodbye at a limit; a longer one is cut short."""
HEARD_GRACE_S = 0.5
"""How long after its end by the clock the last mark is waited for, before the goodbye counts as heard."""
CROSSING_S = 0.3
"""How long a response that the server began by itself may take to be told, once it was asked to begin none."""
LIMIT_AGAIN_S = 5.0
"""How long after the limit of a call that is being transferred it is looked at again."""
LEG_S = 5.0
"""How long a stream that we ended may take to say so."""


class Ending:
    """The last phase of a call."""

    def __init__(self, state: CallState, speaking: Speaking) -> None:
        self._state = state
        self._speaking = speaking

    @property
    def deadline(self) -> float | None:
        """When the last words count as heard without their mark."""
        last_words = self.saying_goodbye and self._all_said and self._state.playout.unheard and not self._counts_on
        return self._state.playout.ends_s() + HEARD_GRACE_S if last_words else None

    @property
    def hanging_up(self) -> bool:
        return self._state.timers.is_set(Timer.LEG)

    @property
    def own_end(self) -> EndReason | None:
        """Why we decided to end the call, if we did."""
        return self._state.end_reason if self._state.phase is Phase.ENDING else None

    @property
    def saying_goodbye(self) -> bool:
        return self._state.phase is Phase.ENDING and not self.hanging_up

    def goodbye(self, reason: EndReason, now: float) -> list[Command]:
        """End the call once the caller has heard the last words; ask for them if the agent has not said any."""
        state = self._state
        if not state.active:
            return self.hang_up(reason, now) if state.phase is not Phase.ENDING else []
        state.enter(Phase.ENDING)
        state.end_reason = reason
        # The server may be about to answer what the caller has just said: asking meanwhile would be refused.
        answering = state.turn.speaking or state.timers.is_set(Timer.WISH)
        state.timers.clear_all(Timer.HIDDEN, Timer.LATE_KEYS)
        state.timers.set(Timer.GOODBYE, now + GOODBYE_S)
        if answering:
            state.timers.set(Timer.WISH, now + CROSSING_S)
        state.turn.reset()
        commands = state.transfer.close() + self._speaking.reset(now) + self._speaking.unmute(now)
        commands += self._speaking.stop_listening()
        if reason is EndReason.AGENT_HANGUP and not state.conversation.unanswered():
            return commands
        if state.playout.left_s(now) > LAST_ANSWER_S:
            # Else the goodbye would come too late to be heard.
            commands += self._speaking.fall_silent("cut_short", now, cancel=True)
        state.slot.want(state.plan.goodbye)
        return commands

    def limit(self, now: float) -> list[Command]:
        """The call has lasted as long as it may."""
        if self._state.phase is Phase.TRANSFERRING:
            # Who is being moved to a human is as good as gone; who comes back is not.
            self._state.timers.set(Timer.DURATION, now + LIMIT_AGAIN_S)
            return []
        return self.goodbye(EndReason.DURATION_LIMIT, now)

    def settle(self, now: float) -> list[Command]:
        """Hang up as soon as the last words were heard."""
        if not self.saying_goodbye or self._counts_on or not self._heard(now):
            return []
        return self.hang_up(self._state.end_reason or EndReason.AGENT_HANGUP, now)

    def hang_up(self, reason: EndReason, now: float) -> list[Command]:
        """End the stream. Its end is then reported by the leg; LEG_S bounds that."""
        state = self._state
        if self.hanging_up:
            return []
        state.end_reason = reason
        if not state.stream_up:
            return self.end(reason, "", now)
        if state.phase is not Phase.ENDING:
            state.enter(Phase.ENDING)
        state.timers.clear_all(Timer.HIDDEN, Timer.LATE_KEYS)
        state.timers.set(Timer.LEG, now + LEG_S)
        state.model_up = False
        return [*state.transfer.close(), *self._speaking.close(now), CloseModel(), HangUp(reason)]

    def end(self, reason: EndReason, detail: str, now: float) -> list[Command]:
        """Write the end record. Nothing happens to the call after it."""
        state = self._state
        state.end_reason = reason
        commands = [*state.transfer.close(), *self._speaking.close(now)]
        commands += [CancelTool(call.tool_call_id) for call in state.tool_calls.running()]
        state.timers.clear_all()
        state.enter(Phase.ENDED)
        return [*commands, CloseModel(), Record("end", {"reason": reason.value, "detail": detail})]

    @property
    def _counts_on(self) -> bool:
        """Whether the agent has said goodbye before a function has answered, whose failure the caller must hear of."""
        state = self._state
        agent = state.end_reason is EndReason.AGENT_HANGUP and state.model_up
        return agent and any(call.name not in state.plan.built_in for call in state.tool_calls.running())

    def _heard(self, now: float) -> bool:
        playout = self._state.playout
        if playout.waiting():
            return False
        return self._all_said and (not playout.unheard or now >= playout.ends_s() + HEARD_GRACE_S)

    @property
    def _all_said(self) -> bool:
        return self._state.slot.state is SlotState.FREE and not self._state.slot.wanted
