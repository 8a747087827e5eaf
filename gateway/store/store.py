"""The store: synchronous to write from any event-loop callback, asynchronous to read.

    async with Store.open("sqlite:///gateway.db") as store:
        await store.close_orphans()
        store.call_offered(row)
        store.journal(entry)
        store.call_ended(end)

Nothing that is written here raises into a call or waits for the database (`gateway/store/writer.py`), but for the
intents: nobody is dialled and nothing is ordered before that is committed. Calls, journals and attempts are here;
the ledger of function calls, the outbox and what callers asked for are in the files beside it.
"""

import logging
from datetime import UTC, datetime, timedelta
from typing import Unpack

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.store.ledger import Ledger
from gateway.store.outbox import Outbox
from gateway.store.rows import (
    AttemptRow,
    CallChanges,
    CallEnd,
    CallRow,
    JournalEntry,
    StoredAttempt,
    StoredCall,
    StoreError,
)
from gateway.store.statements import fitting
from gateway.store.states import ATTEMPT_RANKS, CALL_RANKS
from gateway.store.tables import attempts, calls, journal
from gateway.store.wishes import Wishes

__all__ = ["Store"]

log = logging.getLogger(__name__)

AT_ONCE = 500
"""Ids in one query."""


class Store(Ledger, Outbox, Wishes):
    """Everything that outlives a process. Use as a context manager; write from its event loop's thread."""

    def __init__(self, engine: AsyncEngine, node: str) -> None:
        """Use `Store.open`."""
        super().__init__(engine, node)
        self._orphans: list[StoredCall] = []

    def call_offered(self, row: CallRow) -> None:
        """Record a new call; before anything else of it."""
        self._writer.write(self._statements.offered(row))

    def call_updated(self, call_id: str, **changes: Unpack[CallChanges]) -> None:
        """Change some columns of a call."""
        if changes:
            self._writer.write(self._statements.updated(call_id, **changes))

    def call_ended(self, end: CallEnd) -> None:
        """Record the end. The first one wins; a later one is refused and logged."""
        self._writer.write(self._statements.ended(end))

    def call_state(self, carrier_call_id: str, state: str, sequence: int | None = None) -> None:
        """Record the carrier's state of a call, forward only; a late, repeated or unknown state changes nothing."""
        if state not in CALL_RANKS:
            log.warning("unknown carrier state %.32r ignored", state)
            return
        self._writer.write(self._statements.call_state(carrier_call_id, state, sequence))

    def journal(self, entry: JournalEntry) -> None:
        """Record a journal entry, within about 100 ms."""
        self._writer.entry(entry)

    put = journal
    """The journal's sink protocol (`gateway.records.journal.Sink`)."""

    async def create_attempt(self, row: AttemptRow) -> bool:
        """Commit the intent to dial. False: this attempt id was there before, so its outcome is unknown; do not dial.

        Raises `StoreError` when it could not be committed in time; then it must not be dialled either.
        """
        changed = await self._commit(f"attempt {row.attempt_id}", self._statements.attempt(row))
        return changed.rows > 0

    def attempt_updated(
        self,
        attempt_id: str,
        state: str,
        carrier_call_id: str | None = None,
        sequence: int | None = None,
        detail: str = "",
    ) -> None:
        """Record what became of an attempt, forward only; the carrier's call id is kept even from a late answer."""
        if state not in ATTEMPT_RANKS:
            log.warning("unknown attempt state %.32r ignored", state)
            return
        self._writer.write(self._statements.attempt_updated(attempt_id, state, carrier_call_id, sequence, detail))

    async def list_calls(self, limit: int = 50, before: datetime | None = None) -> list[StoredCall]:
        """Return the newest calls first, of those offered before `before`. Raises `StoreError`."""
        query = select(calls).order_by(calls.c.offered_at.desc(), calls.c.call_id.desc()).limit(max(0, limit))
        if before is not None:
            query = query.where(calls.c.offered_at < before)
        return [StoredCall(**row) for row in await self._read(query)]

    async def get_call(self, call_id: str) -> StoredCall | None:
        """Return the call with this id or the only one whose id starts with it. Raises `StoreError` if several do."""
        if not call_id:
            return None
        rows = await self._read(select(calls).where(calls.c.call_id == call_id))
        if not rows:
            # Not LIKE: SQLite's takes no notice of case, and ids may have any letters.
            fits = func.substr(calls.c.call_id, 1, len(call_id)) == call_id
            rows = await self._read(select(calls).where(fits).limit(2))
        if len(rows) > 1:
            raise StoreError(f"several calls start with {call_id[:64]!r}: give more of the id")
        return StoredCall(**rows[0]) if rows else None

    async def calls_of(self, carrier_call_id: str) -> list[StoredCall]:
        """Return the calls that were one telephone call, oldest first. Raises `StoreError`."""
        if not fitting(calls.c.carrier_call_id, carrier_call_id):
            return []
        query = select(calls).where(calls.c.carrier_call_id == carrier_call_id)
        query = query.order_by(calls.c.offered_at, calls.c.call_id)
        return [StoredCall(**row) for row in await self._read(query)]

    async def journal_of(self, call_id: str, limit: int = 250_000) -> list[JournalEntry]:
        """Return a call's journal in order. Raises `StoreError`."""
        query = select(journal).where(journal.c.call_id == call_id).order_by(journal.c.seq).limit(limit)
        return [JournalEntry(**row) for row in await self._read(query)]

    async def get_attempt(self, attempt_id: str) -> StoredAttempt | None:
        """Return an attempt. Raises `StoreError`."""
        rows = await self._read(select(attempts).where(attempts.c.attempt_id == attempt_id))
        return StoredAttempt(**rows[0]) if rows else None

    async def close_orphans(self, reason: str = "gateway_restarted") -> int:
        """End the calls that an earlier process left without an end, at their last known moment; return how many.

        Call once, right after opening; `_of_the_dead` says which processes count.
        """
        await self.flush()
        last = select(func.max(journal.c.at_s)).where(journal.c.call_id == calls.c.call_id).scalar_subquery()
        query = select(calls.c.call_id, calls.c.offered_at, last.label("last_s")).where(
            calls.c.ended_at.is_(None), *self._of_the_dead(calls.c.owner)
        )
        rows = await self._read(query)
        for row in rows:
            last_s = max(0.0, row["last_s"] or 0.0)
            ended_at = min(row["offered_at"] + timedelta(seconds=last_s), datetime.now(UTC))
            detail = f"no end was recorded; last journal entry at {last_s:.1f} s"
            self.call_ended(CallEnd(row["call_id"], ended_at, reason, round(last_s * 1000), detail))
        await self.flush()
        self._orphans = await self._ended([row["call_id"] for row in rows])
        return len(rows)

    def orphans(self) -> list[StoredCall]:
        """Return the calls that the last `close_orphans` ended, with that end: nobody else tells the business."""
        return list(self._orphans)

    async def _ended(self, call_ids: list[str]) -> list[StoredCall]:
        found: list[StoredCall] = []
        for start in range(0, len(call_ids), AT_ONCE):
            query = select(calls).where(calls.c.call_id.in_(call_ids[start : start + AT_ONCE]))
            found += [StoredCall(**row) for row in await self._read(query.order_by(calls.c.offered_at))]
        return found
