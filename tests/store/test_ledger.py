"""A function call is meant once, and what came of it only moves forward; on every store."""

import asyncio
import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from gateway.store import InvocationRow, StoredInvocation
from gateway.store.ports import CallStore
from gateway.store.states import INVOCATION_RANKS
from gateway.store.store import Store
from tests.store.conftest import Runs

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def invocation(tool_call_id: str = "call_1", *, minute: int = 0, carrier_call_id: str = "CA1") -> InvocationRow:
    key = f"{carrier_call_id}:{tool_call_id}"
    return InvocationRow(
        key=key,
        message_id=f"msg_{key}",
        call_id="c-1",
        carrier_call_id=carrier_call_id,
        tool_call_id=tool_call_id,
        agent="shop",
        tool="place_order",
        from_number="+14155550101",
        arguments='{"sku":"A1"}',
        arguments_hash="ab" * 32,
        idempotent=False,
        created_at=NOON + timedelta(minutes=minute),
    )


async def found(store: CallStore, key: str = "CA1:call_1") -> StoredInvocation:
    await store.flush()
    row = await store.get_invocation(key)
    assert row is not None
    return row


def test_an_intent_is_committed_once_and_a_repeat_gets_what_is_there(runs: Runs) -> None:
    async def body(store: CallStore) -> None:
        assert await store.begin_invocation(invocation()) is None
        store.end_invocation("CA1:call_1", "done", '{"order":7}', "200")
        there = await store.begin_invocation(replace(invocation(), arguments="{}", tool="other"))
        assert there == await found(store)
        assert (there.tool, there.state, there.output, there.detail) == ("place_order", "done", '{"order":7}', "200")
        assert (there.owner, there.created_at, there.idempotent) == (store.owner, NOON, False)

    runs(body)


def test_a_committed_intent_survives_and_the_same_key_gets_it_after_a_restart(runs: Runs) -> None:
    async def killed(store: CallStore) -> None:
        assert await store.begin_invocation(invocation()) is None

    async def restarted(store: CallStore) -> None:
        there = await store.begin_invocation(invocation())
        assert there is not None
        assert (there.state, there.arguments, there.owner != store.owner) == ("intended", '{"sku":"A1"}', True)

    runs(killed, restarted)


def test_only_what_an_earlier_process_meant_is_open(runs: Runs) -> None:
    async def killed(store: CallStore) -> None:
        for minute, name in enumerate(("later", "done", "pending", "unknown", "first")):
            await store.begin_invocation(invocation(name, minute=-minute))
        for state in ("done", "pending", "unknown"):
            store.end_invocation(f"CA1:{state}", state, "{}")

    async def restarted(store: CallStore) -> None:
        await store.begin_invocation(invocation("mine"))
        assert [row.tool_call_id for row in await store.open_invocations()] == ["first", "later"]
        store.end_invocation("CA1:first", "unknown", None)
        assert [row.tool_call_id for row in await store.open_invocations()] == ["later"]

    runs(killed, restarted)


def test_outcomes_move_only_forward_and_the_first_final_one_stays(runs: Runs) -> None:
    orders = {"".join(order): order for order in itertools.permutations(INVOCATION_RANKS)}

    async def body(store: CallStore) -> None:
        for name, order in orders.items():
            await store.begin_invocation(invocation(name))
            for state in order:
                store.end_invocation(f"CA1:{name}", state, f'"{state}"')
        await store.flush()
        for row in await store.invocations_of("CA1"):
            furthest = max(orders.pop(row.tool_call_id), key=INVOCATION_RANKS.__getitem__)  # of equals the first
            assert (row.state, row.output, row.arguments) == (furthest, f'"{furthest}"', None)
        assert not orders

    runs(body)


def test_the_arguments_are_kept_until_the_outcome_is_known(runs: Runs) -> None:
    async def body(store: CallStore) -> None:
        await store.begin_invocation(invocation())
        for state, arguments in (("pending", True), ("unknown", True), ("failed", False), ("done", False)):
            store.end_invocation("CA1:call_1", state, "{}")
            assert ((await found(store)).arguments is not None) == arguments

    runs(body)


def test_what_is_not_known_again_keeps_what_was_told(runs: Runs) -> None:
    async def body(store: CallStore) -> None:
        await store.begin_invocation(invocation())
        store.end_invocation("CA1:call_1", "pending", '{"status":"in progress"}', "202")
        store.end_invocation("CA1:call_1", "unknown", None)
        store.end_invocation("CA1:call_1", "no-such-state", "{}")
        store.end_invocation("CA1:nobody", "done", "{}")
        row = await found(store)
        assert (row.state, row.output, row.detail) == ("unknown", '{"status":"in progress"}', "202")
        assert row.updated_at > row.created_at

    runs(body)


def test_function_calls_are_found_by_message_and_by_telephone_call(runs: Runs) -> None:
    async def body(store: CallStore) -> None:
        for minute, name in enumerate(("z", "a")):
            await store.begin_invocation(invocation(name, minute=minute))
        await store.begin_invocation(invocation("x", carrier_call_id="CA2"))
        by_message = await store.invocation_by_message("msg_CA1:a")
        assert by_message is not None and by_message.tool_call_id == "a"
        assert [row.tool_call_id for row in await store.invocations_of("CA1")] == ["z", "a"]
        assert await store.get_invocation("CA1:b") is None
        assert await store.invocation_by_message("msg_none") is None
        assert await store.invocations_of("CA3") == []

    runs(body)


