"""Whole calls by the dozen belong to the long part, `-m e2e`, although no real time passes in them.

So do real servers and databases, and properties that take their time. These are run on every Python all the same
(`-m "not e2e or every_python"`): what lies below them differs between Pythons.
"""

from pathlib import Path

import pytest

WHOLE_CALLS = (
    "browser",
    "faults",
    "turns",
    "carriers/test_byte_identity.py",
    "conformance/legs",
    "carriers/test_same_scenario.py",
    "carriers/twilio/test_transfer.py",
    "carriers/twilio/test_transfer_sweep.py",
    "simulator/carrier/test_random_transfers.py",
    "operator/test_properties.py",
)
EVERY_PYTHON = (
    "business",
    "conformance/test_stores.py",
    "deliveries",
    "realtime/test_convert.py",
    "store",
    "tools/mcp",
    "tools/openapi",
    "tools/test_histories.py",
    "tools/test_netguard.py",
    "tools/test_recovery.py",
    "tools/test_results.py",
    "tools/test_sender.py",
    "tools/test_webhook.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    folders = [Path(__file__).parent / name for name in WHOLE_CALLS]
    long = [Path(__file__).parent / name for name in EVERY_PYTHON]
    for item in items:
        short = item.get_closest_marker("e2e") is None
        if short and any(item.path.is_relative_to(folder) for folder in long):
            item.add_marker(pytest.mark.e2e)
            item.add_marker(pytest.mark.every_python)
        if any(item.path.is_relative_to(folder) for folder in folders):
            item.add_marker(pytest.mark.e2e)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    _scenarios(terminalreporter)
    _carriers(terminalreporter)


def _scenarios(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what tests have recorded as `scenario`, one line a carrier."""
    lines = []
    for report in (*terminalreporter.stats.get("passed", ()), *terminalreporter.stats.get("failed", ())):
        lines += [(text, report.outcome) for name, text in report.user_properties if name == "scenario"]
    if lines:
        terminalreporter.section("the same scenario over every carrier")
    for text, outcome in sorted(lines):
        terminalreporter.write_line(f"{outcome}  {text}")


def _carriers(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table of carriers where their suite was among the tests."""
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.stats.get(kind, ())]
    legs = [report for report in reports if "conformance/legs/test_legs.py::" in report.nodeid]
    if legs:
        from tests.conformance.legs.table import of_reports, table

        terminalreporter.section("carriers")
        for line in table(of_reports((report.nodeid, bool(report.passed)) for report in legs)):
            terminalreporter.line(line)
