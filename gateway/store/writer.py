"""The one writer of a process: a bounded queue in front of the database that never lets a call feel it.

Two lines wait: *writes* (call starts, ends, attempts), which are committed at once, and journal *entries*, committed
every 100 ms or 100 rows. Each line keeps its order; a transaction takes the writes first, so a journal backlog never
delays an intent to dial, and a call's row is there before its journal.

When the database fails, the same batch is tried again with back-off until it is written. Meanwhile the newest
`RING` entries are kept and older ones dropped and counted. One row that the database refuses for what it holds is
logged and dropped alone.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import CursorResult
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, SQLAlchemyError, StatementError
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.store.rows import JournalEntry, StoreError
from gateway.store.statements import Changed, Statements, Write, journal_values

__all__ = ["Writer"]

log = logging.getLogger(__name__)

BATCH = 100
"""Waiting entries that are worth a transaction at once."""
BATCH_S = 0.1
"""An entry waits no longer than this for others."""
TAKE = 1_000
"""Entries, and writes, that one transaction takes from a backlog."""
RING = 100_000
"""Entries kept while the database is away."""
WRITES = 50_000
"""Writes kept while the database is away; later ones are refused: no room is left to keep a promise in."""
BACKOFF_S = (0.05, 5.0)
TRANSACTION_S = 10.0
"""A transaction that hangs longer counts as failed; above SQLite's busy_timeout."""


@dataclass(slots=True, frozen=True)
class _Batch:
    writes: Sequence[Write]
    entries: Sequence[JournalEntry]

    def halves(self) -> "tuple[_Batch, _Batch]":
        if self.writes and self.entries:
            return _Batch(self.writes, ()), _Batch((), self.entries)
        w, e = len(self.writes) // 2, len(self.entries) // 2
        return _Batch(self.writes[:w], self.entries[:e]), _Batch(self.writes[w:], self.entries[e:])

    def __len__(self) -> int:
        return len(self.writes) + len(self.entries)


class Writer:
    """Takes changes synchronously, on the event loop's thread; `run` writes them."""

    def __init__(self, engine: AsyncEngine, statements: Statements) -> None:
        self.healthy = True
        self.dropped = 0
        self._engine = engine
        self._statements = statements
        self._writes: deque[Write] = deque()
        self._entries: deque[JournalEntry] = deque()
        self._taken = _Batch((), ())
        self._wake = asyncio.Event()
        self._drained = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._closing = False
        self._drained.set()

    @property
    def backlog(self) -> int:
        """Changes accepted and not yet committed."""
        return len(self._writes) + len(self._entries) + len(self._taken)

    def write(self, write: Write) -> None:
        """Queue `write`. Never raises; when too much waits, it is refused with an error in the log."""
        if self._closing or len(self._writes) >= WRITES:
            self._drop(write, "the store is closed" if self._closing else "too many writes wait for the database")
            return
        self._writes.append(write)
        self._drained.clear()
        self._wake.set()

    def entry(self, entry: JournalEntry) -> None:
        """Queue a journal entry. Never raises; the oldest waiting entry makes room when the ring is full."""
        if self._closing:
            self.dropped += 1
            return
        if len(self._entries) >= RING:
            self._entries.popleft()
            self.dropped += 1
        self._entries.append(entry)
        self._drained.clear()
        if len(self._entries) >= BATCH:
            self._wake.set()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(BATCH_S, self._wake.set)

    async def flush(self) -> None:
        """Wait until nothing waits; while the database is away that is as long as it takes."""
        self._wake.set()
        await self._drained.wait()

    def close(self) -> None:
        """Accept nothing more; `run` returns once everything is written."""
        self._closing = True
        self._wake.set()

    def abandon(self) -> None:
        """Give up what is not written; call when `run` has ended."""
        for write in (*self._taken.writes, *self._writes):
            self._drop(write, "the store closed before the database came back")
        self.dropped += len(self._entries) + len(self._taken.entries)
        if self.dropped:
            log.error("%d store rows were dropped since start", self.dropped)
        self._writes.clear()
        self._entries.clear()
        self._taken = _Batch((), ())
        self._drained.set()

    async def run(self) -> None:
        """Write until closed and empty."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._writes or self._entries:
                self._take()
                await self._commit(self._taken)
                self._taken = _Batch((), ())
            self._drained.set()
            if self._closing:
                return

    def _take(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        writes = [self._writes.popleft() for _ in range(min(len(self._writes), TAKE))]
        entries = [self._entries.popleft() for _ in range(min(len(self._entries), TAKE))]
        self._taken = _Batch(writes, entries)

    async def _commit(self, batch: _Batch) -> None:
        """Write `batch`, however often it takes, less the rows that the database will never take."""
        delay_s, longest_s = BACKOFF_S
        while True:
            try:
                await self._transaction(batch)
            except (SQLAlchemyError, OSError, ValueError, TypeError, RecursionError) as error:
                if _refuses_content(error):
                    return await self._without_refused(batch, error)
                self._failing(error)
            else:
                return self._working()
            await asyncio.sleep(delay_s)
            delay_s = min(delay_s * 2, longest_s)

    async def _without_refused(self, batch: _Batch, error: Exception) -> None:
        if len(batch) > 1:
            for half in batch.halves():
                await self._commit(half)
            return
        for write in batch.writes:
            self._drop(write, f"the database refused it: {type(error).__name__}")
        for entry in batch.entries:
            self.dropped += 1
            log.error("journal entry %s of call %s dropped: %s", entry.seq, entry.call_id, type(error).__name__)

    async def _transaction(self, batch: _Batch) -> None:
        changed: list[Changed] = []
        async with asyncio.timeout(TRANSACTION_S), self._engine.begin() as connection:
            for write in batch.writes:
                changed.append(Changed(0))
                for statement in () if write.withdrawn else write.statements:
                    result = await connection.execute(statement, execution_options={"preserve_rowcount": True})
                    changed[-1] = _changed(result)
            if batch.entries:
                await connection.execute(self._statements.journal_insert(), journal_values(batch.entries))
        for write, what in zip(batch.writes, changed, strict=True):
            _tell(write, what)

    def _failing(self, error: Exception) -> None:
        if self.healthy:
            log.error("the database failed, %d changes wait: %s", self.backlog, _first_line(error))
        self.healthy = False

    def _working(self) -> None:
        if not self.healthy:
            log.warning("the database works again; %d rows were dropped since start", self.dropped)
        self.healthy = True

    def _drop(self, write: Write, why: str) -> None:
        self.dropped += 1
        log.error("%s dropped: %s", write.what, why)
        if write.done is not None and not write.done.done():
            write.done.set_exception(StoreError(f"{write.what} was not stored: {why}"))


def _changed(result: object) -> Changed:
    if isinstance(result, CursorResult) and result.returns_rows:
        returned = result.mappings().all()
        return Changed(len(returned), returned)
    return Changed(max(0, result.rowcount) if isinstance(result, CursorResult) else 0)


def _tell(write: Write, changed: Changed) -> None:
    if not changed.rows and write.refused:
        log.warning("%s refused: %s", write.what, write.refused)
    if write.done is not None and not write.done.done():
        write.done.set_result(changed)


def _refuses_content(error: Exception) -> bool:
    """Tell a row that can never be written from a database that cannot write now."""
    if isinstance(error, DBAPIError):
        return isinstance(error, IntegrityError | DataError) and not error.connection_invalidated
    return isinstance(error, StatementError | ValueError | TypeError | RecursionError)


def _first_line(error: Exception) -> str:
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    return f"{type(cause).__name__}: {cause}".splitlines()[0][:200]
