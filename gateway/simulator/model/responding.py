"""One response: created, streamed item by item, and always done, whatever happens in between.

`finish` is the only end; it may be called at any moment, by the response's own task or by whoever interrupts.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import assert_never

from gateway.errors import GatewayError
from gateway.simulator.engine import Context, FunctionCall, Speech
from gateway.simulator.model import faults
from gateway.simulator.model.conversation import Item
from gateway.simulator.model.ordered import documented
from gateway.simulator.model.output import Opened, Output
from gateway.simulator.model.plan import Plan
from gateway.simulator.model.refusals import Refused
from gateway.simulator.model.replies import Reply, Status
from gateway.simulator.model.shapes import Json
from gateway.simulator.model.sound import BYTES_PER_MS
from gateway.simulator.model.speaking import steps, words
from gateway.simulator.model.state import SessionState
from gateway.simulator.model.usage import ASSISTANT_MS_PER_TOKEN, audio_out_tokens, text_tokens

__all__ = ["Response"]

logger = logging.getLogger(__name__)

ARGUMENT_DELTA = 12
"""Characters of a function call's arguments in one delta."""
LATE_DELTA_BYTES = 100 * BYTES_PER_MS
UNKNOWN = {"response_id": "resp_unknown", "item_id": "item_unknown", "output_index": 0, "content_index": 0}


