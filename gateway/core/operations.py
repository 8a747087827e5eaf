"""What operators ask of a live call: done at once, once per id, and written down with who asked."""

from collections import OrderedDict
from collections.abc import Callable

from gateway.core import operator as op
from gateway.core.commands import Command, CreateItem, Record
from gateway.core.digits import Entry
from gateway.core.elsewhere import refusal
from gateway.core.events import OperatorAsked
from gateway.core.keypad import Keypad
from gateway.core.moving import Moving
from gateway.core.plan import TurnMode
from gateway.core.speaking import Speaking
from gateway.core.state import CallState
from gateway.core.transfer import Asked

__all__ = ["Operations"]

KEPT_IDS = 512
"""Commands whose ids are remembered, so that one that comes twice is not done twice."""
MOST_KEYS_OUT = 128
ROLES = {"system": "input_text", "user": "input_text", "assistant": "output_text"}


class Operations:
    """Takes `OperatorAsked`. Commands are done only while the call is active."""

    def __init__(self, state: CallState, speaking: Speaking, keypad: Keypad, moving: Moving) -> None:
        self._state = state
        self._speaking = speaking
        self._keypad = keypad
        self._moving = moving
        self._outcomes: OrderedDict[str, str] = OrderedDict()
        self.keys_out = ""
        """Keys that wait to be pressed towards the far end."""
        self._keys_asked: list[str] = []
        """Function calls that asked for them."""

    def outcome(self, command_id: str) -> str:
        return self._outcomes.get(command_id, "")

    def press_keys(self, digits: str, tool_call_id: str = "") -> str:
        """Have keys pressed as soon as nothing plays; return why not, or ""."""
        impossible = self._impossible(op.PressKeys(digits))
        if impossible:
            return impossible
        if len(self.keys_out) + len(digits) > MOST_KEYS_OUT:
            return "too many keys wait to be pressed"
        self.keys_out += digits
        if tool_call_id:
            self._keys_asked.append(tool_call_id)
        return ""

    def take_keys(self) -> tuple[str, list[str]]:
        """Return the keys that are pressed now, and the function calls that asked for them."""
        taken = self.keys_out, self._keys_asked
        self.keys_out, self._keys_asked = "", []
        return taken

    def ask(self, event: OperatorAsked, now: float, end_call: Callable[[float], list[Command]]) -> list[Command]:
        if event.command_id in self._outcomes:
            return []
        refused, commands = "", list[Command]()
        self._state.attend()
        if not self._state.active:
            refused = f"the call is {self._state.phase.value}"
        elif isinstance(event.action, op.EndCall):
            commands = end_call(now)
        elif impossible := self._impossible(event.action):
            refused = impossible
        else:
            refused, commands = self._do(event, now)
        outcome = f"refused: {refused}" if refused else "done"
        self._outcomes[event.command_id] = outcome
        while len(self._outcomes) > KEPT_IDS:
            self._outcomes.popitem(last=False)
        asked = {"command_id": event.command_id, "who": event.who, "action": op.NAMES[type(event.action)]}
        return [Record("operator", {**asked, "outcome": outcome}), *commands]

    def _do(self, event: OperatorAsked, now: float) -> tuple[str, list[Command]]:  # noqa: C901, PLR0911, PLR0912
        speaking = self._speaking
        match event.action:
            case op.MuteCaller():
                speaking.caller_muted = True
                return "", [self._muted()]
            case op.MuteAgent():
                return "", [*speaking.mute_agent(now), self._muted()]
            case op.Unmute():
                return "", [*speaking.unmute(now), self._muted()]
            case op.ForceReply(instructions):
                speaking.force_reply(instructions)
                return "", []
            case op.CancelReply():
                return "", speaking.cancel_reply(now)
            case op.InsertMemory():
                return self._insert(event.command_id, event.action)
            case op.Say(text, interruptible):
                queued = speaking.say(text, interruptible=interruptible)
                return "" if queued else "too many sentences wait to be said", []
            case op.ChangeTurns(turns):
                if turns.own_ear and not self._state.plan.needs_ear:
                    return "this agent has no ear of its own: barge_in, early_reply or turn_detection gives it one", []
                return "", speaking.change_turns(turns)
            case op.EndTurn():
                if speaking.turns.mode is not TurnMode.MANUAL:
                    return "turn-taking is not manual", []
                return "", speaking.end_turn(now)
            case op.PressKeys(digits):
                return self.press_keys(digits), []
            case op.CollectDigits():
                return self._keypad.collect(Entry(event.action, command_id=event.command_id), now)
            case op.AskTransfer(target, summary):
                return self._moving.start(Asked(target, summary), now)
            case op.EndCall():
                return "", []

    def _insert(self, command_id: str, memory: op.InsertMemory) -> tuple[str, list[Command]]:
        kind = ROLES.get(memory.role)
        if kind is None:
            return "role must be system, user or assistant", []
        content = [{"type": kind, "text": memory.text}]
        item = {"type": "message", "role": memory.role, "content": content}
        self._state.conversation.say(f"memory {command_id}", memory.role, memory.text)
        return "", [CreateItem(item, memory.after)]

    def _impossible(self, action: op.Action) -> str:
        return refusal(action) if self._state.plan.media_elsewhere else ""

    def _muted(self) -> Record:
        return Record("muted", {"caller": int(self._speaking.caller_muted), "agent": int(self._speaking.agent_muted)})
