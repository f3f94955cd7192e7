"""Questions that came to nothing are weighed: what was counted as one so far counts as a denial, 2."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.execute(sa.text("UPDATE link SET push_misses = push_misses * 2 WHERE push_misses > 0"))
