"""A thousand calls and what they prove: each side effect once, each result told once, none lost while the call lived.

Of a business that takes no Idempotency-Key more than "at most once, and the model knows that it is not known" cannot be
had: a process may die between the record and the request, and an answer may be lost on its way. Those calls are judged
by that, and counted apart.
"""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from gateway.simulator.tools.shop import Manner
from gateway.simulator.tools.stage import Booking, Left, Trouble, book
from gateway.simulator.turns.part import Check, Figure, Part, every
from gateway.simulator.turns.workers import each

__all__ = ["ToolsPlan", "bookings", "judge", "simulate"]

WEIGHTS: Mapping[Manner, int] = {
    Manner.ANSWERS: 4,
    Manner.LOSES_ANSWER: 1,
    Manner.FAILS_AFTER: 1,
    Manner.FAILS_BEFORE: 1,
    Manner.BUSY_FIRST: 1,
    Manner.PROMISES: 2,
}
KINDS = sum(WEIGHTS.values()) * 2 * 2 * len(Trouble)
"""So many calls hold one of every kind."""
NOTES = (
    'The business has its manners in every row, "nothing" too: it answers, its answer is lost after the booking, '
    "it says 500 after or before it, 503 at first, or 202 and the result later.",
    "After 500 nobody can know, so the call stays unknown; without a key that is honoured also after a lost answer or "
    "503, as asking again could book twice.",
)
UNCERTAIN = ("unknown", "not known", "not certain")
REFUSED = "500"


@dataclass(slots=True, frozen=True)
class ToolsPlan:
    """How much is simulated, and from which seed."""

    calls: int = 1000
    seed: int = 1
    processes: int = 1


def bookings(plan: ToolsPlan) -> list[Booking]:
    """Return the calls: every trouble with every manner, with careful and stubborn models, in turn."""
    manners = [manner for manner, weight in WEIGHTS.items() for _ in range(weight)]
    kinds = itertools.cycle(itertools.product(manners, (True, False), (False, True), Trouble))
    return [
        Booking(number, trouble, manner, idempotent, stubborn, plan.seed)
        for number, (manner, idempotent, stubborn, trouble) in zip(range(plan.calls), kinds, strict=False)
    ]


def simulate(plan: ToolsPlan) -> Part:
    """Run the calls and judge them."""
    return judge(each(book, bookings(plan), plan.processes))


def judge(calls: Sequence[Left]) -> Part:
    """Return the table and the bounds of what the calls left behind."""
    sure = [call for call in calls if call.booking.idempotent and call.rows and _does(call)]
    unsure = [call for call in calls if not call.booking.idempotent and call.rows and _does(call)]
    lived = [call for call in calls if call.lived and call.asked]
    once = [call for call in calls if not call.outputs or max(call.outputs.values()) == 1]
    bound = partial(_every, all_kinds=len(calls) >= KINDS)
    checks = (
        Check("no side effect twice", max(call.bookings for call in calls) <= 1, _most(calls)),
        bound("with Idempotency-Key each side effect exactly once", sum(c.bookings == 1 for c in sure), len(sure)),
        bound("without it once, or known as unknown", sum(_honest(call) for call in unsure), len(unsure)),
        bound("every result reached a session at most once", sum(c.told <= 1 for c in once), len(calls)),
        bound("no result lost while the call lived on", sum(_knows(call) for call in lived), len(lived)),
        bound("nothing done that was not asked for", sum(c.asked or not c.bookings for c in calls), len(calls)),
        bound("every row of the ledger settled", sum(map(_settled, calls)), len(calls)),
    )
    title = f"{len(calls)} calls, a write tool, and trouble in the middle of it"
    return Part("tools", title, _rows(calls), checks, NOTES)


def _every(what: str, good: int, of: int, *, all_kinds: bool) -> Check:
    """As `every`; but among so few calls that kinds of them are missing, a bound may have none to speak of."""
    if of == 0 and not all_kinds:
        return Check(f"{what} in 100 %", True, "not tested, no such call among so few", untested=True)
    return every(what, good, of)


def _rows(calls: Sequence[Left]) -> list[Mapping[str, Figure]]:
    rows: list[Mapping[str, Figure]] = []
    for trouble, idempotent in itertools.product(Trouble, (True, False)):
        found = [c for c in calls if c.booking.trouble is trouble and c.booking.idempotent is idempotent]
        written = [call for call in found if call.rows]
        rows.append(
            {
                "trouble": trouble.value,
                "key honoured": "yes" if idempotent else "no",
                "calls": len(found),
                "writes": len(written),
                "done once": sum(call.bookings == 1 for call in found),
                "twice": sum(call.bookings > 1 for call in found),
                "requests": sum(call.requests for call in found),
                "state done": _states(written, "done"),
                "failed": _states(written, "failed"),
                "unknown": _states(written, "unknown"),
                "lived on": sum(call.lived for call in found),
                "late results taken": sum(call.delivered.count(200) + call.delivered.count(410) for call in found),
            }
        )
    return rows


def _states(calls: Iterable[Left], state: str) -> int:
    return sum(row.state == state for call in calls for row in call.rows)


def _does(call: Left) -> bool:
    """Whether the business does what it is asked at all."""
    return call.booking.manner is not Manner.FAILS_BEFORE


def _honest(call: Left) -> bool:
    """Without idempotency: done once and known as done, or not known to anybody, and said to be so."""
    states = {row.state for row in call.rows}
    if "done" in states:
        return call.bookings == 1
    # Refused for certain: 503 came back, and a second request would not have been safe.
    return states <= {"unknown", "failed", "pending"} and call.bookings <= 1


def _knows(call: Left) -> bool:
    """Whether the newest session was given the outcome, or what was said of it."""
    texts = " ".join(call.known)
    done = any(row.state == "done" for row in call.rows)
    if done:
        return f"REF-slot-{call.booking.number}" in texts
    return bool(call.known)


def _settled(call: Left) -> bool:
    return all(row.state in ("done", "failed", "unknown") for row in call.rows)


def _most(calls: Sequence[Left]) -> str:
    return f"at most {max(call.bookings for call in calls)}"
