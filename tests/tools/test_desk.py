"""The desk on a virtual clock: what runs, how often, and what the model is told."""

import asyncio
import json
from typing import Any

import pytest

from gateway.core.commands import InvokeTool
from gateway.core.events import ToolAction
from gateway.simulator.clock import run
from gateway.store.memory import MemoryStore
from gateway.store.rows import InvocationRow, StoredInvocation, StoreError
from gateway.tools.ledger import intent
from gateway.tools.request import ToolOutcome, ToolRequest

from .shop import BOOK, LOOK, Place, Shop, at_desk, facts

IDEMPOTENT = BOOK | {"idempotent": True}
PENDING = {"status": "pending"}
SLOW = BOOK | {"timeout_s": 5}


def error_of(output: str) -> str:
    message = json.loads(output)["error"]["message"]
    assert isinstance(message, str)
    return message


async def cancelled(task: "asyncio.Task[Any]") -> None:
    task.cancel()
    await asyncio.wait({task})


def test_the_intent_is_committed_before_the_business_hears_of_a_write() -> None:
    async def main() -> None:
        store, shop = MemoryStore(), Shop()

        async def look(key: str) -> None:
            row = await store.get_invocation(key)
            assert row is not None and row.state == "intended"
            assert (row.arguments, row.tool, row.from_number) == ('{"people":2}', "book", "+14155550123")

        shop.before = look
        async with at_desk(store, shop) as it:
            result = await it.ask()
            assert (result.ok, result.output) == (True, '"booked"')
            assert shop.done == [("CA1:t1", {"people": 2})]
            assert await it.state() == "done"
            assert it.meter.outcomes == {"ok": 1}

    run(main())


def test_a_read_leaves_nothing_in_the_ledger() -> None:
    async def main() -> None:
        async with at_desk(MemoryStore(), Shop()) as it:
            assert (await it.ask(name="look")).ok
            assert it.shop.asked == ["CA1:t1"] and await it.state() is None

    run(main())


@pytest.mark.parametrize(("status", "state", "label"), [(404, "failed", "error"), (500, "unknown", "unknown")])
def test_what_the_business_answers_decides_the_state(status: int, state: str, label: str) -> None:
    async def main() -> None:
        async with at_desk(MemoryStore(), Shop(status=status)) as it:
            assert not (await it.ask()).ok
            assert await it.state() == state and it.meter.outcomes == {label: 1}

    run(main())


def test_who_asks_twice_at_once_joins_the_one_that_runs() -> None:
    async def main() -> None:
        async with at_desk(MemoryStore(), Shop(delay_s=2)) as it:
            first, second = await asyncio.gather(it.ask(), it.ask(again=True))
            assert first.output == second.output == '"booked"'
            assert it.shop.asked == ["CA1:t1"]

    run(main())


def test_a_call_that_hangs_up_leaves_its_write_to_finish() -> None:
    async def main() -> None:
        async with at_desk(MemoryStore(), Shop(delay_s=2)) as it:
            asked = asyncio.create_task(it.ask())
            await asyncio.sleep(1)
            await cancelled(asked)
            it.desk.close_call("call-1")
            await it.desk.stop(30)
            assert it.shop.done == [("CA1:t1", {"people": 2})] and await it.state() == "done"

    run(main())


def test_a_call_that_hangs_up_takes_its_read_along() -> None:
    async def main() -> None:
        async with at_desk(MemoryStore(), Shop(delay_s=2), LOOK | {"limits": {"per_call": 1}}) as it:
            asked = asyncio.create_task(it.ask(name="look"))
            await asyncio.sleep(1)
            await cancelled(asked)
            assert it.desk.writing == 0
            assert (await it.ask("t2", name="look")).ok  # what was given up does not count

    run(main())


def test_stopping_waits_for_writes_and_takes_no_more() -> None:
    async def main() -> None:
        async with at_desk(MemoryStore(), Shop(delay_s=2)) as it:
            asked = asyncio.create_task(it.ask())
            await asyncio.sleep(0.1)
            await it.desk.stop(10)
            assert (await asked).ok and await it.state() == "done"
            assert error_of((await it.ask("t2")).output) == "this cannot be done now: the system is being restarted"
            assert it.shop.asked == ["CA1:t1"]

    run(main())


def test_stopping_leaves_alone_what_takes_longer_than_its_patience() -> None:
    async def main() -> None:
        async with at_desk(MemoryStore(), Shop(delay_s=7)) as it:
            asked = asyncio.create_task(it.ask())
            await asyncio.sleep(0.1)
            await it.desk.stop(1)
            assert "not known" in error_of((await asked).output)
            assert await it.state() == "intended"

    run(main())


