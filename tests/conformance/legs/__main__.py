"""`python -m tests.conformance.legs [--json]`: run the suite and print the table; 1 when a carrier is not green."""

import json
import sys

import pytest

from tests.conformance.legs.table import Result, rows, table


class Watch:
    """Counts what the suite reports, by carrier."""

    def __init__(self) -> None:
        self.results: dict[str, Result] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        test, _, rest = report.nodeid.rpartition("::")[2].partition("[")
        result = self.results.setdefault(rest.removesuffix("]"), Result())
        if report.failed:
            result.failed.append(test)
        elif report.when == "call":
            result.passed += report.passed


def main() -> int:
    watch = Watch()
    quiet = ["-q", "--no-header", "--tb=line"] + (["-p", "no:terminal"] if "--json" in sys.argv else [])
    code = pytest.main(["tests/conformance/legs/test_legs.py", *quiet], plugins=[watch])
    found = rows(watch.results)
    text = json.dumps(found, indent=2) if "--json" in sys.argv else "\n".join(table(found))
    sys.stdout.write(text + "\n")
    return 0 if code == 0 and all(row["green"] for row in found) else 1


if __name__ == "__main__":
    sys.exit(main())
