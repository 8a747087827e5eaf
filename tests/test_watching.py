"""A watcher sees what is written about a call, at its own speed, and the call never waits for it."""

import asyncio
from datetime import UTC, datetime
from typing import Unpack

import pytest

from gateway.store.rows import CallChanges, CallEnd, CallRow, JournalEntry
from gateway.watching import KEPT_ENTRIES, MOST_WATCHERS, TooManyWatchers, Watching
from tests.clock import run

NOW = datetime(2026, 11, 22, tzinfo=UTC)


class Log:
    def __init__(self) -> None:
        self.rows: list[CallRow | JournalEntry | CallEnd] = []

    def call_offered(self, row: CallRow) -> None:
        self.rows.append(row)

    def put(self, row: JournalEntry, /) -> None:
        self.rows.append(row)

    def call_updated(self, call_id: str, **changes: Unpack[CallChanges]) -> None:
        self.rows.append(call_row(call_id))

    def call_ended(self, end: CallEnd) -> None:
        self.rows.append(end)


def call_row(call_id: str, carrier: str = "browser") -> CallRow:
    return CallRow(call_id, carrier, "x", "inbound", "a", "", "", NOW, "hash")


def entry(seq: int, call_id: str = "c") -> JournalEntry:
    return JournalEntry(call_id, seq, seq / 10, "<", "Dtmf", {"digit": "1"})


def watching() -> tuple[Watching, Log]:
    log = Log()
    tap = Watching(log, lambda row: row.carrier == "browser")
    tap.call_offered(call_row("c"))
    return tap, log


def test_everything_is_passed_on_to_the_log() -> None:
    tap, log = watching()
    tap.put(entry(0))
    tap.call_updated("c", answered_at=NOW)
    tap.call_ended(CallEnd("c", NOW, "stopped", 1))
    assert [type(row) for row in log.rows] == [CallRow, JournalEntry, CallRow, CallEnd]


def test_a_watcher_reads_from_the_beginning_and_then_what_comes() -> None:
    tap, _ = watching()

    async def main() -> None:
        tap.put(entry(0))
        with tap.watch("c") as watcher:
            assert await watcher.more(1) == [entry(0)]
            assert await watcher.more(1) == []
            asyncio.get_running_loop().call_later(0.5, tap.put, entry(1))
            assert await watcher.more(1) == [entry(1)]
            assert watcher.end is None
            tap.put(entry(2))
            tap.call_ended(CallEnd("c", NOW, "stopped", 1))
            assert watcher.end is None, "not before all was read"
            assert await watcher.more(1) == [entry(2)]
            assert watcher.end is not None and watcher.end.end_reason == "stopped"
            assert await watcher.more(1) == []

    run(main())


def test_a_watcher_that_comes_back_goes_on_where_it_was() -> None:
    tap, _ = watching()

    async def main() -> None:
        for seq in range(5):
            tap.put(entry(seq))
        with tap.watch("c", after=2) as watcher:
            assert await watcher.more(1) == [entry(3), entry(4)]
            assert not watcher.missed

    run(main())


def test_a_slow_watcher_misses_entries_and_is_told_how_many() -> None:
    tap, _ = watching()

    async def main() -> None:
        with tap.watch("c") as watcher:
            for seq in range(KEPT_ENTRIES + 100):
                tap.put(entry(seq))
            assert len(await watcher.more(1)) == KEPT_ENTRIES
            assert watcher.missed == 100

    run(main())


def test_no_more_watchers_than_may_and_each_leaves_its_place() -> None:
    tap, _ = watching()

    def crowd(number: int) -> None:
        with tap.watch("c"):
            if number:
                crowd(number - 1)

    with pytest.raises(TooManyWatchers):
        crowd(MOST_WATCHERS)
    crowd(MOST_WATCHERS - 1)


def test_calls_that_are_not_wanted_or_long_over_cannot_be_watched() -> None:
    tap, _ = watching()
    tap.call_offered(call_row("other", "twilio"))
    tap.put(entry(0, "other"))
    tap.call_ended(CallEnd("other", NOW, "stopped", 1))
    for number in range(100):
        tap.call_offered(call_row(f"c{number}"))
        tap.call_ended(CallEnd(f"c{number}", NOW, "stopped", 1))
    for call_id in ("other", "nobody's", "c0"):
        with pytest.raises(KeyError), tap.watch(call_id):
            pass
    with tap.watch("c99"), tap.watch("c"):
        pass