class DownStore(MemoryStore):
    """A store whose database is away."""

    async def begin_invocation(self, row: InvocationRow) -> StoredInvocation | None:
        raise StoreError("the database is away")

    async def get_invocation(self, key: str) -> StoredInvocation | None:
        raise StoreError("the database is away")


def test_a_write_that_cannot_be_put_on_record_is_not_sent_and_reads_go_on() -> None:
    async def main() -> None:
        async with at_desk(DownStore(), Shop()) as it:
            result = await it.ask()
            assert not result.ok and "this was not done" in error_of(result.output)
            assert (await it.ask("t2", name="look")).ok
            assert it.shop.asked == ["CA1:t2"]
            again = await it.ask("t3", again=True)
            assert "not known whether this was done" in error_of(again.output)

    run(main())


# --- after a crash --------------------------------------------------------------------------------


async def killed_after(place: Place, delay_s: float) -> MemoryStore:
    """Ask, kill the process so long after, and return the store as the next one finds it."""
    assert isinstance(place.store, MemoryStore)
    asked = asyncio.create_task(place.ask())
    await asyncio.sleep(delay_s)
    left = place.store.reopened()
    await cancelled(asked)
    return left


@pytest.mark.parametrize("tool", [BOOK, IDEMPOTENT])
def test_killed_after_the_answer_was_written_the_ledger_tells_it_again(tool: dict[str, object]) -> None:
    async def main() -> None:
        shop = Shop()
        async with at_desk(MemoryStore(), shop, tool) as it:
            left = await killed_after(it, 1)
        async with at_desk(left, shop, tool, call=facts("call-2")) as it:
            result = await it.ask(again=True)
            assert (result.ok, result.output, result.detail) == (True, '"booked"', "from the ledger: done")
            assert len(shop.asked) == 1 and it.meter.replays == {"done": 1}

    run(main())


def test_killed_before_the_answer_a_write_is_unknown_and_never_sent_again() -> None:
    async def main() -> None:
        shop = Shop(delay_s=3)
        async with at_desk(MemoryStore(), shop) as it:
            left = await killed_after(it, 1)
        async with at_desk(left, shop, call=facts("call-2")) as it:
            result = await it.ask(again=True)
            assert not result.ok and "not known whether this was done" in error_of(result.output)
            assert await it.state() == "unknown" and shop.asked == ["CA1:t1"]

    run(main())


def test_killed_before_the_answer_an_idempotent_write_is_sent_again_with_its_key() -> None:
    async def main() -> None:
        shop = Shop(delay_s=3)
        async with at_desk(MemoryStore(), shop, IDEMPOTENT) as it:
            left = await killed_after(it, 1)
        async with at_desk(left, shop, IDEMPOTENT, call=facts("call-2")) as it:
            first, second = await asyncio.gather(it.ask(again=True), it.ask(again=True))
            assert first.ok and second.ok
            assert shop.asked == ["CA1:t1", "CA1:t1"] and shop.done == [("CA1:t1", {"people": 2})]
            assert shop.bodies[1]["data"]["call"]["id"] == "call-1"

    run(main())


def test_killed_before_the_intent_a_write_has_never_left_and_runs_now() -> None:
    async def main() -> None:
        async with at_desk(MemoryStore(), Shop(), call=facts("call-2")) as it:
            assert (await it.ask(again=True)).ok
            assert it.shop.done == [("CA1:t1", {"people": 2})]

    run(main())


def test_what_another_node_still_does_is_waited_for() -> None:
    async def main() -> None:
        shop = Shop()
        store = MemoryStore(owner="other/0")
        async with at_desk(store, shop) as it:
            tool = it.catalogue.find("book")
            await store.begin_invocation(intent(ToolRequest(facts("call-0"), tool, "t1", {"people": 2})))
            # Not among the dead, and not ours: a live process will write down what came of it.
            asked = asyncio.create_task(it.ask(again=True))
            await asyncio.sleep(3)
            store.end_invocation("CA1:t1", "done", '"by the other"')
            assert (await asked).output == '"by the other"' and shop.asked == []

    run(main())


def test_a_write_that_another_node_never_finishes_is_unknown_after_its_time() -> None:
    async def main() -> None:
        store = MemoryStore()
        async with at_desk(store, Shop(), SLOW) as it:
            tool = it.catalogue.find("book")
            await store.begin_invocation(intent(ToolRequest(facts("call-0"), tool, "t1", {"people": 2})))
            begun = asyncio.get_running_loop().time()
            assert "not known" in error_of((await it.ask(again=True)).output)
            assert 9 <= asyncio.get_running_loop().time() - begun <= 12

    run(main())


