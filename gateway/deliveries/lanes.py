"""Which delivery goes next: each host has a lane of its own, so that a slow one holds up nobody else.

Of one call only one event is under way, the oldest first. The lane of a quick host holds whatever comes; that of a slow
one as many as it takes in `HOLD_S`. What is beyond that is handed back, to come again when there will be room.
"""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from gateway.store.rows import StoredDelivery

__all__ = ["Held", "Lanes"]

IN_FLIGHT = 32
PER_HOST = 4
HOLD_S = 20.0
QUICK_PACE_S = 0.02
LANE_MOST = 64
"""Of a host that is not quick."""
FIRST_PACE_S = 0.002
SLOW_PACE_S = 0.1
"""A lane slower than this is remembered when it is empty."""
WEIGHT = 0.25
"""Of the newest attempt in the pace of a lane."""
LATER_S = 2.0
LATEST_S = 600.0


@dataclass(slots=True, frozen=True)
class Held:
    """A delivery that is claimed."""

    row: StoredDelivery
    claimed_s: float
    """The loop's time."""


@dataclass(slots=True)
class _Lane:
    waiting: list[Held] = field(default_factory=list)
    calls: dict[str, float] = field(default_factory=dict)
    """Calls of which an event is under way, oldest first, and since when."""
    pace_s: float = FIRST_PACE_S
    """Seconds from one delivery to the next."""
    later_s: float = 0.0
    """When the newest that was handed back comes again, the loop's time."""

    @property
    def room(self) -> int | None:
        """How many may wait; None for as many as come."""
        if self.pace_s <= QUICK_PACE_S:
            return None
        return max(min(LANE_MOST, int(HOLD_S / self.pace_s)), PER_HOST)


class Lanes:
    """Deliveries that are claimed and not yet done."""

    def __init__(self) -> None:
        self._lanes: OrderedDict[str, _Lane] = OrderedDict()
        self.in_flight = 0

    @property
    def held(self) -> int:
        return self.in_flight + sum(len(lane.waiting) for lane in self._lanes.values())

    def add(self, held: Held) -> None:
        self._lanes.setdefault(_host(held.row.url), _Lane()).waiting.append(held)

    def surplus(self, now: float) -> Iterator[tuple[StoredDelivery, float]]:
        """Yield what the lanes have no room for, and in how many seconds each should come again."""
        for lane in self._lanes.values():
            if len(lane.calls) >= PER_HOST:
                oldest_s = next(iter(lane.calls.values()))
                lane.pace_s = max(lane.pace_s, (now - oldest_s) / PER_HOST)
            room = lane.room
            if room is None or len(lane.waiting) <= room:
                continue
            surplus, lane.waiting = lane.waiting[room:], lane.waiting[:room]
            for held in surplus:
                lane.later_s = min(max(lane.later_s, now + LATER_S) + lane.pace_s, now + LATEST_S)
                yield held.row, lane.later_s - now

    def next(self, now: float) -> Held | None:
        """Return one that may leave now (the loop's time), and count it as under way; None for nothing."""
        if self.in_flight >= IN_FLIGHT:
            return None
        for host, lane in self._lanes.items():
            if len(lane.calls) >= PER_HOST:
                continue
            for index, held in enumerate(lane.waiting):
                if held.row.call_id not in lane.calls:
                    del lane.waiting[index]
                    lane.calls[held.row.call_id] = now
                    self.in_flight += 1
                    self._lanes.move_to_end(host)
                    return held
        return None

    def done(self, held: Held, took_s: float) -> None:
        """It is no longer under way; `took_s` is how long its host took."""
        host = _host(held.row.url)
        lane = self._lanes[host]
        lane.calls.pop(held.row.call_id, None)
        lane.pace_s += WEIGHT * (max(took_s, 0.001) / PER_HOST - lane.pace_s)
        self.in_flight -= 1
        if not lane.waiting and not lane.calls and lane.pace_s <= SLOW_PACE_S:
            del self._lanes[host]  # of a slow host, the pace is remembered
        while len(self._lanes) > 2 * IN_FLIGHT:
            idle = next((name for name, one in self._lanes.items() if not one.waiting and not one.calls), None)
            if idle is None:
                return
            del self._lanes[idle]

    def clear(self) -> list[StoredDelivery]:
        """Return all that wait, and hold them no more."""
        waiting = [held.row for lane in self._lanes.values() for held in lane.waiting]
        for lane in self._lanes.values():
            lane.waiting = []
        return waiting


def _host(url: str) -> str:
    try:
        return urlsplit(url).netloc
    except ValueError:
        return ""
