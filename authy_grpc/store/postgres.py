"""Connects to PostgreSQL by a URL as libpq takes it: several hosts, poolers in between, readable refusals."""

import re
from typing import TYPE_CHECKING, Any

from authy_grpc.store.trouble import DatabaseTrouble

if TYPE_CHECKING:
    import psycopg

    from authy_grpc.store import pipeline

_PREFIX = re.compile(r"(postgresql\+psycopg|postgresql|postgres)://")
# One `@` at most, and no `/` before it: libpq would take a part of a password for a host, and say it.
_REST = re.compile(r"([^:@/]*(:[^@/]*)?@)?(?P<hosts>[^/?@#]*)(/[^?@/#]*)?(\?(?P<query>[^@#]*))?")
_HOST = re.compile(r"([^:\[\]]*|\[[0-9a-fA-F:.%]+\])(:\d{0,5})?")
_NAME = re.compile(r"[a-z_]{1,40}")
_ESCAPES = "in a user or password write @ as %40, : as %3A, / as %2F, ? as %3F, # as %23 and % as %25"
# A server that has gone without a word is noticed in seconds; the kernel's own defaults take hours.
_DEFAULTS = {
    "connect_timeout": "3",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "8000",
}


def is_postgres(url: str) -> bool:
    """Whether a URL names PostgreSQL."""
    return _PREFIX.match(url) is not None


def plain(url: str) -> str:
    """The URL as psycopg itself takes it."""
    return _PREFIX.sub("postgresql://", url, count=1)


def parameters(url: str, setting: str = "AUTHY_DATABASE_URL") -> dict[str, Any]:
    """What libpq is given to connect: the URL's own parameters, and our defaults.

    Several hosts are searched for the one that can be written, unless the URL has `target_session_attrs`.

    Args:
        url: `postgresql://…`.
        setting: where it comes from, for what is said.

    Raises:
        DatabaseTrouble: it cannot be read. The text has no part of it but names of parameters.
    """
    # The driver is an extra: only servers on PostgreSQL need it.
    from psycopg import ProgrammingError
    from psycopg.conninfo import conninfo_to_dict

    rest = plain(url).removeprefix("postgresql://")
    found = _REST.fullmatch(rest)
    if found is None or not all(_HOST.fullmatch(host) for host in found["hosts"].split(",")):
        raise _unreadable(setting)
    _refuse_unknown(found["query"] or "", setting)
    try:
        given = conninfo_to_dict(f"postgresql://{rest}")
    except ProgrammingError:
        raise _unreadable(setting) from None
    if "," in str(given.get("host", "")) + str(given.get("hostaddr", "")):
        given.setdefault("target_session_attrs", "read-write")
    return {**_DEFAULTS, **given, "client_encoding": "UTF8"}


def open_connection(given: dict[str, Any], kind: "type[pipeline.Connection]") -> "pipeline.Connection":
    """A connection for SQLAlchemy, which begins transactions itself.

    Args:
        given: as `parameters` answers it.
        kind: of the connection.

    Raises:
        DatabaseTrouble: the database's encoding is not UTF8.
    """
    # Transactions begin by a statement that sets their limits, too: startup parameters a pooler would refuse.
    connection = kind.connect("", **given, autocommit=True)
    try:
        encoding = connection.info.parameter_status("server_encoding")
        if encoding != "UTF8":
            raise DatabaseTrouble(
                f"The database's encoding is {encoding}, and only UTF8 is served.",
                "Make another: `createdb --encoding UTF8 --template template0 NAME`.",
            )
        if is_pooled(connection):
            # The next transaction may get a connection that does not know what this one has prepared.
            connection.prepare_threshold = None
            connection.pooled = True
    except BaseException:
        connection.close()
        raise
    return connection


def is_pooled(connection: "psycopg.Connection[Any]") -> bool:
    """Whether a pooler stands in between: it tells a process of its own making, not the server's."""
    row = connection.execute("SELECT pg_backend_pid()").fetchone()
    return row is None or row[0] != connection.info.backend_pid


def _refuse_unknown(query: str, setting: str) -> None:
    from psycopg.pq import Conninfo

    # `ssl=true` is JDBC's, which libpq understands.
    known = {option.keyword.decode() for option in Conninfo.get_defaults()} | {"ssl"}
    names = [each.partition("=")[0] for each in query.split("&") if each]
    unknown = [name for name in names if name not in known]
    if not unknown:
        return
    if not all(_NAME.fullmatch(name) for name in unknown):
        raise _unreadable(setting)
    raise DatabaseTrouble(
        f"{setting} has parameters that PostgreSQL's driver does not know: {', '.join(unknown)}.",
        "Take them out; those that it knows are libpq's, such as sslmode.",
    )


def _unreadable(setting: str) -> DatabaseTrouble:
    return DatabaseTrouble(
        f"{setting} cannot be read as a URL of PostgreSQL.",
        f"postgresql://USER:PASSWORD@HOST:PORT/NAME; {_ESCAPES}.",
    )