def test_a_write_repeated_after_a_resume_is_absorbed_once() -> None:
    async def main() -> None:
        shop = Shop()
        async with at_desk(MemoryStore(), shop) as it:
            left = await killed_after(it, 1)
        async with at_desk(left, shop, call=facts("call-2")) as it:
            repeated = await it.ask("t9")
            assert repeated.ok and repeated.detail == "repeat of CA1:t1; from the ledger: done"
            assert len(shop.asked) == 1
            other = await it.ask("t10", 3)
            assert other.ok and other.detail == "HTTP 200"
            second = await it.ask("t11")
            assert second.ok and second.detail == "HTTP 200"
            assert shop.asked == ["CA1:t1", "CA1:t10", "CA1:t11"]

    run(main())


@pytest.mark.parametrize("status", [200, 202])
def test_a_repeat_is_not_taken_for_one_that_never_left_after_another_crash(status: int) -> None:
    async def main() -> None:
        shop = Shop(status, {"result": "booked"} if status == 200 else PENDING)
        async with at_desk(MemoryStore(), shop) as it:
            first = await killed_after(it, 1)
        async with at_desk(first, shop, call=facts("call-2")) as it:
            assert (await it.ask("t9")).ok
            second = first.reopened()
        async with at_desk(second, shop, call=facts("call-3")) as it:
            again = await it.ask("t9", again=True)
            assert again.ok and again.pending == (status == 202) and len(shop.asked) == 1
            if again.pending:
                await it.desk.settle(await row_of(it), ToolOutcome(True, '"table 4"', "late"))
                assert [late.tool_call_id for late in it.late] == ["t9"]
            assert await it.state("t1") == await it.state("t9") == "done"
            # One wish was carried out, so one more repeat is absorbed, not two.
            assert "repeat of CA1:t1" in (await it.ask("t10")).detail
            await it.ask("t11")
            assert shop.asked == ["CA1:t1", "CA1:t11"]

    run(main())


def test_equal_writes_of_one_call_are_two_wishes() -> None:
    async def main() -> None:
        async with at_desk(MemoryStore(), Shop()) as it:
            assert (await it.ask("t1")).ok and (await it.ask("t2")).ok
            assert it.shop.asked == ["CA1:t1", "CA1:t2"]

    run(main())


def test_the_order_of_arguments_does_not_make_another_write() -> None:
    async def main() -> None:
        shop = Shop()
        async with at_desk(MemoryStore(), shop) as it:
            await it.ask("t1", 2, note="window")
            left = it.store.reopened()  # type: ignore[attr-defined]
        async with at_desk(left, shop, call=facts("call-2")) as it:
            arguments = '{ "note":"window",  "people" : 2 }'
            result = await it.desk.invoke(it.call, it.catalogue, InvokeTool("t9", "book", arguments, 10))
            assert result.ok and len(shop.asked) == 1

    run(main())


def test_a_resume_within_one_process_joins_the_write_of_the_lost_call() -> None:
    async def main() -> None:
        async with at_desk(MemoryStore(), Shop(delay_s=3)) as it:
            asked = asyncio.create_task(it.ask())
            await asyncio.sleep(1)
            await cancelled(asked)
            it.desk.close_call("call-1")
            it.call = facts("call-2")
            it.desk.open_call(it.call, it.late.append)
            again, repeated = await asyncio.gather(it.ask(again=True), it.ask("t9"))
            assert again.ok and repeated.ok and it.shop.asked == ["CA1:t1"]

    run(main())


def test_an_id_that_comes_again_for_another_call_runs_nothing() -> None:
    async def main() -> None:
        shop = Shop()
        async with at_desk(MemoryStore(), shop) as it:
            await it.ask("t1", 2)
            left = it.store.reopened()  # type: ignore[attr-defined]
        async with at_desk(left, shop, call=facts("call-2")) as it:
            result = await it.ask("t1", 5)
            assert not result.ok and "nothing was done" in error_of(result.output)
            assert len(shop.asked) == 1

    run(main())


def test_an_id_that_no_header_takes_is_known_by_its_hash() -> None:
    async def main() -> None:
        async with at_desk(MemoryStore(), Shop()) as it:
            assert (await it.ask("ä" * 500)).ok
            (key,) = it.shop.asked
            assert key.startswith("CA1:sha256-") and len(key) < 100

    run(main())


# --- results that come later ----------------------------------------------------------------------


async def row_of(place: Place, key: str = "CA1:t1") -> StoredInvocation:
    row = await place.store.get_invocation(key)
    assert row is not None
    return row


