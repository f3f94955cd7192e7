"""Generates the bodies and queries that cost most, for every route: each field, filled by each trick."""

import json
from collections.abc import Iterator
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from gateway.body import MOST_ADDRESS, MOST_BODY
from gateway.routes import Route

_MARK = '"HERE"'
# What is repeated until the body is full: before, between, after.
_TRICKS: dict[str, tuple[str, str, str]] = {
    "empty objects": ("[", "{},", "{}]"),
    "empty lists": ("[", "[],", "[]]"),
    "nulls": ("[", "null,", "null]"),
    "numbers in a list": ("[", "1,", "1]"),
    "empty texts": ("[", '"",', '""]'),
    "texts": ("[", '"user.created",', '"a"]'),
    "pairs": ("[", '{"label":"a","value":"b"},', "{}]"),
    "unknown names": ("[", '{"zz":1},', "{}]"),
    "one name": ("{", '"a":1,', '"a":1}'),
    "deep lists": ("", "[", ""),
    "deep objects": ("", '{"a":', "1"),
    "lists in lists": ("[", "[[],[]],", "[]]"),
    "escaped text": ('"', "\\u0041", '"'),
    "text of two units": ('"', "\\ud83d\\ude00", '"'),
    "quotes": ('"', '\\"', '"'),
    "wide text": ('"', "\u00e9", '"'),
    "commas": ('"', "a,", '"'),
    "humps": ('"', "A", '"'),
    "digits": ("1", "9", "9"),
    "digits in a text": ('"', "9", '"'),
    "fraction": ("0.", "1", "1"),
    "exponent": ("1e", "9", "9"),
    "base64": ('"', "AAAA", '"'),
    "spaces": ("[", " ", "]"),
    "a time": ('"2026-01-01T00:00:00.', "0", 'Z"'),
}


def bodies(route: Route, size: int = MOST_BODY) -> Iterator[tuple[str, bytes]]:
    """What each trick makes of each place of a route's body, with a name.

    Args:
        route: whose body it is.
        size: bytes of each.
    """
    for place in _places(route):
        frame = json.dumps(place)
        before, _, after = frame.partition(_MARK)
        room = size - len(frame)
        for name, (begin, piece, end) in _TRICKS.items():
            left = room - len((begin + end).encode())
            body = before + begin + piece * (left // len(piece.encode())) + end + after
            yield f"{name} at {frame}", body.encode()
        names = "".join(f'"x{number}":1,' for number in range(room // 12))
        yield f"many names at {frame}", f'{before}{{{names}"x":1}}{after}'.encode()[:size]


def queries(route: Route) -> Iterator[tuple[str, str]]:
    """Queries as long as an address may be, of every field."""
    for name in [*(field.name for field in route.rpc.input_type.fields), "update_mask", "x", "a.b"]:
        for piece in ("a,", "9", "%41", "a%2C", "."):
            left = MOST_ADDRESS - len(name) - 1
            yield f"{piece} in {name}", f"{name}={piece * (left // len(piece))}"
        pair = f"{name}=a&"
        yield f"{name} many times", pair * (MOST_ADDRESS // len(pair))
    yield "unknown names", "".join(f"x{number}&" for number in range(MOST_ADDRESS // 6))
    yield "dots", "a." * (MOST_ADDRESS // 2) + "=1"


def _places(route: Route) -> Iterator[Any]:
    """A body with a mark in place of itself, of each field, and of each field inside of these."""
    kind = route.rpc.input_type
    if route.body != "*":
        inner = kind.fields_by_name[route.body].message_type
        if inner is None:
            return
        kind = inner
    yield "HERE"
    yield {"nothing": "HERE"}
    yield from _fields(kind, 2)


def _fields(kind: Descriptor, depth: int) -> Iterator[Any]:
    for field in kind.fields:
        yield {field.json_name: "HERE"}
        inner = field.message_type
        if inner is None or depth == 0 or inner.file.package == "google.protobuf":
            continue
        for place in _fields(inner, depth - 1):
            yield {field.json_name: _held(field, place)}


def _held(field: FieldDescriptor, place: Any) -> Any:
    kind = field.message_type
    if kind is not None and kind.GetOptions().map_entry:
        return {"a": "HERE"}
    return [place] * 20 if field.is_repeated else place
