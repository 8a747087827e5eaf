"""One suite that every store passes: the database and the one in memory. Calls and attempts are here; the ledger, the
outbox and callers' wishes in `tests/store/test_ledger.py`, `test_outbox.py` and `test_wishes.py`."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from gateway.store import AttemptRow, CallEnd, CallRow, JournalEntry, StoreError
from gateway.store.ports import CallStore
from tests.store.conftest import Runs, postgres, runs

__all__ = ["postgres", "runs"]

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


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


def test_the_calls_of_one_telephone_call_come_oldest_first(runs: Runs) -> None:
    async def body(store: CallStore) -> None:
        for name, carrier_call_id, hour in (("b", "CA1", 9), ("a", "CA1", 10), ("c", "CA2", 8)):
            store.call_offered(call(name, carrier_call_id, NOON.replace(hour=hour)))
        await store.flush()
        assert [found.call_id for found in await store.calls_of("CA1")] == ["b", "a"]
        assert await store.calls_of("CA3") == []
        assert await store.calls_of("CA1\x00") == []

    runs(body)


def test_orphans_are_the_calls_that_this_start_ended(runs: Runs) -> None:
    async def killed(store: CallStore) -> None:
        store.call_offered(call("lost"))
        store.put(JournalEntry("lost", 0, 12.5, "<", "Dtmf", {}))
        store.call_offered(call("done", "CA2"))
        store.call_ended(end("done", "caller_hangup"))
        assert store.orphans() == []

    async def restarted(store: CallStore) -> None:
        store.call_offered(call("live", "CA3"))
        assert await store.close_orphans() == 1
        (lost,) = store.orphans()
        assert (lost.call_id, lost.end_reason, lost.duration_ms) == ("lost", "gateway_restarted", 12_500)
        assert await store.close_orphans() == 0
        assert store.orphans() == []

    runs(killed, restarted)