def test_function_calls_are_counted_for_one_caller_of_one_tool_since_a_time(runs: Runs) -> None:
    async def body(store: CallStore) -> None:
        for minute in range(4):
            await store.begin_invocation(invocation(f"call_{minute}", minute=minute))
        await store.begin_invocation(replace(invocation("other"), tool="cancel_order"))
        await store.begin_invocation(replace(invocation("else"), from_number="+14155550102"))
        await store.begin_invocation(invocation("call_refused", minute=3))
        store.end_invocation(invocation("call_refused", minute=3).key, "failed", None)
        await store.flush()
        count = store.count_invocations
        assert await count("shop", "place_order", "+14155550101", NOON) == 4
        assert await count("shop", "place_order", "+14155550101", NOON + timedelta(minutes=2)) == 2
        assert await count("shop", "cancel_order", "+14155550101", NOON) == 1
        assert await count("bank", "place_order", "+14155550101", NOON) == 0
        assert await count("shop", "place_order", "\x00", NOON) == 0

    runs(body)


def test_promises_are_overdue_whoever_made_them(runs: Runs) -> None:
    async def killed(store: CallStore) -> None:
        for minute, name in enumerate(("late", "later", "in time", "intended", "unknown")):
            await store.begin_invocation(invocation(name, minute=minute if name != "later" else -1))
        for name in ("late", "later", "in time"):
            store.end_invocation(f"CA1:{name}", "pending", "{}")
        store.end_invocation("CA1:unknown", "unknown", None)

    async def restarted(store: CallStore) -> None:
        await store.begin_invocation(replace(invocation("own", minute=1), state="pending"))
        before = NOON + timedelta(minutes=2)
        names = [row.tool_call_id for row in await store.overdue_promises(before)]
        assert names == ["later", "late", "own"]
        assert [row.tool_call_id for row in await store.overdue_promises(before, limit=1)] == ["later"]
        store.end_invocation("CA1:later", "unknown", None)
        await store.flush()
        assert [row.tool_call_id for row in await store.overdue_promises(before)] == ["late", "own"]

    runs(killed, restarted)


def test_function_calls_are_listed_newest_first_by_state_and_call(runs: Runs) -> None:
    async def body(store: CallStore) -> None:
        for minute, name in enumerate(("a", "b", "c")):
            await store.begin_invocation(invocation(name, minute=minute))
        await store.begin_invocation(replace(invocation("d", minute=3), call_id="c-2"))
        for name in "ad":
            store.end_invocation(f"CA1:{name}", "unknown", None)
        await store.flush()

        async def names(state: str | None = None, call_id: str | None = None, limit: int = 50) -> str:
            return "".join(row.tool_call_id for row in await store.list_invocations(state, call_id, limit))

        assert (await names(), await names(limit=2), await names(limit=-1)) == ("dcba", "dc", "")
        assert (await names("unknown"), await names(call_id="c-1"), await names("unknown", "c-1")) == ("da", "cba", "a")
        assert (await names("no-such"), await names(call_id="\x00"), await names(call_id="c" * 1000)) == ("", "", "")

    runs(body)


@pytest.mark.parametrize("hostile", ["\x00", "msg_\x00CA1:call_1", "msg_\ud800", "m" * 100_000, ""])
def test_ids_that_no_database_can_hold_are_simply_not_found(hostile: str, runs: Runs) -> None:
    async def body(store: CallStore) -> None:
        await store.begin_invocation(invocation())
        assert await store.get_invocation(hostile) is None
        assert await store.invocation_by_message(hostile) is None
        assert await store.invocations_of(hostile) == []

    runs(body)


def test_long_and_hostile_contents_are_kept_whole(url: str) -> None:
    output = '{"text":"' + "ä\\u0000" * 40_000 + '"}'

    async def main() -> None:
        async with Store.open(url) as store:
            row = replace(invocation(), arguments=output, agent="a\x00" * 100, tool="\ud800", from_number="+" * 99)
            assert await store.begin_invocation(row) is None
            assert (await found(store)).arguments == output
            store.end_invocation(row.key, "done", output + "\x00", "\x00" + "d" * 9_000)
            kept = await found(store)
            assert (kept.output, len(kept.detail or ""), store.dropped) == (output, 3_999, 0)

    asyncio.run(main())


def test_one_key_begun_many_times_at_once_is_committed_for_one(url: str) -> None:
    async def main() -> None:
        async with Store.open(url, node="n1") as first, Store.open(url, node="n2") as second:
            for number in range(20):
                row = invocation(f"call_{number}")
                answers = await asyncio.gather(*(store.begin_invocation(row) for store in (first, second, first)))
                assert sum(answer is None for answer in answers) == 1

    asyncio.run(main())


def test_another_node_is_not_taken_for_dead_on_a_server(url: str) -> None:
    async def main() -> None:
        async with Store.open(url, node="n1") as other, Store.open(url, node="n2") as own:
            await other.begin_invocation(invocation())
            expected = 1 if url.startswith("sqlite") else 0
            assert len(await own.open_invocations()) == expected

    asyncio.run(main())
