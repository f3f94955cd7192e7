"""Owns the schema's version: brings a database up to date, or says that it is not."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from authy_grpc.store.engine import connect

# Two servers that start at once migrate one after the other.
_LOCK = 0x61757468


class SchemaError(Exception):
    """The database is of another version; the text says what to do."""


def upgrade(url: str) -> str:
    """Bring a database's tables up to date; of one that is, change nothing.

    Args:
        url: `sqlite:///…` or `postgresql://…`.

    Returns:
        The version that it has now.
    """
    engine = connect(url, writes=True, connections=1)
    try:
        with engine.begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
            command.upgrade(_config(connection), "head")
        return _head()
    finally:
        engine.dispose()


def check(url: str) -> None:
    """Ask whether a database's tables are of this version.

    Raises:
        SchemaError: they are older, newer or not there.
    """
    engine = connect(url, writes=False, connections=1)
    try:
        with engine.connect() as connection:
            version = MigrationContext.configure(connection).get_current_revision()
    finally:
        engine.dispose()
    if version != _head():
        raise SchemaError(
            f"The database has schema {version or 'none'}, this program needs {_head()}:"
            " run `authy-grpc db upgrade` (and stop servers of another version)."
        )


def _head() -> str:
    return ScriptDirectory.from_config(_config(None)).get_current_head() or ""


def _config(connection: Connection | None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    return config
