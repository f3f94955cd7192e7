"""A small service for the phone to talk to: real gRPC on loopback, which checks what phones sign."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

import grpc
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric import ec
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from authy_grpc.domain import keys
from authy_grpc.domain.encoding import base64url_decode
from authy_grpc.phone import Phone
from authy_grpc.v1 import account_pb2, account_pb2_grpc, authenticator_pb2, authenticator_pb2_grpc
from authy_grpc.v1.approval_pb2 import APPROVAL_STATE_APPROVED, APPROVAL_STATE_DENIED

ORIGIN = "http://127.0.0.1:8080"
TOKEN = "AAAAAAAAAAAAAAAAAAAAAA"
CODE = "123456"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Context = grpc.aio.ServicerContext[Any, Any]


class Clock:
    """Stands still until it is turned."""

    def __init__(self) -> None:
        self.time = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.time

    def turn(self, **by: float) -> None:
        self.time += timedelta(**by)

    def millis(self) -> int:
        return (self.time - EPOCH) // timedelta(milliseconds=1)

    def stamp(self) -> Timestamp:
        stamp = Timestamp()
        stamp.FromDatetime(self.time)
        return stamp


async def refuse(
    context: Context, code: int, reason: str, retry: timedelta | None = None, **metadata: str
) -> NoReturn:
    """Ends a call as the service does, with ErrorInfo and, where given, RetryInfo."""
    status = status_pb2.Status(code=code, message="no")
    info = error_details_pb2.ErrorInfo(reason=reason, domain="authy_grpc", metadata=metadata)
    status.details.add().Pack(info)
    if retry is not None:
        wait = error_details_pb2.RetryInfo()
        wait.retry_delay.FromTimedelta(retry)
        status.details.add().Pack(wait)
    await context.abort_with_status(rpc_status.to_status(status))
    raise AssertionError


class Service(account_pb2_grpc.AccountServiceServicer, authenticator_pb2_grpc.AuthenticatorServiceServicer):
    """Answers with as little as the phone needs, and refuses what is not signed as the contract says.

    `calls` has every call taken, `refusals` what to answer next instead, by method.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.server_key = ec.generate_private_key(ec.SECP256R1())
        self.server_point = keys.public_point(self.server_key)
        self.calls: list[tuple[str, Any]] = []
        self.refusals: dict[str, list[Callable[[Context], Any]]] = {}
        self.lose_next: set[str] = set()
        self.tokens: dict[str, datetime] = {}
        self.proofs: list[int] = []
        self.device_keys = (b"", b"")
        self.site_keys: dict[str, bytes] = {}
        self.sites: dict[str, authenticator_pb2.Site] = {}
        self.feed: asyncio.Queue[Any] = asyncio.Queue()
        self.hung_up = asyncio.Event()

    def called(self, method: str) -> list[Any]:
        return [request for name, request in self.calls if name == method]

    async def take(self, method: str, request: Any, context: Context, token: bool = True) -> None:
        self.calls.append((method, request))
        for act in [self.refusals[method].pop(0)] if self.refusals.get(method) else []:
            await act(context)
        if token:
            sent = dict(context.invocation_metadata() or ()).get("authorization", "")
            expiry = self.tokens.get(str(sent).removeprefix("Bearer "))
            if expiry is None or expiry <= self.clock():
                await refuse(context, code_pb2.UNAUTHENTICATED, "BAD_CREDENTIAL")

    async def check_proof(self, context: Context, method: str, request: Any, *names: str) -> None:
        proof = request.proof
        message = keys.proof_message("dev_1", f"authy_grpc.v1.{method}", proof.time_millis, *names)
        keys.verify(self.device_keys[0], message, proof.signature)
        late = self.proofs and proof.time_millis <= self.proofs[-1]
        if late or abs(proof.time_millis - self.clock.millis()) > 60_000:
            time = str(self.clock.millis())
            await refuse(context, code_pb2.UNAUTHENTICATED, "CLOCK_SKEW", server_time=time)
        self.proofs.append(proof.time_millis)

    def check_site_key(self, request: Any, name: str, site_id: str) -> None:
        message = keys.site_key_message("dev_1", name, request.site_key)
        keys.verify(request.site_key, message, request.site_key_proof)
        keys.verify(self.device_keys[0], message, request.signature)
        assert self.site_keys.setdefault(site_id, request.site_key) == request.site_key
        self.sites[site_id].has_key = True

    async def StartPhoneVerification(self, request: Any, context: Context) -> Any:
        await self.take("StartPhoneVerification", request, context, token=False)
        return account_pb2.StartPhoneVerificationResponse(verification_id="pvn_1")

    async def RegisterDevice(self, request: Any, context: Context) -> Any:
        await self.take("RegisterDevice", request, context, token=False)
        points = request.signing_key, request.agreement_key
        message = keys.registration_message(request.verification_id, *points)
        keys.verify(request.signing_key, message, request.signature)
        if request.code != CODE:
            await refuse(context, code_pb2.INVALID_ARGUMENT, "CODE_REJECTED")
        self.device_keys = points
        return account_pb2.RegisterDeviceResponse(
            device=account_pb2.Device(
                device_id="dev_1", name=request.name, state=account_pb2.DEVICE_STATE_ACTIVE
            ),
            server_agreement_key=self.server_point,
            recovery_code="0123456789ABCDEF",
        )

    async def CreateSession(self, request: Any, context: Context) -> Any:
        await self.take("CreateSession", request, context, token=False)
        await self.check_proof(context, "AccountService/CreateSession", request)
        token = f"dt_{len(self.called('CreateSession'))}"
        self.tokens[token] = self.clock() + timedelta(hours=1)
        expire_time = Timestamp()
        expire_time.FromDatetime(self.tokens[token])
        return account_pb2.CreateSessionResponse(
            device_token=token, expire_time=expire_time, server_time=self.clock.stamp()
        )

    async def DeleteSession(self, request: Any, context: Context) -> Any:
        await self.take("DeleteSession", request, context)
        self.tokens.clear()
        return account_pb2.DeleteSessionResponse()

    async def GetAccount(self, request: Any, context: Context) -> Any:
        await self.take("GetAccount", request, context)
        return account_pb2.GetAccountResponse(account=account_pb2.Account(phone_number="+15005550006"))

    async def UpdateAccount(self, request: Any, context: Context) -> Any:
        await self.take("UpdateAccount", request, context)
        paths, account = request.update_mask.paths, request.account
        policy = str(account.new_device_policy) if "new_device_policy" in paths else "-"
        codes = str(int(account.phone_codes)) if "phone_codes" in paths else "-"
        await self.check_proof(context, "AccountService/UpdateAccount", request, policy, codes)
        return account_pb2.UpdateAccountResponse(account=account)

    async def DeleteAccount(self, request: Any, context: Context) -> Any:
        await self.take("DeleteAccount", request, context)
        await self.check_proof(context, "AccountService/DeleteAccount", request)
        return account_pb2.DeleteAccountResponse()

    async def ListDevices(self, request: Any, context: Context) -> Any:
        await self.take("ListDevices", request, context)
        return account_pb2.ListDevicesResponse(devices=[account_pb2.Device(device_id="dev_1")])

    async def UpdateDevice(self, request: Any, context: Context) -> Any:
        await self.take("UpdateDevice", request, context)
        if request.device_id != "dev_1":
            names = request.device_id, request.name
            await self.check_proof(context, "AccountService/UpdateDevice", request, *names)
        device = account_pb2.Device(device_id=request.device_id, name=request.name)
        return account_pb2.UpdateDeviceResponse(device=device)

    async def AcknowledgeDevice(self, request: Any, context: Context) -> Any:
        await self.take("AcknowledgeDevice", request, context)
        await self.check_proof(context, "AccountService/AcknowledgeDevice", request, request.device_id)
        return account_pb2.AcknowledgeDeviceResponse(device=account_pb2.Device(device_id=request.device_id))

    async def ApproveDevice(self, request: Any, context: Context) -> Any:
        await self.take("ApproveDevice", request, context)
        names = request.device_id, request.check
        await self.check_proof(context, "AccountService/ApproveDevice", request, *names)
        return account_pb2.ApproveDeviceResponse(device=account_pb2.Device(device_id=request.device_id))

    async def RevokeDevice(self, request: Any, context: Context) -> Any:
        await self.take("RevokeDevice", request, context)
        await self.check_proof(context, "AccountService/RevokeDevice", request, request.device_id)
        return account_pb2.RevokeDeviceResponse()

    async def OpenEnrollment(self, request: Any, context: Context) -> Any:
        await self.take("OpenEnrollment", request, context)
        assert request.token == TOKEN
        return authenticator_pb2.OpenEnrollmentResponse(
            site_name="Shop", origin="https://shop.example", expire_time=self.clock.stamp()
        )

    async def AcceptEnrollment(self, request: Any, context: Context) -> Any:
        await self.take("AcceptEnrollment", request, context)
        self.add_site("sit_1")
        self.check_site_key(request, request.token, "sit_1")
        if "AcceptEnrollment" in self.lose_next:
            self.lose_next.remove("AcceptEnrollment")
            await context.abort(grpc.StatusCode.UNAVAILABLE, "lost")
        return authenticator_pb2.AcceptEnrollmentResponse(site=self.sites["sit_1"])

    async def RejectEnrollment(self, request: Any, context: Context) -> Any:
        await self.take("RejectEnrollment", request, context)
        return authenticator_pb2.RejectEnrollmentResponse()

    async def ListSites(self, request: Any, context: Context) -> Any:
        await self.take("ListSites", request, context)
        return authenticator_pb2.ListSitesResponse(sites=self.sites.values())

    async def AddSiteKey(self, request: Any, context: Context) -> Any:
        await self.take("AddSiteKey", request, context)
        self.check_site_key(request, request.site_id, request.site_id)
        return authenticator_pb2.AddSiteKeyResponse(site=self.sites[request.site_id])

    async def UpdateSite(self, request: Any, context: Context) -> Any:
        await self.take("UpdateSite", request, context)
        names = request.site_id, request.label
        await self.check_proof(context, "AuthenticatorService/UpdateSite", request, *names)
        site = authenticator_pb2.Site(site_id=request.site_id, label=request.label)
        return authenticator_pb2.UpdateSiteResponse(site=site)

    async def RemoveSite(self, request: Any, context: Context) -> Any:
        await self.take("RemoveSite", request, context)
        await self.check_proof(context, "AuthenticatorService/RemoveSite", request, request.site_id)
        return authenticator_pb2.RemoveSiteResponse()

    async def WatchInbox(self, request: Any, context: Context) -> AsyncIterator[Any]:
        await self.take("WatchInbox", request, context)
        try:
            while (item := await self.feed.get()) is not None:
                if callable(item):
                    await item(context)
                yield item
        finally:
            self.hung_up.set()

    async def RespondApproval(self, request: Any, context: Context) -> Any:
        await self.take("RespondApproval", request, context)
        approved = '"decision":"approve"' in base64url_decode(request.receipt.split(".")[1]).decode()
        state = APPROVAL_STATE_APPROVED if approved else APPROVAL_STATE_DENIED
        return authenticator_pb2.RespondApprovalResponse(state=state)

    async def ListActivity(self, request: Any, context: Context) -> Any:
        await self.take("ListActivity", request, context)
        start = int(request.page_token or "0")
        end = min(start + min(request.page_size, 2), 5)
        activities = [authenticator_pb2.Activity(type=f"number.{i}") for i in range(start, end)]
        token = str(end) if end < 5 else ""
        return authenticator_pb2.ListActivityResponse(activities=activities, next_page_token=token)

    def add_site(self, site_id: str) -> authenticator_pb2.Site:
        site = authenticator_pb2.Site(site_id=site_id, name="Shop", code_digits=7, code_period_seconds=20)
        return self.sites.setdefault(site_id, site)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def service(clock: Clock) -> Service:
    return Service(clock)  # type: ignore[abstract]


@pytest_asyncio.fixture
async def target(service: Service) -> AsyncIterator[str]:
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    account_pb2_grpc.add_AccountServiceServicer_to_server(service, server)
    authenticator_pb2_grpc.add_AuthenticatorServiceServicer_to_server(service, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield f"127.0.0.1:{port}"
    await server.stop(None)


@pytest_asyncio.fixture
async def phone(target: str, clock: Clock) -> AsyncIterator[Phone]:
    """A phone that is registered, and whose clock is the service's."""
    async with Phone(target, origin=ORIGIN, clock=clock) as phone:
        await phone.register(await phone.start("+15005550006"), CODE, "Pocket")
        yield phone


@pytest.fixture
def refusal() -> Callable[..., Callable[[Context], Any]]:
    """Makes what a call answers instead, for `Service.refusals` and `Service.feed`."""

    def make(code: int, reason: str, retry: timedelta | None = None, **metadata: str) -> Any:
        return lambda context: refuse(context, code, reason, retry, **metadata)

    return make
