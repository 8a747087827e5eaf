"""One part of `gateway simulate turns`: its table, its figures, and the bounds that were kept or missed."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TypeAlias

__all__ = ["Check", "Figure", "Part", "Plan", "at_most", "every", "percentile"]

Figure: TypeAlias = str | int | float | bool | None


@dataclass(slots=True, frozen=True)
class Plan:
    """How much is simulated, and from which seed."""

    barge_ins: int = 500
    """At least so many in all; the other parts grow and shrink with it."""
    seed: int = 1
    ttfb_ms: float = 500.0
    """Median time of the model to its first audio, log-normal, where answers are timed."""
    processes: int = 1

    def times(self, at_500: int, least: int = 1) -> int:
        """Return how often to do what is done `at_500` times for 500 barge-ins."""
        return max(least, math.ceil(at_500 * self.barge_ins / 500))


@dataclass(slots=True, frozen=True)
class Check:
    """One bound."""

    what: str
    ok: bool
    found: str
    aim: bool = False
    """Something to strive for: told whether it was reached, but no bound."""
    untested: bool = False
    """Nothing came about that the bound speaks of, so it says nothing. Such a check is `ok`."""


@dataclass(slots=True, frozen=True)
class Part:
    """What one part found."""

    name: str
    title: str
    rows: Sequence[Mapping[str, Figure]]
    """The table: equal keys in each row."""
    checks: Sequence[Check]
    notes: Sequence[str] = field(default=())

    @property
    def ok(self) -> bool:
        return all(check.ok or check.aim for check in self.checks)

    def to_json(self) -> dict[str, object]:
        """Return everything, for `--json`."""
        return {
            "ok": self.ok,
            "rows": [dict(row) for row in self.rows],
            "checks": [asdict(check) for check in self.checks],
            "notes": list(self.notes),
        }


def percentile(values: Sequence[float], share: float) -> float | None:
    """Return the smallest value that `share` of them do not exceed (nearest rank), to 0.1; None of nothing."""
    if not values:
        return None
    return round(sorted(values)[max(0, math.ceil(share * len(values)) - 1)], 1)


def at_most(what: str, found: float | None, bound: float) -> Check:
    """A figure that must be there and must not exceed its bound."""
    return Check(
        f"{what} <= {bound:g}", found is not None and found <= bound, "nothing" if found is None else f"{found:g}"
    )


def every(what: str, good: int, of: int) -> Check:
    """All of something, and at least one."""
    return Check(f"{what} in 100 %", good == of > 0, f"{good} of {of}")
