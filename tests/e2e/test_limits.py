"""Each limit of the contract, as a caller meets it: at its edge, one below and one above."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, cast

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from grpc_reflection.v1alpha import reflection_pb2

from authy_grpc.rpc.auth import NEEDS
from authy_grpc.rpc.fields import rule_of, update_of
from authy_grpc.rpc.rules import Entries, Items, Number, PageSize, Png, Rule, Size, Span, Text
from authy_grpc.service.caller import Caller as CallerKind
from authy_grpc.service.caller import Device, Gateway, Nobody, Operator, Site
from authy_grpc.v1 import approval_pb2
from tests.e2e.judging import HEALTH, LIMIT, METADATA_LIMIT, REFLECTION, Answer, all_paths, ask
from tests.e2e.methods import REQUESTS, path
from tests.e2e.rehearsing import kinds
from tests.e2e.staging import PNG
from tests.garbling import BYTES, Attempt, Metadata, tagged
from tests.harness import Service

Edges = Iterator[tuple[Any, bool]]
# What the best request without any field brings; all others have a field that is required.
EMPTY = {
    "AccountService/DeleteAccount": "BAD_CREDENTIAL",
    "AccountService/SetPushSubscription": "UNIMPLEMENTED",
    "AccountService/ChangePhone": "UNIMPLEMENTED",
    **dict.fromkeys(
        (
            "AccountService/DeleteSession", "AccountService/GetAccount", "AccountService/ListDevices",
            "ApplicationService/GetCurrentApplication", "ApplicationService/ListApplications",
            "AuthenticatorService/ListActivity", "AuthenticatorService/ListSites",
            "AuthenticatorService/WatchInbox", "EventService/ListEvents", "EventService/WatchEvents",
            "UserService/ListUsers", "WebhookService/ListWebhooks",
        ),
        "OK",
    ),
}  # fmt: skip
# Of each kind; what grpc refuses by itself, it refuses whatever the method is.
SOME = (
    path("UserService/ListUsers"),
    path("AuthenticatorService/WatchInbox"),
    f"{HEALTH}Check",
    f"{HEALTH}Watch",
    REFLECTION,
)


class Caller:
    """Calls each method as one of the kind that it asks for."""

    def __init__(self, service: Service, api_key: str, device_token: str) -> None:
        self._channel = service.channel()
        self._keys: dict[type[CallerKind] | None, str] = {
            Operator: service.secrets.operator_key,
            Gateway: service.secrets.gateway_key,
            Device: device_token,
            Site: api_key,
        }

    async def ask(self, name: str, request: Message | bytes, more: Metadata = ()) -> Answer:
        raw = request if isinstance(request, bytes) else request.SerializeToString()
        # Where there is nothing to post, nothing comes.
        seconds = 0.5 if name.endswith("LeaseDeliveries") else 60.0
        return await ask(self._channel, Attempt(name, raw, (*self.metadata(name), *more)), seconds)

    def metadata(self, name: str) -> Metadata:
        kind = NEEDS[name].kind if name in NEEDS else None
        if kind in (None, Nobody):
            return ()
        return (("authorization", f"Bearer {self._keys.get(kind, self._keys[Site])}"),)


@pytest.fixture
async def caller(service: Service) -> Caller:
    site, phone = await service.site(), await service.phone()
    return Caller(service, site.api_key, phone._session._token)


def of_text(rule: Text) -> Edges:
    lengths = {rule.low - 1, rule.low, rule.low + 1, rule.high - 1, rule.high, rule.high + 1}
    yield from (("a" * each, rule.low <= each <= rule.high) for each in lengths if each >= 0)
    yield "\U0001f600" * rule.high, not rule.pattern
    yield "a\x00", False


def of_size(rule: Size) -> Edges:
    for length in (0, rule.exact - 1, rule.exact, rule.exact + 1):
        yield bytes(length), length == rule.exact or (rule.empty and not length)


def of_png(rule: Png) -> Edges:
    for length in (rule.high - 1, rule.high, rule.high + 1):
        yield PNG.ljust(length), length <= rule.high


def of_number(rule: Number) -> Edges:
    for value in {rule.low - 1, rule.low, rule.high, rule.high + 1}:
        yield value, rule.low <= value <= rule.high or (rule.zero and not value)


def of_page_size(rule: PageSize) -> Edges:
    yield from ((-1, False), (0, True), (1, True), (rule.high + 1, True))


def of_span(rule: Span) -> Edges:
    low, high = (round(each.total_seconds()) for each in (rule.low, rule.high))
    if rule.low != timedelta.min:
        yield Duration(seconds=low), True
        yield Duration(seconds=low - 1, nanos=999_999_999 if low > 0 else 0), False
    if rule.high != timedelta.max:
        yield Duration(seconds=high), True
        yield Duration(seconds=high, nanos=1), False


_EDGES: dict[type[Any], Callable[[Any], Edges]] = {
    Text: of_text,
    Size: of_size,
    Png: of_png,
    Number: of_number,
    PageSize: of_page_size,
    Span: of_span,
}


def edges(rule: Rule | None) -> Edges:
    """Values at the edges of a rule, and whether they are good."""
    made = _EDGES.get(type(rule))
    return made(rule) if made else iter(())


def put(message: Any, field: Any, value: Any) -> None:
    """Set one field, and no other."""
    if isinstance(value, Message):
        getattr(message, field.name).CopyFrom(value)
    elif isinstance(value, dict):
        getattr(message, field.name).clear()
        getattr(message, field.name).update(value)
    elif isinstance(value, list):
        message.ClearField(field.name)
        getattr(message, field.name).extend(value)
    else:
        setattr(message, field.name, value)


def values(field: Any) -> Iterator[tuple[str, Any, bool]]:
    """Of a field: what is named behind it where a value is wrong, the value, and whether it is good."""
    rule = rule_of(field)
    if isinstance(rule, Entries):
        yield from of_map(rule)
    elif isinstance(rule, Items):
        yield from of_list(field, rule)
    else:
        made = unknown(field) if field.enum_type else edges(rule)
        yield from (("", value, good) for value, good in made)


def of_map(rule: Entries) -> Iterator[tuple[str, Any, bool]]:
    for count in (rule.high - 1, rule.high, rule.high + 1):
        yield "", {str(each): "" for each in range(count)}, count <= rule.high
    yield from (("", {value: ""}, good) for value, good in edges(rule.names))
    yield from (("", {"a": value}, good) for value, good in edges(rule.values))


def of_list(field: Any, rule: Items) -> Iterator[tuple[str, Any, bool]]:
    one: Any = approval_pb2.Detail(label="a") if field.message_type else 1 if field.enum_type else "a"
    for count in (rule.high - 1, rule.high, rule.high + 1):
        yield "", [one] * count, count <= rule.high
    for value, good in unknown(field) if field.enum_type else edges(rule.each):
        yield "[0]", [value], good
    for inner in field.message_type.fields if field.message_type else ():
        for _, value, good in values(inner):
            changed = approval_pb2.Detail(label="a")
            put(changed, inner, value)
            yield f"[0].{inner.name}", [changed], good


def unknown(field: Any) -> Edges:
    """Numbers that an enum does not have."""
    known = field.enum_type.values_by_number
    yield from ((value, False) for value in (max(known) + 1, -1, 2**31 - 1, -(2**31)))


def requests(name: str) -> Iterator[tuple[str, str, Message, bool]]:
    """Of a method: a field, where its wrong value is named, a request at its edge, whether that is good."""
    good = REQUESTS[name]
    update = update_of(cast(Descriptor, good.DESCRIPTOR))
    fields: Any = good.DESCRIPTOR.fields
    for field in fields:
        whole = field.message_type is None or field.is_repeated or rule_of(field) is not None
        nested = not whole or field.name == "application"
        for inner in field.message_type.fields if nested else [field]:
            if update and nested and inner.name not in (*update.paths, update.key):
                continue
            for behind, value, fine in values(inner):
                request: Any = type(good)()
                request.CopyFrom(good)
                put(getattr(request, field.name) if nested else request, inner, value)
                if update and nested and inner.name in update.paths:
                    request.update_mask.paths[:] = [inner.name]
                where = f"{field.name}.{inner.name}" if nested else inner.name
                yield where, where + behind, request, fine


async def test_each_limit_at_its_edges(caller: Caller) -> None:
    """What is beyond is named; of what is not, nothing is said that is said of what is beyond."""
    tried = 0
    for name in REQUESTS:
        said: dict[str, set[str]] = {}
        fine: list[tuple[str, dict[str, str], Message]] = []
        for field, named, request, good in requests(name):
            answer = await caller.ask(path(name), request)
            tried += 1
            if good:
                fine.append((field, answer.wrong, request))
                continue
            assert (answer.code, answer.reason) == ("INVALID_ARGUMENT", "BAD_FIELD"), (name, field, request)
            assert list(answer.wrong) == [named], (name, request)
            said.setdefault(field, set()).add(answer.wrong[named])
        for field, wrong, request in fine:
            assert said.get(field, set()).isdisjoint(wrong.values()), (name, field, wrong, request)
    assert tried > 500


async def test_what_is_no_utf_8(caller: Caller) -> None:
    tried = 0
    for name in REQUESTS:
        for field in kinds(path(name))[0].DESCRIPTOR.fields:
            if field.type == FieldDescriptor.TYPE_STRING:
                for raw in (b"\xff", b"\xed\xa0\x80", b"\xc0\x80"):
                    spoiled = REQUESTS[name].SerializeToString() + tagged(field.number, BYTES, raw)
                    answer = await caller.ask(path(name), spoiled)
                    assert (answer.code, answer.reason) == ("INVALID_ARGUMENT", "BAD_FIELD"), (name, field)
                    assert list(answer.wrong) == ["request"]
                    tried += 1
    assert tried > 100


async def test_what_reflection_cannot_read(caller: Caller) -> None:
    """It calls it invalid in its own way, as it does an empty request."""
    for raw in (b"", b"\x1a\x01\xff", b"\xff"):
        answer = await caller.ask(REFLECTION, raw)
        told = reflection_pb2.ServerReflectionResponse.FromString(answer.message or b"")
        assert (answer.code, told.error_response.error_code) == ("OK", 3)


async def test_an_empty_request(service: Service, caller: Caller) -> None:
    paths = await all_paths(service)
    expected = {path(name): reason for name, reason in EMPTY.items()}
    expected |= {name: "OK" for name in paths if name.startswith((HEALTH, REFLECTION))}
    # The last one ends the credential of others.
    for name in sorted(paths, key=lambda each: each.endswith("DeleteSession")):
        answer = await caller.ask(name, b"")
        assert (answer.reason or answer.code) == expected.get(name, "BAD_FIELD"), name


async def test_a_message_that_is_too_large(caller: Caller) -> None:
    for name in SOME:
        answer = await caller.ask(name, padded(LIMIT + 1))
        assert answer == Answer("RESOURCE_EXHAUSTED"), name
    answer = await caller.ask(path("UserService/ListUsers"), padded(LIMIT))
    assert answer.code == "OK"


def padded(size: int) -> bytes:
    """A message of so many bytes, all in a field that nobody knows."""
    for head in range(3, 8):
        made = tagged(31, BYTES, bytes(size - head))
        if len(made) == size:
            return made
    raise ValueError(size)


async def test_metadata_that_are_too_large(caller: Caller) -> None:
    """From one size on, each time: not by chance between two limits."""

    async def of(size: int, name: str = path("UserService/ListUsers")) -> Answer:
        return await caller.ask(name, b"", (("x-junk", "j" * size),))

    good, bad = METADATA_LIMIT - 1024, METADATA_LIMIT
    # The header of a deadline is not always as long.
    while bad - good > 32:
        middle = (good + bad) // 2
        good, bad = (middle, bad) if (await of(middle)).code == "OK" else (good, middle)
    for _ in range(10):
        assert (await of(good - 16)).code == "OK"
        assert await of(bad + 16) == Answer("RESOURCE_EXHAUSTED")
    for name in SOME:
        assert await of(METADATA_LIMIT, name) == Answer("RESOURCE_EXHAUSTED"), name
