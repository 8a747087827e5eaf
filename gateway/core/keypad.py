"""What happens to the caller's keys: a collector takes them, or they end a turn, or the model is told."""

import json

from gateway.core.commands import Command, CreateItem, KeepSecret, Record
from gateway.core.deadlines import Timer
from gateway.core.digits import HIDDEN_S, LATE_KEYS_S, Collector, Entry, Keys, Step
from gateway.core.elsewhere import refusal
from gateway.core.plan import TurnMode
from gateway.core.speaking import Speaking
from gateway.core.state import CallState, Phase
from gateway.core.toolcalls import error_output

__all__ = ["Answered", "Keypad"]

ASK_AGAIN = "The caller has not keyed in a complete entry. Ask them once more, in one short sentence, to key it in."


class Answered:
    """The end of an entry: who waits for it, and what they get."""

    __slots__ = ("entry", "output")

    def __init__(self, entry: Entry, output: str) -> None:
        self.entry = entry
        self.output = output


class Keypad:
    """The caller's keys. `answered` holds finished entries until `Call` has taken them."""

    def __init__(self, state: CallState, speaking: Speaking) -> None:
        self._state = state
        self._speaking = speaking
        self._keys = Keys()
        self._collector: Collector | None = None
        self._secrets: dict[str, Entry] = {}
        """Entries whose digits are on their way to the vault, by secret id."""
        self._lengths: dict[str, int] = {}
        self._count = 0
        self.answered: list[Answered] = []

    @property
    def collecting(self) -> bool:
        return self._collector is not None or bool(self._secrets)

    @property
    def hidden(self) -> bool:
        """Whether what the caller says and keys must not be seen by anybody."""
        collector = self._collector
        secure = collector is not None and collector.entry.collect.secure
        return secure or bool(self._secrets) or self._state.timers.is_set(Timer.HIDDEN)

    @property
    def keys_hidden(self) -> bool:
        """Whether a key that is pressed now must not be seen by anybody."""
        late = self._collector is None and self._state.timers.is_set(Timer.LATE_KEYS)
        return self.hidden or late

    @property
    def deadline(self) -> float | None:
        collector = self._collector.deadline if self._collector is not None and self._live else None
        keys = self._keys.deadline if self._state.active and self._state.model_up else None
        return min((at for at in (collector, keys) if at is not None), default=None)

    def collect(self, entry: Entry, now: float) -> tuple[str, list[Command]]:
        """Begin an entry; return why not, or "". Keys pressed just before belong to it, and may complete it."""
        if self.collecting:
            return "another entry of keys is being taken", []
        impossible = refusal(entry.collect) if self._state.plan.media_elsewhere else ""
        if impossible:
            return impossible, []
        commands: list[Command] = []
        self._collector = Collector(entry, now)
        if entry.collect.prompt:
            self._speaking.say(entry.collect.prompt, interruptible=True)
        for digit in self._keys.take():
            if self._collector is not None:
                commands += self._step(self._collector.press(digit, now), now)
        return "", commands

    def press(self, digit: str, now: float) -> list[Command]:
        """Take a key."""
        state = self._state
        state.attend()
        collector = self._collector
        if collector is not None:
            return self._speaking.interrupt(now) + self._step(collector.press(digit, now), now)
        if self.keys_hidden:
            self._hide(now)
            return []
        if not self._live:
            return []
        if self._speaking.turns.mode is TurnMode.MANUAL and digit == self._speaking.turns.key:
            return self._speaking.end_turn(now)
        if not state.plan.keys_to_model:
            return []
        # A silent answer may be the very function call that asks for these keys.
        commands = self._speaking.interrupt(now) if state.playout.unheard else []
        self._keys.press(digit, now)
        return commands

    def secret_kept(self, secret_id: str, token: str) -> None:
        """The vault has answered."""
        entry = self._secrets.pop(secret_id, None)
        length = self._lengths.pop(secret_id, 0)
        if entry is None:
            return
        kept = {"token": token, "length": length}
        self.answered.append(Answered(entry, json.dumps(kept) if token else error_output("the vault is not available")))

    def settle(self, now: float) -> list[Command]:
        """Let time do its part: tell keys to the model, let an entry expire."""
        commands: list[Command] = []
        collector, state = self._collector, self._state
        if collector is not None and state.talking:
            collector.prompting(now)
        if collector is not None and self._live and now >= collector.deadline:
            commands += self._step(collector.expire(now), now)
        keys_due = self._keys.deadline
        if keys_due is not None and now >= keys_due and state.active and state.model_up:
            commands += self._tell_model(now)
        return commands

    @property
    def _live(self) -> bool:
        return self._state.phase in (Phase.CONNECTING, Phase.ACTIVE, Phase.RECOVERING)

    def _tell_model(self, now: float) -> list[Command]:
        self._count += 1
        text = f"The caller pressed these keys of the telephone: {' '.join(self._keys.take())}"
        item_id = f"keys_{self._count}"
        self._state.conversation.say(item_id, "user", text)
        self._state.slot.want()
        content = [{"type": "input_text", "text": text}]
        return [CreateItem({"id": item_id, "type": "message", "role": "user", "content": content})]

    def _step(self, step: Step, now: float) -> list[Command]:
        collector = self._collector
        assert collector is not None
        entry = collector.entry
        match step:
            case Step.MORE:
                return []
            case Step.AGAIN:
                if entry.collect.prompt:
                    self._speaking.say(entry.collect.prompt, interruptible=True)
                else:
                    self._state.slot.want(f"{self._state.plan.instructions}\n\n{ASK_AGAIN}")
                return [self._note(entry, 0, "again")]
            case Step.FAILED:
                self._close(entry, now)
                missing = {"error": "no complete entry", "digits_missing": True}
                self.answered.append(Answered(entry, json.dumps(missing)))
                return [self._note(entry, 0, "failed")]
            case Step.DONE:
                return self._done(collector, now)

    def _done(self, collector: Collector, now: float) -> list[Command]:
        entry, digits = collector.entry, collector.digits
        note = self._note(entry, len(digits), "done")
        if not entry.collect.secure:
            self._close(entry, now)
            self.answered.append(Answered(entry, json.dumps({"digits": digits})))
            return [note]
        self._count += 1
        secret_id = f"s{self._count}"
        self._secrets[secret_id] = entry
        self._lengths[secret_id] = len(digits)
        self._close(entry, now)
        return [note, KeepSecret(secret_id, digits, entry.command_id)]

    def _close(self, entry: Entry, now: float) -> None:
        self._collector = None
        if entry.collect.secure:
            self._hide(now)

    def _hide(self, now: float) -> None:
        self._state.timers.set(Timer.HIDDEN, now + HIDDEN_S)
        self._state.timers.set(Timer.LATE_KEYS, now + LATE_KEYS_S)

    @staticmethod
    def _note(entry: Entry, count: int, status: str) -> Record:
        return Record("digits", {"count": count, "secure": int(entry.collect.secure), "status": status})
