"""One suite that every store passes: the database and the one in memory."""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from gateway.store import AttemptRow, CallEnd, CallRow, JournalEntry, StoreError
from gateway.store.memory import MemoryStore
from gateway.store.ports import CallStore
from gateway.store.store import Store

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
Body = Callable[[CallStore], Coroutine[Any, Any, None]]
Runs = Callable[[Body], None]


@pytest.fixture(params=["memory", "sqlite"])
def runs(request: pytest.FixtureRequest, tmp_path: Path) -> Runs:
    """Run a test body on an open store."""

    def run(body: Body) -> None:
        async def main() -> None:
            memory = request.param == "memory"
            store: CallStore = MemoryStore() if memory else Store.open(f"sqlite+aiosqlite:///{tmp_path}/g.db")
            async with store:
                await body(store)

        asyncio.run(main())

    return run


def call(call_id: str, carrier_call_id: str = "CA1", at: datetime = NOON) -> CallRow:
    return CallRow(call_id, "twilio", carrier_call_id, "inbound", "support", "+14155550101", "+14155550199", at)


def end(call_id: str, reason: str) -> CallEnd:
    return CallEnd(call_id, NOON, reason, 1500, cost_usd=Decimal("0.12"))


def test_a_call_has_one_end_and_the_first_wins(runs: Runs) -> None:
    async def body(store: CallStore) -> None:
        store.call_offered(call("call_1"))
        store.call_ended(end("call_1", "caller_hangup"))
        store.call_ended(end("call_1", "model_lost"))
        await store.flush()
        found = await store.get_call("call_1")
        assert found is not None
        assert (found.end_reason, found.duration_ms, found.cost_usd) == ("caller_hangup", 1500, Decimal("0.12"))

    runs(body)


def test_what_was_known_before_the_end_stays_known(runs: Runs) -> None:
    async def body(store: CallStore) -> None:
        store.call_offered(call("call_1"))
        store.call_updated("call_1", answered_at=NOON, recording_path="a.wav", latency={"p50_ms": 700})
        store.call_ended(end("call_1", "caller_hangup"))
        await store.flush()
        found = await store.get_call("call_1")
        assert found is not None
        assert (found.answered_at, found.recording_path, found.latency) == (NOON, "a.wav", {"p50_ms": 700})

    runs(body)


def test_the_carriers_state_moves_only_forward(runs: Runs) -> None:
    async def body(store: CallStore) -> None:
        store.call_offered(call("call_1"))
        for state in ("in-progress", "ringing", "completed", "busy", "in-progress", "no-such-state"):
            store.call_state("CA1", state)
        await store.flush()
        found = await store.get_call("call_1")
        assert found is not None and found.carrier_state == "completed"

    runs(body)


def test_a_call_is_found_by_the_only_id_that_begins_so(runs: Runs) -> None:
    async def body(store: CallStore) -> None:
        for name in ("call_ab", "call_ac"):
            store.call_offered(call(name, name))
        await store.flush()
        found = await store.get_call("call_ab")
        assert found is not None and found.call_id == "call_ab"
        assert await store.get_call("call_x") is None
        assert await store.get_call("") is None
        with pytest.raises(StoreError):
            await store.get_call("call_a")

    runs(body)


def test_the_newest_calls_come_first_and_before_a_time(runs: Runs) -> None:
    async def body(store: CallStore) -> None:
        for hour in (8, 10, 9):
            store.call_offered(call(f"call_{hour}", f"CA{hour}", NOON.replace(hour=hour)))
        await store.flush()
        assert [c.call_id for c in await store.list_calls()] == ["call_10", "call_9", "call_8"]
        assert [c.call_id for c in await store.list_calls(1, NOON.replace(hour=10))] == ["call_9"]

    runs(body)


def test_a_journal_comes_back_in_order(runs: Runs) -> None:
    async def body(store: CallStore) -> None:
        store.call_offered(call("call_1"))
        rows = [JournalEntry("call_1", seq, seq / 10, "<", "Dtmf", {"digit": str(seq)}) for seq in range(5)]
        for row in rows:
            store.put(row)
        await store.flush()
        assert list(await store.journal_of("call_1")) == rows
        assert list(await store.journal_of("call_1", 2)) == rows[:2]
        assert list(await store.journal_of("call_2")) == []

    runs(body)


def test_an_attempt_is_created_once_and_keeps_its_first_call(runs: Runs) -> None:
    async def body(store: CallStore) -> None:
        row = AttemptRow("at_1", "twilio", "sales", "+14155550199", "+14155552671", NOON)
        assert await store.create_attempt(row)
        assert not await store.create_attempt(row)
        store.attempt_updated("at_1", "placed", "CA1")
        store.attempt_updated("at_1", "completed", "CA2", 3, "done")
        store.attempt_updated("at_1", "ringing")
        await store.flush()
        found = await store.get_attempt("at_1")
        assert found is not None
        assert (found.state, found.carrier_call_id, found.detail) == ("completed", "CA1", "done")
        assert await store.get_attempt("at_2") is None

    runs(body)
