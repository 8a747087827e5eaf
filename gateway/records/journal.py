"""The journal of one call: every event into the core, every command out of it, and notes.

It is written from the call's own callbacks, so it is synchronous, never waits, never raises, and is bounded. Audio
frames are counted, one entry a second at most, and texts are cut.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from gateway.store import JournalEntry, JsonValue

__all__ = ["Journal", "JournalEntry", "MemorySink", "Sink"]

LIMIT = 200_000
"""Entries of one call; an hour of busy talk stays far below."""
TEXT_LIMIT = 16_384
"""Characters kept of a text value: tool arguments and results may be long."""
AUDIO_RUN_S = 1.0


class Sink(Protocol):
    """Where entries go; `gateway.store.store.Store` is one."""

    def put(self, row: JournalEntry, /) -> None:
        """Take an entry. Must neither block nor raise."""


class MemorySink:
    """Keeps entries in a list: for tests, and for calls without a store."""

    def __init__(self) -> None:
        self.entries: list[JournalEntry] = []

    def put(self, row: JournalEntry, /) -> None:
        self.entries.append(row)


@dataclass(slots=True)
class _AudioRun:
    begins_s: float
    until_s: float
    frames: int = 0
    ms: float = 0.0


class Journal:
    """`now` is always the event loop's time; `started_s` is that time when the call was offered."""

    def __init__(self, call_id: str, sink: Sink, started_s: float, *, limit: int = LIMIT) -> None:
        self.dropped = 0
        self._call_id = call_id
        self._sink = sink
        self._started_s = started_s
        self._limit = limit
        self._seq = 0
        self._runs: dict[str, _AudioRun] = {}

    def add(self, direction: Literal["<", ">", "="], kind: str, data: Mapping[str, JsonValue], now: float) -> None:
        """Record one entry; beyond the limit it is only counted, and that is noted once."""
        self._end_runs(now - AUDIO_RUN_S)
        self._put(direction, kind, {name: _bounded(value) for name, value in data.items()}, now - self._started_s)

    def count_audio(self, kind: str, ms: float, now: float) -> None:
        """Count one audio frame of `ms` into its run; a run becomes one entry, at the time of its first frame."""
        run = self._runs.get(kind)
        if run is not None and now - run.begins_s >= AUDIO_RUN_S:
            self._end_run(kind)
            run = None
        if run is None:
            run = self._runs[kind] = _AudioRun(now, now)
        run.frames += 1
        run.ms += ms
        run.until_s = now

    def close(self) -> None:
        """Write the runs that are still open, and how much was dropped. Call once, last."""
        self._end_runs(float("inf"))
        if self.dropped:
            self._emit("=", "journal_dropped", {"entries": self.dropped}, 0.0)

    def _end_runs(self, before: float) -> None:
        for kind in [kind for kind, run in self._runs.items() if run.begins_s <= before]:
            self._end_run(kind)

    def _end_run(self, kind: str) -> None:
        run = self._runs.pop(kind)
        until_s = round(run.until_s - self._started_s, 3)
        data = {"frames": run.frames, "ms": round(run.ms, 3), "until_s": until_s}
        self._put("=", kind, data, run.begins_s - self._started_s)

    def _put(self, direction: Literal["<", ">", "="], kind: str, data: Mapping[str, JsonValue], at_s: float) -> None:
        if self._seq < self._limit:
            self._emit(direction, kind, data, at_s)
            return
        if not self.dropped:
            self._emit("=", "journal_full", {"limit": self._limit}, at_s)
        self.dropped += 1

    def _emit(self, direction: Literal["<", ">", "="], kind: str, data: Mapping[str, JsonValue], at_s: float) -> None:
        self._sink.put(JournalEntry(self._call_id, self._seq, round(at_s, 6), direction, kind, data))
        self._seq += 1


def _bounded(value: JsonValue) -> JsonValue:
    if isinstance(value, str) and len(value) > TEXT_LIMIT:
        return value[:TEXT_LIMIT] + f"… ({len(value) - TEXT_LIMIT} more characters)"
    return value
