"""Owns what is taken for JSON: a body in UTF-8, in which nothing stands twice and nothing is deep."""

import json
import re
from typing import Any

DEEPEST = 32
_LONGEST_NUMBER = 40
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]{0,127}")


class Wrong(Exception):
    """A value that a field cannot have. The text says what it must be, never what it is."""


class Twice(dict[str, Any]):
    """An object in which a name stands twice."""

    name: str


class _NotJson:
    """In place of NaN and Infinity, which JSON does not have: no field takes it."""


def parse(body: bytes) -> Any:
    """The JSON value of a body.

    Raises:
        Wrong: it is none, or is nested deeper than any message.
    """
    try:
        value = _decode(body.decode())
    except (ValueError, RecursionError):
        raise Wrong("must be JSON in UTF-8") from None
    # So few brackets cannot be deep, and to count them is quicker than to go down.
    if body.count(b"{") + body.count(b"[") > DEEPEST and _is_deep(value):
        raise Wrong(f"must not be nested deeper than {DEEPEST}")
    return value


def shown(name: str) -> str:
    """A name as an answer may say it: what does not look like a field's may be anything."""
    return name if _NAME.fullmatch(name) else "?"


def _is_deep(value: Any) -> bool:
    level = [value]
    for _ in range(DEEPEST + 1):
        level = [each for each in level if isinstance(each, dict | list)]
        if not level:
            return False
        level = [inner for each in level for inner in (each.values() if isinstance(each, dict) else each)]
    return True


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    seen: set[str] = set()
    twice = Twice(found)
    twice.name = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
    return twice


def _integral(text: str) -> int | float:
    # The time that an integer takes grows with the square of its digits.
    return int(text) if len(text) <= _LONGEST_NUMBER else float(text)


_decode = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_integral, parse_constant=lambda _: _NotJson()
).decode
