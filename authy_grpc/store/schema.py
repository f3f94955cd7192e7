"""Owns the schema's version: brings a database up to date, or says that it is not."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from authy_grpc.store.engine import connect
from authy_grpc.store.trouble import explained

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

    Raises:
        SchemaError: it is of a newer version than this program.
        DatabaseTrouble: it cannot be used.
    """
    engine = connect(url, writes=True, connections=1)
    try:
        with explained(url), engine.begin() as connection:
            if connection.dialect.name == "postgresql":
                # A migration, and waiting for another server's, may take longer than a call may.
                connection.execute(text("SET LOCAL statement_timeout = 0"))
                connection.execute(text("SET LOCAL lock_timeout = 0"))
                connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
            _refuse_newer(_version(connection))
            command.upgrade(_config(connection), "head")
        return _head()
    finally:
        engine.dispose()


def check(url: str) -> None:
    """Ask whether a database's tables are of this version.

    Raises:
        SchemaError: they are older, newer or not there.
        DatabaseTrouble: it cannot be used.
    """
    engine = connect(url, writes=False, connections=1)
    try:
        with explained(url), engine.connect() as connection:
            version = _version(connection)
    finally:
        engine.dispose()
    _refuse_newer(version)
    if version != _head():
        raise SchemaError(
            f"The database has schema {version or 'none'}, this program needs {_head()}:"
            " run `authy-grpc db upgrade` (and stop servers of another version)."
        )


def _version(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _refuse_newer(version: str | None) -> None:
    known = {each.revision for each in ScriptDirectory.from_config(_config(None)).walk_revisions()}
    if version is not None and version not in known:
        raise SchemaError(
            f"The database has schema {version}, which this program does not know: install a newer one."
        )


def _head() -> str:
    return ScriptDirectory.from_config(_config(None)).get_current_head() or ""


def _config(connection: Connection | None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.attributes["connection"] = connection
    return config
