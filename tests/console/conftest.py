"""Whatever the carrier does, nothing of ours fails: who uses this may log no error and no traceback."""

from collections.abc import Iterator

import pytest


@pytest.fixture
def no_errors_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    for record in (*caplog.get_records("setup"), *caplog.get_records("call")):
        assert record.levelname not in ("ERROR", "CRITICAL"), record.getMessage()
        assert record.exc_info is None, record.getMessage()