class Response:
    """One response; `announce`, then `run` in a task of its own."""

    def __init__(
        self, state: SessionState, made_with: Plan, prompt: Sequence[Item], finished: Callable[["Response"], None]
    ) -> None:
        self.reply = Reply(state.ids.new("resp"), made_with, state.conversation.turns, state.now)
        self._state = state
        self._prompt = tuple(prompt)
        self._output = Output(state, self.reply)
        self._usage = state.meter.measure(
            made_with.instructions, made_with.tools, self._prompt, in_conversation=made_with.in_conversation
        )
        self._first_byte_at = self._draw_first_byte()
        self._late = state.options.late_deltas
        self._ending: faults.Ending | None = None
        self._budget = self._token_budget()
        """Bytes of audio that may still be streamed before the ending is due."""
        self._finished = finished

    @property
    def id(self) -> str:
        return self.reply.id

    @property
    def plan(self) -> Plan:
        return self.reply.plan

    @property
    def status(self) -> Status:
        return self.reply.status

    @property
    def audio_ms(self) -> float:
        return self._output.audio_ms

    def announce(self) -> None:
        """Tell the client that the response exists."""
        self._state.record.open_reply(self.reply)
        self._state.emit("response.created", response=self._wire(None, None))
        if self._state.options.rate_limits == "before":
            self._emit_rate_limits()

    async def run(self) -> None:
        """Think, then stream until done. Whoever calls `finish` from outside cancels this."""
        try:
            await self._run()
        except Refused as refused:
            details = {"type": refused.kind, "code": refused.code, "message": refused.message}
            self.finish("failed", {"type": "failed", "error": details})
        except GatewayError as error:
            logger.warning("an engine failed: %s", error)
            self._fail("server_error", "The server had an error while processing your request.")

    def finish(self, status: Status, details: Json | None = None) -> None:
        """End the response with what was streamed so far. Only the first call counts."""
        if self.status != "in_progress":
            return
        interrupted = self._output.opened
        self._output.close("completed" if status == "completed" else "incomplete")
        reply = self.reply
        reply.status, reply.details, reply.usage = status, details, self._spent()
        reply.ended_at = self._state.now
        self._state.emit("response.done", response=self._wire(details, reply.usage))
        if self._state.options.rate_limits == "after":
            self._emit_rate_limits()
        if status == "cancelled" and self._state.options.unannounced_done:
            self._emit_unannounced()
        if status == "cancelled" and self._late and interrupted is not None and interrupted.kind == "audio":
            self._state.tasks.start(self._straggle(interrupted))
        self._finished(self)

    async def _run(self) -> None:
        for item in self._prompt:
            if item.heard is not None and not item.heard.done():
                await asyncio.shield(item.heard)
        answer = await self._state.engine.respond(self._context())
        wait_s = self._first_byte_at - self._state.now
        if wait_s > 0:
            await asyncio.sleep(wait_s)
        await asyncio.sleep(answer.think_s)
        for fault in answer.faults:
            await self._act(faults.parse(fault))
        for part in answer.items:
            if self.status != "in_progress":
                return
            if isinstance(part, Speech):
                await self._speak(part)
            elif self.plan.tool_choice != "none":  # the service calls nothing then, whatever its model would do
                await self._call(part)
        if self._ending is not None:
            await self._end()
        self.finish("completed")

    def _context(self) -> Context:
        return Context(
            instructions=self.plan.instructions,
            tools=self.plan.tools,
            tool_choice=self.plan.tool_choice,
            items=[item.for_engine() for item in self._prompt],
            turn=self._state.conversation.turns,
            in_conversation=self.plan.in_conversation,
            metadata=self.plan.metadata or {},
            modality=self.plan.modality,
            own_instructions=self.plan.own_instructions,
        )

    def _draw_first_byte(self) -> float:
        """Loop time before which nothing is said: counted from `response.created`, hearing and thinking included."""
        last = self._prompt[-1].wire.get("type") if self._prompt else ""
        kind = "result" if last == "function_call_output" else "answer" if self.plan.in_conversation else "aside"
        return self._state.now + self._state.first_byte_s(kind)

    async def _speak(self, speech: Speech) -> None:
        output, options = self._output, self._state.options
        if self.plan.modality == "text":
            await self._stream(output.open_text(), words(speech.text))
            return
        audio = b"" if speech.silent else await self._state.engine.speak(speech.text, self.plan.voice)
        opened = output.open_audio(speech.text, audio)
        for step in steps(self._state.ids.rng, speech.text, audio, options.delta_ms):
            for word in step.words:
                output.delta(opened, word)
            piece = step.audio[: self._budget]
            if piece:
                output.audio(opened, piece)
                self._budget -= len(piece)
            await asyncio.sleep(len(piece) / BYTES_PER_MS / 1000 / options.audio_factor)
            await self._state.outbox.room()
            if self._budget <= 0:
                await self._end()
                return
        output.complete()

    async def _call(self, call: FunctionCall) -> None:
        text = call.arguments
        pieces = [text[at : at + ARGUMENT_DELTA] for at in range(0, len(text), ARGUMENT_DELTA)]
        await self._stream(self._output.open_call(call.name), pieces)

    async def _stream(self, opened: Opened, pieces: Sequence[str]) -> None:
        pause_s = self._state.options.text_delta_ms / 1000
        for piece in pieces:
            self._output.delta(opened, piece)
            if pause_s:
                await asyncio.sleep(pause_s)
            await self._state.outbox.room()
        self._output.complete()

    async def _act(self, fault: faults.FaultStep) -> None:
        state = self._state
        match fault:
            case faults.Delay():
                await asyncio.sleep(fault.ms / 1000)
            case faults.Error():
                state.refuse(documented(fault.code, fault.message, fault.type))
            case faults.Garbage():
                state.outbox.put(fault.text)
            case faults.UnknownItemDelta():
                for _ in range(fault.count):
                    state.emit("response.output_audio.delta", **UNKNOWN, delta="f39/f39/")
            case faults.UnannouncedDone():
                self._emit_unannounced()
            case faults.LateDeltas():
                self._late = fault.count
            case faults.Refuse():
                state.ordered.order(fault)
            case faults.RefuseUpdate():
                state.refuse_updates(fault.count)
            case _:
                self._ending = fault
                if fault.after_ms is None:
                    await self._end()
                else:
                    self._budget = fault.after_ms * BYTES_PER_MS

    async def _end(self) -> None:
        """Act out the ordered ending; without one, the token limit is what was reached."""
        ending, state = self._ending, self._state
        match ending:
            case None:
                self.finish("incomplete", {"type": "incomplete", "reason": "max_output_tokens"})
            case faults.Incomplete():
                self.finish("incomplete", {"type": "incomplete", "reason": ending.reason})
            case faults.RateLimited():
                self._fail("inference_rate_limit_exceeded", "Rate limit reached. Please try again later.")
            case faults.FailResponse():
                self._fail(ending.code, ending.message)
            case faults.Close():
                state.outbox.close(ending.code, ending.reason)
                await _forever()
            case faults.Expire():
                state.expire()
                await _forever()
            case faults.Fatal():
                error = documented(ending.code)
                if ending.field == "type":
                    error = documented(None, error.message, ending.code)
                state.refuse(error)
                state.outbox.close(ending.close, f"{error.kind}.{error.code}" if error.code else error.kind)
                await _forever()
            case faults.Stall():
                if ending.deaf:
                    state.outbox.mute()
                await _forever()
            case _:
                assert_never(ending)

    def _fail(self, code: str, message: str) -> None:
        error = {"type": "server_error" if code == "server_error" else "rate_limit_error", "code": code}
        if code not in ("server_error", "inference_rate_limit_exceeded"):
            error["type"] = code
        self.finish("failed", {"type": "failed", "error": {**error, "message": message}})

    async def _straggle(self, interrupted: Opened) -> None:
        await asyncio.sleep(self._state.options.late_delta_ms / 1000)
        start = interrupted.sent
        rest = interrupted.sound[start : start + self._late * LATE_DELTA_BYTES]
        for at in range(0, len(rest), LATE_DELTA_BYTES):
            self._output.stray(interrupted, rest[at : at + LATE_DELTA_BYTES])

    def _token_budget(self) -> int:
        limit = self.plan.max_output_tokens
        tokens = limit if isinstance(limit, int) else 1 << 32
        return tokens * ASSISTANT_MS_PER_TOKEN * BYTES_PER_MS

    def _spent(self) -> Json:
        audio, text = audio_out_tokens(round(self._output.audio_ms)), text_tokens(self._output.text)
        total = self._usage["input_tokens"] + audio + text
        details = {"text_tokens": text, "audio_tokens": audio}
        return {
            "total_tokens": total,
            **self._usage,
            "output_tokens": audio + text,
            "output_token_details": details,
        }

    def _wire(self, details: Json | None, usage: Json | None) -> Json:
        return {
            "object": "realtime.response",
            "id": self.id,
            "status": self.status,
            "status_details": details,
            "output": [item.wire for item in self._output.items],
            "conversation_id": self._state.conversation.id if self.plan.in_conversation else None,
            "output_modalities": [self.plan.modality],
            "max_output_tokens": self.plan.max_output_tokens,
            "audio": {"output": {"format": self.plan.audio_format, "voice": self.plan.voice}},
            "usage": usage,
            "metadata": self.plan.metadata,
        }

    def _emit_unannounced(self) -> None:
        """A `response.done` whose `response.created` never came, as seen around interruptions (notes §5.2)."""
        cancelled = {"type": "cancelled", "reason": "turn_detected"}
        wire = self._wire(cancelled, None)
        self._state.emit(
            "response.done", response={**wire, "id": self._state.ids.new("resp"), "status": "cancelled", "output": []}
        )

    def _emit_rate_limits(self) -> None:
        used = self._usage["input_tokens"]
        limits = [("requests", 1000, 999, 0.06), ("tokens", 50_000_000, 50_000_000 - used, round(used / 1e6, 3))]
        entries = [
            {"name": name, "limit": limit, "remaining": remaining, "reset_seconds": reset}
            for name, limit, remaining, reset in limits
        ]
        self._state.emit("rate_limits.updated", rate_limits=entries)


async def _forever() -> None:
    await asyncio.get_running_loop().create_future()
