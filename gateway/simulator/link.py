"""A way to the model that takes time, as a real one does: on a virtual clock it would answer within the instant."""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import TypeAlias

from gateway.simulator.carrier.delay import DelayLine
from gateway.wire import TextSocket, WireClosed

__all__ = ["DelayedSocket"]

Start: TypeAlias = Callable[[Coroutine[object, object, None]], "asyncio.Task[None]"]


FLUSH_S = 2.0
"""How long a close waits for what was sent before it."""


class DelayedSocket:
    """A `TextSocket` in front of another one; frames keep their order. Its tasks end when either side closes."""

    def __init__(self, socket: TextSocket, up: DelayLine[str], down: DelayLine[str | bytes], start: Start) -> None:
        """`start` runs a task in the group of whoever owns the connection."""
        self._socket = socket
        self._up = up
        self._down = down
        self._inbox: deque[str | bytes] = deque()
        self._closed: WireClosed | None = None
        self._news = asyncio.Event()
        self._pumps = [start(up.pump(self._write)), start(down.pump(self._deliver)), start(self._read())]

    async def receive(self) -> str | bytes:
        while not self._inbox:
            if self._closed is not None:
                raise WireClosed(self._closed.code, self._closed.reason)
            self._news.clear()
            await self._news.wait()
        return self._inbox.popleft()

    async def send(self, text: str) -> None:
        if self._closed is not None:
            raise WireClosed(self._closed.code, self._closed.reason)
        self._up.push(text, bounded=False)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        if self._closed is None:
            with suppress(TimeoutError):
                async with asyncio.timeout(FLUSH_S):
                    await self._up.drained()
        await self._socket.close(code, reason)
        self._end(WireClosed(code, reason))

    async def _read(self) -> None:
        try:
            while True:
                self._down.push(await self._socket.receive(), bounded=False)
        except WireClosed as closed:
            await self._down.drained()
            self._end(closed)

    async def _write(self, text: str) -> None:
        try:
            await self._socket.send(text)
        except WireClosed:
            return  # the reader sees it as well

    async def _deliver(self, frame: str | bytes) -> None:
        self._inbox.append(frame)
        self._news.set()

    def _end(self, closed: WireClosed) -> None:
        self._closed = self._closed or closed
        self._news.set()
        for pump in self._pumps:
            if pump is not asyncio.current_task():
                pump.cancel()
