"""Searches for what two sites have in common: every value of every byte that they ever saw."""

import base64
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import error_details_pb2, status_pb2

from authy_grpc.cli.demo.tap import Exchange
from authy_grpc.domain.event import UserEventType
from authy_grpc.v1.approval_pb2 import ApprovalState
from authy_grpc.v1.enrollment_pb2 import EnrollmentState
from authy_grpc.v1.errors_pb2 import ErrorReason

# Shorter ones are equal by chance: revisions, counts, names of curves.
MIN_LENGTH = 6
# Smaller numbers too.
MIN_NUMBER = 1000
_DAY = 86_400
_WHOLE_SECOND = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_DETAILS = {
    kind.DESCRIPTOR.full_name: kind
    for kind in (error_details_pb2.ErrorInfo, error_details_pb2.BadRequest, error_details_pb2.RetryInfo)
}
_STATES = (*EnrollmentState.items(), *ApprovalState.items())
# Words of the contract: it says them to every site, whoever the user is.
WORDS = frozenset(
    {
        *UserEventType,
        *(name.lower().replace("_state_", ".") for name, _ in _STATES),
        *(name.removeprefix("ERROR_REASON_") for name, _ in ErrorReason.items()),
        *("authy_grpc", "authy-approval", "approve", "report_fraud", "replayed", "expired", "image/png"),
    }
)


@dataclass
class Knowledge:
    """What one site knows.

    Attributes:
        received: every value in messages, metadata and errors from the service.
        chosen: every value that the site sent by itself.
        raw: all that it received, as bytes.
    """

    received: set[str] = field(default_factory=set, repr=False)
    chosen: set[str] = field(default_factory=set, repr=False)
    raw: bytes = field(default=b"", repr=False)

    @classmethod
    def of(cls, exchanges: Iterable[Exchange]) -> "Knowledge":
        """Reads what crossed the wire."""
        known = cls()
        for exchange in exchanges:
            request, response = _types(exchange.method)
            known.chosen.update(_values(request.FromString(exchange.sent)))
            for message in exchange.received:
                known.received.update(_values(response.FromString(message)))
                known.raw += message
            for key, value in exchange.metadata:
                known.received.update(_of_metadata(key, value))
                known.raw += value if isinstance(value, bytes) else value.encode()
            # A sentence is the service's own, and the same for all: what it may carry has a digit.
            known.received.update(word for word in exchange.error.split() if any(map(str.isdigit, word)))
            known.raw += exchange.error.encode()
        return known


def common(one: Knowledge, two: Knowledge, now: float) -> set[str]:
    """The values that both sites know, though not each by its own choice.

    Left out are what both have sent by themselves, words of the contract, whatever is shorter than six
    characters, and times in whole seconds, which may be equal by chance.

    Args:
        one: a site's.
        two: another's.
        now: seconds since 1970.
    """
    both = (one.received | one.chosen) & (two.received | two.chosen)
    return {each for each in both - (one.chosen & two.chosen) - WORDS if _tells(each, now)}


def mentions(known: Knowledge, needles: Iterable[str]) -> set[str]:
    """Which of the needles a site received: in a value, or anywhere in the bytes."""
    return {
        needle
        for needle in needles
        if needle.encode() in known.raw or any(needle in value for value in known.received)
    }


def _tells(value: str, now: float) -> bool:
    if value.isdigit() and len(value) < 12:
        return len(value) >= MIN_LENGTH and abs(int(value) - now) > _DAY
    return len(value) >= MIN_LENGTH and not _WHOLE_SECOND.fullmatch(value)


def _types(path: str) -> tuple[type[Message], type[Message]]:
    method = descriptor_pool.Default().FindMethodByName(path.strip("/").replace("/", "."))
    return (
        message_factory.GetMessageClass(method.input_type),
        message_factory.GetMessageClass(method.output_type),
    )


def _of_metadata(key: str, value: str | bytes) -> Iterator[str]:
    if key != "grpc-status-details-bin":
        yield from _values(value)
        return
    status = status_pb2.Status.FromString(value if isinstance(value, bytes) else value.encode())
    for detail in status.details:
        kind = _DETAILS.get(detail.TypeName())
        yield from _values(detail.value if kind is None else kind.FromString(detail.value))


def _values(value: Any) -> Iterator[str]:
    """Every value in a value: fields, list items, map keys, JSON in strings, the parts of a JWS."""
    if isinstance(value, Message):
        yield from _of_message(value)
    elif isinstance(value, Mapping):
        # Of a map of the contract, whose keys a site has chosen.
        yield from _values([*value.keys(), *value.values()])
    elif isinstance(value, str):
        yield value
        yield from _inside(value)
    elif isinstance(value, bytes):
        yield value.hex()
    elif isinstance(value, (int, float)):
        if abs(value) > MIN_NUMBER:
            yield str(value)
    elif value is not None:
        for each in value:
            yield from _values(each)


def _of_message(message: Message) -> Iterator[str]:
    if isinstance(message, (Timestamp, Duration)):
        yield message.ToJsonString()
        return
    for field_, value in message.ListFields():
        # An enum's number stands for a word of the contract.
        if field_.enum_type is None:
            yield from _values(value)


def _inside(text: str) -> Iterator[str]:
    if text.startswith(("{", "[")):
        yield from _of_json(text)
    elif text.count(".") == 2 and text.startswith("eyJ"):
        header, payload, signature = text.split(".")
        yield signature
        for part in (header, payload):
            yield from _of_json(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)).decode())


def _of_json(text: str) -> Iterator[str]:
    try:
        found = json.loads(text)
    except ValueError:
        return
    yield from _leaves(found)


def _leaves(value: Any) -> Iterator[str]:
    """The values of JSON; the names of its members are the contract's."""
    if isinstance(value, (dict, list)):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _leaves(each)
    else:
        yield from _values(value)
