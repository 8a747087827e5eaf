"""At the start: settles the writes that an earlier process meant to do and never finished.

Run it beside the calls, not before them: a telephone call that comes back and asks for such a write joins what runs
here, or settles it by the same rules (`writes.py`).
"""

import asyncio
import logging
from collections.abc import Mapping
from typing import Protocol

from gateway.errors import ToolError
from gateway.store.rows import StoredCall, StoredInvocation, StoreError
from gateway.tools.catalogue import Catalogue
from gateway.tools.desk import ToolDesk
from gateway.tools.ledger import Ledger
from gateway.tools.request import CallFacts, ToolOutcome
from gateway.tools.writes import found

__all__ = ["RecoveryMeter", "RecoveryStore", "recover"]

logger = logging.getLogger(__name__)

AT_ONCE = 8
"""Writes sent again at a time: a restart must not fall upon the business."""
RETRY_S = 30.0
"""Until the store is asked again when it could not answer."""


class RecoveryStore(Ledger, Protocol):
    """The part of a store that recovery needs."""

    async def get_call(self, call_id: str) -> StoredCall | None: ...


class RecoveryMeter(Protocol):
    """What is counted; does not raise."""

    def ledger_recovered(self, outcome: str) -> None:
        """One write of an earlier process was settled: done, failed, pending or unknown."""


async def recover(
    store: RecoveryStore,
    desk: ToolDesk,
    catalogues: Mapping[str, Catalogue],
    meter: RecoveryMeter,
) -> int:
    """Settle what is open and return how much that was. Idempotent writes are sent again with their key; of the others
    the business is told (`ToolDesk.tell_unknown`). While the store cannot be read it is asked again.
    """
    rows = await _open(store)
    turns = asyncio.Semaphore(AT_ONCE)

    async def settle(row: StoredInvocation) -> None:
        async with turns:
            outcome = await _settled(store, desk, catalogues, row)
        if outcome is None:
            return
        logger.warning("tool call %s of an earlier process was left open; now %s", row.message_id, outcome.state)
        meter.ledger_recovered(outcome.state)

    async with asyncio.TaskGroup() as group:
        for row in rows:
            group.create_task(settle(row), name=f"recovery {row.message_id}")
    return len(rows)


async def _open(store: RecoveryStore) -> list[StoredInvocation]:
    while True:
        try:
            return await store.open_invocations()
        except StoreError as error:
            logger.error("tool calls of an earlier process cannot be looked for yet: %s", error)
        await asyncio.sleep(RETRY_S)


async def _settled(
    store: RecoveryStore, desk: ToolDesk, catalogues: Mapping[str, Catalogue], row: StoredInvocation
) -> ToolOutcome | None:
    catalogue = catalogues.get(row.agent)
    tool = found(catalogue, row.tool) if catalogue is not None else None
    try:
        return await desk.revive(row, tool, await _facts(store, row))
    except ToolError:
        return None  # the process stops; the next one finds it again


async def _facts(store: RecoveryStore, row: StoredInvocation) -> CallFacts:
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
