"""The table of carriers: what each can do, how it does in the suite, and how long its codec is."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path

from tests.conformance.legs.rigs import RIGS

__all__ = ["Result", "of_reports", "rows", "table"]

CARRIERS = Path(__file__).parents[3] / "gateway" / "carriers"
COLUMNS = ("audio", "marks", "after_clear", "dtmf_in", "dtmf_out", "hang_up", "transfer_blind", "transfer_warm")


@dataclass(slots=True)
class Result:
    """How one carrier did."""

    passed: int = 0
    failed: list[str] = field(default_factory=list)

    def count(self, test: str, *, passed: bool) -> None:
        if passed:
            self.passed += 1
        else:
            self.failed.append(test)

    @property
    def green(self) -> bool:
        return self.passed > 0 and not self.failed


def rows(results: Mapping[str, Result]) -> list[dict[str, object]]:
    """Return a row for each carrier of the suite."""
    return [_row(rig.name, rig.package, results.get(rig.name, Result())) for rig in RIGS]


def of_reports(reports: Iterable[tuple[str, bool]]) -> list[dict[str, object]]:
    """Return the rows of a test run: names of tests, and whether each passed. Only carriers that were tried."""
    results: dict[str, Result] = {}
    for name, passed in reports:
        test, _, rig = name.rpartition("::")[2].removesuffix("]").partition("[")
        results.setdefault(rig, Result()).count(test, passed=passed)
    return [row for row in rows(results) if row["carrier"] in results]


def table(found: Iterable[Mapping[str, object]]) -> list[str]:
    """Return the rows as lines of text."""
    heads = ["carrier", "conformance", "codec lines", *COLUMNS]
    lines = [[str(row[head]) for head in heads] for row in found]
    widths = [max(len(line[at]) for line in [heads, *lines]) for at in range(len(heads))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in [heads, *lines]]


def _row(name: str, package: str, result: Result) -> dict[str, object]:
    codec = CARRIERS / package / "codec.py"
    failed = f", {len(result.failed)} failed" if result.failed else ""
    capabilities = import_module(f"gateway.carriers.{package}").CAPABILITIES
    return {
        "carrier": name,
        "conformance": f"{result.passed} passed{failed}",
        "green": result.green,
        "failed": result.failed,
        "codec lines": len(codec.read_text(encoding="utf-8").splitlines()),
        **{column: capabilities[column] for column in COLUMNS},
    }
