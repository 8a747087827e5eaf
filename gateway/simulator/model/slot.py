"""Who may respond: one response in the conversation at a time, a few beside it."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gateway.simulator.model.config import check_reasoning
from gateway.simulator.model.conversation import Item
from gateway.simulator.model.plan import plan
from gateway.simulator.model.refusals import Refused
from gateway.simulator.model.requests import GivenItem, ItemReference, ResponseParams
from gateway.simulator.model.responding import Response
from gateway.simulator.model.state import SessionState

__all__ = ["ResponseSlot"]

MAX_OUT_OF_BAND = 8
"""Out-of-band responses of one session at a time."""


@dataclass(slots=True, eq=False)
class _Run:
    response: Response
    task: asyncio.Task[None]
    stopping: str | None = None
    """Why it is being cancelled, while it still goes on (`ModelOptions.cancel_ms`)."""


class ResponseSlot:
    """Starts, interrupts and cancels responses."""

    def __init__(
        self, state: SessionState, make_item: Callable[[GivenItem], Item], responded: Callable[[Response], None]
    ) -> None:
        self._state = state
        self._make_item = make_item
        self._responded = responded
        self._running: dict[str, _Run] = {}
        self._active: Response | None = None

    @property
    def busy(self) -> bool:
        return self._active is not None

    def create(self, params: ResponseParams) -> None:
        """Start a response. Raises `Refused`."""
        in_conversation = params.conversation == "auto"
        if in_conversation and self._active is not None:
            message = (
                f"Conversation already has an active response in progress: {self._active.id}. "
                "Wait until the response is finished before creating a new one."
            )
            raise Refused("conversation_already_has_active_response", message)
        if not in_conversation and len(self._running) > MAX_OUT_OF_BAND:
            raise Refused("bad_response_create", "Too many responses in progress.")
        if params.reasoning is not None or params.parallel_tool_calls is not None:
            check_reasoning(self._state.config.model, "response.reasoning")
        self._check_voice(params)
        response = Response(self._state, plan(self._state.config, params), self._prompt(params), self._finished)
        if in_conversation:
            self._active = response
        response.announce()
        self._running[response.id] = _Run(response, self._state.tasks.start(response.run()))

    def interrupt(self) -> None:
        """Cancel the conversation's response because the caller speaks."""
        if self._active is not None:
            self._cancel(self._active, "turn_detected")

    def cancel(self, response_id: str | None) -> None:
        """Cancel as the client asks. Raises `Refused`."""
        active = self._active
        if response_id is not None:
            active = self._running[response_id].response if response_id in self._running else None
        if active is None:
            raise Refused("response_cancel_not_active", "Cancellation failed: no active response found")
        self._cancel(active, "client_cancelled")

    def settle(self) -> None:
        """Bring a cancellation of the conversation's response that is under way to its end now."""
        run = self._running.get(self._active.id) if self._active is not None else None
        if run is not None and run.stopping is not None:
            _end(run, run.stopping)

    def _cancel(self, response: Response, reason: str) -> None:
        run, wait_ms = self._running[response.id], self._state.options.cancel_ms
        response.reply.cancel_asked_at = response.reply.cancel_asked_at or self._state.now
        if run.stopping is not None:
            return
        if not wait_ms:
            _end(run, reason)
            return
        run.stopping = reason
        self._state.tasks.start(self._end_later(run, reason, wait_ms / 1000))

    async def _end_later(self, run: _Run, reason: str, wait_s: float) -> None:
        await asyncio.sleep(wait_s)
        _end(run, reason)

    def _finished(self, response: Response) -> None:
        self._running.pop(response.id, None)
        if response is self._active:
            self._active = None
            self._responded(response)

    def _prompt(self, params: ResponseParams) -> Sequence[Item]:
        if params.input is None:
            return list(self._state.conversation)
        items = []
        for entry in params.input:
            if isinstance(entry, ItemReference):
                found = self._state.conversation.get(entry.id)
                if found is None:
                    message = f"Item with item_id not found: {entry.id[:80]}"
                    raise Refused("bad_response_create", message, "response.input")
                items.append(found)
            else:
                items.append(self._make_item(entry))
        return items

    def _check_voice(self, params: ResponseParams) -> None:
        wanted = params.audio.output.voice if params.audio and params.audio.output else None
        if wanted is not None and self._state.audio_present and wanted != self._state.config.audio.output.voice:
            message = "Cannot update a conversation's voice if assistant audio is present."
            raise Refused("cannot_update_voice", message, "response.audio.output.voice")


def _end(run: _Run, reason: str) -> None:
    if run.response.status == "in_progress":
        run.response.finish("cancelled", {"type": "cancelled", "reason": reason})
        run.task.cancel()
