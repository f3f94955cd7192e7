"""Posts that wait behind others of their subject are out of the index of what is due."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_FOREMOST = sa.text("state = 'PENDING' AND NOT waits")
_FAILED = sa.text("state = 'FAILED'")


def upgrade() -> None:
    op.drop_index("delivery_due", "delivery")
    op.add_column("delivery", sa.Column("waits", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.execute(
        sa.text("""
        UPDATE delivery SET waits = (1 = 1)
        WHERE state = 'PENDING' AND sequence > (
            SELECT before.sequence FROM delivery AS before
            WHERE before.webhook_id = delivery.webhook_id AND before.state = 'PENDING'
                AND (before.subject_id, before.sequence) >= (delivery.subject_id, 0)
            ORDER BY before.subject_id, before.sequence LIMIT 1
        )""")
    )
    for name, columns, condition in (
        ("delivery_due", ["webhook_id", "due_time", "sequence"], _FOREMOST),
        ("delivery_failed", ["webhook_id", "last_attempt_time"], _FAILED),
    ):
        op.create_index(name, "delivery", columns, sqlite_where=condition, postgresql_where=condition)
