"""Whole calls by the dozen belong to the long part, `-m e2e`, although no real time passes in them."""

from pathlib import Path

import pytest

WHOLE_CALLS = (
    "faults",
    "turns",
    "carriers/twilio/test_transfer.py",
    "carriers/twilio/test_transfer_sweep.py",
    "simulator/carrier/test_random_transfers.py",
    "operator/test_properties.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    folders = [Path(__file__).parent / name for name in WHOLE_CALLS]
    for item in items:
        if any(item.path.is_relative_to(folder) for folder in folders):
            item.add_marker(pytest.mark.e2e)
