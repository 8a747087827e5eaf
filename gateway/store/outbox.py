"""The outbox: events on their way to businesses, each under an id that makes it one event however often it is given."""

import logging
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime

from sqlalchemy import RowMapping, delete, select, update

from gateway.store.claims import claim, told
from gateway.store.database import Database
from gateway.store.rows import DeliveryRow, StoredDelivery
from gateway.store.statements import clean, columns, fitting
from gateway.store.states import DELIVERY_STATES, WAITING
from gateway.store.tables import deliveries

__all__ = ["Outbox"]

log = logging.getLogger(__name__)

COLUMNS = columns(deliveries, StoredDelivery)
PURGED = 500
"""Rows deleted in one transaction, so that nobody's intent waits long behind it."""


class Outbox(Database):
    """Deliveries; part of `Store`."""

    def deliver(self, row: DeliveryRow) -> None:
        """Put an event into the outbox; ignored when one with this id is there, whatever became of it."""
        if not fitting(deliveries.c.delivery_id, row.delivery_id):
            log.error("an event of call %.64s has an id that cannot be kept, and is lost", row.call_id)
            return
        state = {"state": WAITING, "attempts": 0, "updated_at": row.created_at, "owner": self.owner}
        values = clean(deliveries, asdict(row) | state)
        self._queue(f"delivery {row.delivery_id}", self._statements.insert(deliveries).values(values))

    async def claim_deliveries(self, limit: int, lease_s: float) -> list[StoredDelivery]:
        """Take up to `limit` events that are due, for `lease_s` seconds; nobody else gets them meanwhile.

        `delivery_updated` ends the lease. Raises `StoreError`.
        """
        statement = claim(
            deliveries,
            "next_at",
            limit,
            lease_s,
            dialect=self._statements.dialect,
            owner=self.owner,
            returned=COLUMNS,
        )
        changed = await self._commit("claim of deliveries", statement)
        return sorted(_stored(changed.returned), key=lambda row: (row.next_at, row.delivery_id))

    def delivery_updated(
        self, delivery_id: str, state: str, next_at: datetime | None, attempts: int, detail: str = ""
    ) -> None:
        """Record an attempt: delivered, dead, or waiting until `next_at` (None keeps it).

        Only a waiting event changes. Whoever lost its lease to another process can still say that it is delivered.
        """
        if state not in DELIVERY_STATES:
            log.warning("unknown state %.32r of a delivery ignored", state)
            return
        statement = told(
            deliveries,
            delivery_id,
            self.owner,
            surely=state == "delivered",
            state=state,
            attempts=attempts,
            detail=detail,
            due=("next_at", next_at),
        )
        self._queue(f"delivery {delivery_id} {state}", statement)

    async def list_deliveries(
        self, state: str | None = None, call_id: str | None = None, limit: int = 50
    ) -> list[StoredDelivery]:
        """Return the newest events first. Raises `StoreError`."""
        query = select(*COLUMNS)
        for name, value in (("state", state), ("call_id", call_id)):
            if value is not None:
                query = query.where(deliveries.c[name] == _clean(name, value))
        query = query.order_by(deliveries.c.created_at.desc(), deliveries.c.delivery_id.desc())
        return _stored(await self._read(query.limit(max(0, limit))))

    async def get_delivery(self, delivery_id: str) -> StoredDelivery | None:
        """Return an event. Raises `StoreError`."""
        if not fitting(deliveries.c.delivery_id, delivery_id):
            return None
        found = _stored(await self._read(select(*COLUMNS).where(deliveries.c.delivery_id == delivery_id)))
        return found[0] if found else None

    async def replay_delivery(self, delivery_id: str) -> bool:
        """Send an event again that was delivered or given up. False: unknown or waiting. Raises `StoreError`."""
        if not fitting(deliveries.c.delivery_id, delivery_id):
            return False
        now = datetime.now(UTC)
        statement = (
            update(deliveries)
            .where(deliveries.c.delivery_id == delivery_id, deliveries.c.state != WAITING)
            .values(state=WAITING, attempts=0, next_at=now, lease_until=None, updated_at=now, owner=self.owner)
        )
        return (await self._commit(f"replay of delivery {delivery_id}", statement)).rows > 0

    async def purge_deliveries(self, before: datetime) -> int:
        """Forget the events that were delivered or given up before then; return how many. Raises `StoreError`."""
        over = (deliveries.c.created_at < before, deliveries.c.updated_at < before, deliveries.c.state != WAITING)
        total = 0
        while rows := await self._read(select(deliveries.c.delivery_id).where(*over).limit(PURGED)):
            ids = [row["delivery_id"] for row in rows]
            statement = delete(deliveries).where(deliveries.c.delivery_id.in_(ids), *over)
            total += (await self._commit("purge of deliveries", statement)).rows
        return total


def _clean(column: str, value: str) -> object:
    return clean(deliveries, {column: value})[column]


def _stored(rows: Sequence[RowMapping]) -> list[StoredDelivery]:
    return [StoredDelivery(**row) for row in rows]
