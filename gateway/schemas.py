"""JSON Schemas of messages: of answers as `gateway.encode` writes them, of requests as it is best asked.

`gateway.decode` takes more than is said here: both spellings of a name, null for what is unset, numbers as
texts.
"""

from collections.abc import Mapping
from itertools import combinations

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

from gateway import limits

Schema = limits.Schema
_KINDS = FieldDescriptor
_REFERENCE = "#/components/schemas/"
_FLOAT: Schema = {"anyOf": [{"type": "number"}, {"enum": ["NaN", "Infinity", "-Infinity"]}]}
_ANY: Schema = {
    "type": "object",
    "properties": {"@type": {"type": "string"}},
    "required": ["@type"],
    "additionalProperties": True,
}
_WELL_KNOWN: Mapping[str, Schema] = {
    "Timestamp": {"type": "string", "format": "date-time"},
    "Duration": {
        "type": "string",
        "pattern": r"^-?[0-9]{1,12}(\.[0-9]{1,9})?s$",
        "examples": ["90s", "1.5s"],
    },
    "FieldMask": {"type": "string", "examples": ["name,logo"]},
    "Struct": {"type": "object"},
    "Value": {},
    "ListValue": {"type": "array"},
    "Empty": {"type": "object"},
    "Any": _ANY,
}
_SCALARS: Mapping[int, Schema] = {
    _KINDS.TYPE_STRING: {"type": "string"},
    _KINDS.TYPE_BYTES: {"type": "string", "contentEncoding": "base64"},
    _KINDS.TYPE_BOOL: {"type": "boolean"},
    _KINDS.TYPE_DOUBLE: _FLOAT,
    _KINDS.TYPE_FLOAT: _FLOAT,
}
_WIDTHS: Mapping[int, tuple[int, bool]] = {
    **dict.fromkeys((_KINDS.TYPE_INT32, _KINDS.TYPE_SINT32, _KINDS.TYPE_SFIXED32), (32, True)),
    **dict.fromkeys((_KINDS.TYPE_INT64, _KINDS.TYPE_SINT64, _KINDS.TYPE_SFIXED64), (64, True)),
    **dict.fromkeys((_KINDS.TYPE_UINT32, _KINDS.TYPE_FIXED32), (32, False)),
    **dict.fromkeys((_KINDS.TYPE_UINT64, _KINDS.TYPE_FIXED64), (64, False)),
}


