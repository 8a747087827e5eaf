"""The courier: takes what is due from the outbox and brings it to the businesses, until it is there or given up.

A delivery is claimed for a minute, so that no two processes send it at once; one that died gives its claims
back by that. It is sent at least once and, when an answer was lost or a process died, perhaps once more, under the same
`webhook-id`. See `schedule.py` for the pauses and `lanes.py` for who goes first.
"""

import asyncio
import heapq
import logging
import random
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Protocol

from gateway.deliveries.lanes import Held, Lanes
from gateway.deliveries.post import Outcome, Post, Verdict
from gateway.deliveries.reporter import utc_now
from gateway.deliveries.schedule import pause_s
from gateway.store.rows import StoredDelivery, StoreError

__all__ = ["Courier", "DeliveryStore"]

logger = logging.getLogger(__name__)

LEASE_S = 60.0
WAITED_MOST = 0.5
"""The part of a lease after which no attempt begins: one takes `post.ATTEMPT_S`, and clocks differ."""
CLAIM = 64
HELD_MOST = 256
POLL_S = 5.0
"""How often the outbox is looked into for what other processes left; own deliveries wake the courier."""
AGAIN_S = 0.02
"""The same while there is more: a backlog must not take the loop from the calls."""
FULL_S = 0.1
"""The same while no more can be held."""
RETRY_STORE_S = 5.0
FINISH_S = 5.0
"""How long stopping waits for what is under way."""
PURGE_EVERY_S = 3600.0
KEPT = timedelta(days=30)
LATE_S = 0.02
"""How much later than our own clock says we look, so that the store's clock agrees."""
DUE_MOST = 1_000
"""Instants at which something of ours is due again that are remembered; the poll finds the others."""


class DeliveryStore(Protocol):
    """The part of `CallStore` that keeps deliveries."""

    async def claim_deliveries(self, limit: int, lease_s: float) -> list[StoredDelivery]: ...

    def delivery_updated(
        self, delivery_id: str, state: str, next_at: datetime | None, attempts: int, detail: str = ""
    ) -> None: ...

    async def purge_deliveries(self, before: datetime) -> int: ...


