"""The default conversation: an ordered chain of items, each with the audio it holds."""

import asyncio
import base64
from collections.abc import Iterator
from dataclasses import dataclass, field

from gateway.simulator.model.formats import Encoding, recoded
from gateway.simulator.model.refusals import Refused
from gateway.simulator.model.shapes import Json
from gateway.simulator.model.speaking import said

__all__ = ["Conversation", "Item"]


@dataclass(slots=True, eq=False)
class Item:
    """One item; `wire` is what events show of it, audio aside."""

    id: str
    wire: Json
    audio: bytearray = field(default_factory=bytearray)
    """Its audio content, caller's or assistant's, as it crossed the wire."""
    encoding: Encoding = Encoding.PCMU
    """Of its audio: the session's format when it was spoken."""
    heard: "asyncio.Future[str] | None" = None
    """For caller audio: what the engine hears in it, whether or not the client wants transcripts."""
    truncated: bool = False
    script: tuple[str, float] | None = None
    """Of an assistant message with audio: all it was to say, and how many ms that takes."""
    revision: int = 0
    """Grows when the content changes, because that breaks prompt caching."""

    @property
    def audio_ms(self) -> int:
        return len(self.audio) // self.encoding.bytes_per_ms

    @property
    def role(self) -> str:
        return str(self.wire.get("role", ""))

    @property
    def kind(self) -> str:
        """Its type, after the role when it has one: "user message", "function_call"."""
        return f"{self.role} {self.wire.get('type', '')}".strip()

    @property
    def spoken(self) -> bool:
        """Whether it is an assistant message with audio: the only kind that can be truncated."""
        content = self.wire.get("content") or [{}]
        return self.role == "assistant" and content[0].get("type") == "output_audio"

    def with_audio(self, input_format: Encoding, output_format: Encoding) -> Json:
        """Return the item as `conversation.item.retrieved` shows it."""
        wanted = output_format if self.role == "assistant" else input_format
        encoded = base64.b64encode(recoded(bytes(self.audio), self.encoding, wanted)).decode()
        parts = [
            {**part, "audio": encoded} if str(part.get("type")).endswith("_audio") else part
            for part in self.wire.get("content", ())
        ]
        return {**self.wire, "content": parts} if parts else self.wire

    def for_engine(self) -> Json:
        """Return the item as an engine reads it: audio carries the words that can be heard in it."""
        if self.script is not None and (self.truncated or self.wire["status"] == "in_progress"):
            text, length_ms = self.script
            heard = said(text, self.audio_ms / length_ms) if length_ms else ""
            return {**self.wire, "content": [{"type": "output_audio", "transcript": heard}]}
        if self.heard is None or not self.heard.done() or self.heard.cancelled():
            return self.wire
        return {**self.wire, "content": [{"type": "input_audio", "transcript": self.heard.result()}]}


class Conversation:
    """Items in order. Ids are unique; every position is told by the id of the item before it."""

    def __init__(self, conversation_id: str, limit: int) -> None:
        self.id = conversation_id
        self._items: list[Item] = []
        self._by_id: dict[str, Item] = {}
        self._limit = limit
        self.turns = 0
        """User turns that ever joined; deleting one does not take it back."""

    def __iter__(self) -> Iterator[Item]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __contains__(self, item_id: object) -> bool:
        return item_id in self._by_id

    def get(self, item_id: str) -> Item | None:
        return self._by_id.get(item_id)

    def holds_call(self, call_id: str) -> bool:
        """Whether a function call of that id is in the conversation, the only place an output can follow."""
        return any(item.wire.get("call_id") == call_id and item.kind == "function_call" for item in self._items)

    @property
    def last_id(self) -> str | None:
        return self._items[-1].id if self._items else None

    def previous_id(self, item_id: str) -> str | None:
        """Return the id of the item before this one; None for the first."""
        index = self._index(item_id)
        return self._items[index - 1].id if index else None

    def add(self, item: Item, after: str | None = None, *, turn: bool = False) -> None:
        """Insert an item: at the end, or after an id, or first for "root". Raises `Refused`."""
        if item.id in self._by_id:
            message = f"Error creating item: an item with id '{item.id}' already exists in the conversation."
            raise Refused("item_create_duplicate_item_id", message, "item.id")
        if len(self._items) >= self._limit:
            raise Refused("invalid_value", f"A conversation holds at most {self._limit} items here.", "item")
        index = len(self._items)
        if after == "root":
            index = 0
        elif after is not None:
            if after not in self._by_id:
                message = f"Previous item with id not found: {after[:80]}"
                raise Refused("item_create_invalid_previous_item_id", message, "previous_item_id")
            index = self._index(after) + 1
        self._items.insert(index, item)
        self._by_id[item.id] = item
        self.turns += turn

    def delete(self, item_id: str) -> Item:
        """Remove an item; its follower now follows its predecessor. Raises `Refused`."""
        item = self._by_id.pop(item_id, None)
        if item is None:
            raise Refused("item_delete_invalid_item_id", f"Item with item_id not found: {item_id[:80]}", "item_id")
        self._items.remove(item)
        return item

    def truncate(self, item_id: str, content_index: int, audio_end_ms: int) -> Item:
        """Cut an assistant's audio and drop its transcript. Raises `Refused`."""
        item = self._by_id.get(item_id)
        if item is None:
            raise Refused("item_truncate_invalid_item_id", f"Item with item_id not found: {item_id[:80]}", "item_id")
        if not item.spoken or not item.audio:
            raise Refused("unsupported_content_type", "Only model output audio messages can be truncated", "item_id")
        if content_index != 0:
            raise Refused("invalid_value", f"Content index {content_index} does not exist.", "content_index")
        if audio_end_ms > item.audio_ms:
            message = f"Audio content of {item.audio_ms}ms is already shorter than {audio_end_ms}ms"
            raise Refused("invalid_value", message, "audio_end_ms")
        del item.audio[audio_end_ms * item.encoding.bytes_per_ms :]
        item.wire = {**item.wire, "content": [{"type": "output_audio"}]}
        item.truncated = True
        item.revision += 1
        return item

    def _index(self, item_id: str) -> int:
        return self._items.index(self._by_id[item_id])
