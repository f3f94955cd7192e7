"""Requests that nobody would send: good ones in which something is changed, by a seeded chance."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from authy_grpc.rpc.contract import methods
from authy_grpc.rpc.fields import rule_of, update_of
from authy_grpc.rpc.rules import Entries, Items, Number, Png, Rule, Size, Span, Text
from tests.garbling import BREAKS, BYTES, VARINT, tagged, varint

_BIG = (2**31 - 1, 2**31, -(2**31), 2**32, 2**53, 2**63 - 1, -(2**63), 2**64 - 1)
_INTEGERS = (0, 1, -1, 2, 1000, 1001, *_BIG)
# Around the edges of Timestamp and Duration, and of what Python's datetime and timedelta take.
_SECONDS = (
    *(edge + step for edge in (-62_135_596_800, 253_402_300_799) for step in (-1, 0, 1)),
    *(edge + step for edge in (-315_576_000_000, 315_576_000_000) for step in (-1, 0, 1)),
    86_399_999_999_999, *_INTEGERS,
)  # fmt: skip
_NANOS = (0, 1, -1, 999_999_999, 10**9, -(10**9), 2**31 - 1)
_HOSTILE = (
    "\x00", "a\x00b", "\x1f", "\x7f", "\u202e", "\u2066a", "\u2028", "\ufeff", "\ufffe", "\uffff", "\u200d",
    "e\u0301" * 9, "\u0130", "\u1e9e", "\U0001f468\u200d\U0001f469", "\U0010ffff", "\u0660\u0661\u0662\u0663",
    "\uff10\uff11", "\u00b2\u00b3\u2460", " ", "\t", "\n", "%s%n", "{0}", "${x}", "' OR 1=1 --", "\\", '"',
    "../../etc/passwd", "-1", "1e9", "NaN", "0x10", "+", "-", ".", "..", "a.b.c", "=", "==", "earliest",
    "1000000", "2147483647", "2147483648", "9" * 30, "+491511", "+1900555", "https://", "https://[::1]",
    "http://localhost:1", "de-DE", "zz_ZZ", "user.*", "*", "name", "code_digits", "application.name",
    "https://[::ffff:1.2.3.4]", "https://xn--a", "https://1.2.3", "CON",
)  # fmt: skip
# On the wire, and no UTF-8: a lone surrogate, two of them, a long form, beyond Unicode, a cut letter.
_NO_UTF8 = (
    b"\xed\xa0\x80", b"\xed\xa0\xbd\xed\xb8\x80", b"\xc0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82", b"\xff",
)  # fmt: skip
_PATHS = sorted(
    {path for each in methods() if (update := update_of(each.input_type)) for path in update.paths}
)


@dataclass
class Fuzz:
    """Makes requests.

    Args:
        chance: all that is chosen, is chosen by it.
        values: what a field may well hold, by its name.
    """

    chance: Random
    values: Mapping[str, Sequence[bytes]] = field(default_factory=dict)

    def spoil(self, good: Message, others: Sequence[bytes]) -> bytes:
        """A request: a good one in which something is changed.

        Args:
            good: of the right kind.
            others: good ones of any kind.
        """
        roll = self.chance.random()
        if roll < 0.02:
            return b""
        if roll < 0.7:
            return self.fields(good)
        raw = good.SerializeToString() if roll < 0.85 else self.fields(good)
        for _ in range(self.chance.choice((1, 1, 2, 5))):
            raw = self.chance.choice(BREAKS)(self.chance, raw, others)
        return raw

    def fields(self, good: Message) -> bytes:
        """A message on the wire, some fields of which have another value than they had."""
        known: list[Any] = list(good.DESCRIPTOR.fields)
        count = self.chance.choice((0, 1, 1, 1, 2, 3, len(known)))
        changed = {each.name for each in self.chance.sample(known, min(count, len(known)))}
        pieces = [self._drawn(each, good) if each.name in changed else _kept(each, good) for each in known]
        if self.chance.random() < 0.1:
            self.chance.shuffle(pieces)
        if pieces and self.chance.random() < 0.05:
            pieces.append(self.chance.choice(pieces))
        return b"".join(pieces)

    def _drawn(self, each: FieldDescriptor, message: Message) -> bytes:
        kind = each.message_type
        if each.is_repeated:
            return self._list(each)
        if self.chance.random() < 0.15:
            return b""
        if kind is not None and message.HasField(each.name) and self.chance.random() < 0.8:
            return tagged(each.number, BYTES, self.fields(getattr(message, each.name)))
        return self._one(each, rule_of(each))

    def _list(self, each: FieldDescriptor) -> bytes:
        rule = rule_of(each)
        high = rule.high if isinstance(rule, Items | Entries) else 100
        count = self.chance.choice((0, 1, 1, 2, 3, high - 1, high, high + 1))
        inner = rule.each if isinstance(rule, Items) else rule
        made = [self._one(each, inner) for _ in range(min(count, 3))]
        if count > 3 and each.message_type is not None and each.message_type.GetOptions().map_entry:
            # Of a map only different keys count.
            made += [
                tagged(each.number, BYTES, tagged(1, BYTES, str(index).encode()))
                for index in range(count - 3)
            ]
        elif count > 3:
            made += [self.chance.choice(made)] * (count - 3)
        return b"".join(made)

    def _one(self, each: FieldDescriptor, rule: Rule | None) -> bytes:
        kind = each.message_type
        if kind is not None:
            parts = [self._part(each, inner, rule) for inner in kind.fields if self.chance.random() < 0.8]
            return tagged(each.number, BYTES, b"".join(parts))
        if each.type == FieldDescriptor.TYPE_STRING:
            return tagged(each.number, BYTES, self._text(each.name, rule))
        if each.type == FieldDescriptor.TYPE_BYTES:
            return tagged(each.number, BYTES, self._bytes(each.name, rule))
        return tagged(each.number, VARINT, varint(self._integer(each, rule)))

    def _part(self, outer: FieldDescriptor, inner: FieldDescriptor, rule: Rule | None) -> bytes:
        kind = outer.message_type
        if inner.name == "seconds" and isinstance(rule, Span) and self.chance.random() < 0.6:
            edges = [
                int(each.total_seconds())
                for each in (rule.low, rule.high)
                if each not in (timedelta.min, timedelta.max)
            ]
            if edges:
                around = self.chance.choice(edges) + self.chance.choice((-1, 0, 1))
                return tagged(inner.number, VARINT, varint(around))
        if isinstance(rule, Entries):
            return self._one(inner, rule.names if inner.name == "key" else rule.values)
        if kind is not None and inner.is_repeated:
            return self._list(inner)
        return self._one(inner, rule_of(inner))

    def _integer(self, each: FieldDescriptor, rule: Rule | None) -> int:
        if each.enum_type is not None:
            known = sorted(each.enum_type.values_by_number)
            return self.chance.choice((*known, known[-1] + 1, -1, *_BIG))
        if isinstance(rule, Number) and self.chance.random() < 0.7:
            return self.chance.choice((rule.low, rule.high)) + self.chance.choice((-1, 0, 1))
        if each.name in ("seconds", "nanos"):
            return self.chance.choice(_SECONDS if each.name == "seconds" else _NANOS)
        return self.chance.choice((*_INTEGERS, self.chance.getrandbits(63), self.chance.getrandbits(16)))

    def _text(self, name: str, rule: Rule | None) -> bytes:
        roll = self.chance.random()
        known = self.values.get(name, ())
        if known and roll < 0.35:
            return self.chance.choice(known)
        if known and roll < 0.5:
            return self._bent(self.chance.choice(known))
        if name == "paths" and roll < 0.7:
            return self.chance.choice(_PATHS).encode()
        if roll < 0.65:
            low, high = (rule.low, rule.high) if isinstance(rule, Text) else (0, 256)
            length = max(0, self.chance.choice((low, high)) + self.chance.choice((-1, 0, 1)))
            return (self.chance.choice(("a", "1", "A", "\u00e9", "\U0001f600")) * length).encode()
        if roll < 0.85:
            return self.chance.choice(_HOSTILE).encode()
        if roll < 0.9:
            return b"a" * self.chance.randrange(3) + self.chance.choice(_NO_UTF8)
        if roll < 0.95:
            return self.chance.choice(self.values[self.chance.choice(sorted(self.values))] or [b""])
        return "".join(chr(self._letter()) for _ in range(self.chance.randrange(1, 40))).encode()

    def _letter(self) -> int:
        point = self.chance.randrange(0x110000)
        return point if not 0xD800 <= point < 0xE000 else 0xFFFD

    def _bytes(self, name: str, rule: Rule | None) -> bytes:
        roll = self.chance.random()
        known = self.values.get(name, ())
        if known and roll < 0.4:
            return self.chance.choice(known)
        if known and roll < 0.6:
            return self._bent(self.chance.choice(known))
        if isinstance(rule, Size | Png) and roll < 0.8:
            length = rule.exact if isinstance(rule, Size) else rule.high
            begin = self.chance.choice((b"", b"\x04", b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"))
            return begin.ljust(max(0, length + self.chance.choice((-1, 0, 1))), b"\x01")
        return self.chance.randbytes(self.chance.choice((0, 1, 12, 64, 65, 300)))

    def _bent(self, value: bytes) -> bytes:
        """A value in which one thing is different, mostly within its alphabet."""
        if not value:
            return b"0"
        at = self.chance.randrange(len(value))
        other = self.chance.choice(value) if self.chance.random() < 0.8 else self.chance.getrandbits(7)
        return self.chance.choice(
            (
                value[:at] + bytes([other]) + value[at + 1 :],
                value[:at], value[at:], value + bytes([other]), value + b"=", value * 2, value.swapcase(),
            )
        )  # fmt: skip


def _kept(each: FieldDescriptor, message: Message) -> bytes:
    """One field as it is."""
    alone = type(message)()
    if each.is_repeated:
        if each.message_type is not None and each.message_type.GetOptions().map_entry:
            getattr(alone, each.name).update(getattr(message, each.name))
        else:
            getattr(alone, each.name).extend(getattr(message, each.name))
    elif each.message_type is not None:
        if message.HasField(each.name):
            getattr(alone, each.name).CopyFrom(getattr(message, each.name))
    elif not each.has_presence or message.HasField(each.name):
        setattr(alone, each.name, getattr(message, each.name))
    return alone.SerializeToString()
