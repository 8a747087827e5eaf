"""Tells businesses of their calls: stands in front of the call log, reads along, and puts deliveries into the outbox.

What is not asked for costs a look-up per call. The delivery of an end is queued before the end itself, in the same
writer: where there is an end record, there is its delivery, however the process died. Ids come from the call and the
event, so an event that is told again (after a crash, `orphans.py`) is not there twice.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Protocol, Unpack

from gateway.deliveries.account import CallAccount, OfferedCall, call_data
from gateway.deliveries.events import EventType, row
from gateway.deliveries.transcript import Turn
from gateway.store.rows import CallChanges, CallEnd, CallRow, DeliveryRow, JournalEntry
from gateway.tools.envelope import event_call, stamp
from gateway.tools.request import CallFacts

__all__ = ["Address", "AddressOf", "Outbox", "Reporter", "utc_now"]


class Address(Protocol):
    """What an agent tells of its calls, and where to: `gateway.agents.Events`."""

    @property
    def url(self) -> str: ...
    @property
    def secret(self) -> str | None: ...
    @property
    def types(self) -> tuple[str, ...]: ...


AddressOf = Callable[[str], Address | None]
"""Returns where an agent's events go, by its name; None: nowhere."""


class Outbox(Protocol):
    """The call log behind, which keeps deliveries too. Methods neither block nor raise."""

    def put(self, row: JournalEntry, /) -> None: ...

    def call_offered(self, row: CallRow) -> None: ...

    def call_updated(self, call_id: str, **changes: Unpack[CallChanges]) -> None: ...

    def call_ended(self, end: CallEnd) -> None: ...

    def deliver(self, row: DeliveryRow) -> None: ...


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(slots=True)
class Telling:
    """One call on its way to the business."""

    account: CallAccount
    address: Address
    deliver: Callable[[DeliveryRow], None]
    clock: Callable[[], datetime]

    def started(self) -> None:
        at = self.account.answered_at or self.clock()
        self._tell("call.started", {"call": call_data(self.account.call), "answered_at": stamp(at)})

    def turn(self, turn: Turn) -> None:
        self._tell("transcript.turn", {"call": call_data(self.account.call), "turn": asdict(turn)}, turn.item_id)

    def read(self, entry: JournalEntry) -> None:
        for turn in self.account.read(entry):
            self.turn(turn)

    def ended(self, end: CallEnd, variables: Mapping[str, object]) -> None:
        for turn in self.account.finish():
            self.turn(turn)
        if "call.ended" in self.address.types:
            self._tell("call.ended", self.account.ended(end, variables))

    def _tell(self, kind: EventType, data: Mapping[str, object], key: str = "") -> None:
        if kind in self.address.types:
            call, to = self.account.call, (self.address.url, self.address.secret)
            self.deliver(row(kind, call.call_id, call.agent, to, self.clock(), key, data))


class Reporter:
    """A call log (`gateway.calls.NewCallLog`) in front of another one."""

    def __init__(
        self,
        store: Outbox,
        address_of: AddressOf,
        *,
        wake: Callable[[], None] | None = None,
        variables_of: Callable[[str], Mapping[str, object]] | None = None,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        """`wake` is told of each new delivery (`Courier.wake`); `variables_of` returns what the business asked to be
        remembered for a call, by its id, and is asked at the end of the call."""
        self._store = store
        self._address_of = address_of
        self._wake = wake
        self._variables_of = variables_of
        self._clock = clock
        self._live: dict[str, Telling] = {}

    def put(self, row: JournalEntry, /) -> None:
        self._store.put(row)
        telling = self._live.get(row.call_id)
        if telling is not None:
            telling.read(row)

    def call_offered(self, row: CallRow) -> None:
        self._store.call_offered(row)
        telling = self.telling(row)
        if telling is not None:
            self._live[row.call_id] = telling

    def call_updated(self, call_id: str, **changes: Unpack[CallChanges]) -> None:
        self._store.call_updated(call_id, **changes)
        telling, answered_at = self._live.get(call_id), changes.get("answered_at")
        if telling is not None and answered_at is not None and telling.account.answered_at is None:
            telling.account.answered_at = answered_at
            telling.started()

    def call_ended(self, end: CallEnd) -> None:
        telling = self._live.pop(end.call_id, None)
        if telling is not None:
            variables = self._variables_of(end.call_id) if self._variables_of is not None else {}
            telling.ended(end, variables)
        self._store.call_ended(end)

    def tell(self, kind: EventType, call: CallFacts, key: str, data: Mapping[str, object]) -> None:
        """Tell of something that is no part of the journal: a callback, an opt-out, a function of unknown outcome.

        `key` tells several of one call apart; the same key is told once. Of `tool.unknown` it is the `tool_call_id`.
        """
        telling = self._live.get(call.call_id)
        if telling is not None and kind == "tool.unknown":
            telling.account.unknown(key)
        address = self._address_of(call.agent)
        if address is None or kind not in address.types:
            return
        shown = event_call(call, call.metadata)
        to = (address.url, address.secret)
        self._deliver(row(kind, call.call_id, call.agent, to, self._clock(), key, {"call": shown, **data}))

    def telling(self, call: OfferedCall) -> Telling | None:
        """Return the way of a call to the business; None when nothing of it is told."""
        address = self._address_of(call.agent)
        return None if address is None else Telling(CallAccount(call), address, self._deliver, self._clock)

    def _deliver(self, delivery: DeliveryRow) -> None:
        self._store.deliver(delivery)
        if self._wake is not None:
            self._wake()
