"""A page of a site's users is read from an index, not sorted out of all of them."""

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_index("link_page", "link", ["application_id", "create_time", "site_id"])
