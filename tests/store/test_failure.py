"""A database that fails is waited for, and nothing is written twice, out of order or by halves."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import Connection, event

from gateway.store import StoreError, database, writer
from gateway.store.migrate import create_engine
from gateway.store.store import Store
from tests.store.rows import attempt, call, end, entry

WRITER = """
import asyncio, sys
from gateway.store.store import Store
from tests.store.rows import call, end, entry

async def main():
    async with Store.open(sys.argv[1]) as store:
        for number in range(10_000):
            call_id = f"call-{number}"
            store.call_offered(call(call_id))
            for seq in range(40):
                store.put(entry(seq, call_id))
            await store.flush()
            store.call_ended(end(call_id))
            await store.flush()
            sys.stdout.write(f"{number}\\n")
            sys.stdout.flush()

asyncio.run(main())
"""


def test_kill_nine_while_writing_loses_nothing_committed_and_keeps_order(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'gateway.db'}"
    process = subprocess.Popen([sys.executable, "-c", WRITER, url], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    told = [int(process.stdout.readline()) for _ in range(30)]
    os.kill(process.pid, signal.SIGKILL)
    rest, _ = process.communicate()
    ended = told[-1] + len([line for line in rest.splitlines() if line])

    with sqlite3.connect(tmp_path / "gateway.db") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute("SELECT count(*) FROM calls WHERE ended_at IS NOT NULL").fetchone()[0] >= ended
        rows = connection.execute("SELECT call_id, count(*), max(seq) FROM journal GROUP BY call_id").fetchall()
        assert all(count == last + 1 for _, count, last in rows)
    connection.close()

    async def restart() -> None:
        async with Store.open(url) as store:
            await store.close_orphans()
            assert all(found.end_reason for found in await store.list_calls(limit=10_000))

    asyncio.run(restart())


class FullDisk:
    """Makes SQLite refuse to grow as it does when the disk is full (SQLITE_FULL, by `max_page_count`)."""

    def __init__(self, pages: int) -> None:
        self.pages = pages

    def __call__(self, connection: Connection) -> None:
        connection.exec_driver_sql(f"PRAGMA max_page_count = {self.pages}")


async def until_failing(store: Store) -> None:
    for _ in range(1_000_000):
        if not store.healthy:
            return
        await asyncio.sleep(0)
    raise AssertionError("the database did not fail")


def test_a_full_disk_delays_but_loses_and_reorders_nothing(tmp_path: Path) -> None:
    disk = FullDisk(pages=40)
    engine = create_engine(f"sqlite:///{tmp_path / 'gateway.db'}")
    event.listen(engine.sync_engine, "begin", disk)

    async def main() -> None:
        async with Store(engine, "n1") as store, asyncio.timeout(10):
            store.call_offered(call())
            await store.flush()
            for seq in range(3_000):
                store.put(entry(seq))
            await until_failing(store)
            store.call_ended(end())
            assert await store.get_call("call-1") is not None
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await store.create_attempt(attempt())
            disk.pages = 1_000_000
            await store.flush()
            assert (store.healthy, store.dropped, store.backlog) == (True, 0, 0)
            assert [row.seq for row in await store.journal_of("call-1")] == list(range(3_000))
            assert await store.get_attempt(attempt().attempt_id) is None

    asyncio.run(main())


def test_a_database_that_stays_away_keeps_the_newest_entries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(writer, "RING", 500)
    disk = FullDisk(pages=40)
    engine = create_engine(f"sqlite:///{tmp_path / 'gateway.db'}")
    event.listen(engine.sync_engine, "begin", disk)

    async def main() -> list[int]:
        async with Store(engine, "n1") as store, asyncio.timeout(10):
            store.call_offered(call())
            await store.flush()
            for seq in range(1_500):
                store.put(entry(seq))
            assert (store.backlog, store.dropped) == (500, 1_000)
            disk.pages = 1_000_000
            await store.flush()
            return [row.seq for row in await store.journal_of("call-1")]

    assert asyncio.run(main()) == list(range(1_000, 1_500))
    assert "1000 store rows were dropped" in caplog.text


def test_closing_gives_up_on_a_database_that_stays_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(database, "DRAIN_S", 0.2)
    disk = FullDisk(pages=40)
    engine = create_engine(f"sqlite:///{tmp_path / 'gateway.db'}")
    event.listen(engine.sync_engine, "begin", disk)

    async def main() -> None:
        async with Store(engine, "n1") as store:
            store.call_offered(call())
            for seq in range(3_000):
                store.put(entry(seq))
            await until_failing(store)
            store.call_ended(end())
            pending = asyncio.ensure_future(store.create_attempt(attempt()))
        with pytest.raises(StoreError, match="was not stored"):
            await pending

    asyncio.run(main())
    assert "end of call call-1 (caller_hangup) dropped" in caplog.text


def test_cancelling_the_owner_still_writes_what_waits(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'gateway.db'}"

    async def serve(started: asyncio.Event) -> None:
        async with Store.open(url) as store:
            store.call_offered(call())
            store.call_ended(end())
            started.set()
            await asyncio.Event().wait()

    async def main() -> None:
        started = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            serving = group.create_task(serve(started))
            await started.wait()
            serving.cancel()
        assert serving.cancelled()
        async with Store.open(url) as store:
            found = await store.get_call("call-1")
        assert found is not None and found.end_reason == "caller_hangup"

    asyncio.run(main())
