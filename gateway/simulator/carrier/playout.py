"""The network's playout buffer of one stream (Twilio Media Streams, *media*, *mark*, *clear*).

Pure: audio of any size goes in, one 20 ms frame comes out each tick. A mark is due when all audio queued
before it was played to its end; a frame taken at one tick is played to its end at the next.
"""

from collections import deque

from gateway.simulator.carrier.tones import FRAME_BYTES, RATE_BYTES

__all__ = ["Playout"]

MAX_QUEUE_BYTES = 600 * RATE_BYTES
"""Ten minutes; what comes on top is discarded (warning 31931)."""
MAX_MARKS = 10_000


class Playout:
    """Audio and marks waiting to be played, by byte position since the stream began."""

    def __init__(self) -> None:
        self._queue = bytearray()
        self._marks: deque[tuple[int, str]] = deque()
        self._taken = 0
        self._finished = 0
        self._accepted = 0
        self._gaps: deque[tuple[int, int]] = deque()
        """After which byte taken how many accepted ones were dropped by clears."""
        self._dropped = 0

    @property
    def queued_bytes(self) -> int:
        return len(self._queue)

    @property
    def accepted_bytes(self) -> int:
        """All audio that went in, cleared or not."""
        return self._accepted

    def add(self, audio: bytes) -> int:
        """Queue audio; return how many bytes did not fit and were discarded."""
        room = MAX_QUEUE_BYTES - len(self._queue)
        self._queue += audio[:room]
        self._accepted += min(room, len(audio))
        return max(0, len(audio) - room)

    def mark(self, name: str) -> bool:
        """Place a mark; return True when it is due now. Raises `OverflowError` beyond 10 000 pending."""
        position = self._taken + len(self._queue)
        if position <= self._finished:
            return True
        if len(self._marks) >= MAX_MARKS:
            raise OverflowError("too many marks are pending")
        self._marks.append((position, name))
        return False

    def clear(self, keep_bytes: int = 0) -> tuple[int, list[str]]:
        """Drop the queue but its first `keep_bytes`; return the bytes dropped and all pending marks, oldest first."""
        dropped, names = max(0, len(self._queue) - keep_bytes), [name for _, name in self._marks]
        del self._queue[keep_bytes:]
        self._marks.clear()
        if dropped:
            self._gaps.append((self._taken + len(self._queue), dropped))
        return dropped, names

    def tick(self) -> tuple[bytes, list[str]]:
        """Return the frame to play now (short or empty when the queue runs dry) and the marks just reached."""
        self._finished = self._taken
        reached = []
        while self._marks and self._marks[0][0] <= self._finished:
            reached.append(self._marks.popleft()[1])
        if not self._queue:
            return b"", reached
        frame = bytes(self._queue[:FRAME_BYTES])
        del self._queue[:FRAME_BYTES]
        self._taken += len(frame)
        return frame, reached

    def places(self, size: int) -> list[tuple[int, int]]:
        """Say where the last `size` bytes taken lie in all audio accepted: (position, bytes). Once after each tick."""
        if not self._gaps:
            return [(self._taken - size + self._dropped, size)]
        start, end, found = self._taken - size, self._taken, []
        while self._gaps and self._gaps[0][0] < end:
            at, dropped = self._gaps.popleft()
            if at > start:
                found.append((start + self._dropped, at - start))
                start = at
            self._dropped += dropped
        if start < end:
            found.append((start + self._dropped, end - start))
        return found
