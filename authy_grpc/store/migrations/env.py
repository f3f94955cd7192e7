"""Runs migrations on the connection that `schema.py` hands over."""

from alembic import context
from sqlmodel import SQLModel

from authy_grpc.store import tables

assert tables.MetaRow.metadata is SQLModel.metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=SQLModel.metadata,
    # SQLite cannot alter most of a table in place.
    render_as_batch=True,
    user_module_prefix="",
)
with context.begin_transaction():
    context.run_migrations()
