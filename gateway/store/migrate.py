"""Bring a database to the tables of this version; run at every start and by `gateway migrate`."""

import asyncio
import json
import os
import stat
from functools import partial
from pathlib import Path

from sqlalchemy import URL, AsyncAdaptedQueuePool, Connection, event, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, OperationalError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from gateway.errors import ConfigError

__all__ = ["create_engine", "migrate", "upgrade"]

DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg"}
"""A URL without a driver gets the one that is tested."""
LOCK_KEY = 0x67617465
"""PostgreSQL advisory lock: nodes that start together migrate one after the other."""
START_S = 30.0
LOCKED_S = 0.1
"""Between two tries at a database that another process is just making."""
_dump = partial(json.dumps, default=str, separators=(",", ":"))


async def upgrade(url: str) -> None:
    """Create or upgrade the tables at `url`. Raises `ConfigError` with a sentence for the operator."""
    engine = create_engine(url)
    try:
        await migrate(engine)
    finally:
        await engine.dispose()


async def migrate(engine: AsyncEngine) -> None:
    """As `upgrade`, on an engine made by `create_engine`."""
    from alembic.util import CommandError

    where = engine.url.render_as_string(hide_password=True)
    try:
        async with asyncio.timeout(START_S):
            while not await _migrated(engine):  # noqa: ASYNC110 - the other process's lock tells nobody
                await asyncio.sleep(LOCKED_S)
    except CommandError as error:
        raise ConfigError(f"the tables at {where} are not of this version or an older one: {error}") from error
    except (SQLAlchemyError, OSError) as error:
        raise ConfigError(f"the database at {where} cannot be used: {_reason(error)}") from error


async def _migrated(engine: AsyncEngine) -> bool:
    """Do it; False when another process does it just now, in a way for which SQLite does not wait by itself."""
    try:
        async with engine.begin() as connection:
            await connection.run_sync(_upgrade)
    except OperationalError as error:
        if "database is locked" in str(error):
            return False
        raise
    return True


def create_engine(url: str) -> AsyncEngine:
    """Return an engine for `url`; a new SQLite file is readable by its owner only. Raises `ConfigError`."""
    parsed = _parse(url)
    if parsed.get_backend_name() != "sqlite":
        return _server_engine(parsed)
    if parsed.database in (None, "", ":memory:"):
        engine = create_async_engine(parsed, json_serializer=_dump)
    else:
        _create_private(Path(str(parsed.database)))
        engine = create_async_engine(parsed, json_serializer=_dump, poolclass=AsyncAdaptedQueuePool)
    event.listen(engine.sync_engine, "connect", _set_pragmas)
    return engine


def _server_engine(url: URL) -> AsyncEngine:
    try:
        return create_async_engine(url, json_serializer=_dump, pool_pre_ping=True)
    except ModuleNotFoundError as error:
        where = url.render_as_string(hide_password=True)
        raise ConfigError(
            f"the database at {where} cannot be used: {error.name} is not installed (extra 'postgres')"
        ) from error


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
        driver = DRIVERS.get(parsed.drivername)
        parsed = parsed if driver is None else parsed.set(drivername=driver)
        parsed.get_dialect()
    except (ArgumentError, NoSuchModuleError, ValueError) as error:
        raise ConfigError("expected a database URL such as sqlite:///gateway.db or postgresql://host/name") from error
    if parsed.get_backend_name() not in ("sqlite", "postgresql"):
        raise ConfigError(f"expected a SQLite or PostgreSQL database, got {parsed.get_backend_name()}")
    return parsed


def _create_private(path: Path) -> None:
    if not path.parent.exists():  # perhaps a volume that is not mounted: calls would be kept where nobody looks
        raise ConfigError(f"the folder {path.parent} of the database is missing: create it, or mount it")
    try:
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, stat.S_IRUSR | stat.S_IWUSR))
    except OSError as error:
        raise ConfigError(f"the database file {path} cannot be opened: {_reason(error)}") from error


def _set_pragmas(connection: DBAPIConnection, entry: ConnectionPoolEntry) -> None:
    cursor = connection.cursor()
    for pragma in ("busy_timeout = 5000", "journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _upgrade(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config

    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({LOCK_KEY})")
    else:
        # sqlite3 opens no transaction for DDL by itself; this one makes the migration whole or nothing.
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    config = Config()
    config.set_main_option("script_location", "gateway.store:migrations")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _reason(error: Exception) -> str:
    cause = error.__cause__ or error
    return (str(cause).splitlines() or [type(cause).__name__])[0][:200]
