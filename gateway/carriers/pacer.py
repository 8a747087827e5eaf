"""Play-out for carriers that want exact frames: AudioSocket, RTP, Vonage, and whoever has no clear and no marks.

Theory. The core expects of every leg that audio plays in order, that a clear drops what has not played and that each
mark comes back once when what was sent before it has played. Where the carrier has none of this, all of it is kept
here: audio waits in a queue and leaves in frames, one each 20 ms on the loop's clock, never earlier than `ahead` frames
before its time. A mark lies in the queue between the frames and comes back when the frame before it has played. The
times are absolute, so a late wake-up is made up for and does not add up; a loop that stood still for longer than a
second starts anew, because nobody wants a burst.

A tail shorter than a frame is filled with silence once nothing follows it. Some carriers hang up on a leg without
outbound media (carriers notes §3.11): for those silence is sent while nothing plays.
"""

import asyncio
import binascii
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from gateway.carriers.base import Feed
from gateway.core.audio import AudioFormat
from gateway.core.events import MarkPlayed

__all__ = ["Pacer"]

FRAME_S = 0.02
MOST_LATE_S = 1.0
"""A loop that stood still for longer does not make up for it."""
UNBUFFERED_LATE_S = 0.06
"""The same towards a carrier that plays what it gets at once: it has played nothing meanwhile, and what came on top
would lie before everything that follows."""
UNBUFFERED_FRAMES = 5
"""Who is sent fewer ahead plays at once."""


@dataclass(slots=True)
class _Mark:
    name: str


class Pacer:
    """One leg's play-out. `send` takes one frame and must not block; `feed` gets `MarkPlayed`.

    Await `run` in the leg's task group; it ends when cancelled or after `close`.
    """

    def __init__(
        self,
        send: Callable[[bytes], None],
        feed: Feed,
        *,
        audio: AudioFormat = AudioFormat.PCMU,
        ahead: int = 1,
        idle_silence: bool = False,
        send_mark: Callable[[str], None] | None = None,
    ) -> None:
        """`send_mark` takes a mark's name when the frames before it have left, where the carrier echoes marks."""
        self._send = send
        self._feed = feed
        self._frame_bytes = round(1000 * FRAME_S) * audio.bytes_per_ms
        self._silence = audio.silence * (self._frame_bytes // audio.sample_bytes)
        self._send_mark = send_mark
        self._ahead_s = ahead * FRAME_S
        self._most_late_s = UNBUFFERED_LATE_S if ahead < UNBUFFERED_FRAMES else MOST_LATE_S
        self._idle_silence = idle_silence
        self._held = False
        self._next_s = asyncio.get_running_loop().time()
        """When the next frame plays."""
        self._queue: deque[bytes | _Mark] = deque()
        self._queued_bytes = 0
        self._echoes: deque[tuple[float, str]] = deque()
        """Marks whose audio has left, and when it will have played."""
        self._passing: deque[str] = deque()
        """Marks of the frame at hand, which leave behind it."""
        self._wake = asyncio.Event()
        self._closed = False

    def play(self, payload: str) -> None:
        """Queue base64 behind what was queued before."""
        audio = binascii.a2b_base64(payload)
        self._queue.append(audio)
        self._queued_bytes += len(audio)
        self._wake.set()

    def mark(self, name: str) -> None:
        """Have `MarkPlayed(name)` fed when everything queued before has played."""
        self._queue.append(_Mark(name))
        self._wake.set()

    def clear(self, *, flushed: bool = False) -> None:
        """Drop what has not left, and every mark that has not come back.

        `flushed`: the carrier drops what has left and not played, too. What comes next then plays at once.
        """
        self._queue.clear()
        self._queued_bytes = 0
        self._echoes.clear()
        if flushed:
            self._next_s = min(self._next_s, asyncio.get_running_loop().time())
            self._wake.set()

    def hold(self, held: bool) -> None:
        """Send nothing while the carrier takes none; nothing is made up for afterwards."""
        self._held = held
        self._wake.set()

    def close(self) -> None:
        """Send nothing any more."""
        self.clear()
        self._closed = True
        self._wake.set()

    async def run(self) -> None:
        """Send frames at their times."""
        loop = asyncio.get_running_loop()
        self._next_s = loop.time()
        while not self._closed:
            self._echo(loop.time())
            if self._held or not (self._queue or self._idle_silence):
                await self._sleep_until(None)
                self._next_s = max(self._next_s, loop.time())
                continue
            if loop.time() < self._next_s - self._lead_s():
                await self._sleep_until(self._next_s - self._lead_s())
                continue
            if loop.time() - self._next_s > self._most_late_s:
                self._next_s = loop.time()
            frame = self._frame(self._next_s)
            if frame:
                self._send(frame)
                self._next_s += FRAME_S
            while self._passing:
                self._pass_mark(self._passing.popleft())

    def _lead_s(self) -> float:
        """Return how early the next frame may leave: one that is not full waits for what may follow."""
        whole = self._queued_bytes >= self._frame_bytes or (self._queue and not self._queued_bytes)
        return self._ahead_s if whole else min(self._ahead_s, FRAME_S)

    def _frame(self, begins_s: float) -> bytes:
        """Return the next frame, which plays at `begins_s`; b"" when only marks were waiting."""
        frame = b""
        while self._queue and len(frame) < self._frame_bytes:
            item = self._queue.popleft()
            if isinstance(item, _Mark):
                self._reached(item.name, begins_s + len(frame) / self._frame_bytes * FRAME_S)
            else:
                frame += item
        frame, rest = frame[: self._frame_bytes], frame[self._frame_bytes :]
        if rest:
            self._queue.appendleft(rest)
        self._queued_bytes -= len(frame)
        if not frame and not self._idle_silence:
            return b""
        return frame + self._silence[len(frame) :]

    def _pass_mark(self, name: str) -> None:
        if self._send_mark is not None:
            self._send_mark(name)

    def _reached(self, name: str, played_s: float) -> None:
        if self._send_mark is None:
            self._echoes.append((played_s, name))
        else:
            self._passing.append(name)

    def _echo(self, now: float) -> None:
        while self._echoes and self._echoes[0][0] <= now:
            self._feed(MarkPlayed(self._echoes.popleft()[1]))

    async def _sleep_until(self, at_s: float | None) -> None:
        """Sleep until then, or until something is queued where nothing was."""
        self._wake.clear()
        due_s = min((at for at in (at_s, self._echoes[0][0] if self._echoes else None) if at is not None), default=None)
        try:
            async with asyncio.timeout_at(due_s):
                await self._wake.wait()
        except TimeoutError:
            return
