"""Who may call what."""

from typing import Any

import grpc.aio
import pytest
from google.protobuf.message import Message

from authy_grpc.domain.forwarded import Forwarding
from authy_grpc.rpc import auth
from authy_grpc.server import Service
from authy_grpc.v1 import (
    account_pb2,
    account_pb2_grpc,
    application_pb2,
    application_pb2_grpc,
    user_pb2,
    user_pb2_grpc,
    verification_pb2,
    verification_pb2_grpc,
)


class Applications(application_pb2_grpc.ApplicationServiceServicer):
    async def ListApplications(self, request: Message, context: Any) -> Any:
        auth.operator()
        return application_pb2.ListApplicationsResponse()

    async def GetCurrentApplication(self, request: Message, context: Any) -> Any:
        own = application_pb2.Application(application_id=auth.site().application_id)
        return application_pb2.GetCurrentApplicationResponse(application=own)

    async def ListApiKeys(self, request: Message, context: Any) -> Any:
        auth.site()  # not what the table promises
        return application_pb2.ListApiKeysResponse()


class Users(user_pb2_grpc.UserServiceServicer):
    async def ListUsers(self, request: Message, context: Any) -> Any:
        return user_pb2.ListUsersResponse(next_page_token=auth.site().api_key_id)

    async def DeleteUser(self, request: Message, context: Any) -> Any:
        return user_pb2.DeleteUserResponse()


class Verifications(verification_pb2_grpc.VerificationServiceServicer):
    async def VerifyCode(self, request: Message, context: Any) -> Any:
        return verification_pb2.VerifyCodeResponse()

    async def CreateBackupCodes(self, request: Message, context: Any) -> Any:
        return verification_pb2.CreateBackupCodesResponse()


class Accounts(account_pb2_grpc.AccountServiceServicer):
    async def StartPhoneVerification(self, request: Message, context: Any) -> Any:
        assert auth.caller() is auth.nobody()
        return account_pb2.StartPhoneVerificationResponse(verification_id=auth.nobody().peer)

    async def ListDevices(self, request: Message, context: Any) -> Any:
        return account_pb2.ListDevicesResponse(
            devices=[account_pb2.Device(device_id=auth.device().device_id)]
        )

    async def GetAccount(self, request: Message, context: Any) -> Any:
        return account_pb2.GetAccountResponse()


def partly(kind: Any, *arguments: Any) -> Any:
    """A servicer that has some of its methods."""
    return kind(*arguments)


SERVICES = (
    Service(
        "authy_grpc.v1.ApplicationService",
        partly(Applications),
        application_pb2_grpc.add_ApplicationServiceServicer_to_server,
    ),
    Service("authy_grpc.v1.UserService", partly(Users), user_pb2_grpc.add_UserServiceServicer_to_server),
    Service(
        "authy_grpc.v1.VerificationService",
        partly(Verifications),
        verification_pb2_grpc.add_VerificationServiceServicer_to_server,
    ),
    Service(
        "authy_grpc.v1.AccountService",
        partly(Accounts),
        account_pb2_grpc.add_AccountServiceServicer_to_server,
    ),
)


