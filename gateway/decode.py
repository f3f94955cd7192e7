"""Decodes messages from proto3 JSON: a decoder for each kind of message, made once.

What is wrong is told by the field's path and what it must be, never by its value: it may be a secret.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from gateway.comments import comments
from gateway.errors import MOST
from gateway.jsontext import MOST_ENTRIES, Twice, Wrong, shown
from gateway.scalars import Read, as_text, reader, texts

Found = list[tuple[str, str]]
# Fills a message from JSON. What is wrong inside goes to the list; Wrong is of the message itself.
Fill = Callable[[Any, Any, str, Found], None]
_HUMP = re.compile(r"[A-Z]")
_AT_MOST = re.compile(r"At most ([0-9]+)[;.,]")
# The longest time or span has 30 characters, the longest path of a field fewer than 64.
_LONGEST_FORM = _LONGEST_PATH = 64
_STRUCTURED = ("Struct", "Value", "ListValue", "Any", "Empty")
_WRAPPERS = (
    "DoubleValue", "FloatValue", "Int64Value", "UInt64Value", "Int32Value", "UInt32Value", "BoolValue",
    "StringValue", "BytesValue",
)  # fmt: skip


@dataclass(frozen=True)
class Field:
    """One field, as JSON and a query set it.

    Attributes:
        name: in the contract.
        oneof: the oneof that it is in; empty where in none.
        read: makes a value of a JSON value: of one element, or of what a map holds.
        fill: fills the message that it holds; None where it holds values.
        key: makes a map's key of its text; None for what is no map.
        repeated: whether it is a list or a map.
        most: how many entries it has at most.
        presence: whether unset is not the same as its default.
        null: whether `null` is a value of it.
        text: makes the JSON value of a text in a query; None for what one text cannot say.
        inner: the kind of the message that it holds, where a query may name its fields.
    """

    name: str
    oneof: str
    read: Read
    fill: Fill | None
    key: Read | None
    repeated: bool
    most: int
    presence: bool
    null: bool
    text: Read | None
    inner: Descriptor | None

    def put(self, owner: Any, value: Any, path: str, found: Found) -> None:
        """Set the field of a message from JSON; lists grow."""
        if value is None and not self.null:
            return
        if self.oneof and owner.WhichOneof(self.oneof) not in (None, self.name):
            found.append((path, f"must not stand beside another field of {self.oneof}"))
            return
        try:
            if self.key is not None:
                self._put_map(owner, value, path, found)
            elif self.repeated:
                self._put_list(owner, value, path, found)
            elif self.fill is None:
                setattr(owner, self.name, self.read(value))
            else:
                inner = getattr(owner, self.name)
                inner.SetInParent()
                self.fill(value, inner, path, found)
        except Wrong as wrong:
            found.append((path, str(wrong)))

    def _put_list(self, owner: Any, value: Any, path: str, found: Found) -> None:
        if not isinstance(value, list):
            raise Wrong("must be a list")
        held = getattr(owner, self.name)
        self._check_size(len(held) + len(value))
        for index, each in enumerate(value):
            if len(found) >= MOST:
                return
            inside = f"{path}[{index}]"
            try:
                if each is None and not self.null:
                    raise Wrong("must not be null")
                if self.fill is None:
                    held.append(self.read(each))
                else:
                    self.fill(each, held.add(), inside, found)
            except Wrong as wrong:
                found.append((inside, str(wrong)))

    def _put_map(self, owner: Any, value: Any, path: str, found: Found) -> None:
        if not isinstance(value, dict):
            raise Wrong("must be an object")
        if isinstance(value, Twice):
            raise Wrong("must not have the same key twice")
        held = getattr(owner, self.name)
        self._check_size(len(value))
        for text, each in value.items():
            if len(found) >= MOST:
                return
            try:
                if each is None and not self.null:
                    raise Wrong("must not hold null")
                key = self.key(text) if self.key is not None else text
                if self.fill is None:
                    held[key] = self.read(each)
                else:
                    self.fill(each, held[key], f"{path}[{shown(text)}]", found)
            except Wrong as wrong:
                found.append((f"{path}[{shown(text)}]", str(wrong)))

    def _check_size(self, entries: int) -> None:
        if entries > self.most:
            raise Wrong(f"must have at most {self.most} entries")


class Decoder:
    """One kind of message: its fields, by both of their spellings."""

    def __init__(self) -> None:
        # Filled in after it is known by name, since a message may hold its own kind.
        self.fields: dict[str, Field] = {}

    def __call__(self, value: Any, message: Any, path: str, found: Found) -> None:
        """Fill a message from a JSON object.

        Args:
            value: the JSON value.
            message: an empty one, or one whose fields are kept.
            path: of the message, for what is told; empty for the request itself.
            found: what is wrong goes there.
        """
        if not isinstance(value, dict):
            raise Wrong("must be an object")
        prefix = f"{path}." if path else ""
        if isinstance(value, Twice):
            found.append((prefix + shown(value.name), "must not stand twice"))
            return
        seen: set[str] = set()
        for name, each in value.items():
            if len(found) >= MOST:
                return
            field = self.fields.get(name)
            if field is None:
                found.append((prefix + shown(name), "is not a field of this call"))
            elif field.name in seen:
                found.append((prefix + field.name, "must not stand twice"))
            else:
                seen.add(field.name)
                field.put(message, each, prefix + field.name, found)


def decoder(kind: Descriptor) -> Decoder:
    """What reads one kind of message."""
    known = _made.get(kind.full_name)
    if known is None:
        known = _made[kind.full_name] = Decoder()
        for field in kind.fields:
            known.fields[field.name] = known.fields[field.json_name] = _field(field)
    return known


_made: dict[str, Decoder] = {}


def _field(field: FieldDescriptor) -> Field:
    kind, key = field.message_type, None
    held = field
    if kind is not None and kind.GetOptions().map_entry:
        key, held = reader(kind.fields_by_name["key"], key=True), kind.fields_by_name["value"]
    fill = _fill(held)
    oneof = field.containing_oneof
    plain = held.message_type if fill is not None and not _well_known(held.message_type) else None
    return Field(
        name=field.name,
        oneof="" if oneof is None or oneof.name.startswith("_") else oneof.name,
        read=as_text if fill is not None else reader(held),
        fill=fill,
        key=key,
        repeated=bool(field.is_repeated),
        most=_most(field),
        presence=bool(field.has_presence),
        null=_takes_null(held),
        text=None if key is not None else _text(held),
        inner=plain if key is None and not field.is_repeated else None,
    )


def _most(field: FieldDescriptor) -> int:
    """How many entries the contract's comment allows."""
    found = _AT_MOST.search(comments().get(field.full_name, "")) if field.is_repeated else None
    return int(found[1]) if found is not None else MOST_ENTRIES


