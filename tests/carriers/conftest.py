"""Whatever the carrier does, nothing of ours fails: no test of this folder may log an error or a traceback."""

from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def no_errors_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    for record in (*caplog.get_records("setup"), *caplog.get_records("call")):
        assert record.levelname not in ("ERROR", "CRITICAL"), record.getMessage()
        assert record.exc_info is None, record.getMessage()
