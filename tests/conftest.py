"""Whole calls by the dozen belong to the long part, `-m e2e`, although no real time passes in them.

So do real servers and databases, and properties that take their time. These are run on every Python all the same
(`-m "not e2e or every_python"`): what lies below them differs between Pythons.
"""

from functools import cache
from pathlib import Path

import pytest

HERE = Path(__file__).parent
WHOLE_CALLS = (
    "business",
    "browser",
    "carriers/test_byte_identity.py",
    "carriers/test_doors.py",
    "carriers/test_leaks.py",
    "carriers/test_logs.py",
    "carriers/test_same_scenario.py",
    "carriers/test_wire.py",
    "carriers/twilio/test_transfer.py",
    "carriers/twilio/test_transfer_sweep.py",
    "conformance/legs",
    "deliveries",
    "faults",
    "openai_sip",
    "operator/test_properties.py",
    "simulator/carrier/test_random_transfers.py",
    "turns",
)
EVERY_PYTHON = (
    "carriers/browser",
    "carriers/telnyx/test_signature.py",
    "conformance/test_stores.py",
    "console",
    "core/test_elsewhere_histories.py",
    "outbound/test_policy.py",
    "realtime/test_convert.py",
    "simulator/model/test_items_and_delays.py",
    "simulator/model/test_properties.py",
    "simulator/turns/test_parts.py",
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
SHORT_OF_CARRIERS = ("test_codec.py", "test_signature.py", "test_verbs.py")
"""Files of a carrier's folder, Twilio's apart, that belong to the short part; the others make whole calls."""


@cache
def _takes_its_time(path: Path) -> bool:
    return any(path.is_relative_to(HERE / name) for name in EVERY_PYTHON)


@cache
def _whole_calls(path: Path) -> bool:
    if any(path.is_relative_to(HERE / name) for name in WHOLE_CALLS):
        return True
    carriers = HERE / "carriers"
    of_a_carrier = path.is_relative_to(carriers) and path.parent not in (carriers, carriers / "twilio")
    long = path.name.startswith("test_") and path.name not in SHORT_OF_CARRIERS
    return of_a_carrier and long and not _takes_its_time(path)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Do not even read what the marks asked for would leave out: that alone takes half a minute."""
    asked = config.getoption("markexpr")
    if asked in ("not e2e", "not e2e or every_python") and _whole_calls(collection_path):
        return True
    return True if asked == "not e2e" and _takes_its_time(collection_path) else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if _whole_calls(item.path):
            item.add_marker(pytest.mark.e2e)
        elif item.get_closest_marker("e2e") is None and _takes_its_time(item.path):
            item.add_marker(pytest.mark.e2e)
            item.add_marker(pytest.mark.every_python)


SECTIONS = {
    "scenario": "the same scenario over every carrier",
    "identity": "bytes from the caller to the model and back",
}


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what tests have recorded of every carrier, one line each."""
    reports = (*terminalreporter.stats.get("passed", ()), *terminalreporter.stats.get("failed", ()))
    for name, title in SECTIONS.items():
        lines = [f"{one.outcome}  {text}" for one in reports for key, text in one.user_properties if key == name]
        if lines:
            terminalreporter.section(title)
        for line in sorted(lines):
            terminalreporter.write_line(line)
