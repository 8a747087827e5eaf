"""Promised calls are placed when they are due, once per try, and never to who asked not to be called."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import CarrierError, PolicyError
from gateway.outbound.callbacks import CallbackWorker
from gateway.outbound.dialler import Dialler, DialRequest
from gateway.outbound.journal import StoredAttempts
from gateway.outbound.pace import Pace
from gateway.outbound.policy import ALL_DAYS, DialPolicy, check, next_allowed
from gateway.store import CallbackRow, StoredCallback
from gateway.store.memory import MemoryStore
from tests import clock
from tests.outbound.test_dialler import NOON, REQUEST, Carrier, World

POLICY = DialPolicy(frozenset({"US"}))
ROW = CallbackRow(
    "cb1", "c-1", "sales", "+14155552671", "+14155550100", NOON, "prices", None, NOON - timedelta(hours=1)
)


class Desk:
    """A gateway that keeps promises, on the virtual clock; a carrier whose calls end as they are told to."""

    def __init__(self, carrier: Carrier | None = None, agents: frozenset[str] = frozenset({"sales"})) -> None:
        self.carrier = carrier or Carrier()
        self.store = MemoryStore(self.now)
        self.started_at = NOON
        self.attempts = StoredAttempts(self.store, "twilio")
        self.dialler = self.new_dialler()
        self.worker = CallbackWorker(self.store, self.dialler, POLICY, agents, self.now)

    def now(self) -> datetime:
        return self.started_at + timedelta(seconds=asyncio.get_running_loop().time())

    def new_dialler(self) -> Dialler:
        return Dialler(
            policy=POLICY,
            carrier=self.carrier,
            attempts=self.attempts,
            public_url="https://gw.example",
            clock=self.now,
            pace=Pace(),
        )

    async def work(self, hours: float = 4) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(hours * 3600):
                await self.worker.run()

    def row(self) -> StoredCallback:
        return self.store.callbacks["cb1"]


def ending(*states: str) -> Desk:
    """Return a desk whose n-th call ends in the n-th state a few seconds after it was placed."""
    desk = Desk()
    left = list(states)

    async def place() -> str:
        sid = f"CA{len(desk.carrier.urls)}"
        attempt_id = desk.carrier.urls[-1][0].rsplit("=", 1)[1]
        if left:
            state = left.pop(0)
            asyncio.get_running_loop().call_later(20, desk.store.attempt_updated, attempt_id, state, sid)
        return sid

    desk.carrier.then = place
    return desk


def run(desk: Desk, row: CallbackRow = ROW, hours: float = 4) -> StoredCallback:
    async def scenario() -> None:
        await desk.store.add_callback(row)
        await desk.work(hours)

    clock.run(scenario())
    return desk.row()


def test_a_promised_call_is_placed_when_it_is_due_and_once() -> None:
    desk = ending("completed")
    row = run(desk, replace(ROW, due_at=NOON + timedelta(hours=1)))
    assert (row.state, row.attempts, row.detail) == ("placed", 1, next(iter(desk.store.attempts)))
    (at_s,) = desk.carrier.at_s
    assert 3600 <= at_s <= 3605


def test_nobody_answering_leads_to_as_many_tries_as_were_promised() -> None:
    desk = ending("no-answer", "busy", "failed", "completed")
    row = run(desk)
    assert (row.state, row.attempts, row.detail) == ("failed", 3, "try 3: failed")
    assert len(desk.carrier.urls) == len(desk.store.attempts) == 3
    pauses = [b - a for a, b in zip(desk.carrier.at_s, desk.carrier.at_s[1:], strict=False)]
    assert all(pause >= 1800 for pause in pauses)


def test_an_answer_at_the_second_try_ends_it() -> None:
    desk = ending("busy", "in-progress", "completed")
    row = run(desk)
    assert (row.state, row.attempts, len(desk.carrier.urls)) == ("placed", 2, 2)


@pytest.mark.parametrize("error", [CarrierError("lost", code="lost"), TimeoutError()])
def test_a_call_that_may_have_been_placed_is_never_placed_again(error: Exception) -> None:
    async def fail() -> str:
        raise error

    desk = Desk(Carrier(fail))
    row = run(desk)
    assert (row.state, row.attempts, len(desk.carrier.urls)) == ("failed", 1, 1)
    assert "unknown" in (row.detail or "")


def test_a_call_of_which_nothing_more_is_heard_is_not_placed_again() -> None:
    desk = ending()
    row = run(desk)
    assert (row.state, len(desk.carrier.urls)) == ("failed", 1)
    assert "nothing more was heard" in (row.detail or "")


def test_a_worker_that_dies_at_any_step_leaves_one_call_per_try() -> None:
    for deadline_s in [0.0, 0.5, 1.0, 14.0, 119.0, 125.0, 1900.0]:
        desk = ending("no-answer", "completed")

        async def scenario(desk: Desk = desk, deadline_s: float = deadline_s) -> None:
            await desk.store.add_callback(ROW)
            await desk.work(deadline_s / 3600)
            desk.store = desk.store.reopened()
            desk.attempts = StoredAttempts(desk.store, "twilio")
            desk.dialler = desk.new_dialler()
            desk.worker = CallbackWorker(desk.store, desk.dialler, POLICY, frozenset({"sales"}), desk.now)
            await desk.work()

        clock.run(scenario())
        assert len(desk.carrier.urls) == len(desk.store.attempts) <= 2
        assert desk.row().state in ("placed", "failed")


def test_outside_calling_hours_the_call_moves_to_the_next_allowed_time() -> None:
    desk = ending("completed")
    desk.started_at = NOON + timedelta(hours=9)  # 21:00 there
    row = run(desk, replace(ROW, due_at=NOON + timedelta(hours=8, minutes=59)), hours=14)
    assert (row.state, row.attempts) == ("placed", 1)
    (at_s,) = desk.carrier.at_s
    assert 12 * 3600 <= at_s <= 12 * 3600 + 10  # 9:00 there


@pytest.mark.parametrize(
    ("row", "detail"),
    [
        (replace(ROW, agent="gone"), "no such agent"),
        (replace(ROW, to_number="+18765551234"), "refused: country"),
        (replace(ROW, zone="Nowhere/City"), "refused: unknown_zone"),
        (replace(ROW, due_at=NOON - timedelta(days=2)), "its time has passed"),
    ],
)
def test_a_call_that_must_not_be_placed_fails_at_once(row: CallbackRow, detail: str) -> None:
    desk = Desk()
    found = run(desk, row, hours=0.1)
    assert (found.state, desk.carrier.urls) == ("failed", [])
    assert detail in (found.detail or "")


def test_who_opted_out_meanwhile_is_not_called() -> None:
    desk = Desk()

    async def scenario() -> None:
        await desk.store.add_callback(replace(ROW, due_at=NOON + timedelta(minutes=10)))
        await desk.store.add_opt_out("+14155552671", "call c-2", NOON)
        await desk.work(1)

    clock.run(scenario())
    assert (desk.row().state, desk.carrier.urls) == ("dropped", [])


def test_a_number_that_opted_out_is_refused_before_and_after_the_wait() -> None:
    world = World()
    world.attempts.opt_outs.add("+14155552671")
    with pytest.raises(PolicyError) as refused:
        clock.run(world.dialler().dial(REQUEST))
    assert (refused.value.rule, world.attempts.rows, world.carrier.urls) == ("opted_out", {}, [])
    assert "4155552671" not in str(refused.value)

    late = World()

    async def opts_out_while_the_call_waits_for_its_turn() -> None:
        dialler = late.dialler()
        await dialler.dial(replace(REQUEST, to="+14155552672", idempotency_key=None))
        waiting = asyncio.ensure_future(dialler.dial(REQUEST))
        await asyncio.sleep(0.5)
        late.attempts.opt_outs.add("+14155552671")
        with pytest.raises(PolicyError, match="asked not to be called"):
            await waiting

    clock.run(opts_out_while_the_call_waits_for_its_turn())
    assert len(late.carrier.urls) == 1


def test_an_unanswered_question_about_opt_outs_places_no_call() -> None:
    class Away(MemoryStore):
        async def opted_out(self, number: str) -> bool:
            await asyncio.Event().wait()
            return False

    desk = Desk()
    desk.attempts = StoredAttempts(Away(), "twilio")
    with pytest.raises(Exception, match="does not answer"):
        clock.run(desk.new_dialler().dial(DialRequest("+14155552671", "sales", "+14155550100")))
    assert desk.carrier.urls == []


@pytest.mark.parametrize(
    ("number", "after", "days", "expected"),
    [
        ("+14155552671", datetime(2026, 6, 10, 19, tzinfo=UTC), None, datetime(2026, 6, 10, 19, tzinfo=UTC)),
        ("+14155552671", datetime(2026, 6, 10, 15, 59, tzinfo=UTC), None, datetime(2026, 6, 10, 16, tzinfo=UTC)),
        ("+14155552671", datetime(2026, 6, 11, 3, tzinfo=UTC), None, datetime(2026, 6, 11, 16, tzinfo=UTC)),
        ("+14155552671", datetime(2026, 6, 11, 3, tzinfo=UTC), {"mon"}, datetime(2026, 6, 15, 16, tzinfo=UTC)),
        ("+14155552671", datetime(2026, 6, 11, 3, tzinfo=UTC), {"wed"}, datetime(2026, 6, 17, 16, tzinfo=UTC)),
        ("+14155552671", datetime(2026, 3, 8, 5, tzinfo=UTC), None, datetime(2026, 3, 8, 16, tzinfo=UTC)),
        ("+14155552671", datetime(2026, 6, 11, 3, tzinfo=UTC), set(), None),
        ("+61491570156", datetime(2026, 6, 11, 12, tzinfo=UTC), None, datetime(2026, 6, 12, 2, 30, tzinfo=UTC)),
        ("+18005550199", datetime(2026, 6, 11, 3, tzinfo=UTC), None, None),  # never day in Guam and in New York
    ],
)
def test_the_next_allowed_time_is_when_it_is_allowed_everywhere(
    number: str, after: datetime, days: set[str] | None, expected: datetime | None
) -> None:
    policy = DialPolicy(frozenset({"US", "AU"}), days=frozenset(ALL_DAYS if days is None else days))
    assert next_allowed(number, policy, after) == expected


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(["+14155552671", "+61491570156"]), st.integers(0, 365 * 48))
def test_no_allowed_time_is_passed_over(number: str, half_hours: int) -> None:
    policy = DialPolicy(frozenset({"US", "AU"}), days=frozenset({"mon", "tue", "thu"}))
    after = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=30 * half_hours)
    found = next_allowed(number, policy, after)
    assert found is not None
    check(number, policy, found)
    while after < found:
        with pytest.raises(PolicyError):
            check(number, policy, after)
        after += timedelta(minutes=30)
