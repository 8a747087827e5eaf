"""The courier on the virtual clock: three days of a business that is down take a second."""

import asyncio
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from gateway.deliveries.courier import FINISH_S, LEASE_S
from gateway.deliveries.post import Outcome, Verdict
from gateway.deliveries.schedule import MOST_ATTEMPTS, pause_s, retry_after_s
from gateway.store.memory import MemoryStore
from gateway.store.rows import DeliveryRow, StoredDelivery, StoreError
from tests import clock
from tests.deliveries.outbox import DOWN, GONE, NOON, OK, Businesses, delivery, post
from tests.deliveries.outbox import clock as virtual

DAY_S = 86_400.0
PLANNED_S = [5, 30, 120, 600, 1800, 3600, 7200, 14_400, 28_800, 43_200, 43_200, 43_200, 43_200]


def test_an_event_that_fails_is_tried_for_three_days_and_then_dead() -> None:
    async def main() -> tuple[list[float], StoredDelivery]:
        businesses, row = Businesses(lambda _: DOWN), delivery(1)
        async with post(businesses) as it:
            it.put(row)
            await it.until(row, look_s=60)
            return businesses.times(row), it.state(row)

    times, state = clock.run(main())
    assert (state.state, state.attempts, state.detail) == ("dead", MOST_ATTEMPTS, "HTTP 500")
    pauses = [later - earlier for earlier, later in zip(times, times[1:], strict=False)]
    for pause, planned in zip(pauses, PLANNED_S, strict=True):
        assert 0.9 * planned <= pause <= 1.1 * planned + 0.1
    assert 2 * DAY_S < times[-1] < 3 * DAY_S


def test_a_new_event_leaves_at_once() -> None:
    async def main() -> float:
        businesses, row = Businesses(), delivery(1)
        async with post(businesses) as it:
            await asyncio.sleep(3.3)
            it.put(row)
            await it.until(row)
            return businesses.times(row)[0]

    assert clock.run(main()) == pytest.approx(3.3, abs=0.01)


def test_what_another_process_left_is_found() -> None:
    async def main() -> list[float]:
        businesses, row = Businesses(), delivery(1)
        async with post(businesses) as it:
            await asyncio.sleep(1)
            it.store.deliver(row)
            await it.until(row)
            return businesses.times(row)

    (at_s,) = clock.run(main())
    assert at_s <= 6


def test_gone_is_the_last_word() -> None:
    async def main() -> StoredDelivery:
        row = delivery(1)
        async with post(Businesses(lambda _: GONE)) as it:
            it.put(row)
            await it.until(row)
            return it.state(row)

    state = clock.run(main())
    assert (state.state, state.attempts, state.detail) == ("dead", 1, "HTTP 410")


def test_a_dead_event_can_be_sent_again() -> None:
    async def main() -> tuple[StoredDelivery, int]:
        answers = [GONE, OK]
        businesses, row = Businesses(lambda _: answers.pop(0)), delivery(1)
        async with post(businesses) as it:
            it.put(row)
            await it.until(row)
            assert await it.store.replay_delivery(row.delivery_id)
            assert not await it.store.replay_delivery(row.delivery_id), "it waits already"
            it.courier.wake()
            await it.until(row)
            return it.state(row), len(businesses.sent)

    state, sent = clock.run(main())
    assert (state.state, state.attempts, sent) == ("delivered", 1, 2)


def test_a_business_may_ask_for_patience_but_not_for_ever() -> None:
    async def main(asked_s: float) -> float:
        answers = [Outcome(Verdict.FAILED, "HTTP 429", asked_s), OK]
        businesses, row = Businesses(lambda _: answers.pop(0)), delivery(1)
        async with post(businesses) as it:
            it.put(row)
            await it.until(row)
            first, second = businesses.times(row)
            return second - first

    assert clock.run(main(0)) == pytest.approx(5, rel=0.11)
    assert clock.run(main(90)) == pytest.approx(90, abs=1)
    assert clock.run(main(10 * DAY_S)) == pytest.approx(3600, abs=1)


