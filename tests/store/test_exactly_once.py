"""Kills, races and lost answers: one intent per key, one claimer per row, nothing committed is lost."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import Connection, event
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.util import await_only

from gateway.store import StoreError, database
from gateway.store.migrate import create_engine
from gateway.store.store import Store
from tests.store.test_ledger import invocation
from tests.store.test_outbox import delivery

BEGINNER = """
import asyncio, sys
from gateway.store.store import Store
from tests.store.test_ledger import invocation

async def main():
    async with Store.open(sys.argv[1], node="n1") as store:
        for number in range(10_000):
            row = invocation(f"call_{number}", minute=number)
            assert await store.begin_invocation(row) is None
            print(row.key, flush=True)

asyncio.run(main())
"""

RACER = """
import asyncio, sys
from gateway.store.store import Store
from tests.store.test_ledger import invocation

async def main():
    url, node, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    async with Store.open(url, node=node) as store:
        print("ready", flush=True)
        sys.stdin.readline()
        rows = [invocation(f"call_{number}") for number in range(count)]
        for row in rows:
            if await store.begin_invocation(row) is None:
                print("began", row.key)
        while batch := await store.claim_deliveries(5, 60):
            for row in batch:
                print("claimed", row.delivery_id)

asyncio.run(main())
"""


def start(script: str, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", script, *arguments]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_two_processes_that_race_share_keys_and_events_without_overlap(url: str) -> None:
    count = 60

    async def fill() -> None:
        async with Store.open(url, node="n0") as store:
            for number in range(count):
                store.deliver(delivery(f"d{number}"))

    asyncio.run(fill())
    racers = [start(RACER, url, node, str(count)) for node in ("n1", "n2", "n3")]
    for racer in racers:
        assert racer.stdout is not None and racer.stdout.readline() == "ready\n"
    said = []
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    for racer in racers:
        said += racer.communicate(timeout=60)[0].splitlines()
        assert racer.returncode == 0
    assert len(said) == len(set(said)) == 2 * count


def test_kill_nine_loses_no_intent_that_was_reported_committed(url: str) -> None:
    process = start(BEGINNER, url)
    assert process.stdout is not None
    told = [process.stdout.readline().strip() for _ in range(20)]
    os.kill(process.pid, signal.SIGKILL)
    rest, _ = process.communicate()
    told += rest.splitlines()[:-1] if not rest.endswith("\n") else rest.splitlines()

    async def restart() -> list[str]:
        async with Store.open(url, node="n1") as store:
            return [row.key for row in await store.open_invocations()]

    open_keys = asyncio.run(restart())
    assert open_keys[: len(told)] == told
    assert len(open_keys) <= len(told) + 1


class HeldCommit:
    """Holds the database's commits back until told to go on, as a disk does that stalls."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.go_on = asyncio.Event()
        self.reached = asyncio.Event()
        self.go_on.set()
        event.listen(engine.sync_engine, "commit", self)

    def __call__(self, connection: Connection) -> None:
        self.reached.set()
        await_only(self.go_on.wait())


def test_an_intent_given_up_while_its_commit_is_under_way_leaves_no_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "COMMIT_S", 0.1)

    async def main() -> None:
        engine = create_engine(f"sqlite:///{tmp_path / 'gateway.db'}")
        async with Store(engine, "n1") as store, asyncio.timeout(10):
            disk = HeldCommit(engine)
            disk.go_on.clear()
            with pytest.raises(StoreError, match="could not be stored within"):
                await store.begin_invocation(invocation())
            assert disk.reached.is_set()
            disk.go_on.set()
            await store.flush()
            assert await store.get_invocation(invocation().key) is None
            assert await store.begin_invocation(invocation()) is None

    asyncio.run(main())


def test_a_cancelled_intent_leaves_no_row_and_takes_no_other_ones(tmp_path: Path) -> None:
    async def main() -> None:
        engine = create_engine(f"sqlite:///{tmp_path / 'gateway.db'}")
        async with Store(engine, "n1") as store, asyncio.timeout(10):
            assert await store.begin_invocation(invocation("kept")) is None
            disk = HeldCommit(engine)
            disk.go_on.clear()
            waiting = [asyncio.ensure_future(store.begin_invocation(invocation(name))) for name in ("new", "kept")]
            await disk.reached.wait()
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
            disk.go_on.set()
            await store.flush()
            assert [row.tool_call_id for row in await store.invocations_of("CA1")] == ["kept"]

    asyncio.run(main())


class LostAnswer:
    """Commits, then reports a broken connection, once: what was committed cannot be known."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.left = 1
        event.listen(engine.sync_engine, "commit", self)

    def __call__(self, connection: Connection) -> None:
        if self.left:
            self.left -= 1
            raw = connection.connection.dbapi_connection
            assert raw is not None
            raw.commit()
            raise OperationalError("COMMIT", {}, Exception("the connection was lost"))


def test_an_intent_whose_commit_was_not_answered_is_still_its_own(tmp_path: Path) -> None:
    async def main() -> None:
        engine = create_engine(f"sqlite:///{tmp_path / 'gateway.db'}")
        async with Store(engine, "n1") as store, asyncio.timeout(10):
            lost = LostAnswer(engine)
            assert await store.begin_invocation(invocation()) is None
            assert lost.left == 0
            assert await store.begin_invocation(invocation()) is not None

    asyncio.run(main())


def test_an_intent_that_the_store_cannot_keep_is_refused(tmp_path: Path) -> None:
    async def main() -> None:
        async with Store.open(f"sqlite:///{tmp_path / 'gateway.db'}") as store:
            for name in ("x" * 300, "\x00", "\ud800"):
                with pytest.raises(StoreError, match="cannot keep"):
                    await store.begin_invocation(invocation(name))

    asyncio.run(main())
