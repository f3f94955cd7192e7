"""Decodes the scalars of proto3 JSON: what each type takes, and nothing else."""

import math
import re
import struct
from base64 import b64decode, b64encode
from collections.abc import Callable
from typing import Any

from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor

from gateway.jsontext import Wrong

Read = Callable[[Any], Any]
_KINDS = FieldDescriptor
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_WHOLE = re.compile(r"-?[0-9]{1,40}")
_LONGEST_NUMBER = 400
_URL_SAFE = str.maketrans("-_", "+/")
_NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def reader(field: FieldDescriptor, *, key: bool = False) -> Read:
    """What makes a value of a JSON value.

    Args:
        field: no message.
        key: whether it is the key of a map, which is a text whatever its type.
    """
    if field.enum_type is not None:
        return _enum(field.enum_type)
    if key and field.type == _KINDS.TYPE_BOOL:
        return _bool_text
    return _READERS[field.type]


def texts(field: FieldDescriptor) -> Read:
    """What makes the JSON value of a text in a path or query."""
    if field.type == _KINDS.TYPE_BOOL:
        return _bool_text
    if field.enum_type is not None:
        return lambda text: int(text) if _WHOLE.fullmatch(text) else text
    return as_text


def as_text(value: Any) -> str:
    """A text, of Unicode's characters alone."""
    if not isinstance(value, str):
        raise Wrong("must be a string")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise Wrong("must be a string of whole characters") from None
    return value


def _bool(value: Any) -> bool:
    if not isinstance(value, bool):
        raise Wrong("must be true or false")
    return value


def _bool_text(text: str) -> bool:
    if text not in ("true", "false"):
        raise Wrong("must be true or false")
    return text == "true"


def _number(value: Any) -> int | float | None:
    """The number of a JSON number, or of a text that looks like one."""
    if isinstance(value, str) and len(value) <= _LONGEST_NUMBER and _NUMBER.fullmatch(value):
        return int(value) if _WHOLE.fullmatch(value) else float(value)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _integer(bits: int, *, signed: bool) -> Read:
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)

    def read(value: Any) -> int:
        number = value if type(value) is int else _number(value)
        if isinstance(number, float) and number.is_integer():
            number = int(number)
        if not isinstance(number, int) or not low <= number <= high:
            raise Wrong(f"must be a whole number from {low} to {high}")
        return number

    return read


def _double(value: Any) -> float:
    if isinstance(value, str) and value in _NOT_FINITE:
        return _NOT_FINITE[value]
    number = _number(value)
    if number is None or not math.isfinite(number):
        raise Wrong("must be a number")
    return float(number)


def _float(value: Any) -> float:
    number = _double(value)
    try:
        struct.pack("<f", number)
    except OverflowError:
        raise Wrong("must be a number of 32 bits") from None
    return number


def _bytes(value: Any) -> bytes:
    """Base64 in either alphabet, padded or not, in its one spelling."""
    text = as_text(value)
    if not text.isascii():
        raise Wrong("must be base64")
    text = text.translate(_URL_SAFE)
    try:
        raw = b64decode(text + "=" * (-len(text) % 4), validate=True)
    except ValueError:
        raise Wrong("must be base64") from None
    padded = b64encode(raw).decode()
    # Python's decoder takes many spellings of the same bytes.
    if text not in (padded, padded.rstrip("=")):
        raise Wrong("must be base64")
    return raw


def _enum(kind: EnumDescriptor) -> Read:
    numbers = {name: value.number for name, value in kind.values_by_name.items()}
    whole = _integer(32, signed=True)

    def read(value: Any) -> int:
        if value is None:  # of NullValue alone
            return 0
        if isinstance(value, str):
            if value not in numbers:
                raise Wrong(f"must be a value of {kind.name}")
            return numbers[value]
        try:
            return int(whole(value))
        except Wrong:
            raise Wrong(f"must be a value of {kind.name}") from None

    return read


_READERS: dict[int, Read] = {
    _KINDS.TYPE_STRING: as_text,
    _KINDS.TYPE_BYTES: _bytes,
    _KINDS.TYPE_BOOL: _bool,
    _KINDS.TYPE_DOUBLE: _double,
    _KINDS.TYPE_FLOAT: _float,
    **dict.fromkeys((_KINDS.TYPE_INT32, _KINDS.TYPE_SINT32, _KINDS.TYPE_SFIXED32), _integer(32, signed=True)),
    **dict.fromkeys((_KINDS.TYPE_INT64, _KINDS.TYPE_SINT64, _KINDS.TYPE_SFIXED64), _integer(64, signed=True)),
    **dict.fromkeys((_KINDS.TYPE_UINT32, _KINDS.TYPE_FIXED32), _integer(32, signed=False)),
    **dict.fromkeys((_KINDS.TYPE_UINT64, _KINDS.TYPE_FIXED64), _integer(64, signed=False)),
}
