"""Who asked to be called back is called by one process, and who asked never to be called stays so."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from gateway.store import CallbackRow, StoredCallback
from gateway.store.ports import CallStore
from gateway.store.store import Store
from tests.store.conftest import Runs

PAST = datetime(2020, 1, 1, tzinfo=UTC)
FAR = datetime(2999, 1, 1, tzinfo=UTC)


def callback(callback_id: str = "cb1", *, minute: int = 0, due_at: datetime | None = None) -> CallbackRow:
    return CallbackRow(
        callback_id,
        "c-1",
        "shop",
        "+14155550101",
        "+14155550199",
        due_at or PAST + timedelta(minutes=minute),
        "asked for prices",
        "America/New_York",
        PAST,
    )


async def kept(store: CallStore, callback_id: str = "cb1") -> StoredCallback:
    await store.flush()
    row = await store.get_callback(callback_id)
    assert row is not None
    return row


async def claimed(store: CallStore, lease_s: float = 60) -> list[str]:
    await store.flush()
    return [row.callback_id for row in await store.claim_callbacks(10, lease_s)]


def test_a_callback_is_added_once_and_read_back(runs: Runs) -> None:
    async def body(store: CallStore) -> None:
        assert await store.add_callback(callback())
        assert not await store.add_callback(callback(minute=5))
        row = await kept(store)
        assert (row.state, row.attempts, row.detail, row.due_at) == ("waiting", 0, None, PAST)
        assert row.tries == 3
        assert (row.to_number, row.reason, row.zone) == ("+14155550101", "asked for prices", "America/New_York")
        assert await store.get_callback("nobody") is None
        assert await store.get_callback("\x00") is None

    runs(body)


def test_due_callbacks_are_claimed_once_until_the_lease_runs_out(runs: Runs) -> None:
    async def killed(store: CallStore) -> None:
        for number, minute in enumerate((2, 1)):
            await store.add_callback(callback(f"cb{number}", minute=minute))
        await store.add_callback(callback("later", due_at=FAR))
        assert await claimed(store, lease_s=0) == ["cb1", "cb0"]

    async def restarted(store: CallStore) -> None:
        assert await claimed(store) == ["cb1", "cb0"]
        assert await claimed(store) == []

    runs(killed, restarted)


def test_a_callback_moves_to_another_time_and_ends_once(runs: Runs) -> None:
    async def body(store: CallStore) -> None:
        await store.add_callback(callback())
        assert await claimed(store) == ["cb1"]
        store.callback_updated("cb1", "waiting", 1, "outside calling hours", FAR)
        row = await kept(store)
        assert (row.state, row.attempts, row.due_at) == ("waiting", 1, FAR)
        assert await claimed(store) == []
        store.callback_updated("cb1", "placed", 2, "at_1")
        for state in ("waiting", "failed", "dropped", "no-such-state"):
            store.callback_updated("cb1", state, 3, "too late")
        row = await kept(store)
        assert (row.state, row.attempts, row.detail, row.due_at) == ("placed", 2, "at_1", FAR)

    runs(body)


def test_callbacks_that_nobody_has_begun_are_given_up_for_another(runs: Runs) -> None:
    async def body(store: CallStore) -> None:
        for name in ("first", "tried", "kept"):
            await store.add_callback(callback(name))
        await store.add_callback(replace(callback("theirs"), to_number="+14155550177"))
        await store.add_callback(replace(callback("other"), agent="bank"))
        store.callback_updated("tried", "waiting", 1, due_at=FAR)
        store.drop_callbacks("shop", "+14155550101", "another time was agreed", keep="kept")
        states = [(await kept(store, name)).state for name in ("first", "tried", "kept", "theirs", "other")]
        assert states == ["dropped", "waiting", "waiting", "waiting", "waiting"]
        assert (await kept(store, "first")).detail == "another time was agreed"

    runs(body)


def test_a_callback_that_somebody_has_begun_is_not_given_up(runs: Runs) -> None:
    async def body(store: CallStore) -> None:
        await store.add_callback(callback())
        assert await claimed(store) == ["cb1"]
        store.drop_callbacks("shop", "+14155550101", "too late")
        assert (await kept(store)).state == "waiting"

    runs(body)


def test_an_opt_out_stays_over_restarts(runs: Runs) -> None:
    async def first(store: CallStore) -> None:
        assert await store.add_opt_out("+14155550101", "call c-1", PAST)
        assert not await store.add_opt_out("+14155550101", "call c-2", PAST)
        assert await store.add_opt_out("x" * 300 + "\x00", "api", PAST)

    async def second(store: CallStore) -> None:
        assert await store.opted_out("+14155550101")
        assert not await store.opted_out("+14155550102")
        assert not await store.opted_out("\x00")

    runs(first, second)


def test_whoever_lost_the_lease_can_only_tell_that_it_was_placed(url: str) -> None:
    async def main() -> None:
        async with Store.open(url, node="n1") as slow, Store.open(url, node="n2") as fast:
            await slow.add_callback(callback())
            assert await claimed(slow, lease_s=0) == ["cb1"]
            assert await claimed(fast) == ["cb1"]
            slow.callback_updated("cb1", "failed", 1, "late")
            await slow.flush()
            assert (await kept(fast)).state == "waiting"
            slow.callback_updated("cb1", "placed", 1, "late")
            await slow.flush()
            assert (await kept(fast)).state == "placed"

    asyncio.run(main())
