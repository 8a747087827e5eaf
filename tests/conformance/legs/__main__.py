"""`python -m tests.conformance.legs [--json]`: run the suite and print the table; 1 when a carrier is not green."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from xml.etree import ElementTree

from tests.conformance.legs.table import Result, rows, table


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        suite = [sys.executable, "-m", "pytest", "tests/conformance/legs/test_legs.py", f"--junitxml={report}"]
        code = subprocess.run(suite, stdout=sys.stderr, check=False).returncode  # the table alone is ours to print
        found = rows(_results(report))
    text = json.dumps(found, indent=2) if "--json" in sys.argv else "\n".join(table(found))
    sys.stdout.write(text + "\n")
    return 0 if code == 0 and all(row["green"] for row in found) else 1


def _results(report: Path) -> dict[str, Result]:
    results: dict[str, Result] = {}
    for case in ElementTree.parse(report).iter("testcase"):
        test, _, rig = case.attrib["name"].removesuffix("]").partition("[")
        results.setdefault(rig, Result()).count(test, passed=not len(case))
    return results


if __name__ == "__main__":
    sys.exit(main())
