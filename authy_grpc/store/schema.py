"""Brings the tables of a database up to date, or says that they are not.

Alembic is imported where something is to be changed: it takes a fifth of a server's start.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, inspect, text

from authy_grpc.store.engine import connect
from authy_grpc.store.trouble import explained

if TYPE_CHECKING:
    from alembic.config import Config

_MIGRATIONS = Path(__file__).parent / "migrations"
# The name of each begins with the version that it makes.
VERSIONS = sorted(path.name.partition("_")[0] for path in (_MIGRATIONS / "versions").glob("0*.py"))
HEAD = VERSIONS[-1]
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
            version = _version(connection)
            _refuse_newer(version)
            if version != HEAD:
                from alembic import command

                command.upgrade(config(connection), HEAD)
        return HEAD
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
    if version != HEAD:
        raise SchemaError(
            f"The database has schema {version or 'none'}, this program needs {HEAD}:"
            " run `authy-grpc db upgrade` (and stop servers of another version)."
        )


def _version(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    version: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return version


def _refuse_newer(version: str | None) -> None:
    if version is not None and version not in VERSIONS:
        raise SchemaError(
            f"The database has schema {version}, which this program does not know: install a newer one."
        )


def config(connection: Connection) -> "Config":
    """What Alembic's commands are told, to change the tables behind a connection."""
    from alembic.config import Config

    made = Config()
    made.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    made.attributes["connection"] = connection
    return made
