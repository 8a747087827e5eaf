"""Deliveries, and businesses that take them, for tests on the virtual clock."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from gateway.deliveries.courier import Courier
from gateway.deliveries.post import Outcome, Verdict
from gateway.store.memory import MemoryStore
from gateway.store.rows import DeliveryRow, StoredDelivery

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
OK = Outcome(Verdict.DELIVERED, "HTTP 200")
DOWN = Outcome(Verdict.FAILED, "HTTP 500")
GONE = Outcome(Verdict.HOPELESS, "HTTP 410")


def clock() -> datetime:
    """Return the virtual time as a date."""
    return NOON + timedelta(seconds=asyncio.get_running_loop().time())


def delivery(
    number: int, *, call_id: str = "", host: str = "business.example.com", at: datetime = NOON, body: str = "{}"
) -> DeliveryRow:
    call_id = call_id or f"call_{number}"
    id_ = f"{call_id}:call_ended" if call_id == f"call_{number}" else f"{call_id}:transcript_turn:{number}"
    return DeliveryRow(id_, "call.ended", call_id, "support", f"https://{host}/events", None, body, at, at)


@dataclass
class Businesses:
    """What each business answers, and what it was sent when."""

    answer: Callable[[StoredDelivery], Outcome] = lambda row: OK
    takes_s: Callable[[StoredDelivery], float] = lambda row: 0.01
    sent: list[tuple[float, StoredDelivery]] = field(default_factory=list)
    under_way: set[str] = field(default_factory=set)
    most: int = 0

    async def attempt(self, row: StoredDelivery) -> Outcome:
        assert row.delivery_id not in self.under_way, "sent twice at once"
        self.under_way.add(row.delivery_id)
        self.most = max(self.most, len(self.under_way))
        self.sent.append((asyncio.get_running_loop().time(), row))
        try:
            await asyncio.sleep(self.takes_s(row))
        finally:
            self.under_way.discard(row.delivery_id)
        return self.answer(row)

    def times(self, row: DeliveryRow) -> list[float]:
        return [at_s for at_s, sent in self.sent if sent.delivery_id == row.delivery_id]


@dataclass
class Post:
    store: MemoryStore
    businesses: Businesses
    courier: Courier

    def put(self, *rows: DeliveryRow) -> None:
        for row in rows:
            self.store.deliver(row)
        self.courier.wake()

    def state(self, row: DeliveryRow) -> StoredDelivery:
        return self.store.deliveries[row.delivery_id]

    async def until(self, *rows: DeliveryRow, look_s: float = 0.05) -> None:
        """Return when all of these are delivered or dead."""
        while any(self.state(row).state == "waiting" for row in rows):  # noqa: ASYNC110 - the store has no events
            await asyncio.sleep(look_s)


@asynccontextmanager
async def post(businesses: Businesses, store: MemoryStore | None = None) -> AsyncIterator[Post]:
    """Run a courier until the block ends. Use it inside `clock.run`."""
    store = store or MemoryStore(clock)
    courier = Courier(store, businesses, clock=clock)
    async with asyncio.TaskGroup() as group:
        group.create_task(courier.run())
        yield Post(store, businesses, courier)
        courier.stop()
