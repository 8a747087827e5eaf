"""Whatever the carrier, a whole call leaves no number, secret, token or word of it in any log line, at DEBUG.

Two looks: what our own modules say, before anything is redacted; and what every logger writes in the product's format.
What is keyed, said and dialled stands in the journal, where it must; secrets and tokens stand in neither.
"""

import io
import json
import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from importlib import import_module
from pathlib import Path

import pytest

from gateway import log
from gateway.registry import Registry
from gateway.simulator.world import CALLER, NUMBER, SECRET, TOKEN
from tests.carriers.scenario import HUMAN, NAMES, Told, play

SPOKEN = ("How can I help", "status of order", "Let me look that up", "has shipped", "when exactly", "our sales team")
FRAMES = ("v=0\r\n", '"payload"', "<Response", "input_audio_buffer", "a=ice-pwd")
"""What a logger shows that writes whole messages: media, markup, SDP."""
_names_a_secret = re.compile(r"secret|token|password|private|api_key|signing_key").search


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """Log as the product does, all of it, to a text."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    levels = {name: logging.getLogger(name).level for name in (*log.QUIET_LOGGERS, *log.FRAME_LOGGERS)}
    text = io.StringIO()
    log.configure("DEBUG", stream=text)
    root.handlers += handlers  # pytest's own go on
    yield text
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)


@pytest.fixture
def tokens(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every token that a stream was admitted by."""
    given: list[str] = []
    admit = Registry._admit

    def noted(self: Registry, carrier_call_id: str) -> str:
        given.append(admit(self, carrier_call_id))
        return given[-1]

    monkeypatch.setattr(Registry, "_admit", noted)
    return given


def secrets_of(name: str) -> dict[str, str]:
    """Return what this carrier's gateway and its simulator have in common and nobody else may know."""
    known = {"webhook secret": SECRET, "model's key": "sk-test", "twilio's token": TOKEN}
    if name not in ("twilio", "openai-sip"):
        settings: Mapping[str, object] = import_module(f"gateway.simulator.carriers.{name}").CARRIER.settings
        known |= {key: str(value) for key, value in settings.items() if _names_a_secret(key)}
    return known


def found(text: str, wanted: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in wanted.items() if value in text}


def journal_of(told: Told) -> str:
    return json.dumps([asdict(entry) for entry in told.journal], default=str)


NUMBERS = {"the caller": CALLER[1:], "who was called": NUMBER[1:], "the human": HUMAN[1:]}
WORDS = {word: word for word in SPOKEN} | {frame: frame for frame in FRAMES}


@pytest.mark.parametrize("ending", ["busy", "reached"])
@pytest.mark.parametrize("name", NAMES)
def test_no_log_line_tells_of_a_call_what_it_must_not(
    name: str,
    ending: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    written: io.StringIO,
    tokens: list[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    told = play(name, ending, tmp_path)
    secrets = secrets_of(name) | {f"token {number}": token for number, token in enumerate(tokens)}
    ours = "\n".join(it.getMessage() for it in caplog.records if it.name.startswith("gateway") and not _simulated(it))
    everything = "\n".join(line for line in written.getvalue().splitlines() if '"gateway.simulator' not in line)
    assert ours and everything and tokens
    assert found(ours, NUMBERS | WORDS | secrets) == {}
    assert found(everything, NUMBERS | WORDS | secrets) == {}
    assert found(journal_of(told), secrets) == {}
    assert found(journal_of(told), {word: word for word in ("status of order", "has shipped")}), "the scan finds words"


def _simulated(record: logging.LogRecord) -> bool:
    return record.name.startswith("gateway.simulator")
