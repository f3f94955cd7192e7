"""Explains why a command fails: one sentence of what is wrong, one of what to do, and no traceback."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

from rich.console import Console
from rich.text import Text

from authy_grpc.cli.oserrors import Failure, of_the_system

__all__ = ["Failure", "explain", "extra", "of_the_system", "report"]

_WAIT = "Try again later."
_PUT_OUT = "This phone was put out of its account: register anew, with another --state."
# By gRPC code or reason of `errors.proto`.
_MENDS = {
    "UNAVAILABLE": "Is the service running there? Start it with `authy-grpc serve`, or set AUTHY_SERVER.",
    "DEADLINE_EXCEEDED": "The service was reached and did not answer in time; see its log.",
    "BACKEND": "The service runs without its database or keyset; see its log, or run `authy-grpc doctor`.",
    "INTERNAL": "A fault of the service: find the request id in its log.",
    "RATE_LIMITED": _WAIT,
    "USER_LOCKED": _WAIT,
    "DEVICE_HELD": "Approve it on another device of the account: `authy-grpc phone devices`.",
    "CODE_REJECTED": "Ask for another code by running the command again.",
}

# The extras of what is imported where it is first needed.
_IMPORTED_LATE = {"alembic": "server", "psycopg": "postgres"}
# Errors whose own text says what is wrong, and what to do where they do not.
_SAY_IT = {
    "HomeError": "",
    "SchemaError": "",
    "KeysetError": "",
    "ListenError": "",
    "TargetError": "Set AUTHY_SERVER; see Addresses and TLS in docs/operations.md.",
    "CertificateError": "See Addresses and TLS in docs/operations.md.",
}


@contextmanager
def extra(name: str) -> Iterator[None]:
    """Wraps the imports of a command.

    Args:
        name: the extra that brings what they need.

    Raises:
        Failure: it is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "authy_grpc").partition(".")[0] == "authy_grpc":
            raise
        raise _missing(error, name) from error


def explain(error: Exception) -> Failure | None:
    """What to tell of an error; None for one that nobody expects, which deserves its traceback."""
    if isinstance(error, Failure):
        return error
    if isinstance(error, ModuleNotFoundError) and error.name in _IMPORTED_LATE:
        return _missing(error, _IMPORTED_LATE[error.name])
    # By name: to import each class would cost each command a second.
    name = type(error).__name__
    if name in _SAY_IT:
        return Failure(str(error), getattr(error, "mend", "") or _SAY_IT[name])
    match name:
        case "ValidationError":
            return _bad_settings(error)
        case "DatabaseTrouble" | "BackendUnavailable":
            return _database(error)
        case "UnicodeEncodeError" if getattr(error, "encoding", "") == "utf-8":
            return Failure("An argument is no text in UTF-8.", "Type it in a terminal that speaks UTF-8.")
        case "PhoneError":
            return _refused(error, {"BAD_CREDENTIAL": _PUT_OUT})
    if isinstance(error, OSError):
        return of_the_system(error)
    kinds = {kind.__name__ for kind in type(error).__mro__}
    by_kind = {"AuthyError": _refused, "DBAPIError": _database}
    return next((tell(error) for kind, tell in by_kind.items() if kind in kinds), None)


def report(failure: Failure) -> None:
    """Writes a failure to stderr."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print(Text.assemble(("error: ", "bold red"), failure.text))
    if failure.mend:
        console.print(Text.assemble(("  try: ", "bold"), failure.mend))


def _database(error: Any) -> Failure:
    from authy_grpc.store import trouble

    found = trouble.of(error) or trouble.of(error.__cause__)
    if found is not None:
        return Failure(found.text, found.mend)
    return Failure("The database did not answer in time.", "Run `authy-grpc doctor`.")


def _missing(error: ModuleNotFoundError, name: str) -> Failure:
    return Failure(f"This command needs {error.name}.", f"pip install '.[{name}]' in a clone of authy-grpc.")


def _bad_settings(error: Any) -> Failure:
    # Without the values: they may be secrets.
    faults = []
    for fault in error.errors(include_input=False, include_url=False):
        name = f"AUTHY_{fault['loc'][0]}: ".upper() if fault["loc"] else ""
        faults.append(name + fault["msg"].removeprefix("Value error, "))
    return Failure("; ".join(faults), "The settings stand in docs/operations.md.")


def _refused(error: Any, more: Mapping[str, str] = MappingProxyType({})) -> Failure:
    code = error.code.name if error.code is not None else ""
    mends = {**_MENDS, **more}
    mend = mends.get(error.reason or code, "")
    if error.retry_delay is not None and mend == _WAIT:
        mend = f"Try again in {round(error.retry_delay.total_seconds())} s."
    return Failure(str(error), mend)
