"""Whether the caller is still there: signs of life, prompts, and the goodbye to nobody."""

from gateway.core.commands import Command, EndReason, Record
from gateway.core.deadlines import Timer
from gateway.core.ending import Ending
from gateway.core.events import VoiceStarted, VoiceStopped
from gateway.core.idle import IdleClock, IdleStep
from gateway.core.keypad import Keypad
from gateway.core.plan import TurnMode
from gateway.core.speaking import Speaking
from gateway.core.state import CallState

__all__ = ["Presence"]


class Presence:
    """Runs the idle clock of a call, where its agent wants one."""

    def __init__(self, state: CallState, speaking: Speaking, keypad: Keypad, ending: Ending) -> None:
        self._state = state
        self._speaking = speaking
        self._keypad = keypad
        self._ending = ending
        self._clock = IdleClock(state.plan.idle) if state.plan.idle is not None else None
        self._voice = False

    @property
    def deadline(self) -> float | None:
        return self._clock.deadline if self._clock is not None and self._state.active else None

    def sign(self, now: float) -> None:
        """The caller gave a sign of life."""
        if self._clock is not None:
            self._clock.sign(now)

    def voice(self, event: VoiceStarted | VoiceStopped, now: float) -> None:
        """Without the server's turn detection our own ear is the one that knows whether the caller speaks."""
        if self._speaking.turns.mode is TurnMode.MANUAL:
            self._voice = isinstance(event, VoiceStarted)
            self.sign(now)

    def settle(self, now: float) -> list[Command]:
        """Let the clock run or stand, and do what is due by it."""
        state, clock = self._state, self._clock
        if clock is None or not state.active:
            return []
        talking = state.talking or state.timers.is_set(Timer.WISH)
        # What a business has promised is waited for like what runs.
        busy = talking or state.tool_calls.deadline is not None or state.transfer.running or self._keypad.collecting
        clock.run(now, idle=not busy, speech=state.turn.speaking or self._voice)
        due = clock.judge(now)
        if due is IdleStep.GOODBYE:
            ending = self._ending.goodbye(EndReason.IDLE, now)
            return [Record("idle", {"prompt": 0}), *ending, *self._speaking.settle(now)]
        if due is IdleStep.PROMPT:
            state.turn.reset()  # what goes on for so long is no speech, and nothing to wait for
            self._speaking.say(clock.prompt(), interruptible=True)
            return [Record("idle", {"prompt": clock.said}), *self._speaking.settle(now)]
        return []
