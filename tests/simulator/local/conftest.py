"""The models are loaded once for all tests of this folder; without the speech packages those tests are skipped."""

import asyncio
import importlib.util
from collections.abc import Iterator
from datetime import date

import pytest

from gateway.simulator.clips import Clip, load_clips
from gateway.simulator.local.engine import PACKAGES, LocalEngine

TODAY = date(2026, 11, 22)  # a Sunday


@pytest.fixture(scope="session")
def clips() -> dict[str, Clip]:
    return load_clips()


@pytest.fixture(scope="session")
def speech_packages() -> None:
    missing = [name for name in (*PACKAGES, "espeakng_loader") if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"the speech packages are not installed ({', '.join(missing)}): run `uv sync --group speech`")


@pytest.fixture(scope="session")
def engine(speech_packages: None) -> Iterator[LocalEngine]:
    loaded = asyncio.run(LocalEngine.load(speaker="espeak-library", today=lambda: TODAY))
    yield loaded
    asyncio.run(loaded.close())
