"""The tables, and the two column types that SQLite and PostgreSQL keep differently.

A change here needs a migration; `tests/store/test_migrations.py` fails when the two disagree.
"""

from datetime import UTC, datetime
from decimal import Decimal

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    DateTime,
    Dialect,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Numeric,
    String,
    Table,
    Text,
)
from sqlalchemy.types import TypeDecorator, TypeEngine

__all__ = [
    "WHOLE",
    "Usd",
    "UtcDateTime",
    "attempts",
    "callbacks",
    "calls",
    "deliveries",
    "invocations",
    "journal",
    "metadata",
    "opt_outs",
]

WHOLE = "whole"
"""In `Column.info`: a text that is worthless when it is cut; whoever writes it has bounded it."""


class UtcDateTime(TypeDecorator[datetime]):
    """An aware datetime, kept in UTC; SQLite has no time zones, so the zone is put back on reading."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("expected a time with a zone, got one without")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Usd(TypeDecorator[Decimal]):
    """Dollars without rounding: NUMERIC, and decimal text in SQLite, whose numbers are binary floats."""

    impl = Numeric(14, 8)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Decimal] | TypeEngine[str]:
        return String(24) if dialect.name == "sqlite" else Numeric(14, 8)

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> Decimal | str | None:
        if value is None or dialect.name != "sqlite":
            return value
        return format(value.quantize(Decimal("1e-8")), "f")

    def process_result_value(self, value: Decimal | str | None, dialect: Dialect) -> Decimal | None:
        return None if value is None else Decimal(value)


metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

calls = Table(
    "calls",
    metadata,
    Column("call_id", String(64), primary_key=True),
    Column("carrier", String(32), nullable=False),
    Column("carrier_call_id", String(128), nullable=False),
    Column("direction", String(16), nullable=False),
    Column("agent", String(128), nullable=False),
    Column("from_number", String(64), nullable=False),
    Column("to_number", String(64), nullable=False),
    Column("carrier_state", String(16)),
    Column("carrier_sequence", Integer),
    Column("offered_at", UtcDateTime, nullable=False),
    Column("answered_at", UtcDateTime),
    Column("ended_at", UtcDateTime),
    Column("end_reason", String(64)),
    Column("end_detail", Text),
    Column("duration_ms", Integer),
    Column("usage", JSON(none_as_null=True)),
    Column("cost_usd", Usd),
    Column("latency", JSON(none_as_null=True)),
    Column("recording_path", Text),
    Column("agents_hash", String(64), nullable=False),
    Column("owner", String(160), nullable=False),
    Index(None, "offered_at", "call_id"),
    Index(None, "carrier_call_id"),
)

journal = Table(
    "journal",
    metadata,
    Column("call_id", String(64), ForeignKey("calls.call_id", ondelete="CASCADE"), primary_key=True),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("at_s", Double, nullable=False),
    Column("direction", String(1), nullable=False),
    Column("kind", String(64), nullable=False),
    Column("data", JSON, nullable=False),
)

attempts = Table(
    "attempts",
    metadata,
    Column("attempt_id", String(128), primary_key=True),
    Column("call_id", String(64)),
    Column("carrier", String(32), nullable=False),
    Column("agent", String(128), nullable=False),
    Column("from_number", String(64), nullable=False),
    Column("to_number", String(64), nullable=False),
    Column("state", String(16), nullable=False),
    Column("carrier_call_id", String(128)),
    Column("carrier_sequence", Integer),
    Column("detail", Text),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Column("owner", String(160), nullable=False),
    Index(None, "carrier_call_id"),
)

invocations = Table(
    "invocations",
    metadata,
    Column("key", String(255), primary_key=True),
    Column("message_id", String(64), nullable=False),
    Column("intent", String(32), nullable=False),
    Column("call_id", String(64), nullable=False),
    Column("carrier_call_id", String(128), nullable=False),
    Column("tool_call_id", String(128), nullable=False),
    Column("agent", String(128), nullable=False),
    Column("tool", String(128), nullable=False),
    Column("from_number", String(64), nullable=False),
    Column("arguments", Text, info={WHOLE: True}),
    Column("arguments_hash", String(64), nullable=False),
    Column("idempotent", Boolean, nullable=False),
    Column("state", String(16), nullable=False),
    Column("output", Text, info={WHOLE: True}),
    Column("detail", Text),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Column("owner", String(160), nullable=False),
    Index(None, "message_id", unique=True),
    Index(None, "carrier_call_id"),
    Index(None, "from_number", "tool", "created_at"),
    Index(None, "state", "created_at"),
)
"""`intent` names the one `begin_invocation` that wrote the row."""

deliveries = Table(
    "deliveries",
    metadata,
    Column("delivery_id", String(128), primary_key=True),
    Column("type", String(64), nullable=False),
    Column("call_id", String(64), nullable=False),
    Column("agent", String(128), nullable=False),
    Column("url", Text, nullable=False, info={WHOLE: True}),
    Column("secret", Text, info={WHOLE: True}),
    Column("body", Text, nullable=False, info={WHOLE: True}),
    Column("state", String(16), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_at", UtcDateTime, nullable=False),
    Column("lease_until", UtcDateTime),
    Column("detail", Text),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Column("owner", String(160), nullable=False),
    Index(None, "state", "next_at"),
    Index(None, "call_id"),
    Index(None, "created_at", "delivery_id"),
)

callbacks = Table(
    "callbacks",
    metadata,
    Column("callback_id", String(128), primary_key=True),
    Column("call_id", String(64), nullable=False),
    Column("agent", String(128), nullable=False),
    Column("to_number", String(64), nullable=False),
    Column("from_number", String(64), nullable=False),
    Column("due_at", UtcDateTime, nullable=False),
    Column("reason", Text, nullable=False),
    Column("zone", String(64)),
    Column("tries", Integer, nullable=False),
    Column("state", String(16), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("lease_until", UtcDateTime),
    Column("detail", Text),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Column("owner", String(160), nullable=False),
    Index(None, "state", "due_at"),
    Index(None, "to_number"),
)

opt_outs = Table(
    "opt_outs",
    metadata,
    Column("number", String(64), primary_key=True),
    Column("source", String(128), nullable=False),
    Column("added_at", UtcDateTime, nullable=False),
    Column("owner", String(160), nullable=False),
)
