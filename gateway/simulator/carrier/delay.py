"""A line that delivers later, in order: fixed delay plus seeded jitter."""

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

__all__ = ["DelayLine"]

T = TypeVar("T")


class DelayLine(Generic[T]):
    """A bounded queue whose items come out `delay_s` (plus up to `jitter_s`) after they went in."""

    LIMIT = 512
    """Items; at one every 20 ms this is ten seconds."""

    def __init__(self, delay_s: float, jitter_s: float, rng: random.Random) -> None:
        self._delay_s = delay_s
        self._jitter_s = jitter_s
        self._rng = rng
        self._items: deque[tuple[float, T]] = deque()
        self._last_due = 0.0
        self._arrived: asyncio.Future[None] | None = None
        """The pump waits for the next item; a bare future, since this runs for every frame of every call."""
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def empty(self) -> bool:
        """Whether everything pushed was delivered."""
        return not self._items

    def push(self, item: T, *, bounded: bool = True) -> bool:
        """Queue an item; False when the line is full and `bounded`."""
        if bounded and len(self._items) >= self.LIMIT:
            return False
        self._items.append((self._due(), item))
        self._empty.clear()
        if self._arrived is not None and not self._arrived.done():
            self._arrived.set_result(None)
        return True

    async def pump(self, deliver: Callable[[T], Awaitable[None]]) -> None:
        """Deliver for ever. One task only."""
        loop = asyncio.get_running_loop()
        while True:
            if not self._items:
                self._empty.set()
                self._arrived = loop.create_future()
                await self._arrived
            due, item = self._items[0]
            if due and (wait := due - loop.time()) > 0:
                await asyncio.sleep(wait)
            await deliver(item)
            self._items.popleft()

    def _due(self) -> float:
        if not (self._delay_s or self._jitter_s):
            return 0.0
        due = asyncio.get_running_loop().time() + self._delay_s + self._rng.uniform(0, self._jitter_s)
        self._last_due = due = max(due, self._last_due)
        return due

    async def drained(self) -> None:
        """Wait until everything queued was delivered; the pump must be running."""
        await self._empty.wait()
