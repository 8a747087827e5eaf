"""The ledger of function calls, the outbox of events, callbacks and opt-outs."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from gateway.store.tables import UtcDateTime

revision: str = "0002"
down_revision: str | None = "0001"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    _create_invocations()
    _create_deliveries()
    _create_callbacks()
    _create_opt_outs()


def downgrade() -> None:
    for table in ("opt_outs", "callbacks", "deliveries", "invocations"):
        op.drop_table(table)


def _create_invocations() -> None:
    op.create_table(
        "invocations",
        sa.Column("key", sa.String(255), nullable=False),
        sa.Column("message_id", sa.String(64), nullable=False),
        sa.Column("intent", sa.String(32), nullable=False),
        sa.Column("call_id", sa.String(64), nullable=False),
        sa.Column("carrier_call_id", sa.String(128), nullable=False),
        sa.Column("tool_call_id", sa.String(128), nullable=False),
        sa.Column("agent", sa.String(128), nullable=False),
        sa.Column("tool", sa.String(128), nullable=False),
        sa.Column("from_number", sa.String(64), nullable=False),
        sa.Column("arguments", sa.Text()),
        sa.Column("arguments_hash", sa.String(64), nullable=False),
        sa.Column("idempotent", sa.Boolean(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("output", sa.Text()),
        sa.Column("detail", sa.Text()),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.Column("owner", sa.String(160), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_invocations"),
    )
    op.create_index("ix_invocations_message_id", "invocations", ["message_id"], unique=True)
    op.create_index("ix_invocations_carrier_call_id", "invocations", ["carrier_call_id"])
    op.create_index("ix_invocations_from_number_tool_created_at", "invocations", ["from_number", "tool", "created_at"])
    op.create_index("ix_invocations_state_created_at", "invocations", ["state", "created_at"])


def _create_deliveries() -> None:
    op.create_table(
        "deliveries",
        sa.Column("delivery_id", sa.String(128), nullable=False),
        sa.Column("type", sa.String(64), nullable=False),
        sa.Column("call_id", sa.String(64), nullable=False),
        sa.Column("agent", sa.String(128), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("secret", sa.Text()),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_at", UtcDateTime(), nullable=False),
        sa.Column("lease_until", UtcDateTime()),
        sa.Column("detail", sa.Text()),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.Column("owner", sa.String(160), nullable=False),
        sa.PrimaryKeyConstraint("delivery_id", name="pk_deliveries"),
    )
    op.create_index("ix_deliveries_state_next_at", "deliveries", ["state", "next_at"])
    op.create_index("ix_deliveries_call_id", "deliveries", ["call_id"])
    op.create_index("ix_deliveries_created_at_delivery_id", "deliveries", ["created_at", "delivery_id"])


def _create_callbacks() -> None:
    op.create_table(
        "callbacks",
        sa.Column("callback_id", sa.String(128), nullable=False),
        sa.Column("call_id", sa.String(64), nullable=False),
        sa.Column("agent", sa.String(128), nullable=False),
        sa.Column("to_number", sa.String(64), nullable=False),
        sa.Column("from_number", sa.String(64), nullable=False),
        sa.Column("due_at", UtcDateTime(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("zone", sa.String(64)),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("lease_until", UtcDateTime()),
        sa.Column("detail", sa.Text()),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.Column("owner", sa.String(160), nullable=False),
        sa.PrimaryKeyConstraint("callback_id", name="pk_callbacks"),
    )
    op.create_index("ix_callbacks_state_due_at", "callbacks", ["state", "due_at"])
    op.create_index("ix_callbacks_to_number", "callbacks", ["to_number"])


def _create_opt_outs() -> None:
    op.create_table(
        "opt_outs",
        sa.Column("number", sa.String(64), nullable=False),
        sa.Column("source", sa.String(128), nullable=False),
        sa.Column("added_at", UtcDateTime(), nullable=False),
        sa.Column("owner", sa.String(160), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_opt_outs"),
    )
