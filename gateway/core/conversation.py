"""What was said, in the order of the conversation: kept to seed a new model session and to tell what was heard."""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["MAX_TEXT", "Conversation", "HeardText", "Said"]

KEPT_TURNS = 200
"""Turns that seed a new session; older ones are forgotten."""
MAX_TEXT = 8000
"""Characters kept of one turn."""


@dataclass(slots=True)
class Said:
    """One item of the conversation."""

    role: str
    """"user", "assistant" or "system"."""
    text: str = ""
    heard_share: float = 1.0
    """How much of it the caller heard, 0 to 1; a proportional estimate where it was cut."""
    cut: tuple[int, int] | None = None
    """Heard and received ms of an item that was cut and not yet told of."""


@dataclass(slots=True, frozen=True)
class HeardText:
    """What was heard of an item that was cut: an estimate, words in proportion to the audio."""

    text: str
    heard_ms: int
    received_ms: int


class Conversation:
    """Items by id; an item takes its place when it is first heard of, its text may come later."""

    def __init__(self) -> None:
        self._items: OrderedDict[str, Said] = OrderedDict()
        self._told = 0

    def place(self, item_id: str, role: str) -> Said:
        said = self._items.get(item_id)
        if said is None:
            said = self._items[item_id] = Said(role)
            while len(self._items) > KEPT_TURNS:
                self._items.popitem(last=False)
        return said

    def say(self, item_id: str, role: str, text: str) -> None:
        self.place(item_id, role).text = text[:MAX_TEXT]

    def tell(self, text: str) -> Mapping[str, object]:
        """Keep something that happened, and return the item that tells the model of it."""
        self._told += 1
        self.say(f"told {self._told}", "system", text)
        return {"type": "message", "role": "system", "content": [{"type": "input_text", "text": text}]}

    def cut(self, item_id: str, heard_ms: int, received_ms: int) -> None:
        """Keep the share of an assistant item that was heard."""
        said = self._items.get(item_id)
        if said is not None:
            said.heard_share = heard_ms / received_ms if received_ms else 0.0
            said.cut = (heard_ms, received_ms)

    def cut_text(self, item_id: str) -> HeardText | None:
        """Return what was heard of a cut item, once, as soon as both the cut and the words are known."""
        said = self._items.get(item_id)
        if said is None or said.cut is None or not said.text:
            return None
        (heard_ms, received_ms), said.cut = said.cut, None
        return HeardText(self.heard_text(item_id), heard_ms, received_ms)

    def forget(self, item_id: str) -> None:
        """It was no part of the conversation."""
        self._items.pop(item_id, None)

    def heard_share(self, item_id: str) -> float:
        """Return how much of an item was heard, 0 to 1, once nothing of it plays any more."""
        said = self._items.get(item_id)
        return said.heard_share if said is not None else 1.0

    def heard_text(self, item_id: str) -> str:
        """Return what was heard of an item: whole words, in proportion to its audio."""
        said = self._items.get(item_id)
        if said is None:
            return ""
        if said.heard_share >= 1.0:
            return said.text
        words = said.text.split()
        return " ".join(words[: round(len(words) * said.heard_share)])

    def unanswered(self) -> bool:
        """Return whether the caller spoke last."""
        return bool(self._items) and next(reversed(self._items.values())).role == "user"

    def agent_said(self, items: int) -> list[str]:
        """Return the agent's newest texts, as far as they are known, whole."""
        return [said.text for said in reversed(self._items.values()) if said.role == "assistant" and said.text][:items]

    def last_caller_text(self) -> str:
        return next((s.text for s in reversed(self._items.values()) if s.role == "user"), "")

    def as_items(self) -> list[Mapping[str, object]]:
        """Return the conversation as API items, oldest first. Text only: assistant audio cannot be injected."""
        items: list[Mapping[str, object]] = []
        for item_id, said in self._items.items():
            text = self.heard_text(item_id)
            if text:
                kind = "output_text" if said.role == "assistant" else "input_text"
                items.append({"type": "message", "role": said.role, "content": [{"type": kind, "text": text}]})
        return items
