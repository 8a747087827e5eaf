"""Live taps on calls: whoever watches one reads what is being written about it, and never makes it wait.

A call's book writes its journal through a `Watching`, which passes every entry on to the log and keeps the last ones of
each watched call in a ring. A watcher reads the ring at its own speed from where it stands; one that is slower than the
ring is long misses entries, and is told how many. So a call pays the same for no watcher and for eight, and what is
kept is bounded. Secrets are out of the journal before it comes here (`gateway.records.book`).
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol, Unpack

from gateway.errors import GatewayError
from gateway.store.rows import CallChanges, CallEnd, CallRow, JournalEntry

__all__ = ["KEPT_ENTRIES", "MOST_WATCHERS", "TooManyWatchers", "Watcher", "Watching"]

KEPT_ENTRIES = 512
"""Entries of one call that can still be read: minutes of talk."""
KEPT_ENDED = 32
"""Calls that have ended and can still be read, for watchers that come late."""
MOST_WATCHERS = 8
"""Of one call."""


class Log(Protocol):
    """Where calls are written."""

    def call_offered(self, row: CallRow) -> None: ...

    def put(self, row: JournalEntry, /) -> None: ...

    def call_updated(self, call_id: str, **changes: Unpack[CallChanges]) -> None: ...

    def call_ended(self, end: CallEnd) -> None: ...


class TooManyWatchers(GatewayError):
    """A call is watched by as many as may."""


class _Tap:
    """The last entries of one call."""

    def __init__(self) -> None:
        self.entries: deque[JournalEntry] = deque(maxlen=KEPT_ENTRIES)
        self.end: CallEnd | None = None
        self.wakes: set[asyncio.Event] = set()

    def wake(self) -> None:
        for wake in self.wakes:
            wake.set()


class Watcher:
    """One reader of one call."""

    def __init__(self, tap: _Tap, after: int) -> None:
        self.missed = 0
        """Entries that were gone before they were read."""
        self._tap = tap
        self._next = after + 1
        self._wake = asyncio.Event()
        tap.wakes.add(self._wake)

    @property
    def end(self) -> CallEnd | None:
        """How the call ended, once everything before that was read."""
        return self._tap.end if not self._waiting() else None

    async def more(self, within_s: float) -> list[JournalEntry]:
        """Return what has been written since, at the latest after a while: then perhaps nothing."""
        self._wake.clear()
        if not self._waiting() and self._tap.end is None:
            try:
                async with asyncio.timeout(within_s):
                    await self._wake.wait()
            except TimeoutError:
                return []
        entries = [entry for entry in self._tap.entries if entry.seq >= self._next]
        if entries:
            self.missed += max(0, entries[0].seq - self._next)
            self._next = entries[-1].seq + 1
        return entries

    def close(self) -> None:
        self._tap.wakes.discard(self._wake)

    def _waiting(self) -> bool:
        return bool(self._tap.entries) and self._tap.entries[-1].seq >= self._next


class Watching:
    """The calls that can be watched. Stands in front of the log, and is one."""

    def __init__(self, log: Log, wanted: Callable[[CallRow], bool]) -> None:
        """`wanted` tells which calls may be watched; the others pass by."""
        self._log = log
        self._wanted = wanted
        self._taps: dict[str, _Tap] = {}
        self._ended: OrderedDict[str, None] = OrderedDict()

    def check(self, call_id: str) -> None:
        """Raises what `watch` would raise now."""
        if len(self._taps[call_id].wakes) >= MOST_WATCHERS:
            raise TooManyWatchers(f"{MOST_WATCHERS} watch this call already")

    @contextmanager
    def watch(self, call_id: str, after: int = -1) -> Iterator[Watcher]:
        """Watch a call from after an entry on; -1 is its beginning, as far as that is kept.

        Raises `KeyError` for a call that cannot be watched, `TooManyWatchers`.
        """
        self.check(call_id)
        watcher = Watcher(self._taps[call_id], after)
        try:
            yield watcher
        finally:
            watcher.close()

    def call_offered(self, row: CallRow) -> None:
        self._log.call_offered(row)
        if self._wanted(row):
            self._taps[row.call_id] = _Tap()

    def put(self, row: JournalEntry, /) -> None:
        self._log.put(row)
        tap = self._taps.get(row.call_id)
        if tap is not None:
            tap.entries.append(row)
            tap.wake()

    def call_updated(self, call_id: str, **changes: Unpack[CallChanges]) -> None:
        self._log.call_updated(call_id, **changes)

    def call_ended(self, end: CallEnd) -> None:
        self._log.call_ended(end)
        tap = self._taps.get(end.call_id)
        if tap is None:
            return
        tap.end = end
        tap.wake()
        self._ended[end.call_id] = None
        while len(self._ended) > KEPT_ENDED:
            del self._taps[self._ended.popitem(last=False)[0]]
