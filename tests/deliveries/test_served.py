"""Deliveries over real sockets from real databases: signed, once where all is well, again after a kill, never lost."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest
from fastapi import Response

from gateway.store.rows import StoredDelivery
from gateway.store.store import Store
from gateway.tools.netguard import NetGuard
from tests.deliveries.receiver import Receiver, receiving
from tests.deliveries.sending import courier, event


async def settled(store: Store, delivery_id: str, *states: str) -> StoredDelivery:
    """Return the delivery once it is in one of these states."""
    async with asyncio.timeout(20):
        while True:
            found = await store.get_delivery(delivery_id)
            if found is not None and found.state in states:
                return found
            await asyncio.sleep(0.02)


async def tried(store: Store, count: int) -> list[StoredDelivery]:
    """Return so many deliveries once each was tried."""
    async with asyncio.timeout(20):
        while True:
            rows = await store.list_deliveries()
            if len(rows) == count and all(row.attempts for row in rows):
                return rows
            await asyncio.sleep(0.02)


def sqlite(folder: Path) -> str:
    return f"sqlite:///{folder / 'gateway.db'}"


def test_events_arrive_signed_once_and_whole(url: str) -> None:
    async def main() -> None:
        async with receiving(Receiver()) as business, Store.open(url) as store, courier(store) as it:
            rows = [event(number, business.url) for number in range(100)]
            for row in rows:
                store.deliver(row)
            it.wake()
            await business.until(lambda: len(business.came) == 100)
            await settled(store, rows[-1].delivery_id, "delivered")
            assert set(business.came.values()) == {1}
            assert {id_ for id_ in business.came} == {row.delivery_id for row in rows}
            body = business.bodies[rows[7].delivery_id]
            assert body["type"] == "call.ended" and body["data"] == {"number": 7, "text": "Ünïcode ✓"}
            assert {headers["x-agent"] for headers in business.headers} == {"support"}

    asyncio.run(main())


def test_the_first_attempt_does_not_wait_for_a_poll(tmp_path: Path) -> None:
    async def main() -> float:
        async with receiving(Receiver()) as business, Store.open(sqlite(tmp_path)) as store, courier(store) as it:
            await asyncio.sleep(0.5)
            begun = asyncio.get_running_loop().time()
            store.deliver(event(1, business.url))
            it.wake()
            await business.until(lambda: len(business.came) == 1)
            return asyncio.get_running_loop().time() - begun

    assert asyncio.run(main()) < 0.9


def test_what_a_business_answers_decides(tmp_path: Path) -> None:
    answers = {
        "call_0:call_ended": Response(status_code=410),
        "call_1:call_ended": Response(status_code=500),
        "call_2:call_ended": Response(status_code=302, headers={"location": "http://127.0.0.1:1/"}),
        "call_3:call_ended": Response(status_code=429, headers={"retry-after": "1800"}),
        "call_4:call_ended": Response(b"x" * 200_000, 200),
        "call_5:call_ended": Response(status_code=404),
    }
    expected = {
        "call_0:call_ended": ("dead", "HTTP 410"),
        "call_1:call_ended": ("waiting", "HTTP 500"),
        "call_2:call_ended": ("waiting", "HTTP 302"),
        "call_3:call_ended": ("waiting", "HTTP 429"),
        "call_4:call_ended": ("delivered", "HTTP 200"),
        "call_5:call_ended": ("waiting", "HTTP 404"),
    }

    async def main() -> None:
        business = Receiver(lambda webhook_id, _: answers[webhook_id])
        async with receiving(business), Store.open(sqlite(tmp_path)) as store, courier(store) as it:
            for number in range(6):
                store.deliver(event(number, business.url))
            it.wake()
            rows = {row.delivery_id: row for row in await tried(store, 6)}
            assert {id_: (row.state, row.detail) for id_, row in rows.items()} == expected
            later = rows["call_3:call_ended"]
            assert (later.next_at - later.updated_at).total_seconds() == pytest.approx(1800, abs=2)

    asyncio.run(main())


def test_a_guarded_address_a_dead_port_and_an_unusable_url_are_no_delivery(tmp_path: Path) -> None:
    async def main() -> None:
        guard = NetGuard(allow_loopback=True)
        async with Store.open(sqlite(tmp_path)) as store, courier(store, guard=guard) as it:
            urls = ["http://127.0.0.1:1/", "http://10.0.0.1/", "ftp://example.com/", "https://[bad]/"]
            for number, url in enumerate(urls):
                store.deliver(event(number, url))
            it.wake()
            found = {row.url: (row.state, row.detail or "") for row in await tried(store, 4)}
            assert [found[url][0] for url in urls] == ["waiting", "waiting", "dead", "dead"]
            assert "refused" in found["http://10.0.0.1/"][1]

    asyncio.run(main())


def test_a_dead_event_is_sent_again_by_replay(url: str) -> None:
    async def main() -> None:
        business = Receiver(lambda _, times: Response(status_code=410 if times == 1 else 200))
        async with receiving(business), Store.open(url) as store, courier(store) as it:
            row = event(1, business.url)
            store.deliver(row)
            it.wake()
            await settled(store, row.delivery_id, "dead")
            assert await store.replay_delivery(row.delivery_id)
            it.wake()
            again = await settled(store, row.delivery_id, "delivered")
            assert (again.attempts, business.came[row.delivery_id]) == (1, 2)

    asyncio.run(main())


@pytest.mark.e2e
def test_a_killed_process_loses_nothing_and_repeats_under_the_same_id(url: str) -> None:
    count, lease_s = 300, 3.0

    async def main() -> None:
        business = Receiver(takes_s=0.02)
        async with receiving(business):
            async with Store.open(url, node="n0") as store:
                rows = [event(number, business.url) for number in range(count)]
                for row in rows:
                    store.deliver(row)
            for kills in (60, 120, 180):
                sender = await started(url, lease_s)
                await business.until(lambda least=kills: sum(business.came.values()) >= least)  # type: ignore[misc]
                sender.kill()
                await sender.wait()
            sender = await started(url, lease_s)
            await business.until(lambda: len(business.came) == count)
            async with Store.open(url, node="n2") as store:
                for row in rows:
                    await settled(store, row.delivery_id, "delivered")
            sender.kill()
            await sender.wait()
            assert set(business.came) == {row.delivery_id for row in rows}
            assert max(business.came.values()) <= 4, "a kill repeats what was sent and not yet written, once"

    asyncio.run(main())


async def started(url: str, lease_s: float) -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.deliveries.sending", url, str(lease_s)), stdout=subprocess.PIPE
    )
    assert process.stdout is not None and await process.stdout.readline() == b"ready\n"
    return process


@pytest.mark.e2e
def test_two_couriers_on_one_database_never_send_one_event_at_once(postgres: str) -> None:
    count = 400

    async def main() -> None:
        business = Receiver(takes_s=0.005)
        async with receiving(business), Store.open(postgres, node="n1") as one, Store.open(postgres, node="n2") as two:
            async with courier(one) as first, courier(two) as second:
                for number in range(count):
                    (one if number % 2 else two).deliver(event(number, business.url))
                    first.wake()
                    second.wake()
                    await asyncio.sleep(0.001)
                await business.until(lambda: len(business.came) == count)
                for number in range(count):
                    await settled(one, f"call_{number}:call_ended", "delivered")
            owners = {row.owner for row in await one.list_deliveries(limit=count)}
            assert set(business.came.values()) == {1} and not business.twice_at_once
            assert len(owners) == 2, "both have worked"

    asyncio.run(main())
