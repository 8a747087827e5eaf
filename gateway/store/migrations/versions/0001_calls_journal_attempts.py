"""Calls, their journal, and dialling attempts."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from gateway.store.tables import Usd, UtcDateTime

revision: str = "0001"
down_revision: str | None = None
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    _create_calls()
    _create_journal()
    _create_attempts()


def downgrade() -> None:
    op.drop_table("attempts")
    op.drop_table("journal")
    op.drop_table("calls")


def _create_calls() -> None:
    op.create_table(
        "calls",
        sa.Column("call_id", sa.String(64), nullable=False),
        sa.Column("carrier", sa.String(32), nullable=False),
        sa.Column("carrier_call_id", sa.String(128), nullable=False),
        sa.Column("direction", sa.String(16), nullable=False),
        sa.Column("agent", sa.String(128), nullable=False),
        sa.Column("from_number", sa.String(64), nullable=False),
        sa.Column("to_number", sa.String(64), nullable=False),
        sa.Column("carrier_state", sa.String(16)),
        sa.Column("carrier_sequence", sa.Integer()),
        sa.Column("offered_at", UtcDateTime(), nullable=False),
        sa.Column("answered_at", UtcDateTime()),
        sa.Column("ended_at", UtcDateTime()),
        sa.Column("end_reason", sa.String(64)),
        sa.Column("end_detail", sa.Text()),
        sa.Column("duration_ms", sa.Integer()),
        sa.Column("usage", sa.JSON()),
        sa.Column("cost_usd", Usd()),
        sa.Column("latency", sa.JSON()),
        sa.Column("recording_path", sa.Text()),
        sa.Column("agents_hash", sa.String(64), nullable=False),
        sa.Column("owner", sa.String(160), nullable=False),
        sa.PrimaryKeyConstraint("call_id", name="pk_calls"),
    )
    op.create_index("ix_calls_offered_at_call_id", "calls", ["offered_at", "call_id"])
    op.create_index("ix_calls_carrier_call_id", "calls", ["carrier_call_id"])


def _create_journal() -> None:
    op.create_table(
        "journal",
        sa.Column("call_id", sa.String(64), nullable=False),
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("at_s", sa.Double(), nullable=False),
        sa.Column("direction", sa.String(1), nullable=False),
        sa.Column("kind", sa.String(64), nullable=False),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["call_id"], ["calls.call_id"], name="fk_journal_call_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("call_id", "seq", name="pk_journal"),
    )


def _create_attempts() -> None:
    op.create_table(
        "attempts",
        sa.Column("attempt_id", sa.String(128), nullable=False),
        sa.Column("call_id", sa.String(64)),
        sa.Column("carrier", sa.String(32), nullable=False),
        sa.Column("agent", sa.String(128), nullable=False),
        sa.Column("from_number", sa.String(64), nullable=False),
        sa.Column("to_number", sa.String(64), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("carrier_call_id", sa.String(128)),
        sa.Column("carrier_sequence", sa.Integer()),
        sa.Column("detail", sa.Text()),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.Column("owner", sa.String(160), nullable=False),
        sa.PrimaryKeyConstraint("attempt_id", name="pk_attempts"),
    )
    op.create_index("ix_attempts_carrier_call_id", "attempts", ["carrier_call_id"])
