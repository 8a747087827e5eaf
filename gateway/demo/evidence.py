"""What a finished call left behind, gathered from every party: network, gateway, model, business, and the recording.

The recording is the witness: what it says is heard again by the recogniser, item by item.
"""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway.demo.stage import Stage
from gateway.records.latency import CallLatency
from gateway.records.picture import draw
from gateway.records.speech import RecordingError, WavReader
from gateway.records.timeline import tell
from gateway.simulator.carrier import CallReport
from gateway.simulator.local import LocalEngine
from gateway.simulator.local.wer import word_errors
from gateway.simulator.model import SessionRecord
from gateway.store.rows import JournalEntry, StoredCall, StoredInvocation

__all__ = ["Evidence", "Utterance", "gather"]

MARGIN_S = 0.1
"""Silence kept around an item that is heard again."""
NEWEST = 20
TABLES = ("log", "answers", "appointments", "events")


@dataclass(frozen=True, slots=True)
class Utterance:
    """One item of the agent that the caller heard to its end."""

    text: str
    """What the agent said, by its own transcript."""
    heard: str
    """What the recogniser hears in the recording."""
    errors: int
    words: int


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything the judgement rests on. None: that party could not be asked."""

    report: CallReport
    call: StoredCall | None
    journal: Sequence[JournalEntry]
    business: Mapping[str, Sequence[Mapping[str, object]]]
    """The rows of the business's tables `log`, `answers`, `appointments` and `events`."""
    ledger: Sequence[StoredInvocation]
    """What the gateway had put on record before it asked the business to change something."""
    sessions: Sequence[SessionRecord] | None
    utterances: Sequence[Utterance] | None
    latency: CallLatency | None

    def notes(self, kind: str) -> list[Mapping[str, object]]:
        """Return the data of the journal's entries of one kind."""
        return [entry.data for entry in self.journal if entry.kind == kind]


async def gather(stage: Stage, report: CallReport) -> Evidence:
    """Collect the evidence and draw the picture; what is missing is None and judged as such."""
    calls = await stage.store.list_calls(NEWEST)
    call = next((one for one in calls if one.carrier_call_id == report.call_sid), None)
    journal = await stage.store.journal_of(call.call_id) if call is not None else []
    latency, utterances = None, None
    if call is not None and call.recording_path is not None:
        recording = Path(call.recording_path)
        try:
            latency = draw(recording, tell(call, journal), stage.folder.picture)
            shutil.copyfile(recording, stage.folder.recording)
            if stage.engine is not None:
                utterances = await _hear_again(stage.engine, recording, journal)
        except (RecordingError, OSError):
            latency = None
    sessions = list(stage.model.sessions) if stage.model is not None else None
    business = {table: stage.business.database.rows(table) for table in TABLES}
    ledger = await stage.store.invocations_of(report.call_sid)
    return Evidence(report, call, journal, business, ledger, sessions, utterances, latency)


async def _hear_again(engine: LocalEngine, recording: Path, journal: Sequence[JournalEntry]) -> list[Utterance]:
    agent, rate = _agent_channel(recording)
    cut = {entry.data.get("item_id") for entry in journal if entry.kind == "barge_in"}
    utterances = []
    for item_id, text in _texts(journal).items():
        bounds = _bounds(journal, item_id)
        if item_id in cut or bounds is None:
            continue
        begin, end = max(0, round((bounds[0] - MARGIN_S) * rate)), round((bounds[1] + MARGIN_S) * rate)
        heard = await engine.transcribe(agent[begin:end], "", 0)
        utterances.append(Utterance(text, heard, *word_errors(text, heard)))
    return utterances


def _agent_channel(recording: Path) -> tuple[bytes, int]:
    # Not at the top: with the real model the demo also runs without the speech packages.
    import numpy as np

    from gateway.simulator.local.audio import encode

    with WavReader(recording) as reader:
        rate = reader.rate
        samples = np.frombuffer(b"".join(agent for _, agent in reader.pieces(rate)), dtype=np.int16)
        return encode(samples.astype(np.float32) / np.float32(32768)), rate


def _texts(journal: Sequence[JournalEntry]) -> dict[str, str]:
    said = (entry.data for entry in journal if entry.kind == "AgentSaid")
    return {str(data.get("item_id")): str(data.get("text")) for data in said}


def _bounds(journal: Sequence[JournalEntry], item_id: str) -> tuple[float, float] | None:
    """Return when the caller began and ceased to hear an item, in seconds of the recording; None if never."""
    origin_s = next((entry.at_s for entry in journal if entry.kind == "StreamStarted"), 0.0)
    heard = [entry.data for entry in journal if entry.kind == "Heard" and entry.data.get("item_id") == item_id]
    spans = [(_number(data, "begins_s"), _number(data, "ms") / 1000) for data in heard]
    if not spans:
        return None
    return min(begin for begin, _ in spans) - origin_s, max(begin + length for begin, length in spans) - origin_s


def _number(data: Mapping[str, object], name: str) -> float:
    value = data.get(name)
    return float(value) if isinstance(value, int | float) else 0.0