class Schemas:
    """Schemas, each made once and kept by its name.

    Args:
        comments: by full name; they become descriptions.

    Attributes:
        made: the schemas by name.
    """

    def __init__(self, comments: Mapping[str, str]) -> None:
        self.made: dict[str, Schema] = {}
        self._comments = comments

    def answer(self, kind: Descriptor) -> Schema:
        """What refers to the schema of a message on its way out: fields without presence are always there."""
        return self._message(kind, asked=False)

    def body(self, kind: Descriptor, without: frozenset[str]) -> Schema:
        """What refers to the schema of a message on its way in.

        Args:
            kind: of message.
            without: fields that stand elsewhere, by name.
        """
        if not without:
            return self._message(kind, asked=True)
        found, name, number = self._object(kind, asked=True, without=without), _name(kind, asked=True), 1
        while self.made.setdefault(name, found) != found:
            number += 1
            name = f"{_name(kind, asked=True)}{number}"
        return {"$ref": _REFERENCE + name}

    def field(self, field: FieldDescriptor, *, asked: bool) -> Schema:
        """The schema of a field: a list or map where it is one, its comment as description."""
        kind = field.message_type
        if kind is not None and kind.GetOptions().map_entry:
            value = kind.fields_by_name["value"]
            found: Schema = {"type": "object", "additionalProperties": self._one(value, field, asked=asked)}
            found |= limits.of_map(field) if asked else {}
        elif field.is_repeated:
            found = {"type": "array", "items": self._one(field, field, asked=asked)}
            found |= limits.of_list(field) if asked else {}
        else:
            found = self._one(field, field, asked=asked)
        told = [self._comments.get(field.full_name, ""), limits.in_words(field) if asked else ""]
        return found | _described(" ".join(each for each in told if each))

    def enum(self, kind: EnumDescriptor) -> Schema:
        """What refers to the schema of an enum: its names."""
        if kind.full_name == "google.protobuf.NullValue":
            return {"type": "null"}
        name = kind.full_name.removeprefix(f"{kind.file.package}.")
        if name not in self.made:
            names = [each.name for each in kind.values]
            told = {each: self._comments.get(f"{kind.full_name}.{each}", "") for each in names}
            lines = [f"- `{value}`: {text}" for value, text in told.items() if text]
            text = "\n".join([self._comments.get(kind.full_name, ""), "", *lines]).strip()
            self.made[name] = {"type": "string", "enum": names} | _described(text)
        return {"$ref": _REFERENCE + name}

    def _one(self, field: FieldDescriptor, limited: FieldDescriptor, *, asked: bool) -> Schema:
        """The schema of one value of a field, whose limits stand at `limited`."""
        if field.message_type is not None:
            return self._message(field.message_type, asked=asked)
        if field.enum_type is not None:
            named = self.enum(field.enum_type)
            return {"anyOf": [named, {"type": "integer"}]} if asked and "$ref" in named else named
        whole = field.type in _WIDTHS
        found = _integer(*_WIDTHS[field.type], asked=asked) if whole else _SCALARS[field.type]
        return found | (limits.of_value(field, limited) if asked else {})

    def _message(self, kind: Descriptor, *, asked: bool) -> Schema:
        if kind.file.package == "google.protobuf":
            known = _WELL_KNOWN.get(kind.name)
            if known is not None:
                return dict(known)
            value = kind.fields_by_name["value"]
            return self._one(value, value, asked=asked)
        name = _name(kind, asked=asked)
        if name not in self.made:
            # It may hold its own kind, which then refers to it.
            self.made[name] = {}
            self.made[name] = self._object(kind, asked=asked)
        return {"$ref": _REFERENCE + name}

    def _object(self, kind: Descriptor, *, asked: bool, without: frozenset[str] = frozenset()) -> Schema:
        held = [field for field in kind.fields if field.name not in without]
        found: Schema = {
            "type": "object",
            "properties": {field.json_name: self.field(field, asked=asked) for field in held},
            **self._described(kind.full_name),
        }
        if asked:
            must = [field.json_name for field in held if limits.is_required(field)]
            # Of what is no request itself, an update may leave out all that it does not change.
            needed = {"required": must} if must and kind.name.endswith("Request") else {}
            return found | {"additionalProperties": False} | needed | _choices(kind, held)
        always = [field.json_name for field in held if not field.has_presence]
        return found | ({"required": always} if always else {})

    def _described(self, full_name: str) -> Schema:
        return _described(self._comments.get(full_name, ""))


def _described(text: str) -> Schema:
    return {"description": text} if text else {}


def _name(kind: Descriptor, *, asked: bool) -> str:
    name: str = kind.full_name.removeprefix(f"{kind.file.package}.")
    return f"{name}Input" if asked and not name.endswith("Request") else name


def _integer(bits: int, signed: bool, *, asked: bool) -> Schema:
    if bits == 64:
        pattern = "^-?[0-9]{1,19}$" if signed else "^[0-9]{1,20}$"
        kinds = ["string", "integer"] if asked else "string"
        return {"type": kinds, "format": "int64" if signed else "uint64", "pattern": pattern}
    low, high = (-(2**31), 2**31 - 1) if signed else (0, 2**32 - 1)
    return {"type": "integer", "format": "int32" if signed else "uint32", "minimum": low, "maximum": high}


def _choices(kind: Descriptor, held: list[FieldDescriptor]) -> Schema:
    """Says that of a oneof at most one field is there."""
    pairs = [
        {"required": list(pair)}
        for oneof in kind.oneofs
        for pair in combinations([each.json_name for each in oneof.fields if each in held], 2)
    ]
    return {"not": pairs[0] if len(pairs) == 1 else {"anyOf": pairs}} if pairs else {}
