"""Function calls of the model: which run, what becomes of them, and that each is answered once.

Only calls of a completed response come here. Those of the gateway itself (`functions.py`) are done on the spot; the
others leave as `InvokeTool`. While they run the caller is not left in silence (`waiting.py`). An answer may bring
words to be said exactly, and something to be done with the call once they were heard. What the agent claims to have
done is held against what was done (`corrections.py`).
"""

from collections import OrderedDict
from dataclasses import dataclass

from gateway.core import functions
from gateway.core.commands import (
    CancelTool,
    Command,
    ConfigureLanguage,
    CreateItem,
    EndReason,
    InvokeTool,
    Record,
    SubmitToolOutput,
)
from gateway.core.consent import Consents
from gateway.core.corrections import Corrections
from gateway.core.deadlines import Timer
from gateway.core.digits import Entry
from gateway.core.ending import Ending
from gateway.core.events import FunctionCall, ToolAction, ToolResult
from gateway.core.keypad import Keypad
from gateway.core.moving import Moving
from gateway.core.operations import Operations
from gateway.core.plan import DEFAULT_TOOL, OnInterrupt, ToolRules
from gateway.core.speaking import Speaking
from gateway.core.state import CallState
from gateway.core.toolcalls import ToolCall, ToolCallState, error_output
from gateway.core.transfer import Asked
from gateway.core.waiting import Waiting

__all__ = ["OK_OUTPUT", "Invoking"]

MAX_CALLS = 16
"""Function calls that may run at once; a model that asks for more gets an error."""
MOST_UNATTENDED = MAX_CALLS
"""Function calls of the business since the caller gave a sign (a turn, a key) or an operator asked something. A model
that loops was seen to write fifty times in 24 s without a word of the caller. One response may use all of it at once.
What is called beyond is refused, and the refusal answered by a response without functions, so that it ends there."""
OK_OUTPUT = '{"ok": true}'
BUILT_IN_S = 3600.0
"""A function of ours has time-outs of its own; this one only keeps it from being forgotten."""
MOST_TARGET = 100
"""Characters of an unlisted target that are put on record."""
NO_TARGET = "there is no such transfer target"
KEPT_SPOKEN = 256
KEPT_UNSURE = 64
LATE = "the system did not answer in time"
TOO_MANY = "too many function calls at once"
FORGOTTEN = error_output("an equal call was answered before: its result stands above")
UNATTENDED = "too many function calls without a word of the caller: speak with the caller first"
NO_TOOLS = "functions could not be called in this answer"
LEFT = "the caller is being connected with somebody else"


@dataclass(slots=True, frozen=True)
class _Action:
    """What a business wants done once its answer was heard."""

    action: ToolAction
    target: str


