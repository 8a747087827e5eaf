"""What only a database server can do to the store: cut its connections."""

import asyncio
import importlib.util

import pytest

from gateway.store.store import Store
from tests.store.rows import call, end, entry

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(importlib.util.find_spec("psycopg") is None, reason="psycopg is not installed"),
]


def test_cut_connections_lose_repeat_and_reorder_nothing(postgres: str) -> None:
    import psycopg

    async def main() -> None:
        async with Store.open(postgres) as store, asyncio.timeout(10):
            store.call_offered(call())
            for seq in range(2_000):
                store.put(entry(seq))
                if seq % 200 == 0:
                    await asyncio.to_thread(cut_all)
            store.call_ended(end())
            await store.flush()
            assert (store.healthy, store.dropped) == (True, 0)
            assert [row.seq for row in await store.journal_of("call-1")] == list(range(2_000))

    def cut_all() -> None:
        with psycopg.connect(postgres) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE pid <> pg_backend_pid() AND datname = current_database()"
            )

    asyncio.run(main())
