"""Events are handed to one claimer at a time, and what became of them is final until somebody replays them."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from gateway.store import DeliveryRow, StoredDelivery, outbox
from gateway.store.ports import CallStore
from gateway.store.store import Store
from tests.store.conftest import Runs

PAST = datetime(2020, 1, 1, tzinfo=UTC)
FAR = datetime(2999, 1, 1, tzinfo=UTC)


def delivery(delivery_id: str = "d1", *, minute: int = 0, call_id: str = "c-1", body: str = "{}") -> DeliveryRow:
    at = PAST + timedelta(minutes=minute)
    return DeliveryRow(delivery_id, "call.ended", call_id, "shop", "https://shop.example/e", "env:S", body, at, at)


async def kept(store: CallStore, delivery_id: str = "d1") -> StoredDelivery:
    await store.flush()
    row = await store.get_delivery(delivery_id)
    assert row is not None
    return row


async def claimed(store: CallStore, limit: int = 10, lease_s: float = 60) -> list[str]:
    await store.flush()
    return [row.delivery_id for row in await store.claim_deliveries(limit, lease_s)]


def test_an_event_given_twice_is_there_once_whatever_became_of_it(runs: Runs) -> None:
    async def body(store: CallStore) -> None:
        store.deliver(delivery())
        store.deliver(delivery(body='{"other":1}'))
        assert await claimed(store) == ["d1"]
        store.delivery_updated("d1", "delivered", None, 1, "200")
        store.deliver(delivery())
        row = await kept(store)
        assert (row.state, row.body, row.attempts, row.detail) == ("delivered", "{}", 1, "200")
        assert (row.secret, row.url, row.next_at) == ("env:S", "https://shop.example/e", PAST)
        assert await claimed(store) == []

    runs(body)


def test_due_events_are_claimed_oldest_first_and_by_nobody_else(runs: Runs) -> None:
    async def body(store: CallStore) -> None:
        for number, minute in enumerate((3, 1, 2)):
            store.deliver(delivery(f"d{number}", minute=minute))
        store.deliver(DeliveryRow("later", "call.ended", "c-1", "shop", "https://x", None, "{}", PAST, FAR))
        assert await claimed(store, 2) == ["d1", "d2"]
        assert await claimed(store, 2) == ["d0"]
        assert await claimed(store, 2) == []
        assert await claimed(store, 0) == []

    runs(body)


def test_a_lease_that_ran_out_lets_the_next_one_claim(runs: Runs) -> None:
    async def killed(store: CallStore) -> None:
        store.deliver(delivery())
        store.deliver(delivery("d2"))
        assert await claimed(store, 1, lease_s=0) == ["d1"]
        assert await claimed(store, lease_s=0) == ["d1", "d2"]

    async def restarted(store: CallStore) -> None:
        (first, second) = await store.claim_deliveries(10, 60)
        assert (first.delivery_id, first.owner, second.owner) == ("d1", store.owner, store.owner)

    runs(killed, restarted)


def test_an_event_that_failed_waits_for_its_time(runs: Runs) -> None:
    async def body(store: CallStore) -> None:
        store.deliver(delivery())
        assert await claimed(store) == ["d1"]
        store.delivery_updated("d1", "waiting", PAST + timedelta(hours=1), 1, "503")
        assert await claimed(store) == ["d1"]
        store.delivery_updated("d1", "waiting", FAR, 2, "503")
        row = await kept(store)
        assert (row.state, row.attempts, row.next_at, row.detail) == ("waiting", 2, FAR, "503")
        assert await claimed(store) == []

    runs(body)


def test_what_became_of_an_event_is_final(runs: Runs) -> None:
    async def body(store: CallStore) -> None:
        store.deliver(delivery())
        store.delivery_updated("d1", "dead", None, 9, "410")
        for state in ("waiting", "delivered", "no-such-state"):
            store.delivery_updated("d1", state, PAST, 1)
        row = await kept(store)
        assert (row.state, row.attempts, row.detail) == ("dead", 9, "410")
        store.delivery_updated("nobody", "dead", None, 1)
        assert await store.get_delivery("nobody") is None
        assert await store.get_delivery("d1\x00") is None

    runs(body)


def test_a_replayed_event_starts_anew_and_a_waiting_one_is_left_alone(runs: Runs) -> None:
    async def body(store: CallStore) -> None:
        for state in ("delivered", "dead"):
            store.deliver(delivery(state))
            store.delivery_updated(state, state, None, 5, "x")
            await store.flush()
            assert await store.replay_delivery(state)
            row = await kept(store, state)
            assert (row.state, row.attempts, row.next_at > PAST) == ("waiting", 0, True)
            assert not await store.replay_delivery(state)
        assert not await store.replay_delivery("nobody")
        assert await claimed(store) == ["delivered", "dead"]

    runs(body)


def test_events_are_listed_newest_first_by_state_and_call(runs: Runs) -> None:
    async def body(store: CallStore) -> None:
        for minute in range(4):
            store.deliver(delivery(f"d{minute}", minute=minute, call_id=f"c-{minute % 2}"))
        store.delivery_updated("d3", "dead", None, 1)
        await store.flush()

        async def ids(state: str | None = None, call_id: str | None = None, limit: int = 50) -> list[str]:
            return [row.delivery_id for row in await store.list_deliveries(state, call_id, limit)]

        assert await ids() == ["d3", "d2", "d1", "d0"]
        assert await ids(limit=2) == ["d3", "d2"]
        assert await ids("waiting", "c-1") == ["d1"]
        assert await ids("dead") == ["d3"]
        assert await ids(call_id="c-0") == ["d2", "d0"]
        assert await ids(call_id="\x00") == []

    runs(body)


def test_only_old_events_that_are_over_are_forgotten(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "PURGED", 10)

    async def body(store: CallStore) -> None:
        for number in range(35):
            store.deliver(delivery(f"d{number}"))
            if number:
                store.delivery_updated(f"d{number}", "delivered" if number % 2 else "dead", None, 1)
        await store.flush()
        assert await store.purge_deliveries(PAST + timedelta(days=1)) == 0
        assert await store.purge_deliveries(FAR) == 34
        assert [row.delivery_id for row in await store.list_deliveries()] == ["d0"]

    runs(body)


def test_nodes_that_claim_at_once_share_without_overlap(url: str) -> None:
    async def main() -> None:
        async with Store.open(url, node="n1") as first, Store.open(url, node="n2") as second:
            for number in range(300):
                first.deliver(delivery(f"d{number}"))
            await first.flush()

            async def drain(store: Store) -> list[str]:
                mine: list[str] = []
                while batch := await store.claim_deliveries(7, 60):
                    mine += [row.delivery_id for row in batch]
                return mine

            a, b, c = await asyncio.gather(drain(first), drain(second), drain(second))
            everything = [*a, *b, *c]
            assert len(everything) == len(set(everything)) == 300

    asyncio.run(main())


def test_whoever_lost_the_lease_can_only_tell_of_success(url: str) -> None:
    async def main() -> None:
        async with Store.open(url, node="n1") as slow, Store.open(url, node="n2") as fast:
            slow.deliver(delivery())
            assert await claimed(slow, lease_s=0) == ["d1"]
            assert await claimed(fast) == ["d1"]
            slow.delivery_updated("d1", "waiting", PAST, 1, "late failure")
            slow.delivery_updated("d1", "dead", None, 1, "late failure")
            await slow.flush()
            assert (await kept(fast)).state == "waiting"
            assert await claimed(slow) == []
            slow.delivery_updated("d1", "delivered", None, 1, "late success")
            await slow.flush()
            fast.delivery_updated("d1", "dead", None, 1, "too late")
            assert ((await kept(fast)).state, (await kept(fast)).detail) == ("delivered", "late success")

    asyncio.run(main())


def test_a_large_body_is_kept_whole(url: str) -> None:
    body = '{"transcript":"' + "schön " * 100_000 + '"}'

    async def main() -> None:
        async with Store.open(url) as store:
            store.deliver(delivery(body=body))
            (row,) = [await kept(store)]
            assert row.body == body
            store.deliver(delivery("d" * 129))
            await store.flush()
            assert len(await store.list_deliveries()) == 1

    asyncio.run(main())