class Courier:
    """One per process. Await `run` in a task of its own; `stop` it before the store closes."""

    def __init__(
        self,
        store: DeliveryStore,
        post: Post,
        *,
        rng: random.Random | None = None,
        clock: Callable[[], datetime] = utc_now,
        told: Callable[[str], None] | None = None,
        lease_s: float = LEASE_S,
    ) -> None:
        """`told` counts attempts: delivered, failed or dead."""
        self._store = store
        self._post = post
        self._rng = rng or random.Random()
        self._clock = clock
        self._told = told
        self._lease_s = lease_s
        self._lanes = Lanes()
        self._woken = asyncio.Event()
        self._due: list[float] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = False
        self._short = False
        """Whether the outbox waits for room here."""
        self._healthy = True

    def wake(self) -> None:
        """Something new is in the outbox. Never blocks."""
        self._woken.set()

    def stop(self) -> None:
        """Begin nothing more; `run` returns when what is under way is done, in `FINISH_S` at most."""
        self._stopping = True
        self._woken.set()

    async def run(self) -> None:
        """Deliver until stopped. Raises nothing but cancellation."""
        try:
            async with asyncio.TaskGroup() as group:
                try:
                    await self._deliver(group)
                finally:
                    self._stopping = True  # a group that is cancelled takes no more tasks
                self._hand_back()
                if self._tasks:
                    await asyncio.wait(self._tasks, timeout=FINISH_S)
                for task in self._tasks:
                    task.cancel()
        finally:
            self._hand_back()

    async def _deliver(self, group: asyncio.TaskGroup) -> None:
        purge_s = asyncio.get_running_loop().time()
        while not self._stopping:
            self._woken.clear()
            rest_s = await self._take(group)
            if asyncio.get_running_loop().time() >= purge_s:
                purge_s = asyncio.get_running_loop().time() + PURGE_EVERY_S
                await self._purge()
            await self._rest(rest_s)

    async def _take(self, group: asyncio.TaskGroup) -> float:
        """Claim what is due and begin; return when to look again, in seconds."""
        if self._lanes.held > HELD_MOST - CLAIM:
            self._begin(group)  # a host may have proved to be slow since
        if self._lanes.held > HELD_MOST - CLAIM:
            self._short = True
            return FULL_S
        now = asyncio.get_running_loop().time()
        try:
            rows = await self._store.claim_deliveries(CLAIM, self._lease_s)
        except StoreError as error:
            if self._healthy:
                logger.warning("no deliveries can be taken: %s", error)
            self._healthy = False
            return RETRY_STORE_S
        self._healthy = True
        for row in rows:
            self._lanes.add(Held(row, now))
        self._begin(group)
        return AGAIN_S if len(rows) == CLAIM else POLL_S

    def _begin(self, group: asyncio.TaskGroup) -> None:
        """Send whatever may leave now, and hand back what would have to wait too long."""
        if self._stopping:
            return
        now = asyncio.get_running_loop().time()
        while (held := self._lanes.next(now)) is not None:
            task = group.create_task(self._send(held, group), name=f"delivery {held.row.delivery_id}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        for row, after_s in self._lanes.surplus(now):
            self._wait(row, after_s, row.attempts, row.detail or "")

    async def _send(self, held: Held, group: asyncio.TaskGroup) -> None:
        began_s, row = asyncio.get_running_loop().time(), held.row
        try:
            if began_s - held.claimed_s > self._lease_s * WAITED_MOST:
                return  # by the end of the attempt it might be another's
            self._settle(row, await self._attempt(row))
        except asyncio.CancelledError:
            self._wait(row, POLL_S, row.attempts + 1, "cut off by the end of the process")
            raise
        finally:
            self._lanes.done(held, asyncio.get_running_loop().time() - began_s)
            self._begin(group)
            if self._short and self._lanes.held <= HELD_MOST - CLAIM:
                self._short = False
                self._woken.set()

    async def _attempt(self, row: StoredDelivery) -> Outcome:
        try:
            return await self._post.attempt(row)
        except Exception:
            # One delivery that we cannot handle must not keep the others.
            logger.exception("delivery %s failed inside", row.delivery_id)
            return Outcome(Verdict.FAILED, "failed inside the gateway")

    def _settle(self, row: StoredDelivery, outcome: Outcome) -> None:
        attempts = row.attempts + 1
        after_s = pause_s(attempts, outcome.asked_s, self._rng)
        if outcome.verdict is Verdict.DELIVERED:
            self._store.delivery_updated(row.delivery_id, "delivered", None, attempts, outcome.detail)
        elif outcome.verdict is Verdict.HOPELESS or after_s is None:
            logger.warning("delivery %s is given up, attempt %s: %s", row.delivery_id, attempts, outcome.detail)
            self._store.delivery_updated(row.delivery_id, "dead", None, attempts, outcome.detail)
            self._count("dead")
            return
        else:
            logger.info("delivery %s failed, attempt %s: %s", row.delivery_id, attempts, outcome.detail)
            self._wait(row, after_s, attempts, outcome.detail)
        self._count(outcome.verdict.value)

    def _wait(self, row: StoredDelivery, after_s: float, attempts: int, detail: str) -> None:
        next_at = self._clock() + timedelta(seconds=after_s)
        self._store.delivery_updated(row.delivery_id, "waiting", next_at, attempts, detail)
        self._remember(asyncio.get_running_loop().time() + after_s + LATE_S)

    def _remember(self, due_s: float) -> None:
        if len(self._due) < DUE_MOST:
            heapq.heappush(self._due, due_s)

    def _hand_back(self) -> None:
        for row in self._lanes.clear():
            self._store.delivery_updated(row.delivery_id, "waiting", row.next_at, row.attempts, row.detail or "")

    async def _rest(self, longest_s: float) -> None:
        """Wait until there is something to do."""
        now = asyncio.get_running_loop().time()
        while self._due and self._due[0] <= now:
            heapq.heappop(self._due)
            longest_s = 0.0
        until = min(now + longest_s, self._due[0] if self._due else float("inf"))
        try:
            async with asyncio.timeout_at(until):
                await self._woken.wait()
        except TimeoutError:
            pass

    async def _purge(self) -> None:
        try:
            forgotten = await self._store.purge_deliveries(self._clock() - KEPT)
        except StoreError as error:
            logger.warning("old deliveries cannot be forgotten now: %s", error)
            return
        if forgotten:
            logger.info("%s old deliveries were forgotten", forgotten)

    def _count(self, outcome: str) -> None:
        if self._told is not None:
            self._told(outcome)
