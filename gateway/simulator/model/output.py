"""A response's output items: opened, fed with deltas, closed so that every `.done` equals the deltas before it."""

import base64
from dataclasses import dataclass
from typing import Literal, TypeAlias

from gateway.simulator.model.conversation import Item
from gateway.simulator.model.formats import Encoding, Outbound
from gateway.simulator.model.record import Spoken
from gateway.simulator.model.replies import MadeCall, Reply
from gateway.simulator.model.shapes import Json
from gateway.simulator.model.sound import BYTES_PER_MS
from gateway.simulator.model.state import SessionState

__all__ = ["Opened", "Output"]

Kind: TypeAlias = Literal["audio", "text", "call"]

DELTA_EVENT = {
    "audio": "response.output_audio_transcript.delta",
    "text": "response.output_text.delta",
    "call": "response.function_call_arguments.delta",
}


@dataclass(slots=True)
class Opened:
    """The output item being streamed."""

    item: Item
    index: int
    kind: Kind
    ids: Json
    text: str = ""
    """Transcript, text or arguments streamed so far."""
    sound: bytes = b""
    """All mu-law audio the item is to have."""
    sent: int = 0
    """Bytes of it streamed so far, in mu-law too."""


class Output:
    """The items of one response, at most one of them open."""

    def __init__(self, state: SessionState, reply: Reply) -> None:
        self.items: list[Item] = []
        self.opened: Opened | None = None
        self.audio_ms = 0.0
        """Audio streamed, over all items."""
        self.text = ""
        """Everything written, over all items."""
        self._state = state
        self._reply = reply
        self._in_conversation = reply.plan.in_conversation
        self._encoding = Encoding(reply.plan.audio_format["type"])
        self._out = Outbound(self._encoding)
        self._parked: list[Opened] = []
        """Complete items whose `.done` events wait for the end of the response."""

    def open_audio(self, text: str, sound: bytes) -> Opened:
        opened = self._open_message("audio", {"type": "audio", "transcript": ""}, {"type": "output_audio"})
        opened.sound = sound
        opened.item.script = (text, len(sound) / BYTES_PER_MS)
        opened.item.encoding = self._encoding
        self._out = Outbound(self._encoding)
        self._state.record.keep(Spoken(opened.item.id, self._reply.id, encoding=self._encoding))
        return opened

    def open_text(self) -> Opened:
        return self._open_message("text", {"type": "text", "text": ""}, {"type": "output_text", "text": ""})

    def open_call(self, name: str) -> Opened:
        call_id = self._state.ids.new("call")
        wire = {"type": "function_call", "name": name, "call_id": call_id, "arguments": ""}
        opened = self._open("call", wire)
        opened.ids["call_id"] = call_id
        return opened

    def delta(self, opened: Opened, text: str) -> None:
        """Stream some of an item's transcript, text or arguments."""
        opened.text += text
        self.text += text
        if opened.kind == "audio":
            self._state.record.spoken[opened.item.id].text += text
        self._state.emit(DELTA_EVENT[opened.kind], **opened.ids, delta=text)

    def audio(self, opened: Opened, mulaw: bytes) -> None:
        """Stream some of an item's sound."""
        self.audio_ms += len(mulaw) / BYTES_PER_MS
        wire = self._out.encode(mulaw)
        self._state.record.spoken[opened.item.id].audio += wire
        opened.sent += len(mulaw)
        if self._reply.first_audio_at is None:
            self._reply.first_audio_at = self._state.now
        if not opened.item.truncated:
            opened.item.audio += wire
        self._emit_audio(opened, wire)

    def stray(self, opened: Opened, mulaw: bytes) -> None:
        """Send a delta that belongs to no item any more."""
        wire = self._out.encode(mulaw)
        self._state.record.spoken[opened.item.id].late += wire
        self._emit_audio(opened, wire)

    def _emit_audio(self, opened: Opened, wire: bytes) -> None:
        encoded = base64.b64encode(wire).decode()
        self._state.emit("response.output_audio.delta", **opened.ids, delta=encoded)

    def complete(self) -> None:
        """Finish the open item, whose deltas are all sent."""
        opened, self.opened = self.opened, None
        if opened is None:
            return
        if self._state.options.done_events == "batched":
            self._parked.append(opened)
        else:
            self._finish(opened, "completed")

    def close(self, status: Literal["completed", "incomplete"]) -> None:
        """Finish every item: the complete ones as such, the one still open, if any, with `status`."""
        parked, self._parked = self._parked, []
        for opened in parked:
            self._finish(opened, "completed")
        last, self.opened = self.opened, None
        if last is not None:
            self._finish(last, status)

    def _finish(self, opened: Opened, status: Literal["completed", "incomplete"]) -> None:
        item, emit = opened.item, self._state.emit
        fields = self._emit_done(opened)
        item.wire = {**item.wire, "status": status, **fields}
        emit("response.output_item.done", response_id=self._reply.id, output_index=opened.index, item=item.wire)
        if self._in_conversation and item.id in self._state.conversation:
            previous = self._state.conversation.previous_id(item.id)
            emit("conversation.item.done", item=item.wire, previous_item_id=previous)
        if opened.kind == "call":
            call = MadeCall(item.id, item.wire["call_id"], item.wire["name"], opened.text, status == "completed")
            self._reply.calls.append(call)

    def _emit_done(self, opened: Opened) -> Json:
        emit, text = self._state.emit, opened.text
        match opened.kind:
            case "audio":
                emit("response.output_audio.done", **opened.ids)
                emit("response.output_audio_transcript.done", **opened.ids, transcript=text)
                emit("response.content_part.done", **opened.ids, part={"type": "audio", "transcript": text})
                content = {"type": "output_audio", "transcript": text}
                return {} if opened.item.truncated else {"content": [content]}
            case "text":
                emit("response.output_text.done", **opened.ids, text=text)
                emit("response.content_part.done", **opened.ids, part={"type": "text", "text": text})
                return {"content": [{"type": "output_text", "text": text}]}
            case "call":
                name = opened.item.wire["name"]
                emit("response.function_call_arguments.done", **opened.ids, name=name, arguments=text)
                return {"arguments": text}

    def _open_message(self, kind: Kind, part: Json, content: Json) -> Opened:
        opened = self._open(kind, {"type": "message", "role": "assistant", "content": []})
        opened.ids["content_index"] = 0
        self._state.emit("response.content_part.added", **opened.ids, part=part)
        opened.item.wire = {**opened.item.wire, "content": [content]}
        return opened

    def _open(self, kind: Kind, fields: Json) -> Opened:
        item_id = self._state.ids.new("item")
        wire = {"id": item_id, "object": "realtime.item", "status": "in_progress", **fields}
        item, index = Item(item_id, wire), len(self.items)
        if self._in_conversation:
            self._state.conversation.add(item)
        self.items.append(item)
        self._reply.items[item_id] = True
        ids = {"response_id": self._reply.id, "item_id": item_id, "output_index": index}
        self.opened = Opened(item, index, kind, ids)
        self._state.emit("response.output_item.added", response_id=self._reply.id, output_index=index, item=wire)
        if self._in_conversation:
            previous = self._state.conversation.previous_id(item_id)
            self._state.emit("conversation.item.added", item=wire, previous_item_id=previous)
        return self.opened
