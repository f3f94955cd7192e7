"""What one knows of a user who has received some bytes: every value in them, and every part of a value.

Times are values like all others, to the millisecond; those of receipts, to the second, too. A test keeps its
actions apart, and turns the clock by no round number between them, so that two equal times have one cause.
"""

import base64
import json
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import error_details_pb2, status_pb2

from authy_grpc.domain.encoding import CROCKFORD, base64url_decode
from tests.e2e.wire import Exchange

_LEAST = 1000
_LEAST_ENCODED = 22
_POINT_BYTES = 65
_WORD = re.compile(r"[A-Za-z0-9_-]{8,}")
# As JSON has them: their hours say nothing.
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
_ID = re.compile(r"[a-z]{3}_([0-9A-Z]{26})")
_DETAILS: dict[str, type[Message]] = {
    kind.DESCRIPTOR.full_name: kind
    for kind in (error_details_pb2.ErrorInfo, error_details_pb2.BadRequest, error_details_pb2.RetryInfo)
}


@dataclass
class Knowledge:
    """What somebody knows.

    Attributes:
        received: every value that came from the service.
        chosen: every value that was sent to it.
    """

    received: set[str] = field(default_factory=set)
    chosen: set[str] = field(default_factory=set)

    def hear(self, exchanges: Iterable[Exchange]) -> "Knowledge":
        """Add what crossed the wire."""
        for exchange in exchanges:
            request, response = _kinds(exchange.method)
            self.chosen |= set(values(request.FromString(exchange.sent)))
            for message in exchange.messages:
                self.received |= set(values(response.FromString(message)))
            self.received |= set(values(exchange.details))
            for key, value in exchange.metadata:
                self.received |= set(_of_metadata(key, value))
        return self

    @property
    def all(self) -> set[str]:
        """Both."""
        return self.received | self.chosen


def common(one: Knowledge, two: Knowledge, constants: set[str]) -> set[str]:
    """What both know, though not each by its own choice.

    Args:
        one: somebody.
        two: somebody else.
        constants: what the service says to anybody: taken from a site that has to do with neither.
    """
    return (one.all & two.all) - (one.chosen & two.chosen) - constants


def values(value: Any) -> Iterator[str]:
    """Every value in a value, times as numbers, bytes in hexadecimal."""
    match value:
        case Timestamp():
            yield str(value.ToMilliseconds())
        case Duration():
            yield value.ToJsonString()
        case Message():
            for descriptor, each in value.ListFields():
                # An enum's number says a word of the contract.
                if descriptor.enum_type is None:
                    yield from values(each)
        case bool() | int() | float() | bytes() | str() | None:
            yield from _of_scalar(value)
        case _ if hasattr(value, "items"):
            for pair in value.items():
                yield from values(list(pair))
        case _:
            for each in value:
                yield from values(each)


def _of_scalar(value: bool | float | bytes | str | None) -> Iterator[str]:
    match value:
        case bytes():
            yield from _of_bytes(value)
        case str():
            yield from _of_text(value)
        case int() | float() if abs(value) > _LEAST:
            yield str(value)


def _of_bytes(value: bytes) -> Iterator[str]:
    if value:
        yield value.hex()
    if len(value) == _POINT_BYTES:
        yield from (half.hex() for half in (value[1:33], value[33:]))


def _of_text(text: str) -> Iterator[str]:
    if not text:
        return
    if _TIME.fullmatch(text):
        time = Timestamp()
        time.FromJsonString(text)
        yield from values(time)
    elif text[0] in "{[":
        yield text
        yield from values(json.loads(text))
    else:
        yield text
        yield from _of_words(text)


def _of_words(text: str) -> Iterator[str]:
    for word in _WORD.findall(text):
        yield word
        with suppress(ValueError):
            if len(word) >= _LEAST_ENCODED:
                yield from _of_bytes(base64url_decode(word))
    for body in _ID.findall(text):
        number = 0
        for character in body:
            number = number * 32 + CROCKFORD.index(character)
        # 48 bits of milliseconds, 80 random ones, and 2 that fill the last character.
        yield str(number >> 82)
        yield f"{number >> 2 & (1 << 80) - 1:020x}"
    if text.startswith("eyJ") and text.count(".") == 2:
        for part in text.split(".")[:2]:
            yield from _of_text(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)).decode())
    elif text.isdigit() and int(text) > _LEAST:
        yield str(int(text))


def _of_metadata(key: str, value: str | bytes) -> Iterator[str]:
    if key != "grpc-status-details-bin":
        yield from values(value)
        return
    status = status_pb2.Status.FromString(value if isinstance(value, bytes) else value.encode())
    for detail in status.details:
        yield from values(_DETAILS[detail.TypeName()].FromString(detail.value))


def _kinds(path: str) -> tuple[type[Message], type[Message]]:
    method = descriptor_pool.Default().FindMethodByName(path.strip("/").replace("/", "."))
    return (
        message_factory.GetMessageClass(method.input_type),
        message_factory.GetMessageClass(method.output_type),
    )
