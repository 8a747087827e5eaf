"""A way to the model that takes time, as a real one does: on a virtual clock it would answer within the instant."""

import asyncio
import random
from collections import deque
from collections.abc import Callable, Coroutine
from typing import TypeAlias

from gateway.simulator.carrier.plan import LineModel
from gateway.wire import DirectSocket, WireClosed

__all__ = ["DelayedSocket"]

Frame: TypeAlias = str | bytes
Start: TypeAlias = Callable[[Coroutine[object, object, None]], "asyncio.Task[None]"]
STEP_S = 1e-7
"""Between two frames that would arrive at the same instant: timers of one instant have no order."""


class _Delay:
    """When each frame of one direction arrives: later than the one before, and one timer is all it costs."""

    def __init__(self, delay_ms: float, jitter_ms: float, rng: random.Random) -> None:
        self._delay_s = delay_ms / 1000
        self._jitter_s = jitter_ms / 1000
        self._rng = rng
        self._loop = asyncio.get_running_loop()
        self._last_s = 0.0

    def then(self, arrive: Callable[[Frame], object], frame: Frame) -> None:
        due = self._loop.time() + self._delay_s + self._rng.uniform(0, self._jitter_s)
        self._last_s = max(due, self._last_s + STEP_S)
        self._loop.call_at(self._last_s, arrive, frame)

    async def drained(self) -> None:
        """Wait until everything has arrived."""
        await asyncio.sleep(max(0.0, self._last_s + STEP_S - self._loop.time()))


class DelayedSocket:
    """A `DirectSocket` in front of another one; frames keep their order. Its one task ends when either side closes."""

    def __init__(self, socket: DirectSocket, line: LineModel, rng: random.Random, start: Start) -> None:
        """`start` runs a task in the group of whoever owns the connection."""
        self._socket = socket
        self._up = _Delay(line.uplink_ms, line.jitter_ms, rng)
        self._down = _Delay(line.downlink_ms, line.jitter_ms, rng)
        self._inbox: deque[Frame] = deque()
        self._take: Callable[[Frame], None] | None = None
        self._closed: WireClosed | None = None
        self._news = asyncio.Event()
        self._reader = start(self._read())

    async def receive(self) -> Frame:
        while not self._inbox:
            if self._closed is not None:
                raise WireClosed(self._closed.code, self._closed.reason)
            self._news.clear()
            await self._news.wait()
        return self._inbox.popleft()

    async def pump(self, take: Callable[[Frame], None]) -> WireClosed:
        while self._inbox:
            take(self._inbox.popleft())
        self._take = take
        try:
            while self._closed is None:
                self._news.clear()
                await self._news.wait()
        finally:
            self._take = None
        return WireClosed(self._closed.code, self._closed.reason)

    async def send(self, frame: str | bytes) -> None:
        if self._closed is not None:
            raise WireClosed(self._closed.code, self._closed.reason)
        self._up.then(self._hand_over, frame)

    def send_soon(self, frame: str | bytes) -> bool:
        if self._closed is not None:
            return False
        self._up.then(self._hand_over, frame)
        return True

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close once what was sent before has arrived."""
        if self._closed is None:
            await self._up.drained()
        await self._socket.close(code, reason)
        self._reader.cancel()
        self._end(WireClosed(code, reason))

    async def _read(self) -> None:
        closed = await self._socket.pump(lambda frame: self._down.then(self._arrive, frame))
        await self._down.drained()
        self._end(closed)

    def _hand_over(self, frame: Frame) -> None:
        self._socket.send_soon(frame)

    def _arrive(self, frame: Frame) -> None:
        if self._take is not None:
            self._take(frame)
            return
        self._inbox.append(frame)
        self._news.set()

    def _end(self, closed: WireClosed) -> None:
        self._closed = self._closed or closed
        self._news.set()
