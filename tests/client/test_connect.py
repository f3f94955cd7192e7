"""Where an API key may go in plaintext."""

from typing import Any

import grpc
import pytest

from authy_grpc.client import AsyncClient, Client, Unavailable
from authy_grpc.client.connect import TlsFiles, is_loopback, road
from authy_grpc.v1.user_pb2 import GetUserRequest, GetUserResponse

LOOPBACK = [
    "127.0.0.1:50051",
    "127.0.0.1",
    "127.9.9.9:1",
    "localhost:50051",
    "localhost",
    "[::1]:50051",
    "[::1]",
    "::1",
    "dns:///localhost:50051",
    "dns:localhost:1",
    "ipv4:127.0.0.1:50051",
    "ipv6:[::1]:50051",
    "unix:/run/authy.sock",
    "unix:///run/authy.sock",
]
ELSEWHERE = [
    "authy.example:443",
    "authy.example",
    "127.0.0.1.example:443",
    "localhost.example:443",
    "10.0.0.1:50051",
    "0.0.0.0:50051",
    "[::]:50051",
    "[2001:db8::1]:443",
    "dns://192.0.2.1/localhost:1",
    "ipv4:127.0.0.1:1,192.0.2.1:1",
    "127.1:1",
    "unixy:1",
    "xds:///authy",
]
UNREADABLE = ["[::1", "[::1]x:1", "2130706433:1", ""]


NO_FILES = TlsFiles()


@pytest.mark.parametrize("target", LOOPBACK)
def test_loopback_is_plaintext_unless_tls_is_asked_for(target: str) -> None:
    assert is_loopback(target)
    assert not road(target, files=NO_FILES).secure
    assert road(target, insecure=False, files=NO_FILES).secure


@pytest.mark.parametrize("target", ELSEWHERE)
def test_elsewhere_is_tls_unless_plaintext_is_asked_for(target: str) -> None:
    assert not is_loopback(target)
    assert road(target, files=NO_FILES).secure
    assert not road(target, insecure=True, files=NO_FILES).secure


@pytest.mark.parametrize("target", UNREADABLE)
def test_what_cannot_be_read_is_not_taken_for_this_machine(target: str) -> None:
    assert not is_loopback(target)


@pytest.mark.parametrize(("target", "insecure"), [("grpc://core:1", False), ("grpcs://core:1", True)])
def test_scheme_and_argument_may_not_differ(target: str, insecure: bool) -> None:
    with pytest.raises(ValueError, match="two things"):
        road(target, insecure=insecure, files=NO_FILES)
    assert road(target, insecure=not insecure, files=NO_FILES).secure is insecure


def test_credentials_and_plaintext_exclude_each_other() -> None:
    with pytest.raises(ValueError, match="plaintext"):
        Client("authy.example:443", "ak_1", credentials=grpc.ssl_channel_credentials(), insecure=True)


def test_a_key_is_not_told_in_plaintext_to_who_cannot_do_tls(serve: Any) -> None:
    calls = []

    def get(request: GetUserRequest, context: grpc.ServicerContext) -> GetUserResponse:
        calls.append(request)
        return GetUserResponse()

    target = serve(GetUser=get)
    with (
        Client(target, "ak_1", insecure=False, sleep=lambda seconds: None) as client,
        pytest.raises(Unavailable),
    ):
        client.users.GetUser(GetUserRequest())
    assert calls == []
    with Client(target, "ak_1", insecure=True) as client:
        client.users.GetUser(GetUserRequest())
    assert len(calls) == 1


@pytest.mark.parametrize("key", ["", "ak_CANARY\n", "ak CANARY", "ak_CANARYé"])
@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_a_key_that_cannot_be_one_is_refused_and_not_quoted(
    key: str, kind: type[Client | AsyncClient]
) -> None:
    with pytest.raises(ValueError, match="not an API key") as caught:
        kind("127.0.0.1:1", key)
    assert "CANARY" not in str(caught.value)


@pytest.mark.parametrize("timeout", [0, -1, float("inf"), float("nan")])
def test_a_timeout_is_above_nothing(timeout: float) -> None:
    with pytest.raises(ValueError, match="timeout"):
        Client("127.0.0.1:1", "ak_1", timeout=timeout)
