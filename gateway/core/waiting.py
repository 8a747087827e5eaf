"""What the caller hears while a function runs and nobody speaks: a few words or a soft tone, again after a while."""

import base64
from functools import cache

from gateway.core.audio import AudioFormat
from gateway.core.commands import Command, Record
from gateway.core.deadlines import Timer
from gateway.core.plan import DEFAULT_TOOL, Filler
from gateway.core.speaking import Speaking
from gateway.core.state import CallState
from gateway.core.tones import two_tones
from gateway.core.toolcalls import ToolCall

__all__ = ["Waiting"]

WORDS_AGAIN_S = 6.0
"""Silence before further words; nobody wants to hear them every second."""
TONE_AGAIN_S = 2.0
TONE_HZ = (400.0, 440.0)
TONE_MS = 250
AMPLITUDE = 900.0
"""Some 6 dB softer than the ring-back tone."""


class Waiting:
    """Fills silences, only while the call is active."""

    def __init__(self, state: CallState, speaking: Speaking) -> None:
        self._state = state
        self._speaking = speaking
        self._quiet_s: float | None = None
        """Since when nobody speaks while a function runs."""
        self._given = 0
        """Fillers since a function began to run."""
        self._tones = 0
        self.deadline: float | None = None

    def settle(self, now: float) -> list[Command]:
        """Fill the silence if it has lasted long enough."""
        state = self._state
        call, filler = self._awaited()
        if call is None:
            self._given = 0
        if call is None or state.turn.speaking or not state.active:
            state.slot.drop_filler()  # it was to be asked for as soon as something else allowed it
        # Where an answer is on its way, or nothing would be heard, there is nothing to fill.
        due = state.timers.is_set(Timer.WISH) or self._speaking.holding or self._speaking.has_to_say
        busy = due or state.talking or state.turn.speaking or state.transfer.running
        if call is None or filler is None or busy or not state.active:
            self._quiet_s = self.deadline = None
            return []
        if self._quiet_s is None:
            self._quiet_s = now
        again_s = TONE_AGAIN_S if filler.sound else WORDS_AGAIN_S
        self.deadline = self._quiet_s + (max(again_s, filler.after_s) if self._given else filler.after_s)
        if now < self.deadline:
            return []
        note = Record("filler", {"tool": call.name, "after_ms": round((now - self._quiet_s) * 1000)})
        self._quiet_s = self.deadline = None
        self._given += 1
        return [note, *self._fill(filler, now)]

    def _awaited(self) -> tuple[ToolCall | None, Filler | None]:
        """Return the oldest function of the business that runs and may be covered, or the oldest at all."""
        plan = self._state.plan
        running = [call for call in self._state.tool_calls.running() if call.name not in plan.built_in]
        for call in running:
            filler = plan.tools.get(call.name, DEFAULT_TOOL).filler
            if filler is not None:
                return call, filler
        return (running[0] if running else None), None

    def _fill(self, filler: Filler, now: float) -> list[Command]:
        state = self._state
        if filler.sound:
            self._tones += 1
            return state.playout.play_own(f"wait_{self._tones}", _tone(state.audio), now)
        plan = state.plan
        state.slot.fill(plan.exactly(filler.text) if filler.text else f"{plan.instructions}\n\n{plan.filler}")
        return []


@cache
def _tone(audio: AudioFormat) -> str:
    return base64.b64encode(two_tones(*TONE_HZ, AMPLITUDE, TONE_MS, audio)).decode()
