"""An event loop whose clock jumps to its next timer when nothing is ready to run.

An hour of call takes seconds and every run is the same. Code under it must take time from the running loop.
Threads and real sockets work but do not hold the clock back, so keep them out of such runs.
"""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

__all__ = ["ClockLoop", "run"]

T = TypeVar("T")

STUCK_S = 5.0
"""Real seconds to wait for a thread or a socket when no timer is set, before calling it a deadlock."""


LOOK_EVERY = 50
"""Turns of the loop between looks at real files, while callbacks or timers are due: a look is a system call."""


class _JumpingSelector(selectors.DefaultSelector):
    loop: "ClockLoop"
    _turn = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self._turn += 1
        ready: list[tuple[selectors.SelectorKey, int]] = []
        if timeout is None or self._turn % LOOK_EVERY == 0:
            ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if timeout is None:
            ready = super().select(STUCK_S)
            if not ready:
                raise RuntimeError("deadlock: no timer is set and nothing is ready to run")
            return ready
        self.loop.now += max(timeout, 0.0)
        return []


class ClockLoop(asyncio.SelectorEventLoop):
    """Starts at 0.0; `now` may be read, never set from outside."""

    def __init__(self) -> None:
        self.now = 0.0
        selector = _JumpingSelector()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        return self.now


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run `main` to its end on a fresh virtual clock and return its result."""
    with asyncio.Runner(loop_factory=ClockLoop) as runner:
        return runner.run(main)
