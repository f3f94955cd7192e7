"""Hears the SQL that runs, on whichever way it reaches the driver."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine, event

_NONE = re.compile(r"(?!)")


@contextmanager
def statements(beside: re.Pattern[str] = _NONE) -> Iterator[list[str]]:
    """All statements that are run meanwhile, in any thread.

    Args:
        beside: finds those that are not kept, since they run whenever they like.
    """
    seen: list[str] = []

    def note(connection: object, cursor: object, statement: str, *rest: object) -> None:
        if not beside.search(statement):
            seen.append(re.sub(r"\s+", " ", statement))

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(Engine, "before_cursor_execute", note)
