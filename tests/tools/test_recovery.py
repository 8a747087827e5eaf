"""What a process that died left open, settled by the next one; on real databases too."""

import asyncio
from collections.abc import Mapping

import pytest

from gateway.agents import Agent
from gateway.core.commands import InvokeTool
from gateway.simulator.clock import run
from gateway.store import CallRow
from gateway.store.memory import MemoryStore
from gateway.store.ports import CallStore
from gateway.store.rows import InvocationRow, StoredInvocation, StoreError
from gateway.store.store import Store
from gateway.tools.catalogue import Catalogue, ToolKind
from gateway.tools.desk import ToolDesk
from gateway.tools.ledger import intent
from gateway.tools.netguard import NetGuard
from gateway.tools.recovery import recover
from gateway.tools.request import CallFacts, ToolRequest
from gateway.tools.webhook import WebhookInvoker
from tests.store.conftest import POSTGRES

from .server import answer, business
from .shop import BOOK, SECRET, Meter, Place, Shop, agent, at_desk, facts
from .test_results import NOW

IDEMPOTENT = BOOK | {"name": "hold", "idempotent": True}
TOOLS = (BOOK, IDEMPOTENT)


async def left_open(store: CallStore, *names: str, tools: Mapping[str, object] | None = None) -> None:
    """Commit the intents of a process that is killed before it heard of any of them."""
    catalogue = Catalogue(agent(*TOOLS))
    call = facts()
    store.call_offered(
        CallRow(call.call_id, "twilio", "CA1", "outbound", "support", call.from_number, call.to_number, NOW)
    )
    for number, name in enumerate(names):
        request = ToolRequest(call, catalogue.find(name), f"t{number}", {"people": number})
        assert await store.begin_invocation(intent(request)) is None
    await store.flush()


async def recovered(place: Place, *tools: Mapping[str, object]) -> list[tuple[CallFacts, str, str]]:
    """Recover at a desk and return of whom the business was told."""
    told: list[tuple[CallFacts, str, str]] = []
    place.desk.tell_unknown(lambda call, tool, tool_call_id: told.append((call, tool, tool_call_id)))
    await recover(place.store, place.desk, {"support": Catalogue(agent(*tools))}, place.meter)
    return told


def test_idempotent_writes_are_sent_again_and_the_others_are_unknown() -> None:
    async def main() -> None:
        first = MemoryStore()
        await left_open(first, "hold", "book", "hold")
        async with at_desk(first.reopened(), Shop(), *TOOLS, call=facts("call-2")) as it:
            told = await recovered(it, *TOOLS)
            assert it.shop.done == [("CA1:t0", {"people": 0}), ("CA1:t2", {"people": 2})]
            assert [await it.state(f"t{number}") for number in range(3)] == ["done", "unknown", "done"]
            assert it.meter.recovered == {"done": 2, "unknown": 1}
            ((call, tool, tool_call_id),) = told
            assert (call.call_id, call.direction, tool, tool_call_id) == ("call-1", "outbound", "book", "t1")
            assert it.shop.bodies[0]["data"]["call"]["direction"] == "outbound"

    run(main())


def test_a_tool_that_is_gone_is_unknown() -> None:
    async def main() -> None:
        first = MemoryStore()
        await left_open(first, "hold")
        async with at_desk(first.reopened(), Shop(), BOOK) as it:
            assert len(await recovered(it, BOOK)) == 1
            assert it.shop.asked == [] and await it.state("t0") == "unknown"

    run(main())


def test_what_is_sent_again_is_what_was_sent_whatever_the_file_says_now() -> None:
    async def main() -> None:
        first = MemoryStore()
        await left_open(first, "hold")
        changed = IDEMPOTENT | {"bounds": {"people": {"minimum": 5}}}
        async with at_desk(first.reopened(), Shop(), changed) as it:
            await recovered(it, changed)
            assert it.shop.done == [("CA1:t0", {"people": 0})]

    run(main())


def test_a_call_that_comes_back_joins_what_recovery_runs() -> None:
    async def main() -> None:
        first = MemoryStore()
        await left_open(first, "hold")
        async with at_desk(first.reopened(), Shop(delay_s=2), *TOOLS, call=facts("call-2")) as it:
            recovering = asyncio.create_task(recovered(it, *TOOLS))
            await asyncio.sleep(1)
            result = await it.ask("t0", 0, name="hold", again=True)
            await recovering
            assert result.ok and it.shop.asked == ["CA1:t0"]

    run(main())


def test_at_most_eight_are_sent_at_once() -> None:
    async def main() -> None:
        first = MemoryStore()
        await left_open(first, *["hold"] * 20)
        async with at_desk(first.reopened(), Shop(delay_s=1), *TOOLS) as it:
            most = 0

            async def look(_: str) -> None:
                nonlocal most
                most = max(most, it.desk.writing)

            it.shop.before = look
            await recovered(it, *TOOLS)
            assert len(it.shop.done) == 20 and most == 8

    run(main())


