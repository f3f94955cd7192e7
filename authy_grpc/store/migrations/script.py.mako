"""${message}"""

import sqlalchemy as sa
from alembic import op

from authy_grpc.store.columns import Moment

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}
