"""What every part of the store stands on: one engine, one writer, and how each is waited for."""

import asyncio
import secrets
import socket
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from sqlalchemy import ColumnElement, Executable, RowMapping
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.store.migrate import create_engine, migrate
from gateway.store.rows import StoreError
from gateway.store.statements import Changed, Statements, Write
from gateway.store.writer import Writer

__all__ = ["Database"]

DRAIN_S = 10.0
"""How long closing waits for a database that does not answer."""
COMMIT_S = 5.0
"""How long an intent waits for its commit."""
READ_S = 10.0


class Database:
    """Use as a context manager; write from its event loop's thread."""

    def __init__(self, engine: AsyncEngine, node: str) -> None:
        """Use `open`."""
        self.owner = f"{node}/{secrets.token_hex(4)}"
        """This process, as it stands in the rows that it writes."""
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

    async def flush(self) -> None:
        """Wait until everything queued is committed; put a timeout around it where the database may be away."""
        await self._writer.flush()

    def _queue(self, what: str, *statements: Executable) -> None:
        self._writer.write(Write(what, statements))

    async def _commit(self, what: str, *statements: Executable) -> Changed:
        """Return what the last of `statements` changed, once that is committed.

        Raises `StoreError` after `COMMIT_S`; the write is withdrawn then, unless its commit is already under way.
        """
        done: asyncio.Future[Changed] = asyncio.get_running_loop().create_future()
        self._writer.write(Write(what, statements, done=done))
        try:
            async with asyncio.timeout(COMMIT_S):
                return await done
        except TimeoutError:
            raise StoreError(f"{what} could not be stored within {COMMIT_S:.0f} s") from None

    def _of_the_dead(self, owner: ColumnElement[str]) -> list[ColumnElement[bool]]:
        """Return the conditions for rows of processes that are surely gone.

        A SQLite file has one gateway, so every earlier process counts; in PostgreSQL only earlier processes of this
        node do, because other nodes may be at work on theirs.
        """
        others = [owner != self.owner]
        if self._engine.dialect.name != "sqlite":
            others.append(owner.startswith(f"{self._node}/", autoescape=True))
        return others

    async def _read(self, query: Executable) -> Sequence[RowMapping]:
        try:
            async with asyncio.timeout(READ_S), self._engine.connect() as connection:
                return (await connection.execute(query)).mappings().all()
        except (SQLAlchemyError, OSError, ValueError) as error:
            raise StoreError(f"the store cannot be read: {type(error).__name__}") from error
