"""Reads JSON text: a body in UTF-8, in which nothing stands twice and nothing is deep, at a bounded cost."""

import json
import re
from typing import Any, NamedTuple

DEEPEST = 32
# Entries of a list or map where the contract says nothing smaller.
MOST_ENTRIES = 100
# The fullest request of the contract has 150 values.
_MOST_VALUES = 1_000
# So few bytes cannot cost much, and the decoder that is written in C reads them faster.
_SMALL = 2 * 1024
_LONGEST_NUMBER = 40
# No field takes a number with so many digits.
_ENDLESS_NUMBER = 400
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]{0,127}")
_SPACE = re.compile(r"[ \t\n\r]*+")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*+)(\.[0-9]++)?([eE][-+]?[0-9]++)?")
_text: Any = json.decoder.scanstring  # type: ignore[attr-defined]  # written in C


class Wrong(Exception):
    """A value that a field cannot have. The text says what it must be, never what it is."""


class Twice(dict[str, Any]):
    """An object in which a name stands twice."""

    name: str


class Parsed(NamedTuple):
    """What a body says.

    Attributes:
        value: its JSON value, as far as it was read.
        cut: why the rest was not read; empty where all was.
    """

    value: Any
    cut: str = ""


class _NotJson:
    """In place of NaN and Infinity, which JSON does not have: no field takes it."""


def parse(body: bytes) -> Parsed:
    """The JSON value of a body.

    Raises:
        Wrong: it is none, or is nested deeper than any message.
    """
    try:
        text = body.decode()
        if len(body) > _SMALL:
            return _Reader(text).read()
        value = _decode(text)
    except (ValueError, RecursionError):
        raise Wrong("must be JSON in UTF-8") from None
    # So few brackets cannot be deep, and to count them is quicker than to go down.
    if body.count(b"{") + body.count(b"[") > DEEPEST and _is_deep(value):
        raise _too_deep()
    return Parsed(value)


def shown(name: str) -> str:
    """A name as an answer may say it: what does not look like a field's may be anything."""
    return name if _NAME.fullmatch(name) else "?"


class _Reader:
    """Reads a text that may have been made to cost much: it stops at the limits, wherever they are met.

    What is read by then is whole in itself, so that the field can be named that holds too much.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._values = 0
        self._cut = ""

    def read(self) -> Parsed:
        value = self._value(0)
        if not self._cut and self._next():
            raise ValueError
        return Parsed(value, self._cut)

    def _next(self) -> str:
        """The next character that is no space; empty at the end."""
        found = _SPACE.match(self._text, self._at)
        self._at = found.end() if found is not None else self._at
        return self._text[self._at : self._at + 1]

    def _value(self, depth: int) -> Any:
        first = self._next()
        self._values += 1
        if self._values > _MOST_VALUES:
            self._cut = f"must have at most {_MOST_VALUES} values"
            return None
        if first == '"':
            value, self._at = _text(self._text, self._at + 1, True)
            return value
        if first in ("{", "["):
            if depth >= DEEPEST:
                raise _too_deep()
            self._at += 1
            return self._object(depth + 1) if first == "{" else self._list(depth + 1)
        for word, value in _WORDS.items():
            if self._text.startswith(word, self._at):
                self._at += len(word)
                return value
        return self._number()

    def _number(self) -> Any:
        found = _NUMBER.match(self._text, self._at)
        if found is None:
            raise ValueError
        self._at = found.end()
        if found.end() - found.start() > _ENDLESS_NUMBER:
            return _NotJson()
        return float(found[0]) if found[1] or found[2] else _integral(found[0])

    def _list(self, depth: int) -> list[Any]:
        values: list[Any] = []
        if self._ends("]"):
            return values
        while True:
            values.append(self._value(depth))
            if self._cut or not self._goes_on("]", len(values), "entries in a list"):
                return values

    def _object(self, depth: int) -> dict[str, Any]:
        pairs: list[tuple[str, Any]] = []
        if self._ends("}"):
            return {}
        while True:
            if self._next() != '"':
                raise ValueError
            name, self._at = _text(self._text, self._at + 1, True)
            if self._next() != ":":
                raise ValueError
            self._at += 1
            pairs.append((name, self._value(depth)))
            if self._cut or not self._goes_on("}", len(pairs), "names in an object"):
                return _object(pairs)

    def _ends(self, mark: str) -> bool:
        if self._next() != mark:
            return False
        self._at += 1
        return True

    def _goes_on(self, end: str, held: int, what: str) -> bool:
        if self._ends(end):
            return False
        if not self._ends(","):
            raise ValueError
        # One more is kept, by which the field sees that there are too many.
        if held > MOST_ENTRIES:
            self._cut = f"must have at most {MOST_ENTRIES} {what}"
        return not self._cut


def _too_deep() -> Wrong:
    return Wrong(f"must not be nested deeper than {DEEPEST}")


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


_WORDS: dict[str, Any] = {
    "true": True,
    "false": False,
    "null": None,
    "NaN": _NotJson(),
    "Infinity": _NotJson(),
    "-Infinity": _NotJson(),
}
_decode = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_integral, parse_constant=lambda _: _NotJson()
).decode
