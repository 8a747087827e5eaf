"""How waiting rows are handed out: each to one claimer, until its lease runs out.

PostgreSQL measures leases by its own clock, because those of the nodes differ, and skips rows that another claimer is
just taking. In SQLite one writer takes after the other.
"""

from datetime import UTC, datetime, timedelta

from sqlalchemy import Column, ColumnElement, DateTime, Executable, Table, func, literal, or_, select, update

from gateway.store.statements import clean
from gateway.store.states import WAITING
from gateway.store.tables import UtcDateTime

__all__ = ["claim", "told"]


def claim(
    table: Table, due: str, limit: int, lease_s: float, *, dialect: str, owner: str, returned: list[Column[object]]
) -> Executable:
    """Return the statement that takes up to `limit` waiting rows whose time `due` has come, and returns them.

    The rows are `owner`'s for `lease_s` seconds; whoever holds them tells by an update, which ends the lease.
    """
    now, until = _lease(dialect, timedelta(seconds=lease_s))
    (key,) = table.primary_key.columns
    lease = table.c.lease_until
    free = or_(lease.is_(None), lease <= now)
    # A common table expression, not a subquery: PostgreSQL may run a subquery, and so its limit, more than once.
    chosen = (
        select(key.label("chosen"))
        .where(table.c.state == WAITING, table.c[due] <= now, free)
        .order_by(table.c[due])
        .limit(max(0, limit))
        .with_for_update(skip_locked=True)
        .cte("due")
    )
    return (
        update(table)
        .where(key.in_(select(chosen.c.chosen)))
        .values(lease_until=until, owner=owner)
        .returning(*returned)
    )


def told(
    table: Table,
    key: str,
    owner: str,
    *,
    surely: bool,
    state: str,
    attempts: int,
    detail: str,
    due: tuple[str, datetime | None],
) -> Executable:
    """Return the statement by which `owner` says what became of the row `key`, while it waits; it ends the lease.

    `surely`: it has happened, so it counts even when another process has claimed the row since. `due` is the column
    that says when it is due again, and that time; None keeps it.
    """
    values: dict[str, object] = {"state": state, "attempts": attempts, "lease_until": None}
    values |= {"detail": detail, "updated_at": datetime.now(UTC)}
    column, at = due
    if at is not None:
        values[column] = at
    (own,) = table.primary_key.columns
    waiting = [own == key, table.c.state == WAITING]
    mine = waiting if surely else [*waiting, table.c.owner == owner]
    return update(table).where(*mine).values(clean(table, values))


def _lease(dialect: str, length: timedelta) -> tuple[ColumnElement[datetime], ColumnElement[datetime]]:
    if dialect == "postgresql":
        clock = func.clock_timestamp(type_=DateTime(timezone=True))
        return clock, clock + length
    now = datetime.now(UTC)
    return literal(now, UtcDateTime), literal(now + length, UtcDateTime)
