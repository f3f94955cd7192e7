"""Makes JSON Schema keywords and words of the limits of fields, as the options of the contract have them."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.descriptor_pb2 import FieldOptions

from authy_grpc.v1 import options_pb2
from gateway.jsontext import MOST_ENTRIES

Schema = dict[str, Any]
# Where nothing else is said, see options.proto.
_CHARS, _ITEMS = 256, MOST_ENTRIES

_WORDS: tuple[tuple[Any, str], ...] = (
    (options_pb2.unsupported, "Not served yet: leave it unset."),
    (options_pb2.text, "Nothing in it that cannot be seen."),
    (options_pb2.exact_bytes, "{} bytes."),
    (options_pb2.max_bytes, "At most {} bytes."),
    (options_pb2.capped_at, "What is more than {0} counts for {0}."),
)
_FORMATS: Mapping[int, str] = {
    options_pb2.FORMAT_ORIGIN: "An origin such as `https://example.com`, in lower case and without a path.",
    options_pb2.FORMAT_PNG: "A PNG image.",
}


def of_value(value: FieldDescriptor, limited: FieldDescriptor) -> Schema:
    """The keywords of one value: of a list's entry, of a map's value.

    Args:
        value: what it is.
        limited: the field that has the options: the map, of its value.
    """
    make = _BY_TYPE.get(value.type)
    return make(limited.GetOptions()) if make else {}


def of_list(field: FieldDescriptor) -> Schema:
    """The keywords of a list."""
    return {"maxItems": field.GetOptions().Extensions[options_pb2.max_items] or _ITEMS}


def of_map(field: FieldDescriptor) -> Schema:
    """The keywords of a map."""
    told = field.GetOptions().Extensions
    found: Schema = {"maxProperties": told[options_pb2.max_items] or _ITEMS}
    if names := told[options_pb2.max_name_chars]:
        found["propertyNames"] = {"minLength": 1, "maxLength": names}
    return found


def is_required(field: FieldDescriptor) -> bool:
    """Whether a request must set a field."""
    return field.GetOptions().Extensions[options_pb2.required]


def in_words(field: FieldDescriptor) -> str:
    """What no keyword says, in sentences; empty where that is nothing."""
    return " ".join(_sentences(field.GetOptions()))


def _sentences(options: FieldOptions) -> Iterator[str]:
    told = options.Extensions
    yield from (sentence.format(told[each]) for each, sentence in _WORDS if told[each])
    if told[options_pb2.format]:
        yield _FORMATS[told[options_pb2.format]]
    if options.HasExtension(options_pb2.max_seconds):
        yield f"From {told[options_pb2.min_seconds]}s to {told[options_pb2.max_seconds]}s."
    elif options.HasExtension(options_pb2.min_seconds):
        yield f"{told[options_pb2.min_seconds]}s or more."
    if paths := told[options_pb2.update].paths:
        yield f"It may name {', '.join(f'`{path}`' for path in paths)}."


def _text(options: FieldOptions) -> Schema:
    told = options.Extensions
    low = 1 if told[options_pb2.required] else told[options_pb2.min_chars]
    found: Schema = {"maxLength": told[options_pb2.max_chars] or _CHARS}
    if low:
        found["minLength"] = low
    if told[options_pb2.pattern]:
        found["pattern"] = f"^(?:{told[options_pb2.pattern]})$"
    return found


def _bytes(options: FieldOptions) -> Schema:
    """In characters of base64, with padding or without."""
    told = options.Extensions
    found: Schema = {}
    if most := told[options_pb2.exact_bytes] or told[options_pb2.max_bytes]:
        found["maxLength"] = -(-most // 3) * 4
    if told[options_pb2.exact_bytes] and told[options_pb2.required]:
        found["minLength"] = -(-told[options_pb2.exact_bytes] * 4 // 3)
    if told[options_pb2.format] == options_pb2.FORMAT_PNG:
        found["contentMediaType"] = "image/png"
    return found


def _number(options: FieldOptions) -> Schema:
    told = options.Extensions
    if told[options_pb2.capped_at]:
        return {"minimum": 0}
    if not options.HasExtension(options_pb2.maximum):
        return {}
    within = {"minimum": told[options_pb2.minimum], "maximum": told[options_pb2.maximum]}
    if told[options_pb2.required] or told[options_pb2.minimum] <= 1:
        return within if told[options_pb2.required] else within | {"minimum": 0}
    return {"anyOf": [{"const": 0}, within]}


_BY_TYPE: Mapping[int, Callable[[FieldOptions], Schema]] = {
    FieldDescriptor.TYPE_STRING: _text,
    FieldDescriptor.TYPE_BYTES: _bytes,
    FieldDescriptor.TYPE_INT32: _number,
}