class Calls:
    """Each call with a good request, by the name of its method."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        application: Any = application_pb2_grpc.ApplicationServiceStub(channel)
        user: Any = user_pb2_grpc.UserServiceStub(channel)
        verification: Any = verification_pb2_grpc.VerificationServiceStub(channel)
        account: Any = account_pb2_grpc.AccountServiceStub(channel)
        self.all = {
            "ListApplications": (application, application_pb2.ListApplicationsRequest()),
            "GetCurrentApplication": (application, application_pb2.GetCurrentApplicationRequest()),
            "ListApiKeys": (application, application_pb2.ListApiKeysRequest(application_id="app_1")),
            "ListUsers": (user, user_pb2.ListUsersRequest()),
            "DeleteUser": (user, user_pb2.DeleteUserRequest(authy_id="1")),
            "VerifyCode": (verification, verification_pb2.VerifyCodeRequest(authy_id="1", code="1")),
            "CreateBackupCodes": (verification, verification_pb2.CreateBackupCodesRequest(authy_id="1")),
            "ListDevices": (account, account_pb2.ListDevicesRequest()),
            "GetAccount": (account, account_pb2.GetAccountRequest()),
            "StartPhoneVerification": (
                account,
                account_pb2.StartPhoneVerificationRequest(phone_number="+15005550006"),
            ),
        }

    async def call(self, method: str, *metadata: tuple[str, str]) -> Any:
        stub, request = self.all[method]
        return await getattr(stub, method)(request, metadata=metadata)


def bearer(token: str) -> tuple[str, str]:
    return ("authorization", f"Bearer {token}")


@pytest.mark.parametrize(
    ("method", "token"),
    [
        ("ListApplications", "op_1"),
        ("GetCurrentApplication", "ak_none"),
        ("ListUsers", "ak_enroll"),
        ("ListUsers", "ak_verify"),
        ("DeleteUser", "ak_enroll"),
        ("VerifyCode", "ak_verify"),
        ("CreateBackupCodes", "ak_enroll"),
        ("ListDevices", "dt_active"),
        ("ListDevices", "dt_held"),
        ("GetAccount", "dt_active"),
    ],
)
async def test_the_right_credential_passes(transport: Any, method: str, token: str) -> None:
    async with transport(*SERVICES) as world:
        await Calls(world.channel).call(method, bearer(token))
        await Calls(world.channel).call(method, ("authorization", f"bearer  {token} "))
    assert world.lines[0]["caller"]


@pytest.mark.parametrize(
    ("method", "token", "lacks"),
    [
        ("ListApplications", "ak_enroll", "operator"),
        ("GetCurrentApplication", "op_1", "site"),
        ("GetCurrentApplication", "gw_1", "site"),
        ("DeleteUser", "ak_verify", "ENROLL"),
        ("VerifyCode", "ak_enroll", "VERIFY"),
        ("VerifyCode", "dt_active", "site"),
        ("CreateBackupCodes", "ak_verify", "ENROLL"),
        ("ListUsers", "ak_events", "ENROLL"),
        ("ListDevices", "ak_enroll", "device"),
    ],
)
async def test_another_credential_is_told_what_it_lacks(
    transport: Any, failure: Any, method: str, token: str, lacks: str
) -> None:
    async with transport(*SERVICES) as world:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await Calls(world.channel).call(method, bearer(token))
    found = failure(caught.value)
    assert (found.code, found.reason, found.metadata) == (
        "PERMISSION_DENIED",
        "MISSING_SCOPE",
        {"scope": lacks},
    )
    assert world.lines[0]["caller"]


@pytest.mark.parametrize(
    "metadata",
    [
        (),
        (bearer("ak_unknown"),),
        (bearer(""),),
        (("authorization", "ak_verify"),),
        (("authorization", "Basic ak_verify"),),
        (bearer("ak_verify"), bearer("ak_verify")),
    ],
)
async def test_no_credential_or_an_unknown_one(transport: Any, failure: Any, metadata: Any) -> None:
    async with transport(*SERVICES) as world:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await Calls(world.channel).call("VerifyCode", *metadata)
    found = failure(caught.value)
    assert (found.code, found.reason) == ("UNAUTHENTICATED", "BAD_CREDENTIAL")
    assert "ak_" not in world.output.getvalue()


async def test_a_held_device_may_do_little(transport: Any, failure: Any) -> None:
    async with transport(*SERVICES) as world:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await Calls(world.channel).call("GetAccount", bearer("dt_held"))
    assert failure(caught.value).reason == "DEVICE_HELD"


@pytest.mark.parametrize(
    ("metadata", "peer"),
    [
        ((), "127.0.0.1"),
        ((bearer("ak_unknown"),), "127.0.0.1"),
        ((("x-authy-peer", "203.0.113.7"),), "127.0.0.1"),
        ((("x-authy-peer", "203.0.113.7"), ("x-authy-gateway", "gw_0")), "127.0.0.1"),
        ((("x-authy-peer", "203.0.113.7"), ("x-authy-gateway", "op_1")), "127.0.0.1"),
        ((("x-authy-peer", "nonsense"), ("x-authy-gateway", "gw_1")), "127.0.0.1"),
        ((("x-authy-peer", "203.0.113.7"), ("x-authy-gateway", "gw_1")), "203.0.113.7"),
        ((("x-authy-peer", "2001:DB8::0:1"), ("x-authy-gateway", "gw_1")), "2001:db8::1"),
        ((("x-authy-peer", "::ffff:203.0.113.7"), ("x-authy-gateway", "gw_1")), "203.0.113.7"),
        ((("x-authy-peer", "unreadable"), ("x-authy-gateway", "gw_1")), "unreadable"),
        ((("x-authy-peer", "unreadable"),), "127.0.0.1"),
        ((("x-forwarded-for", "203.0.113.7"),), "127.0.0.1"),
    ],
)
async def test_whom_a_call_without_credential_comes_from(transport: Any, metadata: Any, peer: str) -> None:
    async with transport(*SERVICES) as world:
        answer = await Calls(world.channel).call("StartPhoneVerification", *metadata)
    assert answer.verification_id == peer
    assert world.lines[0]["caller"] == "" and peer not in world.output.getvalue()


@pytest.mark.parametrize(
    ("metadata", "peer"),
    [
        ((), "127.0.0.1"),
        ((("x-forwarded-for", "1.1.1.1, 203.0.113.7:4711"),), "203.0.113.7"),
        ((("x-forwarded-for", "1.1.1.1"), ("x-forwarded-for", "[2001:DB8::7]:1, 127.0.0.2")), "2001:db8::7"),
        ((("x-forwarded-for", "203.0.113.7, CANARY"),), "unreadable"),
        ((("forwarded", "for=203.0.113.7"),), "127.0.0.1"),
        (
            (("x-forwarded-for", "1.1.1.1"), ("x-authy-peer", "2.2.2.2"), ("x-authy-gateway", "gw_1")),
            "2.2.2.2",
        ),
    ],
)
async def test_a_trusted_proxy_tells_whom_a_call_comes_from(transport: Any, metadata: Any, peer: str) -> None:
    async with transport(*SERVICES, address=Forwarding.read("127.0.0.0/8")) as world:
        answer = await Calls(world.channel).call("StartPhoneVerification", *metadata)
        assert answer.verification_id == peer
        told = world.output.getvalue()
        assert ("forwarded unreadable" in told) == (peer == "unreadable")
        assert peer == "unreadable" or peer not in told
        assert "CANARY" not in told
        count = world.registry.get_sample_value("grpc_server_forwarded_unreadable_total")
        assert count == (peer == "unreadable")


async def test_by_a_unix_socket_a_proxy_may_come(transport: Any, tmp_path: Any) -> None:
    for trusted, peer in (("unix:", "203.0.113.7"), ("127.0.0.1", "unix")):
        listen = f"unix:{tmp_path}/{peer}"
        async with transport(*SERVICES, listen=listen, address=Forwarding.read(trusted)) as world:
            answer = await Calls(world.channel).call(
                "StartPhoneVerification", ("x-forwarded-for", "203.0.113.7")
            )
        assert answer.verification_id == peer


async def test_the_peer_of_an_ipv6_socket_and_of_a_unix_socket(transport: Any, tmp_path: Any) -> None:
    for listen, peer in (("[::1]:0", "::1"), (f"unix:{tmp_path}/s", "unix")):
        async with transport(*SERVICES, listen=listen) as world:
            target = listen if peer == "unix" else f"[::1]:{world.port}"
            async with grpc.aio.insecure_channel(target) as channel:
                answer = await Calls(channel).call("StartPhoneVerification")
        assert answer.verification_id == peer


async def test_a_handler_that_expects_another_caller_is_a_fault(transport: Any, failure: Any) -> None:
    async with transport(*SERVICES) as world:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await Calls(world.channel).call("ListApiKeys", bearer("op_1"))
    assert failure(caught.value).reason == "INTERNAL"


async def test_nobody_calls_outside_of_a_call() -> None:
    assert auth.caller() is None
