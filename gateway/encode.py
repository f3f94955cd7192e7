"""Encodes messages as proto3 JSON: an encoder for each kind of message, made once.

It writes what `json_format.MessageToDict(always_print_fields_with_no_presence=True)` writes, many times
faster.
"""

import json
import math
import struct
from base64 import b64encode
from collections.abc import Callable
from typing import Any

from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

Read = Callable[[Any], Any]
_PLAIN, _PRESENT, _LIST, _MAP = range(4)
_LONG = {
    FieldDescriptor.TYPE_INT64, FieldDescriptor.TYPE_UINT64, FieldDescriptor.TYPE_SINT64,
    FieldDescriptor.TYPE_FIXED64, FieldDescriptor.TYPE_SFIXED64,
}  # fmt: skip
_as_text = json.JSONEncoder(
    ensure_ascii=False, separators=(",", ":"), check_circular=False, allow_nan=False
).encode


def dump(value: Any) -> bytes:
    """A value as JSON, in one line."""
    return _as_text(value).encode()


def encoder(kind: Descriptor) -> Read:
    """What makes JSON values of one kind of message."""
    found = _made.get(kind.full_name)
    if found is None:
        if kind.full_name.startswith("google.protobuf.") and kind.file.package == "google.protobuf":
            found = _made[kind.full_name] = _WELL_KNOWN.get(kind.full_name, _structured)
        else:
            own = _Encoder()
            found = _made[kind.full_name] = own
            own.steps = [_step(each) for each in kind.fields]
    return found


class _Encoder:
    """The fields of one kind of message: name, key in JSON, how it is held, how a value is written."""

    def __init__(self) -> None:
        # Filled in after it is known by name, since a message may hold its own kind.
        self.steps: list[tuple[str, str, int, Read | None]] = []

    def __call__(self, message: Any) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, key, held, write in self.steps:
            if held == _PLAIN:
                value = getattr(message, name)
                found[key] = write(value) if write else value
            elif held == _PRESENT:
                if message.HasField(name):
                    value = getattr(message, name)
                    found[key] = write(value) if write else value
            elif held == _LIST:
                found[key] = [write(each) if write else each for each in getattr(message, name)]
            else:
                # No encoder is made for the entries of a map without what writes a value.
                found[key] = {
                    _key(each): write(value) if write else value
                    for each, value in getattr(message, name).items()
                }
        return found


def _step(field: FieldDescriptor) -> tuple[str, str, int, Read | None]:
    name, key, kind = field.name, field.json_name, field.message_type
    if kind is not None and kind.GetOptions().map_entry:
        return name, key, _MAP, writer(kind.fields_by_name["value"])
    if field.is_repeated:
        return name, key, _LIST, writer(field)
    return name, key, _PRESENT if field.has_presence else _PLAIN, writer(field)


def writer(field: FieldDescriptor) -> Read | None:
    """What makes a JSON value of one value of a field; None where it is one already."""
    if field.message_type is not None:
        return encoder(field.message_type)
    if field.enum_type is not None:
        return _enum(field.enum_type)
    if field.type in _LONG:
        return str
    return _SCALARS.get(field.type)


def _enum(kind: EnumDescriptor) -> Read:
    if kind.full_name == "google.protobuf.NullValue":
        return lambda _: None
    names = {number: value.name for number, value in kind.values_by_number.items()}
    return lambda number: names.get(number, number)


def _bytes(value: bytes) -> str:
    return b64encode(value).decode()


def _double(value: float) -> float | str:
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _float(value: float) -> float | str:
    """The shortest number that is the same in 32 bits."""
    if not math.isfinite(value):
        return _double(value)
    for digits in range(6, 9):
        short = float(f"{value:.{digits}g}")
        try:
            if struct.pack("<f", short) == struct.pack("<f", value):
                return short
        except OverflowError:  # it was rounded beyond the largest
            continue
    return float(f"{value:.9g}")


def _key(key: Any) -> str:
    return str(key).lower() if isinstance(key, bool) else str(key)


def _time(message: Any) -> str:
    text: str = message.ToJsonString()
    return text


def _structured(message: Any) -> Any:
    """Struct, Any, a wrapper: protobuf's own way, which few messages pay for."""
    return json_format.MessageToDict(message, always_print_fields_with_no_presence=True)


_WELL_KNOWN: dict[str, Read] = {
    f"google.protobuf.{name}": _time for name in ("Timestamp", "Duration", "FieldMask")
}
_SCALARS: dict[int, Read] = {
    FieldDescriptor.TYPE_BYTES: _bytes,
    FieldDescriptor.TYPE_DOUBLE: _double,
    FieldDescriptor.TYPE_FLOAT: _float,
}
_made: dict[str, Read] = {}