def test_a_promised_result_reaches_the_call_once() -> None:
    async def main() -> None:
        async with at_desk(MemoryStore(), Shop(202, PENDING)) as it:
            result = await it.ask()
            assert result.pending and await it.state() == "pending" and it.meter.outcomes == {"pending": 1}
            late = ToolOutcome(True, '"table 4"', "late", say="Done.", variables={"table": 4}, action="hang_up")
            row = await row_of(it)
            assert await it.desk.settle(row, late) and await it.desk.settle(row, late)
            (told,) = it.late
            assert (told.tool_call_id, told.output, told.say, told.action) == (
                "t1",
                '"table 4"',
                "Done.",
                ToolAction.HANG_UP,
            )
            assert it.desk.variables("call-1") == {"table": 4} and await it.state() == "done"

    run(main())


def test_a_result_that_another_node_took_is_found_in_the_ledger() -> None:
    async def main() -> None:
        async with at_desk(MemoryStore(), Shop(202, PENDING)) as it:
            assert (await it.ask()).pending
            await asyncio.sleep(10)
            it.store.end_invocation("CA1:t1", "done", '"table 4"')
            await asyncio.sleep(1.1)
            assert [told.output for told in it.late] == ['"table 4"']
            await asyncio.sleep(10)
            assert len(it.late) == 1

    run(main())


def test_a_result_that_overtakes_the_promise_is_the_answer() -> None:
    async def main() -> None:
        async with at_desk(MemoryStore(), Shop(202, PENDING)) as it:

            async def at_once(key: str) -> None:
                assert await it.desk.settle(await row_of(it), ToolOutcome(True, '"table 4"', "late"))

            it.shop.before = at_once
            result = await it.ask()
            assert (result.pending, result.output) == (False, '"table 4"')
            assert it.late == [] and await it.state() == "done"

    run(main())


def test_a_resumed_call_waits_for_what_was_promised_to_the_lost_one() -> None:
    async def main() -> None:
        shop = Shop(202, PENDING)
        async with at_desk(MemoryStore(), shop) as it:
            left = await killed_after(it, 1)
        async with at_desk(left, shop, call=facts("call-2")) as it:
            assert (await it.ask(again=True)).pending
            repeated = await it.ask("t9")
            assert not repeated.pending and "in progress" in repeated.output
            await it.desk.settle(await row_of(it), ToolOutcome(True, '"table 4"', "late"))
            assert [told.tool_call_id for told in it.late] == ["t1"]
            assert len(shop.asked) == 1

    run(main())


def test_nobody_is_told_after_the_call() -> None:
    async def main() -> None:
        async with at_desk(MemoryStore(), Shop(202, PENDING)) as it:
            assert (await it.ask()).pending
            it.desk.close_call("call-1")
            assert await it.desk.settle(await row_of(it), ToolOutcome(True, "1", "late"))
            assert it.late == [] and await it.state() == "done"

    run(main())


def test_an_unknown_write_may_still_become_known() -> None:
    async def main() -> None:
        told: list[tuple[str, str, str]] = []
        async with at_desk(MemoryStore(), Shop(500)) as it:
            it.desk.tell_unknown(lambda call, tool, tool_call_id: told.append((call.call_id, tool, tool_call_id)))
            assert not (await it.ask()).ok and told == [("call-1", "book", "t1")]
            assert await it.desk.settle(await row_of(it), ToolOutcome(True, '"done after all"', "late"))
            assert [late.output for late in it.late] == ['"done after all"'] and await it.state() == "done"

    run(main())


# --- what is remembered ---------------------------------------------------------------------------


def test_variables_of_an_answer_go_along_with_the_next_call() -> None:
    async def main() -> None:
        async with at_desk(MemoryStore(), Shop(answer={"result": 1, "variables": {"customer": "C7"}})) as it:
            await it.ask()
            await it.ask("t2", name="look")
            assert it.shop.bodies[1]["data"]["variables"] == {"customer": "C7"}
            it.desk.remember("call-1", {f"v{i}": "x" for i in range(80)})
            assert it.desk.variables("call-1") == {"customer": "C7"}

    run(main())


def test_a_tool_that_nobody_carries_out_is_refused() -> None:
    async def main() -> None:
        async with at_desk(MemoryStore(), Shop()) as it:
            assert error_of((await it.ask(name="hang_up", people=1)).output) == "this tool cannot be called now"
            assert "there is no such tool" in error_of((await it.ask(name="refund")).output)
            assert it.meter.outcomes == {"refused": 2}

    run(main())
