"""Part one: what the model is told that the caller heard, and that the transcript tells the call in order."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from gateway.simulator.turns.cuts import CallCuts, Cut, judge_call
from gateway.simulator.turns.interrupted import Cell, cells, interrupted_call
from gateway.simulator.turns.order import Order, judge_order
from gateway.simulator.turns.part import Check, Figure, Part, Plan, at_most, every, percentile
from gateway.simulator.turns.workers import each

__all__ = ["Interrupted", "barge_in_part", "interrupt", "order_part"]

BOUND_MS = 20.0
"""One frame."""
FOREIGN_MS = 1.0
"""Less than that is a sound's end that cannot be told from the next one's beginning."""
TRIES = 3
"""Calls to make, for each that is needed, before a cell is given up: not every barge-in finds something to cut."""


@dataclass(slots=True)
class Interrupted:
    """The calls of one cell, judged."""

    cell: Cell
    calls: list[CallCuts] = field(default_factory=list)
    orders: list[Order] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    """Calls that could not be held as planned."""

    @property
    def cuts(self) -> list[Cut]:
        return [cut for call in self.calls for cut in call.cuts]


def interrupt(plan: Plan) -> list[Interrupted]:
    """Make the calls; each cell has its share of the barge-ins."""
    grid = list(cells())
    wanted = -(-plan.barge_ins // len(grid))
    return each(_cell, [(cell, wanted, plan.seed) for cell in grid], plan.processes)


def _cell(task: tuple[Cell, int, int]) -> Interrupted:
    cell, wanted, seed = task
    found = Interrupted(cell)
    for number in range(TRIES * wanted):
        if len(found.cuts) >= wanted:
            break
        run = interrupted_call(cell, 1000 * seed + number)
        found.calls.append(judge_call(run))
        found.orders.append(judge_order(run))
        if run.report.script_error is not None:
            found.failed.append(run.report.script_error)
    return found


def barge_in_part(found: Sequence[Interrupted]) -> Part:
    """Tell the distance between what the model believes and what was heard, and all that must never happen."""
    cuts = [cut for cell in found for cut in cell.cuts]
    calls = [call for cell in found for call in cell.calls]
    checks = [
        at_most(f"{cell.cell.name}: p95 of |error| in ms", _absolute(cell.cuts, 0.95), BOUND_MS) for cell in found
    ]
    checks += [
        every("the right items kept, cut and deleted", sum(cut.right_items for cut in cuts), len(cuts)),
        _none("truncations beyond what was sent", sum(call.beyond for call in calls)),
        _none("API errors caused by us", sum(call.errors for call in calls)),
        _none("ms heard of a cut answer after the clear took effect", max(call.old_ms for call in calls), FOREIGN_MS),
        _none("ms heard that belong to no item", max(call.foreign_ms for call in calls), FOREIGN_MS),
        _none("barge-ins over which the agent talked on", sum(call.missed for call in calls)),
        _none("calls that did not go as planned", sum(len(cell.failed) for cell in found)),
    ]
    rows = [_row(cell.cell.name, cell.cuts, cell.calls) for cell in found]
    return Part(
        "barge-in",
        f"{len(cuts)} barge-ins: what the model was told was heard, minus what was heard, in ms",
        [*rows, _row("all", cuts, calls)],
        checks,
    )


def order_part(found: Sequence[Interrupted]) -> Part:
    """Tell how many transcripts tell the call as the caller lived it."""
    orders = [order for cell in found for order in cell.orders]
    rows: list[dict[str, Figure]] = [
        {
            "cell": cell.cell.name,
            "calls": len(cell.orders),
            "in order": sum(order.right for order in cell.orders),
            "lines never heard": sum(order.unheard for order in cell.orders),
        }
        for cell in found
    ]
    checks = [
        every("transcripts in the order of the audio", sum(order.right for order in orders), len(orders)),
        _none("agent lines of which nothing was heard", sum(order.unheard for order in orders)),
    ]
    details = [order.detail for order in orders if order.detail]
    return Part("order", "The transcript's order against the audio's", rows, checks, details[:5])


def _none(what: str, found: float, tolerance: float = 0.0) -> Check:
    return Check(f"no {what}", found <= tolerance, f"{found:g}")


def _row(name: str, cuts: Sequence[Cut], calls: Iterable[CallCuts]) -> dict[str, Figure]:
    errors = [cut.error_ms for cut in cuts]
    return {
        "cell": name,
        "cuts": len(cuts),
        "generating": sum(cut.generating for cut in cuts),
        "|error| p50": _absolute(cuts, 0.5),
        "p95": _absolute(cuts, 0.95),
        "max": _absolute(cuts, 1.0),
        "signed p5": percentile(errors, 0.05),
        "p50": percentile(errors, 0.5),
        "p95 ": percentile(errors, 0.95),
        "at decision p50": percentile([cut.early_error_ms for cut in cuts], 0.5),
        "right items": sum(cut.right_items for cut in cuts),
        "clear to silence p95": percentile([cut.clear_to_silence_ms for cut in cuts], 0.95),
        "speech to silence p50": percentile([cut.speech_to_silence_ms for cut in cuts], 0.5),
        "p95  ": percentile([cut.speech_to_silence_ms for cut in cuts], 0.95),
        "API errors": sum(call.errors for call in calls),
    }


def _absolute(cuts: Sequence[Cut], share: float) -> float | None:
    return percentile([abs(cut.error_ms) for cut in cuts], share)
