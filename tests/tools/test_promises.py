"""Promises that are not kept: whoever notices makes them unknown, and tells the business once."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from gateway.agents.around import Events
from gateway.deliveries import Reporter
from gateway.simulator.clock import run
from gateway.store import CallEnd, CallRow
from gateway.store.memory import MemoryStore
from gateway.store.ports import CallStore
from gateway.store.rows import StoredInvocation, StoreError
from gateway.store.store import Store
from gateway.tools.catalogue import Catalogue
from gateway.tools.ledger import repetition
from gateway.tools.promises import break_overdue
from gateway.tools.recovery import recover
from gateway.tools.request import CallFacts, ToolOutcome, ToolRequest
from gateway.tools.writes import OnUnknown

from .shop import BOOK, Place, Shop, agent, at_desk, facts
from .test_results import NOW, PENDING, door

SOON = BOOK | {"pending_s": 30}
CATALOGUES = {"support": Catalogue(agent(SOON))}
DONE = ToolOutcome(True, '"table 4"', "late result")


def clock() -> datetime:
    """Return the virtual time as a date that goes on from the real one, which rows are made with."""
    return datetime.now(UTC) + timedelta(seconds=asyncio.get_running_loop().time())


class Told(list[tuple[str, str, str]]):
    """Of whom the business was told: call, tool and tool_call_id."""

    def __call__(self, call: CallFacts, tool: str, tool_call_id: str) -> None:
        self.append((call.call_id, tool, tool_call_id))


async def watched(it: Place, tools: tuple[Mapping[str, object], ...] = (SOON,)) -> Told:
    """Recover as at a start, and return who is told of from then on."""
    told = Told()
    it.desk.tell_unknown(told)
    await recover(it.store, it.desk, {"support": Catalogue(agent(*tools))}, it.meter, clock)
    return told


async def promised(store: MemoryStore, *tools: Mapping[str, object]) -> None:
    """Let a process be promised a booking and die."""
    async with at_desk(store, Shop(202, PENDING), *(tools or (SOON,))) as it:
        assert (await it.ask()).pending


def test_a_promise_to_a_call_that_lives_is_broken_when_its_time_is_over() -> None:
    async def main() -> None:
        async with at_desk(MemoryStore(clock), Shop(202, PENDING), SOON) as it:
            told = await watched(it)
            assert (await it.ask()).pending
            await asyncio.sleep(30)
            assert await it.state() == "pending" and told == []
            await asyncio.sleep(60)
            assert await it.state() == "unknown" and told == [("call-1", "book", "t1")]
            assert it.late == [], "the call itself has told the model by then"
            await asyncio.sleep(600)
            assert len(told) == 1

    run(main())


@pytest.mark.parametrize("closed", [True, False])
def test_a_result_that_comes_after_its_promise_was_broken_is_taken(closed: bool) -> None:
    async def main() -> None:
        store = MemoryStore(clock)
        async with door(store) as it:
            place = it.place
            told = await watched(place, (BOOK,))
            await asyncio.sleep(700)
            assert await place.state() == "unknown" and len(told) == 1
            if closed:
                place.desk.close_call("call-1")
                store.call_ended(CallEnd("call-1", NOW, "caller_hangup", 1000))
            assert (await it.send())[0] == (410 if closed else 200)
            assert await place.state() == "done" and len(place.late) == (0 if closed else 1)
            assert (await it.send())[0] == 409

    run(main())


def test_a_promise_to_a_process_that_died_is_broken_at_the_start_or_later_and_told_once() -> None:
    async def main() -> None:
        first = MemoryStore(clock)
        first.call_offered(CallRow("call-1", "twilio", "CA1", "outbound", "support", "+1", "+2", NOW))
        await promised(first)
        await asyncio.sleep(10)
        second = first.reopened()
        async with at_desk(second, Shop(), SOON, call=facts("call-2", "CA2")) as it:
            told = await watched(it)
            assert told == [] and (await row(second)).state == "pending"
            await asyncio.sleep(61)
            assert told == [("call-1", "book", "t1")] and (await row(second)).state == "unknown"
        async with at_desk(first.reopened(), Shop(), SOON, call=facts("call-3", "CA3")) as it:
            assert await watched(it) == [("call-1", "book", "t1")], "it finds the store as if there had been no second"
        async with at_desk(second.reopened(), Shop(), SOON, call=facts("call-4", "CA4")) as it:
            assert await watched(it) == []

    run(main())


async def row(store: CallStore, key: str = "CA1:t1") -> StoredInvocation:
    found = await store.get_invocation(key)
    assert found is not None
    return found


def test_the_promise_of_a_tool_that_is_gone_may_take_as_long_as_any() -> None:
    async def main() -> None:
        store = MemoryStore(clock)
        await promised(store)
        async with at_desk(store.reopened(), Shop(), BOOK | {"name": "other"}, call=facts("call-2", "CA2")) as it:
            told = await watched(it, (BOOK | {"name": "other"},))
            await asyncio.sleep(14_000)
            assert told == []
            await asyncio.sleep(600)
            assert len(told) == 1

    run(main())


@pytest.mark.parametrize("kept", [True, False])
def test_what_only_repeats_another_ends_with_it_and_nobody_is_told(kept: bool) -> None:
    async def main() -> None:
        store = MemoryStore(clock)
        await promised(store)
        repeat = ToolRequest(facts("call-2"), Catalogue(agent(SOON)).find("book"), "t2", {"people": 2})
        await store.begin_invocation(replace(repetition(repeat, "CA1:t1"), created_at=clock()))
        if kept:
            store.end_invocation("CA1:t1", "done", '"table 4"', "late result")
        async with at_desk(store.reopened(), Shop(), SOON, call=facts("call-3", "CA3")) as it:
            await asyncio.sleep(60)
            told = await watched(it)
            repeated = await row(it.store, "CA1:t2")
            assert repeated.state == ("done" if kept else "unknown")
            assert (repeated.detail or "").startswith("repeat of CA1:t1; ")
            assert len(told) == (0 if kept else 1)

    run(main())


def test_a_result_that_is_known_here_and_not_in_the_ledger_yet_goes_before() -> None:
    class Slow(MemoryStore):
        """A store that writes no outcome down: its writer is behind."""

        behind = False

        def end_invocation(self, key: str, state: str, output: str | None, detail: str = "") -> None:
            if not self.behind:
                super().end_invocation(key, state, output, detail)

    async def main() -> None:
        store = Slow(clock)
        async with at_desk(store, Shop(202, PENDING), SOON) as it:
            told = await watched(it)
            await it.ask()
            store.behind = True
            await it.desk.settle(await row(store), DONE)
            await asyncio.sleep(120)
            assert told == [] and (await row(store)).state == "pending"

    run(main())


def test_a_store_that_is_away_is_asked_again_a_minute_later() -> None:
    class Away(MemoryStore):
        asked = 0

        async def overdue_promises(self, before: datetime, limit: int = 1000) -> list[StoredInvocation]:
            self.asked += 1
            if self.asked <= 2:
                raise StoreError("away")
            return await super().overdue_promises(before, limit)

    async def main() -> None:
        store = Away(clock)
        async with at_desk(store, Shop(202, PENDING), SOON) as it:
            await it.ask()
            await asyncio.sleep(60)
            told = await watched(it)
            await asyncio.sleep(70)
            assert told == [] and store.asked == 2
            await asyncio.sleep(60)
            assert len(told) == 1

    run(main())


def test_two_processes_that_look_at_once_change_it_once() -> None:
    async def main() -> None:
        store = MemoryStore(clock)
        await promised(store)
        await asyncio.sleep(60)
        async with at_desk(store, Shop(), SOON) as one, at_desk(store, Shop(), SOON) as two:
            await break_overdue(store, one.desk, CATALOGUES, clock)
            assert await break_overdue(store, two.desk, CATALOGUES, clock) == 0
            assert (await row(store)).state == "unknown"

    run(main())


def test_two_processes_on_one_database_tell_once(url: str) -> None:
    """Their reporters give the event one id; the ledger takes no other word of it afterwards."""

    async def main() -> None:
        async with Store.open(url, node="a") as first:
            async with at_desk(first, Shop(202, PENDING), SOON) as it:
                assert (await it.ask()).pending
        async with Store.open(url, node="a") as one, Store.open(url, node="b") as two:
            async with at_desk(one, Shop(), SOON) as here, at_desk(two, Shop(), SOON) as there:
                for it in (here, there):
                    it.desk.tell_unknown(telling(it.store))
                await asyncio.gather(
                    *(break_overdue(it.store, it.desk, CATALOGUES, in_a_minute) for it in (here, there))
                )
                assert await here.state() == await there.state() == "unknown"
                assert [row.delivery_id for row in await one.list_deliveries()] == ["call-1:tool_unknown:t1"]
                assert await break_overdue(two, there.desk, CATALOGUES, in_a_minute) == 0

    asyncio.run(main())


def telling(store: CallStore) -> OnUnknown:
    reporter = Reporter(store, lambda _: Events(url="https://shop.example.com/events", types=("tool.unknown",)))
    return lambda call, tool, tool_call_id: reporter.tell("tool.unknown", call, tool_call_id, {"tool": {"name": tool}})


def in_a_minute() -> datetime:
    return datetime.now(UTC) + timedelta(seconds=60)
