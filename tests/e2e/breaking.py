"""Owns stand-ins for services, whose every method fails with all that it was told in the text."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from tests.harness import Service

SECRET = "+4915112345678 +canary+ 271828"


class Fault(Exception):
    """What nobody has foreseen."""


class Broken:
    """Fails at once."""

    def __getattr__(self, name: str) -> Any:
        return fail


class Breaking:
    """Fails on the way of a stream."""

    def __getattr__(self, name: str) -> Any:
        return fail_later


def fail(*asked: Any, **more: Any) -> NoReturn:
    """Raise, with other exceptions behind it."""
    local = SECRET
    try:
        raise ValueError(f"{local} {asked} {more}")
    except ValueError as error:
        raise Fault(f"{SECRET} {asked} {more}") from ExceptionGroup(SECRET, [error])


async def fail_later(*asked: Any) -> AsyncIterator[Any]:
    """Raise where the first item is due."""
    await asyncio.sleep(0)
    fail(*asked)
    yield


@contextmanager
def broken(service: Service, stand_in: Any) -> Iterator[None]:
    """Put something else into the place of all that the servicers call."""
    servicers = [registered.servicer for registered in service.core.server._services]
    whole = [dict(vars(servicer)) for servicer in servicers]
    for servicer in servicers:
        for name in set(vars(servicer)) - {"_streams"}:
            setattr(servicer, name, stand_in)
    try:
        yield
    finally:
        for servicer, attributes in zip(servicers, whole, strict=True):
            vars(servicer).update(attributes)