class Invoking:
    """The functions of one call. Asked for commands by `Call`."""

    def __init__(
        self,
        state: CallState,
        speaking: Speaking,
        keypad: Keypad,
        moving: Moving,
        operations: Operations,
        ending: Ending,
    ) -> None:
        self._state = state
        self._speaking = speaking
        self._keypad = keypad
        self._moving = moving
        self._operations = operations
        self._ending = ending
        self.consents = Consents()
        self.corrections = Corrections(state)
        self._waiting = Waiting(state, speaking)
        self._spoken: OrderedDict[str, None] = OrderedDict()
        """Calls whose answer is said word for word, so that no response need answer them."""
        self._unsure: OrderedDict[str, None] = OrderedDict()
        """Calls that were answered with an error, by id: what became of them may turn out later."""
        self._action: _Action | None = None
        self._language = ""

    @property
    def deadline(self) -> float | None:
        """When a silence is filled."""
        return self._waiting.deadline if self._state.active else None

    # --- calls --------------------------------------------------------------------------------

    def run(self, calls: tuple[FunctionCall, ...], response_id: str, now: float) -> list[Command]:
        """Carry out the function calls of a completed response; none of one that was to call none."""
        if response_id == self._state.slot.without_tools:
            return self._unwanted(calls, response_id, now)
        commands: list[Command] = []
        for call in calls:
            commands += self._run(call, response_id, now)
        if self._state.tool_calls.running() or self._state.slot.wanted:
            self._state.timers.clear(Timer.SILENCE)
        return commands

    def refuse(self, calls: tuple[FunctionCall, ...], response_id: str, now: float) -> list[Command]:
        """Answer the calls of a model whose caller is with somebody else: it may get the caller back."""
        begun = [self._state.tool_calls.start(call, response_id, BUILT_IN_S, now) for call in calls]
        return [command for call in begun if call is not None for command in self._not_tried(call, LEFT)]

    def _unwanted(self, calls: tuple[FunctionCall, ...], response_id: str, now: float) -> list[Command]:
        """Refuse them, and ask for no response: it would call again."""
        commands: list[Command] = []
        for call in calls:
            begun = self._state.tool_calls.start(call, response_id, BUILT_IN_S, now)
            if begun is not None:
                commands.append(_refusal(begun, NO_TOOLS))
                commands += self._not_tried(begun, NO_TOOLS, answered=False)
        return commands

    def _run(self, call: FunctionCall, response_id: str, now: float) -> list[Command]:
        state = self._state
        built_in = call.name in state.plan.built_in
        if call.name == functions.HANG_UP and built_in:
            return self._hang_up(call, response_id, now)
        full = len(state.tool_calls.running()) >= MAX_CALLS
        if state.tool_calls.repeated(call.tool_call_id, response_id):
            # It will not run again, and the model waits: let it speak with the output that it has.
            state.slot.want()
        rules = self._rules(call.name)
        begun = state.tool_calls.start(call, response_id, BUILT_IN_S if built_in else rules.deadline_s, now)
        if begun is None:
            return []
        if full:
            return self._not_tried(begun, TOO_MANY)
        if built_in:
            return self._run_built_in(begun, now)
        state.tool_calls.unattended += 1
        if state.tool_calls.unattended > MOST_UNATTENDED:
            return [_refusal(begun, UNATTENDED), *self._not_tried(begun, UNATTENDED)]
        return self._invoke(begun, rules)

    def _invoke(self, call: ToolCall, rules: ToolRules) -> list[Command]:
        twin = self._state.tool_calls.twin_of(call)
        if twin is not None:
            call.follows = twin.tool_call_id
            note = Record("tool_repeated", {"tool_call_id": call.tool_call_id, "follows": twin.tool_call_id})
            running = twin.state is ToolCallState.RUNNING
            return [note, *([] if running else self.answer(call.tool_call_id, twin.output or FORGOTTEN))]
        missing = self.consents.missing(call, rules.confirmation)
        if missing:
            call.follows = call.tool_call_id
            by = rules.confirmation.value
            note = Record("confirmation_asked", {"tool_call_id": call.tool_call_id, "tool": call.name, "by": by})
            return [note, *self.answer(call.tool_call_id, missing)]
        self.corrections.started(call.name)
        return [InvokeTool(call.tool_call_id, call.name, call.arguments, rules.deadline_s)]

    def _hang_up(self, call: FunctionCall, response_id: str, now: float) -> list[Command]:
        begun = self._state.tool_calls.start(call, response_id, BUILT_IN_S, now)
        answered = self._state.tool_calls.answer(call.tool_call_id, OK_OUTPUT) if begun is not None else None
        output = [SubmitToolOutput(call.tool_call_id, OK_OUTPUT)] if answered is not None else []
        return [*output, *self._ending.goodbye(EndReason.AGENT_HANGUP, now)]

    def _run_built_in(self, call: ToolCall, now: float) -> list[Command]:
        """Run a function of ours; what is wrong with it is its output."""
        refused, commands = "", list[Command]()
        try:
            match call.name:
                case functions.TRANSFER_CALL:
                    wanted = functions.transfer_arguments(call.arguments)
                    asked = Asked(wanted.target, wanted.summary, call.tool_call_id)
                    refused, commands = self._moving.start(asked, now)
                case functions.COLLECT_DIGITS:
                    entry = Entry(functions.collect_arguments(call.arguments), call.tool_call_id)
                    refused, commands = self._keypad.collect(entry, now)
                case functions.SET_LANGUAGE:
                    self._language = functions.language_argument(call.arguments, self._state.plan.languages)
                    commands = [*self.resumed(), *self.answer(call.tool_call_id, OK_OUTPUT)]
                case _:
                    refused = self._operations.press_keys(functions.digits_arguments(call.arguments), call.tool_call_id)
        except functions.BadArguments as bad:
            refused = str(bad)
        return self.refused(call.tool_call_id, refused) if refused else commands

    def resumed(self) -> list[Command]:
        """Tell the session the language that the caller is transcribed in, if that was changed."""
        plan = self._state.plan
        if not self._language or not plan.transcribes:
            return []
        return [ConfigureLanguage({**plan.transcription, "language": self._language})]

    # --- answers ------------------------------------------------------------------------------

    def result(self, event: ToolResult, now: float) -> list[Command]:
        """Take what a business answered, or the result that it has promised."""
        tool_calls = self._state.tool_calls
        kept = tool_calls.kept_promise(event.tool_call_id)
        if kept is not None:
            return self._promised(kept, event)
        call = tool_calls.find(event.tool_call_id)
        if call is not None and call.tool_call_id in self._unsure and not event.pending:
            return self._turned_out(call, event)
        if call is None or call.state is not ToolCallState.RUNNING:
            return [Record("tool_result_ignored", {"tool_call_id": event.tool_call_id})]
        if event.pending:
            call.promised_until = now + self._rules(call.name).pending_s
        else:
            self._ended(call, ok=event.ok)
        return self._say(event) + self.answer(event.tool_call_id, event.output)

    def _ended(self, call: ToolCall, *, ok: bool) -> None:
        self.corrections.ended(call.name, ok=ok)
        if not ok:
            self._unsure[call.tool_call_id] = None
            while len(self._unsure) > KEPT_UNSURE:
                self._unsure.popitem(last=False)
            self._tell_before_leaving(call)

    def _tell_before_leaving(self, call: ToolCall) -> None:
        """The agent has said goodbye and counted on it: the caller must not leave without knowing that it failed."""
        if self._ending.own_end is EndReason.AGENT_HANGUP and self._ending.saying_goodbye and self._state.model_up:
            self._state.slot.want(outputs={call.tool_call_id})

    def _promised(self, call: ToolCall, event: ToolResult) -> list[Command]:
        """The model has the promise as the output, so it is told of the result."""
        self._ended(call, ok=event.ok)
        # Whoever asks again, or has to be told of the call, gets the result and no promise.
        call.output = event.output if call.state is not ToolCallState.TOLD else ""
        text = f"The result of {call.name} (call {call.tool_call_id}), which was still in progress: {event.output}"
        return self._tell_result(event, text)

    def _turned_out(self, call: ToolCall, event: ToolResult) -> list[Command]:
        """The model was told that it failed, or that nobody knows: the business has found out, once."""
        del self._unsure[call.tool_call_id]
        if event.ok:
            self.corrections.ended(call.name, ok=True)
        return self._tell_result(
            event, f"What came of {call.name} (call {call.tool_call_id}) after all: {event.output}"
        )

    def _tell_result(self, event: ToolResult, text: str) -> list[Command]:
        self._spoken.pop(event.tool_call_id, None)  # that was the promise
        said = self._say(event)
        if event.tool_call_id not in self._spoken:
            return said + self.tell(f"{text}\nTell the caller.")
        item = self._state.conversation.tell(text)
        return said + ([CreateItem(item)] if self._state.model_up else [])

    def _say(self, event: ToolResult) -> list[Command]:
        """Take what comes along with an answer: words for the caller, and what is to be done.

        The model is not told of a target that is not listed: it had no part in it, and could only try again.
        """
        notes: list[Command] = []
        listed = event.action is not ToolAction.TRANSFER or event.target in self._state.plan.transfer_targets
        if event.action is not None and listed:
            self._action = _Action(event.action, event.target)
        elif event.action is not None:
            why = {"target": event.target[:MOST_TARGET], "why": NO_TARGET}
            notes = [Record("tool_action_refused", {"tool_call_id": event.tool_call_id, **why})]
        if not event.say or self._ending.own_end not in (None, EndReason.AGENT_HANGUP):
            return notes
        if not self._speaking.say(event.say, interruptible=True, speaks_for=event.tool_call_id):
            return [*notes, Record("say_refused", {"tool_call_id": event.tool_call_id})]
        for follower in self._state.tool_calls.followers(event.tool_call_id):
            self._spoken[follower.tool_call_id] = None
        self._spoken[event.tool_call_id] = None
        while len(self._spoken) > KEPT_SPOKEN:
            self._spoken.popitem(last=False)
        return notes

    def seen_by(self, response_id: str) -> None:
        """A response was created. One that says what it was told to say tells of no call but the one it speaks for."""
        slot, tool_calls = self._state.slot, self._state.tool_calls
        tool_calls.seen_by(response_id)
        for call in tool_calls.untold() if slot.instructed else ():
            speaks_for = slot.speaks_for and slot.speaks_for in (call.tool_call_id, call.follows)
            if call.seen_by == response_id and not speaks_for:
                call.seen_by = ""

    def answer(self, tool_call_id: str, output: str, *, answered: bool = True) -> list[Command]:
        """Give a function call its output, once, and so whoever follows it; not `answered`: no response is asked for.

        Beyond `MOST_UNATTENDED` the response that answers cannot call functions.
        """
        state = self._state
        call = state.tool_calls.answer(tool_call_id, output)
        if call is None:
            return [Record("tool_result_ignored", {"tool_call_id": tool_call_id})]
        followers = [
            command
            for follower in state.tool_calls.followers(tool_call_id)
            for command in self.answer(follower.tool_call_id, output)
        ]
        if not state.model_up:
            return followers
        spoken = all(other.tool_call_id in self._spoken for other in state.tool_calls.of(call.response_id))
        waits = state.tool_calls.waiting_for(call.response_id) or spoken
        if self._ending.own_end is None and not waits and answered:
            tools = state.tool_calls.unattended <= MOST_UNATTENDED
            state.slot.want(outputs=state.tool_calls.unaccepted(call.response_id), tools=tools)
        return [SubmitToolOutput(tool_call_id, output), *followers]

    def refused(self, tool_call_id: str, why: str) -> list[Command]:
        return self.answer(tool_call_id, error_output(why))

    def _not_tried(self, call: ToolCall, why: str, *, answered: bool = True) -> list[Command]:
        """Refuse a call that may be made again: an equal one is carried out, also for a new session."""
        commands = self.answer(call.tool_call_id, error_output(why), answered=answered)
        call.follows = call.tool_call_id
        return commands

    def tell(self, text: str) -> list[Command]:
        """Tell the model of something that it did not ask for, as soon as there is one, and have it speak."""
        item = self._state.conversation.tell(text)
        if self._ending.own_end is None:
            self._state.slot.want()
        return [CreateItem(item)] if self._state.model_up else []

    def pressed(self, digit: str) -> list[Command]:
        """The caller has pressed a key; it may be the agreement that a function waits for."""
        agreed = self.consents.pressed(digit)
        if not agreed or self._state.plan.keys_to_model:
            return [*agreed]
        return [*agreed, *self.tell("The caller has agreed by pressing the key.")]

    def note_heard(self, responses: list[str]) -> list[Command]:
        """Note what the caller has heard by now, and whether they have spoken."""
        spoken = self.consents.note(self._state.turn.taken, responses)
        if spoken is None:
            return []
        self._state.attend()
        return [*spoken]

    # --- time ---------------------------------------------------------------------------------

    def expire(self, now: float) -> list[Command]:
        """Answer for functions that have not answered in time."""
        commands: list[Command] = []
        for call in self._state.tool_calls.expired(now):
            if call.state is not ToolCallState.RUNNING:
                continue  # it has just shared the answer of the one that it follows
            if not call.follows and call.name not in self._state.plan.built_in:
                self.corrections.ended(call.name, ok=False)
                self._tell_before_leaving(call)
            commands += [Record("tool_timeout", {"tool_call_id": call.tool_call_id}), CancelTool(call.tool_call_id)]
            commands += self.refused(call.tool_call_id, LATE)
        for call in self._state.tool_calls.broken_promises(now):
            call.promised_until = None
            self._ended(call, ok=False)  # it may come after all, and is told then
            commands.append(Record("tool_timeout", {"tool_call_id": call.tool_call_id}))
            commands += self.tell(f"The result of {call.name} (call {call.tool_call_id}) has not come: {LATE}.")
        return commands

    def settle(self, now: float) -> list[Command]:
        """Do what has become due: drop what nobody waits for, act for the business, judge claims, fill a silence."""
        return self._cancel_unwanted() + self._act(now) + self.corrections.settle() + self._waiting.settle(now)

    def _cancel_unwanted(self) -> list[Command]:
        """The caller speaks: functions whose answer is not wanted any more are told so."""
        state = self._state
        if not state.turn.speaking or not state.active:
            return []
        commands: list[Command] = []
        for call in state.tool_calls.running():
            if self._rules(call.name).on_interrupt is OnInterrupt.CANCEL and not call.follows:
                self.corrections.ended(call.name, ok=False)
                commands += [Record("tool_cancelled", {"tool_call_id": call.tool_call_id})]
                commands += [CancelTool(call.tool_call_id)]
                commands += self._not_tried(call, "given up because the caller went on speaking")
        return commands

    def _act(self, now: float) -> list[Command]:
        wanted, state = self._action, self._state
        if wanted is None or not state.active or state.talking or self._speaking.has_to_say or state.turn.speaking:
            return []
        if any(call.name not in state.plan.built_in for call in state.tool_calls.running()):
            return []  # the caller stays until they know what came of it
        self._action = None
        note = Record("tool_action", {"action": wanted.action.value, "target": wanted.target})
        if wanted.action is ToolAction.HANG_UP:
            return [note, *self._ending.goodbye(EndReason.AGENT_HANGUP, now)]
        refused, commands = self._moving.start(Asked(wanted.target), now)
        if refused:
            return [Record("tool_action_refused", {"target": wanted.target, "why": refused})]
        return [note, *commands]

    def _rules(self, name: str) -> ToolRules:
        return self._state.plan.tools.get(name, DEFAULT_TOOL)


def _refusal(call: ToolCall, why: str) -> Record:
    return Record("tool_refused", {"tool_call_id": call.tool_call_id, "tool": call.name, "why": why})
