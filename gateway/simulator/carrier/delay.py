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
        self._changed = asyncio.Event()
        self._busy = False

    def push(self, item: T, *, bounded: bool = True) -> bool:
        """Queue an item; False when the line is full and `bounded`."""
        if bounded and len(self._items) >= self.LIMIT:
            return False
        due = asyncio.get_running_loop().time() + self._delay_s
        if self._jitter_s:
            due += self._rng.uniform(0, self._jitter_s)
        self._last_due = due = max(due, self._last_due)
        self._items.append((due, item))
        self._changed.set()
        return True

    async def pump(self, deliver: Callable[[T], Awaitable[None]]) -> None:
        """Deliver for ever. One task only."""
        loop = asyncio.get_running_loop()
        while True:
            while not self._items:
                self._changed.clear()
                await self._changed.wait()
            due, item = self._items[0]
            if (wait := due - loop.time()) > 0:
                await asyncio.sleep(wait)
            self._busy = True
            self._items.popleft()
            await deliver(item)
            self._busy = False
            self._changed.set()

    async def drained(self) -> None:
        """Wait until everything queued was delivered; the pump must be running."""
        while self._items or self._busy:
            self._changed.clear()
            await self._changed.wait()