def test_a_slow_host_holds_up_nobody_else() -> None:
    async def main() -> tuple[list[float], int]:
        slow = [delivery(number, host="slow.example.com") for number in range(500)]
        quick = [delivery(number, host="quick.example.com") for number in range(1000, 1020)]
        businesses = Businesses(
            lambda row: DOWN if "slow" in row.url else OK, lambda row: 10.0 if "slow" in row.url else 0.05
        )
        async with post(businesses) as it:
            it.put(*slow)
            waits: list[float] = []
            for row in quick:
                begun = asyncio.get_running_loop().time()
                it.put(row)
                await it.until(row)
                waits.append(asyncio.get_running_loop().time() - begun)
                await asyncio.sleep(5)
            return waits, businesses.most

    waits, most = clock.run(main())
    assert max(waits) < 0.2
    assert most <= 5, "four to the slow host, one to the other"


def test_a_backlog_to_a_quick_host_is_done_quickly() -> None:
    async def main() -> float:
        rows = [delivery(number) for number in range(2000)]
        async with post(Businesses()) as it:
            it.put(*rows)
            await it.until(*rows)
            return asyncio.get_running_loop().time()

    assert clock.run(main()) < 15, "four at once of 10 ms take 5 s"


def test_events_of_one_call_arrive_in_their_order() -> None:
    async def main() -> list[str]:
        rows = [delivery(number, call_id="call_x", at=NOON + timedelta(milliseconds=number)) for number in range(30)]
        random_s = random.Random(3)
        businesses = Businesses(takes_s=lambda _: random_s.uniform(0.01, 0.5))
        async with post(businesses) as it:
            await asyncio.sleep(1)
            it.put(*rows)
            await it.until(*rows)
            return [row.delivery_id.rsplit(":", 1)[1] for _, row in businesses.sent]

    assert clock.run(main()) == [str(number) for number in range(30)]


def test_stopping_finishes_what_is_under_way() -> None:
    async def main() -> tuple[StoredDelivery, float]:
        row, businesses = delivery(1), Businesses(takes_s=lambda _: 3.0)
        store = MemoryStore(virtual)
        async with post(businesses, store) as it:
            it.put(row)
            await asyncio.sleep(1)
        return store.deliveries[row.delivery_id], asyncio.get_running_loop().time()

    state, ended_s = clock.run(main())
    assert state.state == "delivered"
    assert ended_s == pytest.approx(3, abs=0.1)


def test_stopping_waits_no_longer_and_gives_everything_back() -> None:
    async def main() -> tuple[list[StoredDelivery], float]:
        rows = [delivery(number) for number in range(10)]
        store = MemoryStore(virtual)
        async with post(Businesses(takes_s=lambda _: 60.0), store) as it:
            it.put(*rows)
            await asyncio.sleep(1)
        again = await store.claim_deliveries(100, 60)
        assert len(again) == 6, "those that were not begun are free at once"
        return list(store.deliveries.values()), asyncio.get_running_loop().time()

    states, ended_s = clock.run(main())
    assert ended_s == pytest.approx(1 + FINISH_S, abs=0.1)
    assert sorted(state.attempts for state in states) == [0] * 6 + [1] * 4


def test_what_a_dead_process_held_comes_back() -> None:
    async def main() -> float:
        row, store = delivery(1), MemoryStore(virtual)
        store.deliver(row)
        assert await store.claim_deliveries(10, LEASE_S), "and whoever claimed it is gone"
        businesses = Businesses()
        async with post(businesses, store) as it:
            await it.until(row)
            return businesses.times(row)[0]

    assert LEASE_S - 0.1 <= clock.run(main()) <= LEASE_S + 6


