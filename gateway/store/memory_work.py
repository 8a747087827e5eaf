"""The ledger, the outbox and callers' wishes in dictionaries; part of `MemoryStore`, with the rules of `Store`."""

from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta

from gateway.store.rows import (
    CallbackRow,
    DeliveryRow,
    InvocationRow,
    StoredCallback,
    StoredDelivery,
    StoredInvocation,
)
from gateway.store.states import (
    CALLBACK_STATES,
    DELIVERY_STATES,
    FINAL_INVOCATION,
    INVOCATION_RANKS,
    WAITING,
    below,
)

__all__ = ["MemoryWork", "utc_now"]


def utc_now() -> datetime:
    return datetime.now(UTC)


class MemoryWork:
    """What a process leaves to the next one."""

    def __init__(self, clock: Callable[[], datetime], owner: str) -> None:
        self.owner = owner
        self.invocations: dict[str, StoredInvocation] = {}
        self.deliveries: dict[str, StoredDelivery] = {}
        self.callbacks: dict[str, StoredCallback] = {}
        self.opt_outs: dict[str, str] = {}
        self.leases: dict[str, datetime] = {}
        """Until when a delivery or callback is claimed, by its id."""
        self._clock = clock

    async def begin_invocation(self, row: InvocationRow) -> StoredInvocation | None:
        if (found := self.invocations.get(row.key)) is not None:
            return found
        self.invocations[row.key] = StoredInvocation(
            **asdict(row), output=None, detail=None, updated_at=row.created_at, owner=self.owner
        )
        return None

    def end_invocation(self, key: str, state: str, output: str | None, detail: str = "") -> None:
        row = self.invocations.get(key)
        if row is None or state not in INVOCATION_RANKS or row.state not in below(INVOCATION_RANKS, state):
            return
        self.invocations[key] = replace(
            row,
            state=state,
            output=row.output if output is None else output,
            detail=detail or row.detail,
            arguments=None if state in FINAL_INVOCATION else row.arguments,
            updated_at=self._clock(),
        )

    async def get_invocation(self, key: str) -> StoredInvocation | None:
        return self.invocations.get(key)

    async def invocation_by_message(self, message_id: str) -> StoredInvocation | None:
        return next((row for row in self.invocations.values() if row.message_id == message_id), None)

    async def invocations_of(self, carrier_call_id: str) -> list[StoredInvocation]:
        return self._oldest([row for row in self.invocations.values() if row.carrier_call_id == carrier_call_id])

    async def open_invocations(self) -> list[StoredInvocation]:
        rows = self.invocations.values()
        return self._oldest([row for row in rows if row.state == "intended" and row.owner != self.owner])

    async def overdue_promises(self, before: datetime, limit: int = 1000) -> list[StoredInvocation]:
        rows = self.invocations.values()
        return self._oldest([row for row in rows if row.state == "pending" and row.created_at < before])[
            : max(0, limit)
        ]

    async def list_invocations(
        self, state: str | None = None, call_id: str | None = None, limit: int = 50
    ) -> list[StoredInvocation]:
        rows = self.invocations.values()
        fits = [row for row in rows if state in (None, row.state) and call_id in (None, row.call_id)]
        return self._oldest(fits)[::-1][: max(0, limit)]

    async def count_invocations(self, agent: str, tool: str, from_number: str, since: datetime) -> int:
        wanted = (agent, tool, from_number)
        rows = (row for row in self.invocations.values() if row.created_at >= since and row.state != "failed")
        return sum((row.agent, row.tool, row.from_number) == wanted for row in rows)

    def deliver(self, row: DeliveryRow) -> None:
        if row.delivery_id not in self.deliveries:
            self.deliveries[row.delivery_id] = StoredDelivery(
                **asdict(row), state=WAITING, attempts=0, detail=None, updated_at=row.created_at, owner=self.owner
            )

    async def claim_deliveries(self, limit: int, lease_s: float) -> list[StoredDelivery]:
        due = sorted((row.next_at, row.delivery_id) for row in self.deliveries.values() if row.state == WAITING)
        ids = self._claim(due, limit, lease_s)
        self.deliveries |= {key: replace(self.deliveries[key], owner=self.owner) for key in ids}
        return [self.deliveries[key] for key in ids]

    def delivery_updated(
        self, delivery_id: str, state: str, next_at: datetime | None, attempts: int, detail: str = ""
    ) -> None:
        row = self.deliveries.get(delivery_id)
        if row is None or row.state != WAITING or state not in DELIVERY_STATES:
            return
        if row.owner != self.owner and state != "delivered":
            return
        self.leases.pop(delivery_id, None)
        self.deliveries[delivery_id] = replace(
            row,
            state=state,
            next_at=next_at or row.next_at,
            attempts=attempts,
            detail=detail,
            updated_at=self._clock(),
        )

    async def list_deliveries(
        self, state: str | None = None, call_id: str | None = None, limit: int = 50
    ) -> list[StoredDelivery]:
        newest = sorted(self.deliveries.values(), key=lambda row: (row.created_at, row.delivery_id), reverse=True)
        fits = [row for row in newest if state in (None, row.state) and call_id in (None, row.call_id)]
        return fits[: max(0, limit)]

    async def get_delivery(self, delivery_id: str) -> StoredDelivery | None:
        return self.deliveries.get(delivery_id)

    async def replay_delivery(self, delivery_id: str) -> bool:
        row = self.deliveries.get(delivery_id)
        if row is None or row.state == WAITING:
            return False
        now = self._clock()
        self.deliveries[delivery_id] = replace(
            row, state=WAITING, attempts=0, next_at=now, updated_at=now, owner=self.owner
        )
        return True

    async def purge_deliveries(self, before: datetime) -> int:
        rows = self.deliveries.values()
        over = [row.delivery_id for row in rows if row.state != WAITING and row.updated_at < before]
        for delivery_id in over:
            del self.deliveries[delivery_id]
        return len(over)

    async def add_callback(self, row: CallbackRow) -> bool:
        if row.callback_id in self.callbacks:
            return False
        self.callbacks[row.callback_id] = StoredCallback(
            **asdict(row), state=WAITING, attempts=0, detail=None, updated_at=row.created_at, owner=self.owner
        )
        return True

    async def claim_callbacks(self, limit: int, lease_s: float) -> list[StoredCallback]:
        due = sorted((row.due_at, row.callback_id) for row in self.callbacks.values() if row.state == WAITING)
        ids = self._claim(due, limit, lease_s)
        self.callbacks |= {key: replace(self.callbacks[key], owner=self.owner) for key in ids}
        return [self.callbacks[key] for key in ids]

    def callback_updated(
        self, callback_id: str, state: str, attempts: int, detail: str = "", due_at: datetime | None = None
    ) -> None:
        row = self.callbacks.get(callback_id)
        if row is None or row.state != WAITING or state not in CALLBACK_STATES:
            return
        if row.owner != self.owner and state != "placed":
            return
        self.leases.pop(callback_id, None)
        self.callbacks[callback_id] = replace(
            row,
            state=state,
            attempts=attempts,
            detail=detail,
            due_at=due_at or row.due_at,
            updated_at=self._clock(),
        )

    def drop_callbacks(self, agent: str, to_number: str, detail: str, keep: str = "") -> None:
        for key, row in self.callbacks.items():
            theirs = (row.agent, row.to_number, row.state, row.attempts) == (agent, to_number, WAITING, 0)
            if theirs and key != keep and key not in self.leases:
                self.callbacks[key] = replace(row, state="dropped", detail=detail, updated_at=self._clock())

    async def get_callback(self, callback_id: str) -> StoredCallback | None:
        return self.callbacks.get(callback_id)

    async def add_opt_out(self, number: str, source: str, at: datetime) -> bool:
        if number in self.opt_outs:
            return False
        self.opt_outs[number] = source
        return True

    async def opted_out(self, number: str) -> bool:
        return number in self.opt_outs

    def _claim(self, waiting: list[tuple[datetime, str]], limit: int, lease_s: float) -> list[str]:
        now = self._clock()
        free = [key for due_at, key in waiting if due_at <= now and self.leases.get(key, now) <= now][: max(0, limit)]
        self.leases |= dict.fromkeys(free, now + timedelta(seconds=lease_s))
        return free

    def _oldest(self, rows: list[StoredInvocation]) -> list[StoredInvocation]:
        return sorted(rows, key=lambda row: (row.created_at, row.key))
