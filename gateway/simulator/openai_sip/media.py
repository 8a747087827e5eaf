"""The service's side of a call's audio: it plays what the model says and hears the caller, 20 ms at a time.

Playing is what the client is told of: `output_audio_buffer.started` with a response's first frame, `.stopped` after its
last, `.cleared` when the rest is dropped; then the item that was playing is truncated at what was heard, and those
behind it are deleted.
"""

import base64
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from gateway.simulator.carrier.tones import FRAME_BYTES, SILENCE
from gateway.simulator.model.shapes import Json

__all__ = ["SipMedia"]

BYTES_PER_MS = 8
_SILENT = bytes([SILENCE]) * FRAME_BYTES


@dataclass(slots=True)
class _Item:
    item_id: str
    waiting: bytearray = field(default_factory=bytearray)
    played: int = 0


@dataclass(slots=True)
class _Playing:
    response_id: str
    items: deque[_Item] = field(default_factory=deque)
    begun: bool = False
    finished: bool = False
    """No more audio comes."""

    @property
    def waiting(self) -> int:
        return sum(len(item.waiting) for item in self.items)


class SipMedia:
    """What `PhoneLine` needs of a stream. `tell` sends an event to the client, `ask` a client event to the model."""

    def __init__(self, tell: Callable[[Json], None], ask: Callable[[Json], None]) -> None:
        self._tell = tell
        self._ask = ask
        self._queue: deque[_Playing] = deque()
        self._dropped: set[str] = set()
        self.pressed: Callable[[str], None] = lambda digit: None
        self.truncated: list[tuple[str, int]] = []

    # --- the line -----------------------------------------------------------------------------

    @property
    def queued_bytes(self) -> int:
        """Agent audio not yet played."""
        return sum(playing.waiting for playing in self._queue)

    def caller_frame(self, audio: bytes) -> None:
        """Let the model hear 20 ms of the caller; empty is silence."""
        frame = audio + _SILENT[len(audio) :]
        self._ask({"type": "input_audio_buffer.append", "audio": base64.b64encode(frame).decode()})

    def take_frame(self, at_s: float) -> bytes:
        """Return the next 20 ms for the caller, perhaps short or empty."""
        self._drop_played()
        if not self._queue:
            return b""
        playing = self._queue[0]
        frame = bytearray()
        for item in playing.items:
            piece = item.waiting[: FRAME_BYTES - len(frame)]
            del item.waiting[: len(piece)]
            item.played += len(piece)
            frame += piece
        if frame and not playing.begun:
            playing.begun = True
            self._tell({"type": "output_audio_buffer.started", "response_id": playing.response_id})
        return bytes(frame)

    def send_digit(self, digit: str) -> None:
        self.pressed(digit)

    # --- the model ----------------------------------------------------------------------------

    def play(self, response_id: str, item_id: str, audio: bytes) -> None:
        """Queue a delta; late ones of a dropped response are not heard."""
        if response_id in self._dropped:
            return
        playing = self._of(response_id)
        if playing is None:
            playing = _Playing(response_id)
            self._queue.append(playing)
        if not playing.items or playing.items[-1].item_id != item_id:
            playing.items.append(_Item(item_id))
        playing.items[-1].waiting += audio

    def finish(self, response_id: str) -> None:
        """No more audio comes for this response."""
        playing = self._of(response_id)
        if playing is not None:
            playing.finished = True

    def clear(self) -> None:
        """Drop what was not played, and have the model know what was heard."""
        queue, self._queue = self._queue, deque()
        for playing in queue:
            self._dropped.add(playing.response_id)
            if playing.begun:
                self._tell({"type": "output_audio_buffer.cleared", "response_id": playing.response_id})
            for item in playing.items:
                if item.waiting or not playing.finished:
                    self._cut(item)

    def _cut(self, item: _Item) -> None:
        heard_ms = item.played // BYTES_PER_MS
        if not heard_ms:
            self._ask({"type": "conversation.item.delete", "item_id": item.item_id})
            return
        self.truncated.append((item.item_id, heard_ms))
        cut = {"item_id": item.item_id, "content_index": 0, "audio_end_ms": heard_ms}
        self._ask({"type": "conversation.item.truncate", **cut})

    def _drop_played(self) -> None:
        while self._queue and self._queue[0].finished and not self._queue[0].waiting:
            played = self._queue.popleft()
            if played.begun:
                self._tell({"type": "output_audio_buffer.stopped", "response_id": played.response_id})

    def _of(self, response_id: str) -> _Playing | None:
        return next((one for one in self._queue if one.response_id == response_id), None)
