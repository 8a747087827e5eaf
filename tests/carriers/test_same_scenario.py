"""Whatever the carrier, the same call leaves the same transcript, functions and outcome."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.carriers.scenario import CANNOT, ENDINGS, NAMES, expected, play

pytestmark = pytest.mark.usefixtures("no_errors_logged")


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("name", NAMES)
def test_the_same_call_leaves_the_same_whatever_the_carrier(
    name: str, ending: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    told = play(name, ending, tmp_path)
    note = f"  ({CANNOT[name][0]})" if name in CANNOT else ""
    record_property("scenario", told.line(name, ending) + note)
    assert told.report.script_error is None
    assert told.report.warnings == []
    assert told.left == expected(name, ending)
