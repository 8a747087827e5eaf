"""At the start: settles the writes that an earlier process meant to do and never finished, or was promised.

Run it beside the calls, not before them: a telephone call that comes back and asks for such a write joins what runs
here, or settles it by the same rules (`writes.py`). Whoever tells of those calls waits for it, but not for ever.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Protocol

from gateway.errors import ToolError
from gateway.store.rows import StoredInvocation, StoreError
from gateway.tools.catalogue import Catalogue
from gateway.tools.desk import ToolDesk
from gateway.tools.promises import PromiseStore, break_overdue, facts_of, utc_now, watch_promises
from gateway.tools.request import ToolOutcome
from gateway.tools.writes import found

__all__ = ["RecoveryMeter", "recover"]

logger = logging.getLogger(__name__)

AT_ONCE = 8
"""Writes sent again at a time: a restart must not fall upon the business."""
RETRY_S = 30.0
"""Until the store is asked again when it could not answer."""
PATIENCE_S = 60.0
"""How long the businesses' answers are waited for; then the rest is settled beside what comes next."""


class RecoveryMeter(Protocol):
    """What is counted; does not raise."""

    def ledger_recovered(self, outcome: str) -> None:
        """One write of an earlier process was settled: done, failed, pending or unknown."""


async def recover(
    store: PromiseStore,
    desk: ToolDesk,
    catalogues: Mapping[str, Catalogue],
    meter: RecoveryMeter,
    clock: Callable[[], datetime] = utc_now,
) -> int:
    """Settle what is open and return how much of it is settled, after a minute at most: the desk goes on with the rest.
    Idempotent writes are sent again with their key; of the others the business is told (`ToolDesk.tell_unknown`).
    While the store cannot be read it is asked again.

    Promises that are overdue are broken too, now and, for as long as the desk is open, once a minute.
    """
    rows = await _open(store)
    turns, settled = asyncio.Semaphore(AT_ONCE), 0

    async def settle(row: StoredInvocation) -> None:
        nonlocal settled
        async with turns:
            outcome = await _settled(store, desk, catalogues, row)
        if outcome is None:
            return
        settled += 1
        logger.warning("tool call %s of an earlier process was left open; now %s", row.message_id, outcome.state)
        meter.ledger_recovered(outcome.state)

    async def settle_all() -> None:
        async with asyncio.TaskGroup() as group:
            for row in rows:
                group.create_task(settle(row), name=f"recovery {row.message_id}")

    await asyncio.wait({desk.beside(settle_all(), name="recovery")}, timeout=PATIENCE_S)
    await break_overdue(store, desk, catalogues, clock)
    desk.beside(watch_promises(store, desk, catalogues, clock), name="promises")
    return settled


async def _open(store: PromiseStore) -> list[StoredInvocation]:
    while True:
        try:
            return await store.open_invocations()
        except StoreError as error:
            logger.error("tool calls of an earlier process cannot be looked for yet: %s", error)
        await asyncio.sleep(RETRY_S)


async def _settled(
    store: PromiseStore, desk: ToolDesk, catalogues: Mapping[str, Catalogue], row: StoredInvocation
) -> ToolOutcome | None:
    catalogue = catalogues.get(row.agent)
    tool = found(catalogue, row.tool) if catalogue is not None else None
    try:
        return await desk.revive(row, tool, await facts_of(store, row))
    except ToolError:
        return None  # the process stops; the next one finds it again
