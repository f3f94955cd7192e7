"""Webhooks and the posts to them."""

import sqlalchemy as sa
from alembic import op

from authy_grpc.store.columns import Moment, Sequence

revision = "0002"
down_revision = "0001"

_PENDING = sa.text("state = 'PENDING'")
_LEASED = sa.text("lease_until IS NOT NULL")


def upgrade() -> None:
    op.create_table(
        "webhook",
        sa.Column("webhook_id", sa.String(), nullable=False),
        sa.Column("application_id", sa.String(), nullable=False),
        sa.Column("sealed_url", sa.LargeBinary(), nullable=False),
        sa.Column("types", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("disabled_reason", sa.String(), nullable=False),
        sa.Column("sealed_secret", sa.LargeBinary(), nullable=False),
        sa.Column("sealed_old_secret", sa.LargeBinary(), nullable=True),
        sa.Column("old_secret_until", Moment(), nullable=True),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("first_failure_time", Moment(), nullable=True),
        sa.Column("next_probe_time", Moment(), nullable=True),
        sa.Column("turn_time", Moment(), nullable=False),
        sa.Column("create_time", Moment(), nullable=False),
        sa.Column("last_success_time", Moment(), nullable=True),
        sa.ForeignKeyConstraint(["application_id"], ["application.application_id"]),
        sa.PrimaryKeyConstraint("webhook_id"),
    )
    op.create_index("ix_webhook_application_id", "webhook", ["application_id"])
    op.create_table(
        "delivery",
        sa.Column("sequence", Sequence, nullable=False),
        sa.Column("delivery_id", sa.String(), nullable=False),
        sa.Column("webhook_id", sa.String(), nullable=False),
        sa.Column("event_id", sa.String(), nullable=False),
        sa.Column("event_type", sa.String(), nullable=False),
        sa.Column("subject_id", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("due_time", Moment(), nullable=False),
        sa.Column("lease_until", Moment(), nullable=True),
        sa.Column("http_status", sa.Integer(), nullable=False),
        sa.Column("error", sa.String(), nullable=False),
        sa.Column("duration_millis", sa.BigInteger(), nullable=False),
        sa.Column("last_attempt_time", Moment(), nullable=True),
        sa.Column("create_time", Moment(), nullable=False),
        sa.PrimaryKeyConstraint("sequence"),
        sa.UniqueConstraint("delivery_id"),
    )
    op.create_index("ix_delivery_create_time", "delivery", ["create_time"])
    op.create_index("delivery_log", "delivery", ["webhook_id", "sequence"])
    for name, columns, condition in (
        ("delivery_due", ["webhook_id", "due_time", "sequence"], _PENDING),
        ("delivery_subject", ["webhook_id", "subject_id", "sequence"], _PENDING),
        ("delivery_in_flight", ["webhook_id", "subject_id"], _LEASED),
    ):
        op.create_index(name, "delivery", columns, sqlite_where=condition, postgresql_where=condition)
