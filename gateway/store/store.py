"""The store of calls: synchronous to write from any event-loop callback, asynchronous to read.

    async with Store.open("sqlite:///gateway.db") as store:
        await store.close_orphans()
        store.call_offered(row)
        store.journal(entry)
        store.call_ended(end)

Nothing that is written here raises into a call or waits for the database (`gateway/store/writer.py`); only
`create_attempt` does, because nobody may be dialled before the intent is committed.
"""

import asyncio
import logging
import secrets
import socket
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Self, Unpack

from sqlalchemy import RowMapping, Select, func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.store.migrate import create_engine, migrate
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
from gateway.store.statements import Statements
from gateway.store.states import ATTEMPT_RANKS, CALL_RANKS
from gateway.store.tables import attempts, calls, journal
from gateway.store.writer import Writer

__all__ = ["Store"]

log = logging.getLogger(__name__)

DRAIN_S = 10.0
"""How long closing waits for a database that does not answer."""
ATTEMPT_S = 5.0
"""How long a dial waits for its intent to be committed."""
READ_S = 10.0


class Store:
    """Calls, their journals and dialling attempts. Use as a context manager; write from its event loop's thread."""

    def __init__(self, engine: AsyncEngine, node: str) -> None:
        """Use `Store.open`."""
        self.owner = f"{node}/{secrets.token_hex(4)}"
        self._node = node
        self._engine = engine
        self._statements = Statements(engine.dialect.name, self.owner)
        self._writer = Writer(engine, self._statements)
        self._group = asyncio.TaskGroup()
        self._task: asyncio.Task[None] | None = None

    @classmethod
    def open(cls, url: str, *, node: str = "") -> Self:
        """Return the store at `url`; entering it brings the tables up to date. Raises `ConfigError`.

        `node` names this machine or pod for `close_orphans`; by default its host name.
        """
        return cls(create_engine(url), (node or socket.gethostname())[:128])

    async def __aenter__(self) -> Self:
        try:
            await migrate(self._engine)
        except BaseException:
            await self._engine.dispose()
            raise
        await self._group.__aenter__()
        self._task = self._group.create_task(self._writer.run(), name="store writer")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write what waits, for at most `DRAIN_S`, also when the body failed or was cancelled."""
        assert self._task is not None
        self._writer.close()
        try:
            await asyncio.wait({self._task}, timeout=DRAIN_S)
        finally:
            self._task.cancel()
            # The body's own exception is not the group's: given here it would come out wrapped in a group.
            await self._group.__aexit__(None, None, None)
            self._writer.abandon()
            await self._engine.dispose()

    @property
    def healthy(self) -> bool:
        """False from a failed write until the next one that works."""
        return self._writer.healthy

    @property
    def backlog(self) -> int:
        """Changes accepted and not yet committed."""
        return self._writer.backlog

    @property
    def dropped(self) -> int:
        """Rows given up since start."""
        return self._writer.dropped

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
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._writer.write(self._statements.attempt(row, done))
        try:
            async with asyncio.timeout(ATTEMPT_S):
                return await done
        except TimeoutError:
            raise StoreError(f"attempt {row.attempt_id} could not be stored within {ATTEMPT_S:.0f} s") from None

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

    async def flush(self) -> None:
        """Wait until everything queued is committed; put a timeout around it where the database may be away."""
        await self._writer.flush()

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

        Call once, right after opening. A SQLite file has one gateway, so every earlier process counts; in PostgreSQL
        only earlier processes of this node do, because other nodes may be serving theirs.
        """
        await self.flush()
        last = select(func.max(journal.c.at_s)).where(journal.c.call_id == calls.c.call_id).scalar_subquery()
        query = select(calls.c.call_id, calls.c.offered_at, last.label("last_s")).where(
            calls.c.ended_at.is_(None), calls.c.owner != self.owner
        )
        if self._engine.dialect.name != "sqlite":
            query = query.where(calls.c.owner.startswith(f"{self._node}/", autoescape=True))
        orphans = await self._read(query)
        for row in orphans:
            last_s = max(0.0, row["last_s"] or 0.0)
            ended_at = min(row["offered_at"] + timedelta(seconds=last_s), datetime.now(UTC))
            detail = f"no end was recorded; last journal entry at {last_s:.1f} s"
            self.call_ended(CallEnd(row["call_id"], ended_at, reason, round(last_s * 1000), detail))
        await self.flush()
        return len(orphans)

    async def _read(self, query: Select[tuple[object, ...]]) -> Sequence[RowMapping]:
        try:
            async with asyncio.timeout(READ_S), self._engine.connect() as connection:
                return (await connection.execute(query)).mappings().all()
        except (SQLAlchemyError, OSError, ValueError) as error:
            raise StoreError(f"the store cannot be read: {type(error).__name__}") from error