def test_a_business_that_does_not_answer_holds_up_what_comes_next_for_a_minute() -> None:
    async def main() -> None:
        first, loop = MemoryStore(), asyncio.get_running_loop()
        slow = IDEMPOTENT | {"timeout_s": 100, "pending_s": 100}
        await left_open(first, "hold", "book")
        async with at_desk(first.reopened(), Shop(delay_s=90), BOOK, slow) as it:
            begun, told = loop.time(), await recovered(it, BOOK, slow)
            assert loop.time() - begun == pytest.approx(60, abs=1)
            assert it.meter.recovered == {"unknown": 1} and len(told) == 1
            await asyncio.sleep(31)
            assert it.meter.recovered == {"unknown": 1, "done": 1} and await it.state("t0") == "done"

    run(main())


class AwayAtFirst(MemoryStore):
    """A store whose database is away for the first two questions."""

    asked = 0

    async def open_invocations(self) -> list[StoredInvocation]:
        self.asked += 1
        if self.asked <= 2:
            raise StoreError("away")
        return await super().open_invocations()


def test_a_database_that_is_away_is_asked_again() -> None:
    async def main() -> None:
        store = AwayAtFirst(owner="memory/1")
        async with at_desk(store, Shop(), *TOOLS) as it:
            row: InvocationRow = intent(ToolRequest(facts(), it.catalogue.find("hold"), "t0", {"people": 0}))
            dead = MemoryStore(owner="memory/0")
            await dead.begin_invocation(row)
            store.invocations |= dead.invocations
            await recovered(it, *TOOLS)
            assert it.shop.done == [("CA1:t0", {"people": 0})] and store.asked == 3

    run(main())


# --- real sockets, real databases -----------------------------------------------------------------


def served(url: str) -> Agent:
    return agent(BOOK | {"url": url}, IDEMPOTENT | {"url": url})


def desk_on(store: CallStore, invoker: WebhookInvoker) -> ToolDesk:
    return ToolDesk(store, {ToolKind.WEBHOOK: invoker}, Meter())


def invoker() -> WebhookInvoker:
    return WebhookInvoker(NetGuard(allow_loopback=True), default_secret=SECRET)


def test_the_row_is_in_the_database_when_the_business_is_asked(url: str) -> None:
    """The business looks for itself, over another connection."""

    async def main() -> None:
        async with Store.open(url, node="a") as store, Store.open(url, node="b") as other, invoker() as way:
            seen: list[tuple[str, str | None]] = []

            async def look(writer: asyncio.StreamWriter) -> None:
                (row,) = await other.invocations_of("CA1")
                seen.append((row.state, row.arguments))
                await answer(200, {"result": "booked"})(writer)

            async with business(look) as server, desk_on(store, way) as desk:
                catalogue = Catalogue(served(server.url))
                result = await desk.invoke(facts(), catalogue, InvokeTool("t1", "book", '{"people": 2}', 10))
                assert result.ok and seen == [("intended", '{"people":2}')]
                await store.flush()
                row = await other.get_invocation("CA1:t1")
                assert row is not None and (row.state, row.output, row.arguments) == ("done", '"booked"', None)

    asyncio.run(main())


def test_the_next_process_settles_what_a_killed_one_left(url: str) -> None:
    async def main() -> None:
        async with Store.open(url, node="a") as first:
            await left_open(first, "hold", "book")
        async with Store.open(url, node="a") as store, invoker() as way:
            async with business(answer(200, {"result": "held"})) as server, desk_on(store, way) as desk:
                meter = Meter()
                assert await recover(store, desk, {"support": Catalogue(served(server.url))}, meter) == 2
                assert meter.recovered == {"done": 1, "unknown": 1}
                assert [request.headers["idempotency-key"] for request in server.received] == ["CA1:t0"]
                await store.flush()
                assert await store.open_invocations() == []
                assert await recover(store, desk, {}, meter) == 0

    asyncio.run(main())


@pytest.mark.parametrize("url", [POSTGRES], indirect=True)
def test_two_nodes_that_are_asked_for_one_key_send_it_once(url: str) -> None:
    """The one that commits the intent sends; the other waits for what it writes down."""

    async def main() -> None:
        async with Store.open(url, node="a") as store, Store.open(url, node="b") as other, invoker() as way:
            async with business(answer(200, {"result": "booked"})) as server:
                async with desk_on(store, way) as one, desk_on(other, way) as two:
                    catalogue = Catalogue(served(server.url))
                    command = InvokeTool("t1", "book", '{"people": 2}', 10)
                    results = await asyncio.gather(
                        one.invoke(facts("call-1"), catalogue, command), two.invoke(facts("call-2"), catalogue, command)
                    )
                    assert [result.output for result in results] == ['"booked"', '"booked"']
                    assert len(server.received) == 1

    asyncio.run(main())
