"""Reads the limits of fields from the options of the contract (`options.proto`) and from their types."""

from collections.abc import Callable, Mapping
from datetime import timedelta

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.descriptor_pb2 import FieldOptions

from authy_grpc.rpc.rules import (
    Choice,
    Entries,
    Instant,
    Items,
    Number,
    Origin,
    PageSize,
    Png,
    Required,
    Rule,
    Size,
    Span,
    Text,
    Unsupported,
    Update,
)
from authy_grpc.v1 import options_pb2

MASK = "update_mask"


def rule_of(field: FieldDescriptor) -> Rule | None:
    """The limit of a field; None where there is none."""
    options = field.GetOptions()
    if options.Extensions[options_pb2.unsupported]:
        return Unsupported()
    make = _BY_TYPE.get(field.type)
    if not field.is_repeated:
        return make(field, options) if make else None
    high = options.Extensions[options_pb2.max_items] or Items().high
    if field.message_type is None:
        return Items(high, make(field, options) if make else None)
    if field.message_type.GetOptions().map_entry:
        names = Text(1, options.Extensions[options_pb2.max_name_chars] or Text().high)
        return Entries(high, names, _text(options))
    return Items(high)


def update_of(kind: Descriptor) -> Update | None:
    """What a request changes of a resource; None for one that does no such thing."""
    mask = kind.fields_by_name.get(MASK)
    if mask is None:
        return None
    told = mask.GetOptions().Extensions[options_pb2.update]
    return Update(told.resource, tuple(told.paths), told.key)


def _string(_: FieldDescriptor, options: FieldOptions) -> Rule:
    if options.Extensions[options_pb2.format] == options_pb2.FORMAT_ORIGIN:
        return Origin(empty=not options.Extensions[options_pb2.required])
    return _text(options)


def _text(options: FieldOptions) -> Text:
    told = options.Extensions
    return Text(
        1 if told[options_pb2.required] else told[options_pb2.min_chars],
        told[options_pb2.max_chars] or Text().high,
        told[options_pb2.text],
        told[options_pb2.pattern],
    )


def _bytes(_: FieldDescriptor, options: FieldOptions) -> Rule | None:
    told = options.Extensions
    if exact := told[options_pb2.exact_bytes]:
        return Size(exact, empty=not told[options_pb2.required])
    return Png(told[options_pb2.max_bytes]) if told[options_pb2.max_bytes] else None


def _number(_: FieldDescriptor, options: FieldOptions) -> Rule | None:
    told = options.Extensions
    if capped := told[options_pb2.capped_at]:
        return PageSize(high=capped)
    if not options.HasExtension(options_pb2.maximum):
        return None
    return Number(told[options_pb2.minimum], told[options_pb2.maximum], zero=not told[options_pb2.required])


def _choice(field: FieldDescriptor, options: FieldOptions) -> Rule:
    required = field.is_repeated or options.Extensions[options_pb2.required]
    return Choice(required, frozenset(field.enum_type.values_by_number) if field.enum_type else frozenset())


def _message(field: FieldDescriptor, options: FieldOptions) -> Rule | None:
    name = field.message_type.full_name if field.message_type else ""
    if name == "google.protobuf.Timestamp":
        return Instant()
    if name != "google.protobuf.Duration":
        return Required() if options.Extensions[options_pb2.required] else None
    low, high = (
        timedelta(seconds=options.Extensions[side]) if options.HasExtension(side) else default
        for side, default in (
            (options_pb2.min_seconds, timedelta.min),
            (options_pb2.max_seconds, timedelta.max),
        )
    )
    return Span(low, high)


_BY_TYPE: Mapping[int, Callable[[FieldDescriptor, FieldOptions], Rule | None]] = {
    FieldDescriptor.TYPE_STRING: _string,
    FieldDescriptor.TYPE_BYTES: _bytes,
    FieldDescriptor.TYPE_INT32: _number,
    FieldDescriptor.TYPE_ENUM: _choice,
    FieldDescriptor.TYPE_MESSAGE: _message,
}
