"""Carries a transfer out: when the caller leaves the stream, what they hear meanwhile, how they come back."""

import json
from dataclasses import dataclass

from gateway.core.commands import CloseModel, Command
from gateway.core.deadlines import Timer
from gateway.core.events import TransferProgress
from gateway.core.speaking import Speaking
from gateway.core.state import CallState, Phase
from gateway.core.tones import RING_EVERY_S, ring_back
from gateway.core.transfer import Asked, Outcome, TransferPhase

__all__ = ["Moving", "Step"]

FIRST_RING_S = 0.8
"""From the agent's last word to the first ring."""


@dataclass(slots=True, frozen=True)
class Step:
    """What has to be done, and whether the human has the caller, so that the call's record ends."""

    commands: list[Command]
    reached: bool = False
    failed: tuple[Asked, str] | None = None
    """Who is to be told that nobody was reached, and why."""


class Moving:
    """The transfer of a live call."""

    def __init__(self, state: CallState, speaking: Speaking) -> None:
        self._state = state
        self._speaking = speaking
        self._rings = 0

    def start(self, asked: Asked, now: float) -> tuple[str, list[Command]]:
        """Begin; return why not, or ""."""
        state = self._state
        target = state.plan.transfer_targets.get(asked.target)
        if target is None:
            return "there is no such transfer target", []
        if state.transfer.running:
            return "a transfer is under way", []
        return "", state.transfer.start(asked, target, now)

    def progress(self, event: TransferProgress, now: float) -> Step:
        state = self._state
        outcome, commands = state.transfer.progress(event.transfer_id, event.state, event.detail, now)
        match outcome:
            case Outcome.NOTHING:
                return Step(commands)
            case Outcome.REACHED:
                state.transfer.reached()
                return Step(commands, reached=True)
            case Outcome.MOVE:
                return Step(self._leave(now) + commands)
            case Outcome.BACK:
                if state.phase is Phase.TRANSFERRING and not state.stream_up:
                    state.transfer.came_back(now)
                    return Step(commands)
                return self._back(commands)

    def stream_ended(self, now: float) -> Step:
        """The stream of a caller who is being moved is over; the call is not."""
        state = self._state
        state.stream_up = False
        heard = self._speaking.close(now)
        if state.transfer.stream_ended(now) is Outcome.REACHED:
            state.transfer.reached()
            return Step(heard, reached=True)
        return Step(heard)

    def stream_back(self) -> Step:
        """The carrier has brought the caller back."""
        self._state.transfer.expire()
        return self._back([])

    def settle(self, now: float) -> Step:
        """Move on when the last words were heard, ring while nobody speaks, give up in time."""
        state, transfer = self._state, self._state.transfer
        expired = transfer.deadline is not None and now >= transfer.deadline
        leading = transfer.phase is TransferPhase.LEADING
        if leading and state.phase in (Phase.ACTIVE, Phase.RECOVERING) and (expired or not state.talking):
            return Step(self._leave(now) + transfer.lead(now))
        if expired and transfer.phase is not TransferPhase.LEADING:
            return self._expired()
        return Step(self._ring(now) if transfer.phase is TransferPhase.RINGING and state.active else [])

    def _leave(self, now: float) -> list[Command]:
        """The caller is taken over: nothing more is said to them, and a new session that is not ready is not needed."""
        state = self._state
        commands = self._speaking.fall_silent("cut_short", now, cancel=True)
        if state.phase is Phase.RECOVERING:
            commands.append(CloseModel())
            state.model_up = False
        state.enter(Phase.TRANSFERRING)
        state.timers.clear(Timer.RING, Timer.SILENCE, Timer.WISH, Timer.RECOVER)
        return commands

    def _expired(self) -> Step:
        state = self._state
        if state.phase is Phase.TRANSFERRING and not state.stream_up:
            # Neither an answer nor a way back was reported: the carrier has the caller, we have not.
            state.transfer.reached()
            return Step([], reached=True)
        cancelled = state.transfer.close()
        state.transfer.expire()
        return self._back(cancelled)

    def _back(self, commands: list[Command]) -> Step:
        """The caller is with us again, or still; whoever asked for the transfer is told."""
        state = self._state
        asked, why = state.transfer.asked, state.transfer.failure
        commands = commands + state.transfer.close()
        state.timers.clear(Timer.RING)
        if state.phase is Phase.TRANSFERRING:
            state.enter(Phase.ACTIVE)
        return Step(commands, failed=(asked, why))

    def _ring(self, now: float) -> list[Command]:
        """The caller is never left in silence: a ring every six seconds while nobody speaks."""
        state, timers = self._state, self._state.timers
        if state.talking or state.turn.speaking:
            if not self._ringing:
                timers.clear(Timer.RING)
            return []
        if not timers.is_set(Timer.RING):
            timers.set(Timer.RING, now + FIRST_RING_S)
        return []

    @property
    def _ringing(self) -> bool:
        return self._state.playout.plays_own(f"ring_{self._rings}")

    def ring(self, now: float) -> list[Command]:
        """The time for a ring has come."""
        state = self._state
        if state.transfer.phase is not TransferPhase.RINGING or not state.active or state.talking:
            return []
        self._rings += 1
        state.timers.set(Timer.RING, now + RING_EVERY_S)
        return state.playout.play_own(f"ring_{self._rings}", ring_back(state.audio), now)


def failed_output(why: str) -> str:
    """Return what the model gets for a transfer that did not happen."""
    return json.dumps({"transferred": False, "reason": why})


def failed_text(asked: Asked, why: str) -> str:
    """Return what the model is told of a transfer that it did not ask for itself."""
    return f"The transfer to {asked.target} that the business asked for did not happen: {why}. Tell the caller."
