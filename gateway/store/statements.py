"""What each change of the store is in SQL: every rule that must hold is a condition in the statement itself.

Texts are cut to their column and cleaned of what PostgreSQL refuses, so that no caller name and no error text can
keep a record from being written; columns marked `WHOLE` are cleaned only. Inserts ignore a row that is there already:
after a commit whose outcome was lost with the connection, the same batch is written again.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from typing import Unpack

from sqlalchemy import Column, Executable, RowMapping, String, Table, func, or_, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.dml import Insert

from gateway.store.rows import AttemptRow, CallChanges, CallEnd, CallRow, JournalEntry, JsonValue
from gateway.store.states import ATTEMPT_RANKS, CALL_RANKS, below
from gateway.store.tables import WHOLE, attempts, calls, journal

__all__ = ["Changed", "Statements", "Write", "clean", "columns", "fitting"]

TEXT_LIMIT = 4_000
"""Characters kept of an unbounded text column; details are for people."""


@dataclass(slots=True, frozen=True)
class Changed:
    """What the last statement of a write did."""

    rows: int
    returned: Sequence[RowMapping] = ()
    """The changed rows, where the statement asks for them (RETURNING)."""


@dataclass(slots=True, frozen=True)
class Write:
    """Statements that belong together; `done` tells what the last one changed, once it is committed."""

    what: str
    """For the log; holds ids, never numbers or speech."""
    statements: Sequence[Executable]
    refused: str = ""
    """Logged when the last statement changed nothing; empty where that is the normal fate of a repeat."""
    done: "asyncio.Future[Changed] | None" = None

    @property
    def withdrawn(self) -> bool:
        """Whoever waits for it has given up, so it must not be written late."""
        return self.done is not None and self.done.cancelled()


@dataclass(slots=True, frozen=True)
class Statements:
    """Builds the writes of one database; `owner` names this process in every row that it creates."""

    dialect: str
    owner: str

    def offered(self, row: CallRow) -> Write:
        values = asdict(row) | {"owner": self.owner}
        return Write(
            f"offer of call {row.call_id}",
            [self.insert(calls).values(clean(calls, values))],
            refused="call id already in use",
        )

    def updated(self, call_id: str, **changes: Unpack[CallChanges]) -> Write:
        values = clean(calls, dict(changes))
        statement = update(calls).where(calls.c.call_id == call_id).values(values)
        return Write(f"update of call {call_id}", [statement], refused="no such call")

    def ended(self, end: CallEnd) -> Write:
        """Write the end where there is none yet: the first end wins."""
        values = {name: value for name, value in asdict(end).items() if value is not None and name != "call_id"}
        statement = (
            update(calls).where(calls.c.call_id == end.call_id, calls.c.ended_at.is_(None)).values(clean(calls, values))
        )
        return Write(
            f"end of call {end.call_id} ({end.end_reason})",
            [statement],
            refused="the call has an end record or is unknown",
        )

    def call_state(self, carrier_call_id: str, state: str, sequence: int | None) -> Write:
        """`state` must be one of `CALL_RANKS`."""
        column = calls.c.carrier_state
        statement = (
            update(calls)
            .where(
                calls.c.carrier_call_id == carrier_call_id,
                or_(column.is_(None), column.in_(below(CALL_RANKS, state))),
            )
            .values(carrier_state=state, carrier_sequence=sequence)
        )
        return Write(f"carrier state {state}", [statement])

    def attempt(self, row: AttemptRow) -> Insert:
        values = asdict(row) | {"owner": self.owner, "updated_at": row.created_at}
        return self.insert(attempts).values(clean(attempts, values))

    def attempt_updated(
        self, attempt_id: str, state: str, carrier_call_id: str | None, sequence: int | None, detail: str
    ) -> Write:
        """`state` must be one of `ATTEMPT_RANKS`. A callback may overtake the answer that names the carrier's call."""
        own = attempts.c.attempt_id == attempt_id
        values: dict[str, object] = {"state": state, "carrier_sequence": sequence, "updated_at": datetime.now(UTC)}
        if detail:
            values["detail"] = detail
        forward = (
            update(attempts)
            .where(own, attempts.c.state.in_(below(ATTEMPT_RANKS, state)))
            .values(clean(attempts, values))
        )
        if carrier_call_id is None:
            return Write(f"attempt {attempt_id} {state}", [forward])
        name = func.coalesce(attempts.c.carrier_call_id, carrier_call_id)
        return Write(
            f"attempt {attempt_id} {state}", [update(attempts).where(own).values(carrier_call_id=name), forward]
        )

    def journal_insert(self) -> Insert:
        return self.insert(journal)

    def insert(self, table: Table) -> Insert:
        """Return an insert that leaves a row alone which is there already."""
        if self.dialect == "postgresql":
            return postgresql.insert(table).on_conflict_do_nothing()
        return sqlite.insert(table).on_conflict_do_nothing()


def journal_values(entries: Iterable[JournalEntry]) -> list[dict[str, JsonValue]]:
    return [
        {
            "call_id": entry.call_id,
            "seq": entry.seq,
            "at_s": entry.at_s,
            "direction": entry.direction,
            "kind": entry.kind,
            "data": entry.data,
        }
        for entry in entries
    ]


def clean(table: Table, values: dict[str, object]) -> dict[str, object]:
    """Return `values` with every text as its column can hold it."""
    return {name: _text(table, name, value) if isinstance(value, str) else value for name, value in values.items()}


def fitting(column: Column[str], value: str) -> bool:
    """Tell whether `column` holds exactly this text: a key must never be cut into another one."""
    return _fit(column, value) == value


def columns(table: Table, row: type) -> list[Column[object]]:
    """Return the columns that the dataclass `row` is made of."""
    return [table.c[field.name] for field in fields(row)]


def _text(table: Table, column: str, value: str) -> str:
    return _fit(table.c[column], value)


def _fit(column: Column[str], value: str) -> str:
    kind = column.type
    limit = kind.length if isinstance(kind, String) and kind.length else TEXT_LIMIT
    kept = value if column.info.get(WHOLE) else value[:limit]
    return kept.replace("\x00", "").encode("utf-8", "replace").decode("utf-8")
