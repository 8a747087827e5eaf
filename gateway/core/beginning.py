"""How a call begins: what is known before the first word, the greeting, or the telephone call that goes on.

The business may know the caller (`Briefed.context`), and the telephone call may have begun before: its process or its
stream was lost and the carrier came back. Then the model is told what was said and done, and the caller, who has
waited on a silent line, is spoken to. Both are waited for until `CallPlan.briefing_s`, in parallel with the ringing.
"""

from dataclasses import replace

from gateway.core.commands import Command, CreateItem, InvokeTool, Record
from gateway.core.conversation import MAX_TEXT
from gateway.core.corrections import Corrections
from gateway.core.deadlines import Timer
from gateway.core.events import Briefed
from gateway.core.plan import DEFAULT_TOOL
from gateway.core.recovery import past_items, submitted
from gateway.core.speaking import Speaking
from gateway.core.state import CallState, Phase
from gateway.core.toolcalls import error_output

__all__ = ["Beginning"]

CONTEXT = "What the business knows about this caller and this call: "
NOTE = (
    "The line was interrupted for a moment and the caller is back; what follows was said and done on this call before. "
    "Apologise for the interruption in a few words and go on from there. Do nothing again that was done."
)
LATE_NOTE = "This telephone call goes on after an interruption. Said and done before it (do nothing of that again):"
NEVER_DONE = error_output("the line was interrupted before it was done")
"""Answers functions of ours: they leave nothing behind."""


class Beginning:
    """The first phase of a call."""

    def __init__(self, state: CallState, speaking: Speaking, corrections: Corrections) -> None:
        self._state = state
        self._speaking = speaking
        self._corrections = corrections
        self._briefed: Briefed | None = None

    def offered(self, now: float) -> None:
        state = self._state
        state.timers.set(Timer.START, now + state.plan.start_s)
        if state.plan.briefing_s > 0:
            state.timers.set(Timer.BRIEF, now + state.plan.briefing_s)

    @property
    def waits(self) -> bool:
        """Whether the first word still waits for what is known."""
        return self._state.timers.is_set(Timer.BRIEF)

    def briefed(self, event: Briefed) -> list[Command]:
        """Keep what is known for the first word; what comes later is told to the model at once, silently."""
        state = self._state
        if self._briefed is not None:
            return []
        self._briefed = event
        state.timers.clear(Timer.BRIEF)
        if state.phase is Phase.CONNECTING:
            return []
        text = "\n".join(part for part in (event.context and CONTEXT + event.context, self._late_past(event)) if part)
        if not text or state.phase in (Phase.ENDING, Phase.ENDED):
            return []
        item = state.conversation.tell(text)
        return [Record("briefed_late", {}), *([CreateItem(item)] if state.model_up else [])]

    def _late_past(self, event: Briefed) -> str:
        """Return what was said and done before, for a model that has begun without it; what is unknown is left out."""
        done = [called for called in event.calls if called.output is not None]
        for called in done:
            self._corrections.past(called.name, called.output or "")
        told = [f"{words.role}: {words.text}" for words in event.words]
        told += [f"{called.name} {called.arguments}: {called.output}" for called in done]
        return "\n".join([LATE_NOTE, *told])[:MAX_TEXT] if event.resumed and told else ""

    def activate(self, now: float) -> list[Command]:
        """Both ends are up: tell the model what is known and have the agent say its first words."""
        state, known = self._state, self._briefed
        state.timers.clear(Timer.CONNECT, Timer.BRIEF)
        state.enter(Phase.ACTIVE)
        context = [CreateItem(state.conversation.tell(CONTEXT + known.context))] if known and known.context else []
        if known is not None and known.resumed:
            return [*context, *self._go_on(known, now)]
        greeting = known.greeting if known is not None and known.greeting else state.plan.greeting
        greeted = self._speaking.greet(greeting, now) if greeting is not None else []
        return [*context, *self._speaking.early_audio(), *greeted]

    def _go_on(self, known: Briefed, now: float) -> list[Command]:
        state = self._state
        for number, words in enumerate(known.words):
            state.conversation.say(f"before {number}", words.role, words.text)
        again: list[Command] = []
        for called in {called.tool_call_id: called for called in known.calls}.values():
            lost = called.output is None and called.name in state.plan.built_in
            past = replace(called, output=NEVER_DONE) if lost else called
            deadline_s = state.plan.tools.get(past.name, DEFAULT_TOOL).deadline_s
            state.tool_calls.remember(past, now + deadline_s)
            if past.output is None:
                self._corrections.started(past.name)
                again.append(InvokeTool(past.tool_call_id, past.name, past.arguments, deadline_s, again=True))
            else:
                self._corrections.past(past.name, past.output)
        note = Record("resumed_call", {"words": len(known.words), "calls": len(known.calls)})
        items = past_items(NOTE, state.conversation, state.tool_calls)
        outputs = submitted(state.tool_calls, state.slot)
        if not again:
            state.slot.want()
        return [note, *items, *outputs, *again, *self._speaking.early_audio()]
