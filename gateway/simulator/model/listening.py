"""The caller's side of a session: audio in, turns out, transcripts later."""

import asyncio
import base64
import binascii
from collections.abc import Iterator
from contextlib import contextmanager

from gateway.errors import GatewayError, ModelError
from gateway.simulator.model.config import SemanticVad, ServerVad, SessionConfig, TurnDetection
from gateway.simulator.model.conversation import Item
from gateway.simulator.model.formats import Encoding, Inbound, check_samples
from gateway.simulator.model.hearing import Hearing, Paused, Started, Stopped, VadEvent
from gateway.simulator.model.refusals import Refused
from gateway.simulator.model.requests import ResponseParams
from gateway.simulator.model.responding import Response
from gateway.simulator.model.semantic import sounds_finished
from gateway.simulator.model.shapes import Json
from gateway.simulator.model.slot import ResponseSlot
from gateway.simulator.model.speaking import words
from gateway.simulator.model.state import SessionState
from gateway.simulator.model.usage import CALLER_MS_PER_TOKEN, text_tokens

__all__ = ["Listening"]

MAX_APPEND_BYTES = 15 << 20
MIN_COMMIT_MS = 100
ONE_DELTA_MODELS = ("whisper-1",)
"""Transcription models that send everything in one delta."""


class Listening:
    """Feeds the input buffer and acts on what is noticed in it."""

    def __init__(self, state: SessionState, slot: ResponseSlot) -> None:
        self._state = state
        self._slot = slot
        self._hearing = Hearing(state.engine, state.options.max_turn_s, self._encoding)
        self._inbound = Inbound(self._encoding)
        self._hearing.configure(state.config.audio.input.turn_detection)
        self._item_id: str | None = None
        """The announced id of the turn being spoken."""
        self._pause = 0
        """Counts pauses, so that a judgement that comes late is recognised."""
        self._idle: asyncio.Task[None] | None = None
        self._quiet_from: float | None = None
        """Loop time at which the caller may be waited for: where real-time playback of the last response ends."""

    def configure(self, old: SessionConfig) -> None:
        """Follow a session update."""
        new = self._state.config.audio.input
        if new.format != old.audio.input.format:
            self._inbound = Inbound(self._encoding)
            self._hearing.recode(self._encoding)
        self._hearing.configure(new.turn_detection)
        if new.turn_detection is not None and not self._hearing.speaking:
            # Without detection an announced turn is still the one that the next commit makes an item of.
            self._item_id = None
        if _idle_ms(new.turn_detection) != _idle_ms(old.audio.input.turn_detection):
            self._wait_for_caller()

    def append(self, event: Json) -> None:
        """Take one `input_audio_buffer.append`. Raises `Refused`."""
        for key in event.keys() - {"type", "event_id", "audio"}:
            raise Refused("unknown_parameter", f"Unknown parameter: '{key[:80]}'.", key[:80])
        encoding = self._inbound.encoding
        audio = _decode(event.get("audio"), encoding)
        self._state.record.caller.add(audio, encoding, self._state.now)
        if self._hearing.full:
            limit = self._state.options.max_turn_s
            raise Refused(
                "invalid_value", f"The input audio buffer holds at most {limit:g} s; commit or clear.", "audio"
            )
        for noticed in self._hearing.append(self._inbound.take(audio)):
            self._notice(noticed)

    def commit(self) -> None:
        """Take the turn at the client's word; no response follows by itself. Raises `Refused`."""
        waiting = self._hearing.waiting_ms
        if waiting < MIN_COMMIT_MS:
            message = (
                "Error committing input audio buffer: buffer too small. Expected at least 100ms of audio, "
                f"but buffer only has {waiting:.2f}ms of audio."
            )
            raise Refused("input_audio_buffer_commit_empty", message)
        self._commit(self._item_id or self._state.ids.new("item"))

    def clear(self) -> None:
        self._inbound = Inbound(self._encoding)
        self._hearing.clear()
        self._item_id = None
        self._state.emit("input_audio_buffer.cleared")

    def responded(self, response: Response) -> None:
        """Start waiting for a caller who says nothing, from where real-time playback of the response would end."""
        if not self._hearing.speaking:
            self._quiet_from = self._state.now + response.audio_ms / 1000
            self._wait_for_caller()

    def _wait_for_caller(self) -> None:
        self._stop_idle()
        idle_ms, now = _idle_ms(self._state.config.audio.input.turn_detection), self._state.now
        if idle_ms and self._quiet_from is not None:
            wait_s = max(0.0, self._quiet_from - now) + idle_ms / 1000
            self._idle = self._state.tasks.start(self._time_out(wait_s, idle_ms))

    def hear(self, item: Item) -> None:
        """Start understanding caller audio that has joined the conversation."""
        self._hear(item, item.encoding.to_mulaw(bytes(item.audio)), None)

    def _hear(self, item: Item, sound: bytes, understood: str | None) -> None:
        item.heard = asyncio.get_running_loop().create_future()
        turn = self._state.conversation.turns
        self._state.tasks.start(self._transcribe(item, item.heard, sound, turn, understood))

    def _notice(self, noticed: VadEvent) -> None:
        match noticed:
            case Started():
                self._start(noticed.at_ms)
            case Stopped():
                with self._refusing():
                    self._stop(noticed.at_ms, None)
            case Paused():
                self._pause += 1
                self._state.tasks.start(self._judge(self._pause, self._hearing.turn()))

    def _start(self, at_ms: int) -> None:
        self._stop_idle()
        self._quiet_from = None
        self._item_id = self._state.ids.new("item")
        fields = {"audio_start_ms": at_ms, "item_id": self._item_id}
        self._state.emit("input_audio_buffer.speech_started", **fields)
        detection = self._state.config.audio.input.turn_detection
        if detection is not None and detection.interrupt_response:
            self._slot.interrupt()

    def _stop(self, at_ms: int, understood: str | None) -> None:
        self._pause += 1
        item_id = self._item_id or self._state.ids.new("item")
        self._state.emit("input_audio_buffer.speech_stopped", audio_end_ms=at_ms, item_id=item_id)
        self._commit(item_id, understood)
        self._answer()

    def _answer(self) -> None:
        detection = self._state.config.audio.input.turn_detection
        self._slot.settle()
        # With interrupt_response off the service drops the automatic response while another one runs.
        if detection is not None and detection.create_response and not self._slot.busy:
            self._slot.create(ResponseParams())

    def _commit(self, item_id: str, understood: str | None = None, *, silent: bool = False) -> None:
        state = self._state
        self._item_id = None
        turn = self._hearing.take()
        content = [{"type": "input_audio", "transcript": None}]
        wire = {"id": item_id, "object": "realtime.item", "type": "message", "status": "completed", "role": "user"}
        item = Item(item_id, {**wire, "content": content}, bytearray(turn.wire), self._inbound.encoding)
        state.emit("input_audio_buffer.committed", item_id=item_id, previous_item_id=state.conversation.last_id)
        state.add_item(item, turn=not silent)
        if not silent:
            self._hear(item, turn.mulaw, understood)

    async def _judge(self, pause: int, turn: bytes) -> None:
        """Ask whether the words so far are a whole turn; silence only counts while it lasts."""
        state = self._state
        try:
            text = await state.engine.transcribe(turn, self._prompt, state.conversation.turns + 1)
        except GatewayError:
            # The closing silence still ends the turn, and hearing it then reports the failure.
            return
        still = pause == self._pause and self._hearing.paused
        if still and isinstance(state.config.audio.input.turn_detection, SemanticVad) and sounds_finished(text):
            with self._refusing():
                self._stop(self._hearing.judged_ms, text)

    async def _transcribe(
        self, item: Item, heard: "asyncio.Future[str]", sound: bytes, turn: int, understood: str | None
    ) -> None:
        state = self._state
        try:
            text = understood
            if text is None:
                text = await state.engine.transcribe(sound, self._prompt, turn)
        except GatewayError as error:
            heard.set_result("")
            self._emit_failure(item, error)
            return
        heard.set_result(text)
        state.record.heard[item.id] = text
        await asyncio.sleep(state.options.transcription_delay_ms / 1000)
        self._emit_transcript(item, text)

    def _emit_transcript(self, item: Item, text: str) -> None:
        wanted = self._state.config.audio.input.transcription
        if wanted is None or item.id not in self._state.conversation:
            return
        ids = {"item_id": item.id, "content_index": 0}
        name = "conversation.item.input_audio_transcription"
        for piece in [text] if wanted.model in ONE_DELTA_MODELS else words(text):
            self._state.emit(f"{name}.delta", **ids, delta=piece)
        item.wire = {**item.wire, "content": [{"type": "input_audio", "transcript": text}]}
        self._state.emit(f"{name}.completed", **ids, transcript=text, usage=_usage(wanted.model, item, text))

    def _emit_failure(self, item: Item, error: GatewayError) -> None:
        if self._state.config.audio.input.transcription is not None:
            code = error.code if isinstance(error, ModelError) else None
            details = {"type": "transcription_error", "code": code, "message": str(error), "param": None}
            name = "conversation.item.input_audio_transcription.failed"
            self._state.emit(name, item_id=item.id, content_index=0, error=details)

    @property
    def _encoding(self) -> Encoding:
        return Encoding(self._state.config.audio.input.format.type)

    @property
    def _prompt(self) -> str:
        transcription = self._state.config.audio.input.transcription
        return (transcription.prompt or "") if transcription else ""

    async def _time_out(self, wait_s: float, idle_ms: int) -> None:
        await asyncio.sleep(wait_s)
        self._idle = self._quiet_from = None
        if self._slot.busy or self._hearing.speaking:
            return
        item_id, end_ms = self._state.ids.new("item"), self._hearing.end_ms
        fields = {"item_id": item_id, "audio_start_ms": max(0, end_ms - idle_ms), "audio_end_ms": end_ms}
        self._state.emit("input_audio_buffer.timeout_triggered", **fields)
        with self._refusing():
            self._commit(item_id, silent=True)
            self._slot.create(ResponseParams())

    @contextmanager
    def _refusing(self) -> Iterator[None]:
        """Tell the client what could not be done of the server's own accord; there is no event to answer."""
        try:
            yield
        except Refused as refused:
            self._state.refuse(refused)

    def _stop_idle(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None


def _idle_ms(detection: TurnDetection | None) -> int | None:
    return detection.idle_timeout_ms if isinstance(detection, ServerVad) else None


def _decode(audio: object, encoding: Encoding) -> bytes:
    if audio is None:
        raise Refused("missing_required_parameter", "Missing required parameter: 'audio'.", "audio")
    try:
        data = base64.b64decode(audio, validate=True) if isinstance(audio, str) else None
    except (binascii.Error, ValueError):
        data = None
    if data is None:
        raise Refused("invalid_value", "Invalid 'audio'. Expected base64-encoded audio bytes.", "audio")
    if len(data) > MAX_APPEND_BYTES:
        raise Refused("invalid_value", "Invalid 'audio'. At most 15 MiB of audio per append.", "audio")
    check_samples(data, encoding, "audio")
    return data


def _usage(model: str, item: Item, text: str) -> Json:
    if model in ONE_DELTA_MODELS:
        return {"type": "duration", "seconds": round(item.audio_ms / 1000, 3)}
    audio, written = -(-item.audio_ms // CALLER_MS_PER_TOKEN), text_tokens(text)
    details = {"audio_tokens": audio, "text_tokens": 0}
    total = audio + written
    return {
        "type": "tokens",
        "input_tokens": audio,
        "output_tokens": written,
        "total_tokens": total,
        "input_token_details": details,
    }
