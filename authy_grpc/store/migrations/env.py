"""Runs migrations on the connection that `schema.py` hands over."""

from alembic import context
from sqlmodel import SQLModel

# Without this the metadata would be empty.
from authy_grpc.store import tables  # noqa: F401

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=SQLModel.metadata,
    # SQLite cannot alter most of a table in place.
    render_as_batch=True,
    user_module_prefix="",
)
with context.begin_transaction():
    context.run_migrations()
