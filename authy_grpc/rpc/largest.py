"""Computes the largest message that the contract can fill, in bytes on the wire, from its limits."""

from functools import cache

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from authy_grpc.rpc.contract import methods
from authy_grpc.rpc.fields import rule_of
from authy_grpc.rpc.rules import Entries, Items, Origin, Png, Rule, Size, Text

# A code point in UTF-8, a number or a tag as a varint, a length, at most.
_CODE_POINT, _VARINT, _TAG, _LENGTH = 4, 10, 5, 5


def largest_request() -> int:
    """The most bytes that a request within its limits has, whatever the method."""
    return max(_message(method.input_type) for method in methods())


@cache
def _message(kind: Descriptor) -> int:
    return sum(_field(field) for field in kind.fields)


def _field(field: FieldDescriptor) -> int:
    rule = rule_of(field)
    if isinstance(rule, Entries):
        return rule.high * (3 * (_TAG + _LENGTH) + _value(field, rule.names) + _value(field, rule.values))
    count, each = (rule.high, rule.each) if isinstance(rule, Items) else (1, rule)
    return count * (_TAG + _LENGTH + _value(field, each))


def _value(field: FieldDescriptor, rule: Rule | None) -> int:
    match rule:
        case Text():
            return rule.high * _CODE_POINT
        case Origin():
            return Text().high * _CODE_POINT
        case Png():
            return rule.high
        case Size():
            return rule.exact
    return _message(field.message_type) if field.message_type is not None else _VARINT