def test_one_that_fails_inside_does_not_stop_the_others(caplog: pytest.LogCaptureFixture) -> None:
    class Poisoned(Businesses):
        async def attempt(self, row: StoredDelivery) -> Outcome:
            if row.body == "poison":
                raise RuntimeError("a bug")
            return await super().attempt(row)

    async def main() -> tuple[StoredDelivery, StoredDelivery]:
        poison, good = delivery(1, body="poison"), delivery(2)
        async with post(Poisoned()) as it:
            it.put(poison, good)
            await it.until(good)
            return it.state(poison), it.state(good)

    poison, good = clock.run(main())
    assert (poison.state, poison.attempts, good.state) == ("waiting", 1, "delivered")
    assert "failed inside" in caplog.text


def test_a_store_that_fails_is_asked_again() -> None:
    class Broken(MemoryStore):
        async def claim_deliveries(self, limit: int, lease_s: float) -> list[StoredDelivery]:
            if asyncio.get_running_loop().time() < 60:
                raise StoreError("the database is away")
            return await super().claim_deliveries(limit, lease_s)

    async def main() -> float:
        row, businesses = delivery(1), Businesses()
        async with post(businesses, Broken(virtual)) as it:
            it.put(row)
            await it.until(row)
            return businesses.times(row)[0]

    assert 60 <= clock.run(main()) <= 66


def test_old_deliveries_are_forgotten_unless_they_wait() -> None:
    async def main() -> list[str]:
        store, ages = MemoryStore(virtual), {"old": 31, "young": 29, "waiting": 60}
        for name, days in ages.items():
            at = NOON - timedelta(days=days)
            store.deliver(delivery(1, call_id=name, host="down.example.com", at=at))
            store.deliveries = {
                key: replace(row, state=row.call_id if row.call_id == "waiting" else "delivered")
                for key, row in store.deliveries.items()
            }
        async with post(Businesses(lambda _: DOWN), store):
            await asyncio.sleep(1)
            return [row.call_id for row in store.deliveries.values()]

    assert clock.run(main()) == ["young", "waiting"]


def test_random_troubles_lose_and_repeat_nothing() -> None:
    async def main(seed: int) -> None:
        rng = random.Random(seed)

        def answer(row: StoredDelivery) -> Outcome:
            return OK if rng.random() < 0.5 else DOWN

        rows: list[DeliveryRow] = []
        businesses = Businesses(answer, lambda _: rng.expovariate(2))
        store = MemoryStore(virtual)
        for _ in range(4):  # a process after another takes over
            async with post(businesses, store) as it:
                for _ in range(40):
                    rows.append(delivery(len(rows), host=f"h{rng.randrange(3)}.example.com", at=virtual()))
                    it.put(rows[-1])
                    await asyncio.sleep(rng.expovariate(5))
        async with post(businesses, store) as it:
            await it.until(*rows, look_s=30)
        assert {row.state for row in store.deliveries.values()} == {"delivered"}
        assert {row.delivery_id for _, row in businesses.sent} == {row.delivery_id for row in rows}

    for seed in range(5):
        clock.run(main(seed))


def test_the_plan_ends_within_three_days_even_with_the_worst_luck() -> None:
    class Late(random.Random):
        def uniform(self, a: float, b: float) -> float:
            return b

    total_s = 0.0
    for attempts in range(1, MOST_ATTEMPTS):
        pause = pause_s(attempts, None, Late())
        assert pause is not None
        total_s += pause
    assert total_s < 3 * DAY_S
    assert pause_s(MOST_ATTEMPTS, 5.0, Late()) is None


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("120", 120.0),
        (" 0 ", 0.0),
        ("Sun, 22 Nov 2026 12:01:00 GMT", 60.0),
        ("Sun, 22 Nov 2026 11:00:00 GMT", 0.0),
        ("soon", None),
        ("-5", None),
        ("9" * 200, None),
        ("Sun, 99 Nov 2026 11:00:00 GMT", None),
    ],
)
def test_retry_after_is_read_whatever_is_in_it(header: str | None, seconds: float | None) -> None:
    assert retry_after_s(header, datetime(2026, 11, 22, 12, tzinfo=UTC)) == seconds
