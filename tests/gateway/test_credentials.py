"""The credential is settled before a body is read: in the process of the service, and beside it."""

import os
from typing import Any

import grpc
import grpc.aio
import pytest
from pydantic import SecretStr

from authy_grpc.domain.ids import new_secret
from authy_grpc.rpc.auth import NEEDS
from authy_grpc.service.caller import Nobody
from authy_grpc.v1.application_pb2 import ListApiKeysRequest, RevokeApiKeyRequest
from authy_grpc.v1.credential_pb2 import CheckRequest
from authy_grpc.v1.credential_pb2_grpc import CredentialServiceStub
from gateway.app import build
from gateway.credentials import Credentials
from gateway.errors import Failure
from gateway.routes import Route, contract
from tests.gateway.asking import settings
from tests.gateway.everything import echo
from tests.harness import Service

METHOD = "/authy_grpc.v1.CredentialService/Check"
WITH_BODY = [route for route in contract() if route.body and NEEDS[route.path].kind is not Nobody]
REFUSED = {"BAD_CREDENTIAL": 401, "MISSING_SCOPE": 403}


class Asked:
    """One request whose body is counted when it is read."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.read = 0
        self.status = 0
        self.body = b""

    async def __call__(self, route: Route, authorization: str = "", body: bytes = b"{") -> None:
        path = "/".join(["", *("a" if each in ("*", "**") else each for each in route.segments)])
        path += f":{route.suffix}" if route.suffix else ""
        headers = [(b"content-type", b"application/json")]
        if authorization:
            headers.append((b"authorization", authorization.encode()))
        self.read, self._left = 0, body
        scope = {
            "type": "http", "method": route.verb, "path": path, "raw_path": path.encode(),
            "query_string": b"", "headers": headers, "client": ("203.0.113.7", 1),
        }  # fmt: skip
        await self.app(scope, self._receive, self._send)

    async def _receive(self) -> Any:
        self.read += 1
        return {"type": "http.request", "body": self._left, "more_body": False}

    async def _send(self, message: Any) -> None:
        self.status = message.get("status", self.status)
        self.body = message.get("body", b"")


@pytest.fixture(params=["in the process", "beside it"])
def asked(request: pytest.FixtureRequest, service: Service) -> Asked:
    channel: Any = service.core.server.local() if request.param == "in the process" else service.channel()
    return Asked(build(channel, settings(gateway_key=SecretStr(service.secrets.gateway_key))))


async def test_no_body_is_read_of_a_caller_that_is_not_let_in(service: Service, asked: Asked) -> None:
    site = await service.site()
    strangers = ["", "Bearer ", "Basic YTpi", "Bearer ak_1", f"Bearer ak_{'0' * 52}", "Bearer dt_1", "x"]
    assert len(WITH_BODY) > 20
    for route in WITH_BODY:
        wrong = site.api_key if "Site" not in str(NEEDS[route.path].kind) else service.secrets.operator_key
        for authorization in (*strangers, f"Bearer {wrong}"):
            await asked(route, authorization)
            (reason,) = [each for each in REFUSED if each.encode() in asked.body]
            assert (asked.status, asked.read) == (REFUSED[reason], 0), (route.path, authorization)


async def test_the_body_of_a_caller_that_is_let_in_is_read(service: Service, asked: Asked) -> None:
    site = await service.site()
    tokens = {"Site": site.api_key, "Operator": service.secrets.operator_key}
    seen = 0
    for route in WITH_BODY:
        token = tokens.get(getattr(NEEDS[route.path].kind, "__name__", ""))
        if token:
            await asked(route, f"Bearer {token}")
            assert (asked.status, asked.read) == (400, 1)
            assert b"BAD_FIELD" in asked.body
            seen += 1
    assert seen > 10


async def test_a_good_credential_is_asked_for_once_a_second(service: Service) -> None:
    site, now = await service.site(), 0.0
    key = service.secrets.gateway_key
    credentials = Credentials(service.channel(), key, lambda: now)
    get_user, header = "/authy_grpc.v1.UserService/GetUser", f"Bearer {site.api_key}"
    for _ in range(3):
        await credentials.check(get_user, header)
    assert checks(service) == 1
    now += 1
    await credentials.check(get_user, header)
    assert checks(service) == 2
    # It is remembered for that call alone.
    await credentials.check("/authy_grpc.v1.UserService/ListUsers", header)
    assert checks(service) == 3
    for path, told, reason in (
        (get_user, "Bearer ak_1", "BAD_CREDENTIAL"),
        ("/authy_grpc.v1.ApplicationService/ListApplications", header, "MISSING_SCOPE"),
    ):
        for _ in range(2):
            with pytest.raises(Failure) as refused:
                await credentials.check(path, told)
            assert refused.value.reason == reason


async def test_what_is_remembered_decides_nothing_but_whether_a_body_is_read(service: Service) -> None:
    site = await service.site()
    asked = Asked(build(service.channel(), settings(gateway_key=SecretStr(service.secrets.gateway_key))))
    (route,) = [each for each in contract() if each.rpc.name == "CreateEnrollment"]
    body, header = b'{"customUserId": "a"}', f"Bearer {site.api_key}"
    await asked(route, header, body)
    assert asked.status == 200
    keys = await service.operator.applications.ListApiKeys(
        ListApiKeysRequest(application_id=site.application.application_id)
    )
    await service.operator.applications.RevokeApiKey(
        RevokeApiKeyRequest(api_key_id=keys.api_keys[0].api_key_id)
    )
    before = checks(service)
    await asked(route, header, body)
    assert (asked.status, checks(service)) == (401, before)


async def test_a_gateway_without_a_key_or_a_core_without_the_service_reads_on(service: Service) -> None:
    await Credentials(service.channel(), "").check("/x/y", "")
    await Credentials(service.channel(), new_secret("gw", os.urandom)).check("/x/y", "")
    async with echo() as channel:
        await Credentials(channel, service.secrets.gateway_key).check("/x/y", "")


async def test_gateways_alone_may_ask(service: Service) -> None:
    site = await service.site()
    stub: Any = CredentialServiceStub(service.channel())
    request = CheckRequest(method="/authy_grpc.v1.UserService/GetUser", credential=f"Bearer {site.api_key}")
    for key, code in (("", 16), (site.api_key, 7), (service.secrets.operator_key, 7)):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.Check(request, metadata=(("authorization", f"Bearer {key}"),))
        assert refused.value.code().value[0] == code
    mine = (("authorization", f"Bearer {service.secrets.gateway_key}"),)
    assert not (await stub.Check(request, metadata=mine)).HasField("refusal")
    with pytest.raises(grpc.aio.AioRpcError) as unknown:
        await stub.Check(CheckRequest(method="/x/y"), metadata=mine)
    assert unknown.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert not any("CredentialService" in route.path for route in contract())
    assert site.api_key not in service.log.getvalue()


def checks(service: Service) -> float:
    """How many were answered."""
    labels = {"method": METHOD, "code": "OK", "reason": ""}
    found = [
        sample.value
        for metric in service.core.registry.collect()
        for sample in metric.samples
        if sample.name.endswith("handled_total") and sample.labels.items() >= labels.items()
    ]
    return sum(found)
