"""Calls that are made ready and not sent, and what went over the wire in those that were."""

from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.message import Message

from authy_grpc.v1 import account_pb2 as account
from tests.e2e.methods import path
from tests.e2e.wire import Party

# What the proof of a call names.
PROVEN: dict[str, Callable[[Any], tuple[str, ...]]] = {
    path("AccountService/CreateSession"): lambda request: (),
    path("AccountService/UpdateAccount"): lambda request: _changes(request),
    path("AccountService/UpdateDevice"): lambda request: (request.device_id, request.name),
    path("AccountService/AcknowledgeDevice"): lambda request: (request.device_id,),
    path("AccountService/ApproveDevice"): lambda request: (request.device_id, request.check),
    path("AccountService/RevokeDevice"): lambda request: (request.device_id,),
    path("AccountService/DeleteAccount"): lambda request: (),
    path("AuthenticatorService/UpdateSite"): lambda request: (request.site_id, request.label),
    path("AuthenticatorService/RemoveSite"): lambda request: (request.site_id,),
}


class Held(Exception):
    """A call was made ready, and not sent."""


class Rehearsal(Party):
    """A party that can make its calls ready without sending them."""

    def __init__(self, channel: grpc.aio.Channel, credential: str = "") -> None:
        self.holding = False
        self.held: list[tuple[str, bytes]] = []
        super().__init__(channel, credential)

    def unary_unary(
        self, path: str, request_serializer: Any = None, response_deserializer: Any = None, **_: Any
    ) -> Callable[..., Any]:
        sending = super().unary_unary(path, request_serializer, response_deserializer)

        async def call(request: Any, **options: Any) -> Any:
            if self.holding:
                self.held.append((path, request_serializer(request)))
                raise Held
            return await sending(request, **options)

        return call

    async def hold(self, call: Awaitable[Any]) -> None:
        """Make a call ready, signed and all."""
        self.holding = True
        try:
            await call
        except Held:
            return
        finally:
            self.holding = False
        raise AssertionError("nothing was called")


@dataclass(frozen=True)
class Ready:
    """A call that is good, or was.

    Attributes:
        credential: of who makes it; empty for a method that asks for none.
    """

    path: str
    request: bytes = field(repr=False)
    credential: str = field(repr=False)


def kinds(name: str) -> tuple[type[Message], type[Message]]:
    """The message classes of a method, of its request and of its answer."""
    service, _, method = name.removeprefix("/").rpartition("/")
    found = descriptor_pool.Default().FindServiceByName(service).methods_by_name[method]
    return message_factory.GetMessageClass(found.input_type), message_factory.GetMessageClass(
        found.output_type
    )


def values_in(parties: Iterable[Rehearsal]) -> dict[str, list[bytes]]:
    """All texts and bytes of what they sent, received and made ready, by the name of their field."""
    found: dict[str, dict[bytes, None]] = {}
    for party in parties:
        for name, request in [*party.held, *((each.method, each.sent) for each in party.exchanges)]:
            _collect(kinds(name)[0].FromString(request), found)
        for exchange in party.exchanges:
            for each in exchange.messages:
                _collect(kinds(exchange.method)[1].FromString(each), found)
    return {name: list(values) for name, values in found.items()}


def _collect(message: Message, found: dict[str, dict[bytes, None]]) -> None:
    for name, value in _leaves(message):
        found.setdefault(name, {})[value if isinstance(value, bytes) else value.encode()] = None


def _leaves(message: Message) -> Iterator[tuple[str, str | bytes]]:
    for each, value in message.ListFields():
        kind = each.message_type
        if kind is not None and kind.GetOptions().map_entry:
            continue
        for one in value if each.is_repeated else [value]:
            if isinstance(one, Message):
                yield from _leaves(one)
            elif isinstance(one, str | bytes):
                yield each.name, one


def _changes(request: account.UpdateAccountRequest) -> tuple[str, str]:
    named, asked = request.update_mask.paths, request.account
    return (
        str(asked.new_device_policy) if "new_device_policy" in named else "-",
        str(int(asked.phone_codes)) if "phone_codes" in named else "-",
    )
