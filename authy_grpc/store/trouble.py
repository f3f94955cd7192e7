"""Explains why a database cannot be used: its own words, without the URL, and what to do next."""

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sqlalchemy.exc import DBAPIError

_LONGEST = 400
_URL = "mend AUTHY_DATABASE_URL"
_MENDS_BY_STATE = {
    "28P01": f"Give the right password: {_URL}.",
    "28000": f"Let this role in (pg_hba.conf), or {_URL}.",
    "3D000": f"Make it: `createdb --encoding UTF8 --owner ROLE NAME`, or {_URL}.",
    "42501": "Let the role make tables: `ALTER DATABASE name OWNER TO role`, or"
    " `GRANT ALL ON SCHEMA public TO role` in that database.",
    "25006": "It is read-only: name the primary, or several hosts, in AUTHY_DATABASE_URL.",
    "53100": "Make room on the disk of the database.",
    "53300": "Raise max_connections, or end what holds them: a server takes eleven.",
    "57P03": "It starts or recovers: try again in a moment.",
    "58030": "Look at the disk of the database.",
}
# Where connecting fails the driver hands over the server's words alone, in the server's language.
_MENDS_BY_WORDS = (
    ("password", _MENDS_BY_STATE["28P01"]),
    (
        "does not support SSL|SSL was required",
        f"Turn TLS on in the server, or set `sslmode` otherwise: {_URL}.",
    ),
    ("no encryption|SSL off|certificate|SSL", f"Set `sslmode` and `sslrootcert`: {_URL}."),
    ("no pg_hba.conf entry", _MENDS_BY_STATE["28000"]),
    ("database .* does not exist", _MENDS_BY_STATE["3D000"]),
    ("role .* does not exist", f"Make it: `createuser ROLE`, or {_URL}."),
    ("unsupported startup parameter", "Take the parameter that it names out of AUTHY_DATABASE_URL."),
    ("translate host|resolve", f"No name server knows this host: {_URL}."),
    ("too many|remaining connection slots", _MENDS_BY_STATE["53300"]),
    ("starting up|shutting down|recovery", _MENDS_BY_STATE["57P03"]),
    ("read-only", _MENDS_BY_STATE["25006"]),
    ("refused|No such file|timeout|timed out|unreachable", f"Start the database, or {_URL}."),
)
_SQLITE_MENDS = {
    "SQLITE_FULL": "Make room on its disk.",
    "SQLITE_BUSY": "Another program holds it: end that, or try again.",
    "SQLITE_LOCKED": "Another program holds it: end that, or try again.",
    "SQLITE_NOTADB": "Name another file in AUTHY_DATABASE_URL, or bring the database back from a backup.",
    "SQLITE_CORRUPT": "Bring it back from a backup, and look at its disk.",
    "SQLITE_IOERR": "Look at its disk; network file systems are not fit for SQLite.",
}


class DatabaseTrouble(Exception):
    """A database that cannot be used.

    Attributes:
        text: what is wrong; never the URL, nor a part of a password.
        mend: what to do.
    """

    def __init__(self, text: str, mend: str) -> None:
        super().__init__(text)
        self.text = text
        self.mend = mend


def of(error: BaseException | None) -> DatabaseTrouble | None:
    """What to tell of an error; None for one that is no database's."""
    if isinstance(error, DBAPIError):
        return explain(error)
    return error if isinstance(error, DatabaseTrouble) else None


def explain(error: DBAPIError, url: str = "") -> DatabaseTrouble:
    """What the driver or the server said, for a person.

    Args:
        error: of SQLite or PostgreSQL.
        url: of the database, where it is known: SQLite does not say which file it means.
    """
    cause: Any = error.orig
    if hasattr(cause, "sqlstate"):
        return _postgres(cause)
    file = url.removeprefix("sqlite:///").partition("?")[0] if url.startswith("sqlite:///") else ""
    return _sqlite(cause, Path(file) if file else None)


@contextmanager
def explained(url: str) -> Iterator[None]:
    """Wraps what a command asks of a database.

    Args:
        url: of the database.

    Raises:
        DatabaseTrouble: in place of what the driver raised.
    """
    try:
        yield
    except DBAPIError as error:
        raise explain(error, url) from error


def _postgres(cause: Any) -> DatabaseTrouble:
    words = cause.diag.message_primary or str(cause)
    # Where one of several addresses answered, its words come last and say most.
    text = " ".join(words.replace("connection failed: ", "").split())
    mend = _MENDS_BY_STATE.get(cause.sqlstate or "", "")
    for pattern, advice in _MENDS_BY_WORDS:
        if not mend and re.search(pattern, text, re.IGNORECASE):
            mend = advice
    return DatabaseTrouble(f"PostgreSQL: {text[:_LONGEST]}", mend or f"Run `authy-grpc doctor`, or {_URL}.")


def _sqlite(cause: Any, path: Path | None) -> DatabaseTrouble:
    name = getattr(cause, "sqlite_errorname", "")
    kind = "_".join(name.split("_")[:2])
    where = str(path or "the file of AUTHY_DATABASE_URL")
    mend = _SQLITE_MENDS.get(kind) or _rights(path)
    return DatabaseTrouble(f"SQLite: {cause} ({where}).", mend)


def _rights(path: Path | None) -> str:
    with suppress(OSError):
        if path is not None and path.is_dir():
            return "It is a folder: name a file in AUTHY_DATABASE_URL."
        if path is not None and not path.parent.is_dir():
            return f"There is no folder {path.parent}: make it, or set AUTHY_HOME."
    return (
        "The user that runs this must own the file and its folder, and the disk must not be read-only:"
        " chown them, or set AUTHY_HOME to a folder of yours."
    )
