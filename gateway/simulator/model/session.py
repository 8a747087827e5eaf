"""One Realtime session over one text socket: the top-level owner of everything the client set going.

Client events are handled one at a time and synchronously, so the order of server events is the order of causes;
only responses, transcriptions and timers run beside the reader, all in one task group.
"""

import asyncio
import base64
import binascii
import logging
from collections.abc import Callable
from typing import assert_never

from gateway.simulator.engine import Engine
from gateway.simulator.model import requests
from gateway.simulator.model.config import update
from gateway.simulator.model.conversation import Item
from gateway.simulator.model.formats import Encoding, check_samples
from gateway.simulator.model.listening import Listening
from gateway.simulator.model.options import ModelOptions
from gateway.simulator.model.record import Deletion, FunctionOutput, Observer, SessionRecord, Truncation
from gateway.simulator.model.refusals import Refused
from gateway.simulator.model.responding import Response
from gateway.simulator.model.shapes import Json, read
from gateway.simulator.model.slot import ResponseSlot
from gateway.simulator.model.state import SessionState, Tasks
from gateway.wire import DirectSocket, TextSocket, WireClosed

__all__ = ["RealtimeSession"]

logger = logging.getLogger(__name__)


class RealtimeSession:
    """Serves one connection. Create it inside a task group's `async with`, on the loop it will run on."""

    def __init__(self, socket: TextSocket, state: SessionState) -> None:
        self._socket = socket
        self._state = state
        self._slot = ResponseSlot(state, self._prompt_item, self._responded)
        self._listening = Listening(state, self._slot)

    @classmethod
    async def serve(
        cls,
        socket: TextSocket,
        engine: Engine,
        options: ModelOptions,
        *,
        model: str,
        number: int = 0,
        observer: Observer | None = None,
        opened: Callable[[SessionRecord], object] | None = None,
    ) -> SessionRecord | None:
        """Serve a connection until it ends, and return its record; None when the session could not start.

        `opened` is called with the record as soon as it exists. An error of ours or of the engine is logged and closes
        the socket with 1011; it never reaches the caller.
        """
        record: SessionRecord | None = None
        try:
            async with asyncio.TaskGroup() as group:
                tasks = Tasks(group)
                state = SessionState(engine, options, tasks, model=model, number=number, observer=observer)
                record = state.record
                if opened is not None:
                    opened(record)
                try:
                    await cls(socket, state).run()
                finally:
                    tasks.cancel()
        except* Exception as errors:
            logger.error("session failed", exc_info=errors)
            if record is not None:
                record.closed = (asyncio.get_running_loop().time(), 1011, "server error")
            await socket.close(1011, "The server had an error while processing your request.")
        finally:
            if record is not None and record.closed is None:
                # Cancelled from outside: the client must not be left waiting.
                record.closed = (asyncio.get_running_loop().time(), 1001, "server going away")
                await socket.close(1001, "server going away")
        return record

    async def run(self) -> None:
        """Read until the socket closes, whichever side closes it."""
        state = self._state
        state.tasks.start(state.outbox.write(self._socket))
        state.tasks.start(self._expire())
        state.emit("session.created", session=self._session())
        try:
            if isinstance(self._socket, DirectSocket):
                raise await self._socket.pump(self._receive)
            while True:
                self._receive(await self._socket.receive())
                if state.outbox.full:
                    await state.outbox.room()
        except WireClosed as closed:
            code, reason = state.outbox.closing or (closed.code, closed.reason)
            state.record.closed = (state.now, code, reason)

    async def _expire(self) -> None:
        await asyncio.sleep(self._state.options.expires_s)
        self._state.expire()

    def _receive(self, frame: str | bytes) -> None:
        state, event_id, event = self._state, None, {}
        if state.outbox.muted or state.outbox.closing is not None:
            return
        try:
            event = read(frame)
            event_id = _event_id(event)
            state.observe(event)
            if event.get("type") == "input_audio_buffer.append":
                state.ordered.check("input_audio_buffer.append")
                self._listening.append(event)
            else:
                state.record.received.read(event)
                self._dispatch(requests.parse(event))
        except Refused as refused:
            state.refuse(refused, event_id, event)

    def _dispatch(self, event: requests.ClientEvent) -> None:
        if not isinstance(event, requests.DeleteItem | requests.TruncateItem):
            self._state.ordered.check(event.type)
        match event:
            case requests.UpdateSession():
                self._update(event.session)
            case requests.CommitInput():
                self._listening.commit()
            case requests.ClearInput():
                self._listening.clear()
            case requests.CreateItem():
                self._create_item(event)
            case requests.RetrieveItem():
                self._retrieve(event.item_id)
            case requests.DeleteItem():
                self._delete(event.item_id)
            case requests.TruncateItem():
                self._truncate(event)
            case requests.CreateResponse():
                self._slot.create(event.response or requests.ResponseParams())
            case requests.CancelResponse():
                self._slot.cancel(event.response_id)
            case _:
                assert_never(event)

    def _update(self, patch: Json) -> None:
        state = self._state
        old = state.config
        state.config = update(old, patch, audio_present=state.audio_present)
        self._listening.configure(old)
        state.emit("session.updated", session=self._session())

    def _session(self) -> Json:
        fixed = {"object": "realtime.session", "id": self._state.record.id, "expires_at": self._state.expires_at}
        return {**fixed, **self._state.config.model_dump()}

    def _create_item(self, event: requests.CreateItem) -> None:
        state, item = self._state, self._item(event.item)
        if item.wire["type"] == "function_call_output" and not state.conversation.holds_call(item.wire["call_id"]):
            message = f"Tool call ID '{item.wire['call_id'][:80]}' not found in conversation."
            raise Refused("invalid_tool_call_id", message)
        state.add_item(item, event.previous_item_id, turn=item.role == "user")
        if item.audio:
            self._listening.hear(item)
        if item.wire["type"] == "function_call_output":
            call_id = item.wire["call_id"]
            expected = state.record.answer(call_id)
            state.record.outputs.append(FunctionOutput(call_id, item.wire["output"], expected, state.now))

    def _item(self, given: requests.GivenItem) -> Item:
        """Return a client's item as ours. Raises `Refused` for audio that is none."""
        fields = given.model_dump(exclude_none=True)
        item_id = fields.pop("id", None) or self._state.ids.new("item")
        if fields["type"] == "function_call":
            fields.setdefault("call_id", self._state.ids.new("call"))
        audio, encoding = bytearray(), Encoding(self._state.config.audio.input.format.type)
        for part in fields.get("content", ()):
            if "audio" in part:
                audio += _decode(part.pop("audio"), encoding)
        wire = {**fields, "id": item_id, "object": "realtime.item", "status": fields.get("status", "completed")}
        return Item(item_id, wire, audio, encoding)

    def _prompt_item(self, given: requests.GivenItem) -> Item:
        item = self._item(given)
        if item.audio:
            self._listening.hear(item)
        return item

    def _retrieve(self, item_id: str) -> None:
        item = self._state.conversation.get(item_id)
        if item is None:
            message = f"Item with item_id not found: {item_id[:80]}"
            raise Refused("item_retrieve_invalid_item_id", message, "item_id")
        audio = self._state.config.audio
        wire = item.with_audio(Encoding(audio.input.format.type), Encoding(audio.output.format.type))
        self._state.emit("conversation.item.retrieved", item=wire)

    def _delete(self, item_id: str) -> None:
        state, record = self._state, self._state.record
        item = state.conversation.get(item_id)
        kind, length_ms = (item.kind, item.audio_ms) if item else ("", 0)
        accepted = False
        try:
            state.ordered.check("conversation.item.delete")
            state.conversation.delete(item_id)
            accepted = True
        finally:
            record.deletions.append(Deletion(item_id, kind, length_ms, accepted, state.now))
        reply = record.reply_of(item_id)
        if reply is not None:
            reply.items[item_id] = False
        state.emit("conversation.item.deleted", item_id=item_id)

    def _truncate(self, event: requests.TruncateItem) -> None:
        state, code = self._state, None
        item, now = state.conversation.get(event.item_id), state.now
        length_ms = item.audio_ms if item else None
        try:
            state.ordered.check("conversation.item.truncate")
            state.conversation.truncate(event.item_id, event.content_index, event.audio_end_ms)
        except Refused as refused:
            code = refused.code
            raise
        finally:
            cut = Truncation(event.item_id, event.audio_end_ms, code is None, now, length_ms, code)
            state.record.truncations.append(cut)
        fields = {"content_index": event.content_index, "audio_end_ms": event.audio_end_ms}
        state.emit("conversation.item.truncated", item_id=event.item_id, **fields)

    def _responded(self, response: Response) -> None:
        self._listening.responded(response)


def _event_id(event: Json) -> str | None:
    event_id = event.get("event_id")
    return event_id if isinstance(event_id, str) and len(event_id) <= 512 else None


def _decode(audio: str, encoding: Encoding) -> bytes:
    try:
        data = base64.b64decode(audio, validate=True)
    except (binascii.Error, ValueError):
        raise Refused("invalid_value", "Invalid 'audio'. Expected base64-encoded audio bytes.", "item") from None
    check_samples(data, encoding, "item")
    return data
