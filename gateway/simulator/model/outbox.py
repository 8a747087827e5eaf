"""What a session has to say and has not yet written: emitting never waits, producers wait for room."""

import asyncio
from collections import deque

from gateway.wire import TextSocket, WireClosed

__all__ = ["Outbox"]


class Outbox:
    """An ordered queue of frames before a socket. One task runs `write`; everything else is synchronous."""

    ROOM = 256
    """Frames above which `room` waits: a client that does not read stops its own responses."""

    def __init__(self) -> None:
        self._frames: deque[str] = deque()
        self._changed = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._closing: tuple[int, str] | None = None
        self._dead = False
        self.muted = False
        """A session that also stops listening, as a hung server does."""

    def put(self, frame: str) -> None:
        """Queue a frame; frames after `close` are dropped, as a closed socket would."""
        if self._closing is not None or self._dead or self.muted:
            return
        self._frames.append(frame)
        if len(self._frames) > self.ROOM:
            self._room.clear()
        self._changed.set()

    def close(self, code: int, reason: str) -> None:
        """Close the socket once all queued frames are written; the first call decides the code."""
        if self._closing is None:
            self._closing = (code, reason)
        self._changed.set()

    def mute(self) -> None:
        """Write nothing any more and leave the socket open, until it closes."""
        self.muted = True

    @property
    def closing(self) -> tuple[int, str] | None:
        return self._closing

    @property
    def full(self) -> bool:
        """Whether `room` would wait."""
        return not self._room.is_set()

    async def room(self) -> None:
        """Wait until the client has read enough."""
        await self._room.wait()

    async def write(self, socket: TextSocket) -> None:
        """Write frames until closed, by either side."""
        try:
            await self._write(socket)
        except WireClosed:
            pass
        finally:
            self._dead = True
            self._frames.clear()
            self._room.set()

    async def _write(self, socket: TextSocket) -> None:
        while True:
            while self._frames:
                await socket.send(self._frames.popleft())
                if len(self._frames) <= self.ROOM:
                    self._room.set()
            if self._closing is not None:
                await socket.close(*self._closing)
                return
            self._changed.clear()
            await self._changed.wait()
