"""What the server took for speech and we did not take for a turn: its words will tell what it was."""

from collections import OrderedDict
from enum import Enum

__all__ = ["Hearsay", "Heard"]

KEPT = 32


class Heard(Enum):
    """In what the server heard something, and whether our own ear heard a voice in it."""

    SPEECH = "speech"
    """A voice while the agent spoke."""
    LAST = "last"
    """A voice over the end of what the agent said: a "yes" may be an answer."""
    ECHO = "echo"
    """While the agent spoke; our own ear heard no voice."""
    TURN = "turn"
    """While nobody spoke; our own ear heard no voice."""


class Hearsay:
    """By item; the oldest are forgotten."""

    def __init__(self) -> None:
        self._items: OrderedDict[str, Heard] = OrderedDict()

    def note(self, item_id: str, heard: Heard) -> None:
        self._items[item_id] = heard
        while len(self._items) > KEPT:
            self._items.popitem(last=False)

    def take(self, item_id: str) -> Heard | None:
        """Return what it was and forget it; None for an item that is a turn, or unknown."""
        return self._items.pop(item_id, None)

    def take_turns(self) -> list[str]:
        """Return the items during which nobody else spoke, oldest first, and forget them."""
        turns = [item_id for item_id, heard in self._items.items() if heard is Heard.TURN]
        for item_id in turns:
            del self._items[item_id]
        return turns

    def clear(self) -> None:
        self._items.clear()
