"""Promises (202) that were not kept: each becomes `unknown` when its time is over, and the business is told of it.

It does not matter who promised: the call may be over, its process dead, its node gone. Every process looks once a
minute, and whoever looks first does it; the event has one id, so it is there once. A result that comes after all still
makes it done or failed.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Protocol

from gateway.store.rows import StoredCall, StoredInvocation, StoreError
from gateway.tools.catalogue import Catalogue
from gateway.tools.desk import ToolDesk
from gateway.tools.ledger import Ledger, repeated_key
from gateway.tools.request import CallFacts
from gateway.tools.writes import found

__all__ = ["PromiseStore", "break_overdue", "facts_of", "utc_now", "watch_promises"]

logger = logging.getLogger(__name__)

EVERY_S = 60.0
MARGIN_S = 5.0
"""Beyond `pending_s`: a call that waits for the result, on whatever node, gives it up first."""
LONGEST_S = 14_400.0
"""For a tool that this process does not know, perhaps another node does: no agents file gives more."""


class PromiseStore(Ledger, Protocol):
    """The part of a store that knows of promises, and of the calls that they were made to."""

    async def overdue_promises(self, before: datetime) -> list[StoredInvocation]: ...

    async def get_call(self, call_id: str) -> StoredCall | None: ...


def utc_now() -> datetime:
    return datetime.now(UTC)


async def watch_promises(
    store: PromiseStore, desk: ToolDesk, catalogues: Mapping[str, Catalogue], clock: Callable[[], datetime] = utc_now
) -> None:
    """Break what is overdue once a minute, until cancelled."""
    while True:
        await asyncio.sleep(EVERY_S)
        await break_overdue(store, desk, catalogues, clock)


async def break_overdue(
    store: PromiseStore, desk: ToolDesk, catalogues: Mapping[str, Catalogue], clock: Callable[[], datetime] = utc_now
) -> int:
    """Make what was not kept in time `unknown` and return how much that was; while the store is away nothing."""
    now, broken = clock(), 0
    shortest_s = min((tool.policy.pending_s for each in catalogues.values() for tool in each), default=LONGEST_S)
    try:
        for row in await store.overdue_promises(now - timedelta(seconds=shortest_s + MARGIN_S)):
            if row.updated_at + timedelta(seconds=_patience_s(row, catalogues) + MARGIN_S) <= now:
                broken += await _break(store, desk, row)
    except StoreError as error:
        logger.warning("promised results cannot be looked for: %s", error)
    return broken


async def facts_of(store: PromiseStore, row: StoredInvocation) -> CallFacts:
    """Return what the business is told about the telephone call: as far as possible the same as the first time."""
    try:
        call = await store.get_call(row.call_id)
    except StoreError:
        call = None
    return CallFacts(
        row.call_id,
        row.agent,
        call.direction if call is not None else "inbound",
        row.from_number,
        call.to_number if call is not None else "",
        carrier=call.carrier if call is not None else "",
        carrier_call_id=row.carrier_call_id,
    )


async def _break(store: PromiseStore, desk: ToolDesk, row: StoredInvocation) -> bool:
    facts, of = await facts_of(store, row), repeated_key(row)
    original = await store.get_invocation(of) if of is not None else None
    # Last, so that what came meanwhile goes before it.
    now = await store.get_invocation(row.key)
    if now is None or now.state != "pending" or not desk.break_promise(now, facts, original):
        return False
    logger.warning("the promised result of tool call %s did not come in time", row.message_id)
    return True


def _patience_s(row: StoredInvocation, catalogues: Mapping[str, Catalogue]) -> float:
    catalogue = catalogues.get(row.agent)
    tool = found(catalogue, row.tool) if catalogue is not None else None
    return tool.policy.pending_s if tool is not None else LONGEST_S
