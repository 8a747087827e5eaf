"""`gateway simulate tools`: its judge finds what it is there to find, and the real product passes it."""

import io
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from rich.console import Console

from gateway.simulator.tools.run import ToolsPlan, bookings, judge, simulate
from gateway.simulator.tools.shop import Manner
from gateway.simulator.tools.stage import Booking, Left, Trouble, book
from gateway.simulator.turns.command import print_part
from gateway.simulator.turns.workers import quiet
from gateway.store.rows import StoredInvocation

NOW = datetime(2026, 11, 22, tzinfo=UTC)


def row(state: str, *, idempotent: bool = True) -> StoredInvocation:
    return StoredInvocation(
        key="CA1:c1",
        message_id="msg_1",
        call_id="call_1",
        carrier_call_id="CA1",
        tool_call_id="c1",
        agent="desk",
        tool="book",
        from_number="+14155550101",
        arguments=None,
        arguments_hash="hash",
        idempotent=idempotent,
        state=state,
        output=None,
        detail=None,
        created_at=NOW,
        updated_at=NOW,
        owner="memory/0",
    )


def left(*, idempotent: bool = True, state: str = "done", **more: object) -> Left:
    booking = Booking(7, Trouble.KILL, Manner.ANSWERS, idempotent, False, 1)
    fine = Left(
        booking=booking,
        bookings=1,
        requests=1,
        rows=(row(state, idempotent=idempotent),),
        outputs=Counter({"s c1": 1}),
        known=('{"reference":"REF-slot-7"}',),
        told=0,
        lived=True,
        asked=True,
        delivered=(),
        end="script",
    )
    return replace(fine, **more)  # type: ignore[arg-type]  # fields of several types


def missed(*calls: Left) -> set[str]:
    """Return the bounds that are missed, beside one call of each kind that is as it should be."""
    sound = (left(), left(idempotent=False))
    return {check.what.split(" in 100")[0] for check in judge([*sound, *calls]).checks if not check.ok}


def test_a_call_as_it_should_be_misses_nothing() -> None:
    assert missed() == set()
    assert missed(left(idempotent=False, state="unknown", bookings=0, known=("not known",))) == set()


@pytest.mark.parametrize(
    ("wrong", "bound"),
    [
        (left(bookings=2, idempotent=False), "no side effect twice"),
        (left(bookings=0), "with Idempotency-Key each side effect exactly once"),
        (left(idempotent=False, bookings=0), "without it once, or known as unknown"),
        (left(outputs=Counter({"s c1": 2})), "every result reached a session at most once"),
        (left(told=2), "every result reached a session at most once"),
        (left(known=("nothing",)), "no result lost while the call lived on"),
        (left(asked=False), "nothing done that was not asked for"),
        (left(state="intended"), "every row of the ledger settled"),
        (left(state="pending"), "every row of the ledger settled"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_judge_finds_what_is_wrong(wrong: Left, bound: str) -> None:
    assert bound in missed(wrong)


def test_a_bound_of_which_no_call_speaks_is_told_to_be_untested_among_a_few() -> None:
    few = judge([left()])
    assert few.ok
    assert [check.what for check in few.checks if check.untested] == ["without it once, or known as unknown in 100 %"]
    assert not judge([left()] * 200).ok


def test_people_see_which_bounds_are_untested() -> None:
    written = io.StringIO()
    print_part(Console(file=written, width=200), judge([left()]))
    said = written.getvalue()
    assert "  -      without it once, or known as unknown in 100 %: not tested, no such call among so few" in said
    assert "  ok     no side effect twice: at most 1" in said and "500 after or before" in said


def test_equal_bookings_give_equal_calls() -> None:
    booking = Booking(3, Trouble.KILL, Manner.LOSES_ANSWER, True, True, 5)
    with quiet():
        one, two = book(booking), book(booking)
    assert (one.bookings, one.requests, one.end) == (two.bookings, two.requests, two.end)
    assert [r.state for r in one.rows] == [r.state for r in two.rows]


def test_every_trouble_meets_every_manner() -> None:
    plan = ToolsPlan(calls=1000)
    met = {(b.trouble, b.manner, b.idempotent, b.stubborn) for b in bookings(plan)}
    assert len(met) == len(Trouble) * len(Manner) * 4


@pytest.mark.e2e
def test_a_hundred_calls_keep_every_bound() -> None:
    with quiet():
        part = simulate(ToolsPlan(calls=100, seed=11))
    assert [check.what for check in part.checks if not check.ok] == []
