"""Calls that an earlier process left without an end: told of from the stored journal, as if that process had lived.

What became of functions that change something is known better by the ledger: it goes on after the journal broke off.
"""

import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from gateway.deliveries.events import delivery_id
from gateway.deliveries.reporter import Reporter, utc_now
from gateway.store.rows import CallEnd, JournalEntry, StoredCall, StoredDelivery, StoredInvocation, StoreError

__all__ = ["OrphanStore", "tell_orphans"]

logger = logging.getLogger(__name__)

LOOKED_AT = 1_000
"""Newest calls among which orphans are looked for that a process closed and did not come to tell of."""
CLOSED = "gateway_restarted"
SURELY_KEPT = timedelta(days=6)
"""For so long after its call a delivery is still there to tell that it was made; see `courier.py`."""


class OrphanStore(Protocol):
    """The part of `CallStore` that knows of calls without an end."""

    def orphans(self) -> list[StoredCall]: ...

    async def list_calls(self, limit: int = ...) -> list[StoredCall]: ...

    async def journal_of(self, call_id: str) -> Sequence[JournalEntry]: ...

    async def get_delivery(self, delivery_id: str) -> StoredDelivery | None: ...

    async def invocations_of(self, carrier_call_id: str) -> list[StoredInvocation]: ...

    async def flush(self) -> None: ...


async def tell_orphans(store: OrphanStore, reporter: Reporter, *, clock: Callable[[], datetime] = utc_now) -> int:
    """Tell the businesses of the calls that `close_orphans` has ended; return how many were told of. Raises nothing.

    Call after `close_orphans` and after the writes of earlier processes were settled (`gateway.tools.recovery`), beside
    serving: journals are long. Ids are those that the lost process would have given,
    so nothing is there twice, and what this process does not come to is made up for by the next one.
    """
    told = 0
    try:
        await store.flush()  # what was settled just before counts
        orphans = {call.call_id: call for call in store.orphans()}
        for call in await store.list_calls(LOOKED_AT):
            if call.end_reason == CLOSED and call.offered_at > clock() - SURELY_KEPT:
                orphans.setdefault(call.call_id, call)
        for call in orphans.values():
            told += await _tell(store, reporter, call)
    except StoreError as error:
        logger.warning("calls of an earlier process are not told of: %s; the next start tries again", error)
    return told


async def _tell(store: OrphanStore, reporter: Reporter, call: StoredCall) -> bool:
    telling = reporter.telling(call)
    if telling is None or await store.get_delivery(delivery_id(call.call_id, "call.ended")) is not None:
        return False
    telling.account.answered_at = call.answered_at
    if call.answered_at is not None:
        telling.started()
    for entry in await store.journal_of(call.call_id):
        telling.read(entry)
    for row in await store.invocations_of(call.carrier_call_id or call.call_id):
        if row.call_id == call.call_id:
            telling.account.on_record(row)
    telling.ended(_end(call), {})
    return True


def _end(call: StoredCall) -> CallEnd:
    return CallEnd(
        call.call_id,
        call.ended_at or call.offered_at,
        call.end_reason or CLOSED,
        call.duration_ms or 0,
        end_detail=call.end_detail or "",
        usage=call.usage,
        cost_usd=call.cost_usd,
        latency=call.latency,
        recording_path=call.recording_path,
    )
