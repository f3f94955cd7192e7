"""What commands that work on the store itself share: settings, file, and whether it is new."""

from pathlib import Path
from typing import Any
from urllib.parse import unquote

from authy_grpc.cli.failure import Failure, extra

with extra("server"):
    from authy_grpc.settings import Settings

_SQLITE = "sqlite:///"


def read_settings(**given: Any) -> Settings:
    """The settings of the environment, and of the flags that were given."""
    return Settings(**{name: value for name, value in given.items() if value is not None})


def sqlite_file(settings: Settings) -> Path | None:
    """The file of a SQLite database; None for PostgreSQL.

    Raises:
        Failure: the URL names neither.
    """
    url = settings.database
    if url.startswith(_SQLITE) and len(url) > len(_SQLITE):
        return Path(unquote(url.removeprefix(_SQLITE).partition("?")[0]))
    if url.startswith(("postgresql://", "postgres://")):
        return None
    raise Failure(
        "AUTHY_DATABASE_URL names no database that is known here.",
        "sqlite:///relative/path, sqlite:////absolute/path or postgresql://USER@HOST/NAME",
    )


def require_database(settings: Settings) -> None:
    """Ask that there is a database, before one is made by looking for it.

    Raises:
        Failure: there is none.
    """
    path = sqlite_file(settings)
    if path is not None and not path.exists():
        raise Failure(f"There is no database at {path}.", "Set AUTHY_HOME, or make one: `authy-grpc serve`.")
