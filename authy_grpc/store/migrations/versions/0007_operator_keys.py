"""Operator keys beside the one among the secrets: named, and revocable one by one."""

import sqlalchemy as sa
from alembic import op

from authy_grpc.store.columns import Moment

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.create_table(
        "operator_key",
        sa.Column("operator_key_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("secret_hash", sa.LargeBinary(), nullable=False),
        sa.Column("create_time", Moment(), nullable=False),
        sa.Column("last_use_time", Moment(), nullable=True),
        sa.Column("revoke_time", Moment(), nullable=True),
        sa.PrimaryKeyConstraint("operator_key_id"),
        sa.UniqueConstraint("secret_hash"),
    )
    # Two servers that make one name at once: one of them is refused.
    op.create_index(
        "operator_key_name",
        "operator_key",
        ["name"],
        unique=True,
        sqlite_where=sa.text("revoke_time IS NULL"),
        postgresql_where=sa.text("revoke_time IS NULL"),
    )
