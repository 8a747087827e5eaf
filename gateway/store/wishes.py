"""What callers asked for beyond their call: to be called back, or never again."""

import logging
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime

from sqlalchemy import RowMapping, select, update

from gateway.store.claims import claim, told
from gateway.store.database import Database
from gateway.store.rows import CallbackRow, StoredCallback, StoreError
from gateway.store.statements import clean, columns, fitting
from gateway.store.states import CALLBACK_STATES, WAITING
from gateway.store.tables import callbacks, opt_outs

__all__ = ["Wishes"]

log = logging.getLogger(__name__)

COLUMNS = columns(callbacks, StoredCallback)


class Wishes(Database):
    """Callbacks and opt-outs; part of `Store`."""

    async def add_callback(self, row: CallbackRow) -> bool:
        """Commit a wish to be called back. False: this id was there before, and nothing is written.

        Raises `StoreError` when it could not be committed in time.
        """
        if not fitting(callbacks.c.callback_id, row.callback_id):
            raise StoreError("the id of a callback is too long or not text")
        state = {"state": WAITING, "attempts": 0, "updated_at": row.created_at, "owner": self.owner}
        values = clean(callbacks, asdict(row) | state)
        statement = self._statements.insert(callbacks).values(values)
        return (await self._commit(f"callback {row.callback_id}", statement)).rows > 0

    async def claim_callbacks(self, limit: int, lease_s: float) -> list[StoredCallback]:
        """Take up to `limit` callbacks that are due, for `lease_s` seconds; nobody else gets them meanwhile.

        `callback_updated` ends the lease. Raises `StoreError`.
        """
        statement = claim(
            callbacks, "due_at", limit, lease_s, dialect=self._statements.dialect, owner=self.owner, returned=COLUMNS
        )
        changed = await self._commit("claim of callbacks", statement)
        return sorted(_stored(changed.returned), key=lambda row: (row.due_at, row.callback_id))

    def callback_updated(
        self, callback_id: str, state: str, attempts: int, detail: str = "", due_at: datetime | None = None
    ) -> None:
        """Record what became of a callback: placed, failed, dropped, or waiting until `due_at` (None keeps it).

        Only a waiting one changes. Whoever lost its lease to another process can still say that it is placed.
        """
        if state not in CALLBACK_STATES:
            log.warning("unknown state %.32r of a callback ignored", state)
            return
        statement = told(
            callbacks,
            callback_id,
            self.owner,
            surely=state == "placed",
            state=state,
            attempts=attempts,
            detail=detail,
            due=("due_at", due_at),
        )
        self._queue(f"callback {callback_id} {state}", statement)

    def drop_callbacks(self, agent: str, to_number: str, detail: str, keep: str = "") -> None:
        """Give up the callbacks by `agent` to this number that nobody has begun; not the one with the id `keep`."""
        values = {"state": "dropped", "detail": detail, "updated_at": datetime.now(UTC)}
        wanted = clean(callbacks, {"agent": agent, "to_number": to_number, "state": WAITING})
        statement = update(callbacks).where(
            *(callbacks.c[name] == value for name, value in wanted.items()),
            callbacks.c.callback_id != keep,
            callbacks.c.attempts == 0,
            callbacks.c.lease_until.is_(None),
        )
        self._queue("callbacks given up", statement.values(clean(callbacks, dict(values))))

    async def get_callback(self, callback_id: str) -> StoredCallback | None:
        """Return a callback. Raises `StoreError`."""
        if not fitting(callbacks.c.callback_id, callback_id):
            return None
        found = _stored(await self._read(select(*COLUMNS).where(callbacks.c.callback_id == callback_id)))
        return found[0] if found else None

    async def add_opt_out(self, number: str, source: str, at: datetime) -> bool:
        """Commit that this number is not to be called any more. False: it was there before, and stays as it was.

        Raises `StoreError` when it could not be committed in time.
        """
        values = {"number": number, "source": source, "added_at": at, "owner": self.owner}
        statement = self._statements.insert(opt_outs).values(clean(opt_outs, values))
        return (await self._commit("opt-out", statement)).rows > 0

    async def opted_out(self, number: str) -> bool:
        """Tell whether this number is not to be called. Raises `StoreError`."""
        kept = clean(opt_outs, {"number": number})["number"]
        return bool(await self._read(select(opt_outs.c.number).where(opt_outs.c.number == kept)))


def _stored(rows: Sequence[RowMapping]) -> list[StoredCallback]:
    return [StoredCallback(**row) for row in rows]
