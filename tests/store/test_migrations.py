"""The migrations make the tables that the code declares, on a new database and on an old one."""

import asyncio
import sqlite3
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection

from gateway.errors import ConfigError
from gateway.store.migrate import create_engine, upgrade
from gateway.store.tables import metadata


def differences(connection: Connection) -> list[object]:
    context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
    return list(compare_metadata(context, metadata))


def test_migrated_tables_are_the_declared_ones(url: str) -> None:
    async def main() -> list[object]:
        await upgrade(url)
        engine = create_engine(url)
        try:
            async with engine.connect() as connection:
                return await connection.run_sync(differences)
        finally:
            await engine.dispose()

    assert asyncio.run(main()) == []


def test_nodes_that_start_together_migrate_once(url: str) -> None:
    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(4):
                group.create_task(upgrade(url))

    asyncio.run(main())


def test_tables_of_a_newer_version_are_refused_with_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "gateway.db"
    asyncio.run(upgrade(f"sqlite:///{path}"))
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    with pytest.raises(ConfigError, match="not of this version"):
        asyncio.run(upgrade(f"sqlite:///{path}"))