def _well_known(kind: Descriptor | None) -> str:
    """The name of a well-known type; empty for all else."""
    if kind is None or kind.file.package != "google.protobuf":
        return ""
    return str(kind.name)


def _takes_null(field: FieldDescriptor) -> bool:
    if field.enum_type is not None:
        return field.enum_type.full_name == "google.protobuf.NullValue"
    return _well_known(field.message_type) == "Value"


def _text(field: FieldDescriptor) -> Read | None:
    if field.message_type is None:
        return texts(field)
    name = _well_known(field.message_type)
    if name in _WRAPPERS:
        return texts(field.message_type.fields_by_name["value"])
    return as_text if name in _BY_TEXT else None


def _fill(field: FieldDescriptor) -> Fill | None:
    if field.message_type is None:
        return None
    name = _well_known(field.message_type)
    if name in _BY_TEXT:
        return _BY_TEXT[name]
    if name in _WRAPPERS:
        return _wrapper(reader(field.message_type.fields_by_name["value"]))
    if name in _STRUCTURED:
        return _structured
    return decoder(field.message_type)


def _wrapper(read: Read) -> Fill:
    def fill(value: Any, message: Any, path: str, found: Found) -> None:
        message.value = read(value)

    return fill


def _structured(value: Any, message: Any, path: str, found: Found) -> None:
    try:
        json_format.ParseDict(value, message)
    except (json_format.Error, ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
        raise Wrong(f"must be the JSON of a google.protobuf.{message.DESCRIPTOR.name}") from None


def _from_text(form: str) -> Fill:
    def fill(value: Any, message: Any, path: str, found: Found) -> None:
        text = as_text(value)
        try:
            if len(text) > _LONGEST_FORM:
                raise ValueError
            message.FromJsonString(text)
        except (ArithmeticError, ValueError):
            raise Wrong(f"must be {form}") from None

    return fill


def _mask(value: Any, message: Any, path: str, found: Found) -> None:
    """Paths with commas between, each in either spelling."""
    paths = as_text(value).split(",", MOST_ENTRIES) if value != "" else []
    if len(paths) > MOST_ENTRIES:
        raise Wrong(f"must have at most {MOST_ENTRIES} paths")
    if any(len(each) > _LONGEST_PATH for each in paths):
        raise Wrong(f"must have paths of at most {_LONGEST_PATH} characters")
    message.paths.extend(_HUMP.sub(lambda hump: "_" + hump[0].lower(), each) for each in paths)


_BY_TEXT: Mapping[str, Fill] = {
    "Timestamp": _from_text("a time such as 2026-01-31T12:00:00Z"),
    "Duration": _from_text("a span such as 90s or 1.5s"),
    "FieldMask": _mask,
}
