"""Explains why a command did not reach the service: nobody there, TLS against clear text, certificates."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from authy_grpc.cli.failure import Failure

_UNREACHED = ("UNAVAILABLE", "DEADLINE_EXCEEDED")
_START = "Start it with `authy-grpc serve`, or set AUTHY_SERVER."


@contextmanager
def explained(server: str, *, first: bool = True) -> Iterator[None]:
    """Looks that a command can reach the service, and wraps its calls.

    Args:
        server: where it should be.
        first: look before the calls: those of the client are tried again until their deadline.

    Raises:
        Failure: the service was not reached, with what stands in the way.
    """
    from authy_grpc.client import AuthyError
    from authy_grpc.client.connect import road
    from authy_grpc.client.diagnosis import diagnose

    path = road(server)
    if first:
        _raise_for(diagnose(path))
    kinds: tuple[type[Exception], ...] = (AuthyError, *_phone_errors())
    try:
        yield
    except kinds as error:
        code: Any = getattr(error, "code", None)
        if getattr(error, "reason", "") or code is None or code.name not in _UNREACHED:
            raise
        _raise_for(diagnose(path))
        raise


def _raise_for(found: str) -> None:
    if found:
        raise Failure(f"The service was not reached: {found}.", _START if "nobody" in found else "")


def _phone_errors() -> tuple[type[Exception], ...]:
    try:
        from authy_grpc.phone import PhoneError
    except ModuleNotFoundError:
        return ()
    return (PhoneError,)
