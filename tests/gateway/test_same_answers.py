"""REST answers as gRPC does: every call of the contract that has an HTTP rule, found by its descriptor."""

import io
import itertools
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from google.protobuf import descriptor_pb2
from google.protobuf.message import Message

from authy_grpc import logs
from authy_grpc.rpc.auth import NEEDS
from authy_grpc.service.caller import Device, Nobody, Operator, Site
from authy_grpc.v1.account_pb2 import PHONE_PURPOSE_CHANGE_NUMBER, StartPhoneVerificationRequest
from gateway.app import build
from gateway.routes import Route, contract
from gateway.sse import Pace
from gateway.transcode import Transcoder
from tests.e2e.methods import REQUESTS
from tests.e2e.rehearsing import kinds
from tests.e2e.staging import Stage
from tests.e2e.wire import Party
from tests.gateway.asking import serving, settings
from tests.gateway.rest import ROUTES, Told, over_grpc, over_rest, routes_of, value_of
from tests.harness import Service
from tests.rushing import PATIENCE

pytestmark = pytest.mark.slow

READS = descriptor_pb2.MethodOptions.NO_SIDE_EFFECTS
ENDS = frozenset({"/authy_grpc.v1.AccountService/DeleteSession"})


class Both:
    """One who asks over gRPC and over REST."""

    def __init__(self, channel: Any, client: httpx.AsyncClient) -> None:
        self._channel = channel
        self._client = client
        self.codes: dict[str, set[int]] = {}

    async def grpc(self, path: str, request: bytes, credential: str) -> Told:
        return over_grpc(await Party(self._channel, credential).send(path, request))

    async def rest(self, route: Route, request: Message, credential: str) -> Told:
        told = await over_rest(self._client, route, request, credential)
        self.codes.setdefault(route.path, set()).add(told.code)
        return told


@pytest.fixture
async def both(service: Service, database_url: str) -> AsyncIterator[Both]:
    """Over REST by a gateway in the process of the core, as `up` has it on SQLite, or by one of its own."""
    local = database_url.startswith("sqlite")
    channel: Any = service.core.server.local() if local else service.channel()
    app = build(channel, settings(), log=logs.build(io.StringIO(), service.clock), pace=Pace(settle=0.3))
    async with (
        serving(app) as port,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE) as client,
    ):
        yield Both(service.channel(), client)


def reads(route: Route) -> bool:
    options: Any = route.rpc.GetOptions()
    return bool(options.idempotency_level == READS)


async def staged(service: Service, number: int) -> Stage:
    stage = Stage(service, service.channel(), number)
    # So that limits by the hour begin anew.
    service.clock.turn(hours=1, minutes=1)
    await service.due()
    await stage.build()
    return stage


async def test_what_is_read_is_the_same(service: Service, both: Both) -> None:
    stage, asked = await staged(service, 1), set()
    for made in stage.made:
        request = kinds(made.path)[0].FromString(made.request)
        for route in routes_of(made.path, request):
            if reads(route):
                left = await both.grpc(made.path, made.request, made.credential)
                right = await both.rest(route, request, made.credential)
                assert not left.differs(right), (made.path, left, right)
                asked.add((route.path, left.code))
    assert sum(code == 0 for _, code in asked) > 10


async def test_what_has_effects_has_the_same(service: Service, both: Both) -> None:
    # Each is done once over gRPC, and once by a twin over REST.
    first = [
        (ready, await both.grpc(ready.path, ready.request, ready.credential))
        for ready in (await staged(service, 1)).ready
    ]
    second, done = (await staged(service, 2)).ready, set()
    for (one, left), other in zip(first, second, strict=True):
        assert one.path == other.path
        request = kinds(other.path)[0].FromString(other.request)
        for route in routes_of(other.path, request)[:1]:
            right = await both.rest(route, request, other.credential)
            assert not left.differs(right), (one.path, left, right)
            done |= {route.path} if left.code == 0 else set()
    assert len(done) > 15


async def callers(service: Service) -> dict[Any, str]:
    """A credential of each kind."""
    site, phone = await service.site(), await service.phone()
    await phone.devices()
    tokens = {Operator: service.secrets.operator_key, Site: site.api_key, Device: phone._session._token}
    return {**tokens, Nobody: "", None: ""}


def requests(route: Route) -> list[Message]:
    """Good ones for things that are not there, for what is not built, empty ones, and senseless ids."""
    kind = Transcoder(route).request_class
    name = route.path.removeprefix("/authy_grpc.v1.")
    made: list[Any] = [REQUESTS.get(name, kind()), kind()]
    if kind is StartPhoneVerificationRequest:
        made.append(kind(phone_number="+4915110000096", purpose=PHONE_PURPOSE_CHANGE_NUMBER))
    senseless = kind()
    for field in kind.DESCRIPTOR.fields:
        if field.type == field.TYPE_STRING and not field.is_repeated and field.containing_oneof is None:
            setattr(senseless, field.name, "Ä /:?#%41\x07")
    for each in [*made, senseless]:
        for variable in route.variables:
            if not value_of(each, variable.field):
                *outer, last = variable.field.split(".")
                setattr(value_of(each, ".".join(outer)) if outer else each, last, "no/such: Ä%2F?")
    return [*made, senseless]


def apart(request: Any, number: str) -> Any:
    """Two that ask for a code do not count for each other."""
    copy = type(request)()
    copy.CopyFrom(request)
    if getattr(copy, "phone_number", ""):
        copy.phone_number = number
    return copy


async def differences(service: Service, both: Both, *, stolen: bool = False) -> tuple[set[str], set[str]]:
    """The calls that answered differently, and those that were asked.

    Args:
        service: what is asked.
        both: who asks.
        stolen: whether no credential is sent over REST.
    """
    known = await callers(service)
    numbers = (f"+4915110{number:06d}" for number in itertools.count(97))
    found, asked = set(), set()
    for route in contract():
        kind = NEEDS[route.path].kind
        for request in requests(route):
            # It would end the credential of those that follow; that it does is in the other test.
            for credential in ("",) if route.path in ENDS else (known[kind], ""):
                one, other = apart(request, next(numbers)), apart(request, next(numbers))
                told = await both.grpc(route.path, one.SerializeToString(), credential)
                again = await both.rest(route, other, "" if stolen else credential)
                asked.add(route.path)
                if told.differs(again):
                    found.add(f"{route.verb} {route.template}: {told} {again}")
    return found, asked


async def test_what_is_refused_is_refused_alike(service: Service, both: Both) -> None:
    found, asked = await differences(service, both)
    assert found == set()
    assert asked == set(ROUTES)
    # Each was refused for want of a credential, but those that need none and those that are not built.
    unauthenticated = {path for path, codes in both.codes.items() if 16 in codes}
    assert len(unauthenticated) > 40


async def test_a_difference_would_be_seen(service: Service, both: Both) -> None:
    found, _ = await differences(service, both, stolen=True)
    assert len(found) > 40
