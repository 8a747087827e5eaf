"""Calls per second, spent one by one.

Carriers queue what comes faster than the account's rate (Twilio: 1 call/s, then up to 24 h in its queue), and a
call that waits there may ring outside the calling window. So the waiting is done here, where it is short and
bounded, and what would wait longer is refused.
"""

import asyncio

from gateway.errors import GatewayError

__all__ = ["Pace", "PaceFull"]


class PaceFull(GatewayError):
    """Too many calls wait already; `retry_after_s` says when a place is free."""

    def __init__(self, retry_after_s: float) -> None:
        super().__init__("too many calls are waiting to be placed")
        self.retry_after_s = retry_after_s


class Pace:
    """A token bucket of one token: turns are `1 / calls_per_s` apart, in the order of asking.

    Uses the running loop's clock, so one instance belongs to one loop.
    """

    def __init__(self, calls_per_s: float = 1.0, *, max_wait_s: float = 10.0) -> None:
        if calls_per_s <= 0:
            raise ValueError("calls_per_s must be above zero")
        self._interval_s = 1.0 / calls_per_s
        self._max_wait_s = max_wait_s
        self._next_free = float("-inf")

    async def turn(self) -> None:
        """Wait for the next turn; raises `PaceFull` at once when that is more than `max_wait_s` away.

        A waiter that is cancelled leaves its turn unused, which only makes the pace slower.
        """
        now = asyncio.get_running_loop().time()
        at = max(now, self._next_free)
        if at - now > self._max_wait_s:
            raise PaceFull(at - now - self._max_wait_s)
        self._next_free = at + self._interval_s
        await asyncio.sleep(at - now)
