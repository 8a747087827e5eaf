"""The ledger of function calls that change something: what was meant, and what came of it.

A row is committed before the business hears of the call, so that no crash can make anybody carry it out a second time
without knowing of the first.
"""

import asyncio
import logging
import secrets
from dataclasses import asdict
from datetime import UTC, datetime

from sqlalchemy import ColumnElement, Select, delete, func, select, update

from gateway.store.database import Database
from gateway.store.rows import InvocationRow, StoredInvocation, StoreError
from gateway.store.statements import clean, columns, fitting
from gateway.store.states import FINAL_INVOCATION, INVOCATION_RANKS, below
from gateway.store.tables import invocations

__all__ = ["Ledger"]

log = logging.getLogger(__name__)

COLUMNS = columns(invocations, StoredInvocation)


class Ledger(Database):
    """Invocations; part of `Store`."""

    async def begin_invocation(self, row: InvocationRow) -> StoredInvocation | None:
        """Commit the intent. None: it is committed now; else what was there before, and nothing is written.

        Raises `StoreError` when it could not be committed in time; then it must not be sent, and no row stays behind.
        """
        if not all(fitting(invocations.c[name], asdict(row)[name]) for name in ("key", "message_id")):
            raise StoreError("the ledger cannot keep a function call with this key: too long or not text")
        what, intent = f"function call {row.key}", secrets.token_hex(16)
        values = asdict(row) | {"intent": intent, "owner": self.owner, "updated_at": row.created_at}
        try:
            changed = await self._commit(what, self._statements.insert(invocations).values(clean(invocations, values)))
        except (StoreError, asyncio.CancelledError):
            # Its commit may be under way: what nobody will send must not be found and sent by another process.
            mine = delete(invocations).where(invocations.c.key == row.key, invocations.c.intent == intent)
            self._queue(f"withdrawal of {what}", mine)
            raise
        return None if changed.rows else await self._there_before(row, intent)

    def end_invocation(self, key: str, state: str, output: str | None, detail: str = "") -> None:
        """Record what became of it, forward only; done and failed are final, and the arguments are forgotten then.

        `output` is JSON text for the model; None keeps what is there.
        """
        if state not in INVOCATION_RANKS:
            log.warning("unknown state %.32r of a function call ignored", state)
            return
        values: dict[str, object] = {"state": state, "updated_at": datetime.now(UTC)}
        if output is not None:
            values["output"] = output
        if detail:
            values["detail"] = detail
        if state in FINAL_INVOCATION:
            values["arguments"] = None
        forward = invocations.c.state.in_(below(INVOCATION_RANKS, state))
        self._queue(
            f"function call {key} {state}",
            update(invocations).where(invocations.c.key == key, forward).values(clean(invocations, values)),
        )

    async def get_invocation(self, key: str) -> StoredInvocation | None:
        """Return a function call. Raises `StoreError`."""
        return await self._invocation(invocations.c.key, key)

    async def invocation_by_message(self, message_id: str) -> StoredInvocation | None:
        """Return the function call that a late result names. Raises `StoreError`."""
        return await self._invocation(invocations.c.message_id, message_id)

    async def invocations_of(self, carrier_call_id: str) -> list[StoredInvocation]:
        """Return the function calls of one telephone call, oldest first. Raises `StoreError`."""
        if not fitting(invocations.c.carrier_call_id, carrier_call_id):
            return []
        return await self._invocations(_where(invocations.c.carrier_call_id == carrier_call_id))

    async def open_invocations(self) -> list[StoredInvocation]:
        """Return what a process that is gone meant to do and perhaps did, oldest first. Raises `StoreError`.

        The same processes count as for `close_orphans`.
        """
        await self.flush()
        dead = self._of_the_dead(invocations.c.owner)
        return await self._invocations(_where(invocations.c.state == "intended", *dead))

    async def overdue_promises(self, before: datetime, limit: int = 1000) -> list[StoredInvocation]:
        """Return what is promised (`pending`) and was begun before then, of any process, oldest first.

        `updated_at` says since when it is promised. Raises `StoreError`.
        """
        query = _where(invocations.c.state == "pending", invocations.c.created_at < before)
        return await self._invocations(query.limit(max(0, limit)))

    async def list_invocations(
        self, state: str | None = None, call_id: str | None = None, limit: int = 50
    ) -> list[StoredInvocation]:
        """Return the newest function calls first, of this state and of this call where given. Raises `StoreError`."""
        query = select(*COLUMNS).order_by(invocations.c.created_at.desc(), invocations.c.key.desc())
        for column, wanted in ((invocations.c.state, state), (invocations.c.call_id, call_id)):
            if wanted is not None and not fitting(column, wanted):
                return []
            if wanted is not None:
                query = query.where(column == wanted)
        return [StoredInvocation(**row) for row in await self._read(query.limit(max(0, limit)))]

    async def count_invocations(self, agent: str, tool: str, from_number: str, since: datetime) -> int:
        """Return how often this caller had this tool carried out since then, or perhaps. Raises `StoreError`.

        What was refused or never left (`failed`) does not count.

        Rows written just before and not yet committed do not count; `begin_invocation` has committed its own.
        """
        wanted = clean(invocations, {"agent": agent, "tool": tool, "from_number": from_number})
        query = select(func.count().label("rows")).select_from(invocations)
        query = query.where(*(invocations.c[name] == value for name, value in wanted.items()))
        rows = await self._read(query.where(invocations.c.created_at >= since, invocations.c.state != "failed"))
        return int(rows[0]["rows"])

    async def _there_before(self, row: InvocationRow, intent: str) -> StoredInvocation | None:
        query = select(*COLUMNS, invocations.c.intent).where(invocations.c.key == row.key)
        for found in await self._read(query):
            if found["intent"] == intent:  # our own: the outcome of its first commit was lost with the connection
                return None
            return StoredInvocation(**{name: value for name, value in found.items() if name != "intent"})
        raise StoreError(f"function call {row.key} was refused, and nothing is there in its place")

    async def _invocation(self, column: ColumnElement[str], value: str) -> StoredInvocation | None:
        if not fitting(invocations.c[column.key or ""], value):
            return None
        found = await self._invocations(_where(column == value))
        return found[0] if found else None

    async def _invocations(self, query: Select[*tuple[object, ...]]) -> list[StoredInvocation]:
        ordered = query.order_by(invocations.c.created_at, invocations.c.key)
        return [StoredInvocation(**row) for row in await self._read(ordered)]


def _where(*conditions: ColumnElement[bool]) -> Select[*tuple[object, ...]]:
    return select(*COLUMNS).where(*conditions)
