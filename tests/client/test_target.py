"""How the address of a service is read, or why it is not."""

import pytest

from authy_grpc.client import AsyncClient, Client
from authy_grpc.client.target import TargetError, parse

GOOD = [
    # text, what grpc is given, TLS by scheme, loopback
    ("127.0.0.1:50051", "127.0.0.1:50051", None, True),
    ("  localhost:1 \n", "localhost:1", None, True),
    ("'localhost:1'", "localhost:1", None, True),
    ("localhost", "localhost:50051", None, True),
    ("LOCALHOST.:1", "LOCALHOST.:1", None, True),
    ("[::1]:50051", "[::1]:50051", None, True),
    ("[::1]", "[::1]:50051", None, True),
    ("::1", "[::1]:50051", None, True),
    ("[::ffff:127.0.0.1]:1", "[::ffff:127.0.0.1]:1", None, True),
    ("2001:db8::1", "[2001:db8::1]:443", None, False),
    ("core:50051", "core:50051", None, False),
    ("my_service.ns.svc:1", "my_service.ns.svc:1", None, False),
    ("authy.example", "authy.example:443", None, False),
    ("grpc://core:50051", "core:50051", False, False),
    ("grpc://core", "core:50051", False, False),
    ("GRPC://core:1/", "core:1", False, False),
    ("grpcs://core:50051", "core:50051", True, False),
    ("grpcs://authy.example", "authy.example:443", True, False),
    ("grpcs://[2001:db8::1]:443", "[2001:db8::1]:443", True, False),
    ("grpcs://127.0.0.1:50051", "127.0.0.1:50051", True, True),
    ("https://authy.example", "authy.example:443", True, False),
    ("https://authy.example:8443/", "authy.example:8443", True, False),
    ("dns:///core:50051", "dns:///core:50051", None, False),
    ("dns:///localhost:50051", "dns:///localhost:50051", None, True),
    ("dns:50051", "dns:50051", None, False),
    ("ipv4:10.0.0.1:1,10.0.0.2:1", "ipv4:10.0.0.1:1,10.0.0.2:1", None, False),
    ("unix:/run/authy.sock", "unix:/run/authy.sock", None, True),
    ("unix:///run/authy.sock", "unix:///run/authy.sock", None, True),
    ("unix:run/authy.sock", "unix:run/authy.sock", None, True),
]
BAD = [
    ("", "empty"),
    ("   ", "empty"),
    ("https://authy.example/v1", "grpcs://authy.example"),
    ("https://authy.example/v1?key=CANARY", "grpcs://authy.example"),
    ("http://127.0.0.1:8080", "REST"),
    ("http://authy.example/", "grpc://authy.example"),
    ("grpc://core:50051/v1", "path"),
    ("core:50051/v1", "path"),
    ("core/v1", "path"),
    ("tcp://core:50051", "tcp://"),
    ("grpcs://user:CANARY@core:1", "@"),
    ("ak_CANARY0123456789ABCDEFGH", "key"),
    ("core :50051", "white space"),
    ("core:5\u00a01", "white space"),
    (":50051", "no host"),
    ("50051", "number"),
    ("2130706433:1", "number"),
    ("core:", "port"),
    ("core:0", "port"),
    ("core:99999", "port"),
    ("core:http", "port"),
    ("core:-1", "port"),
    ("core:\uff15\uff10", "port"),
    ("::1:443", "two ways"),
    ("2001:db8::1:443", "two ways"),
    ("[::1", "brackets"),
    ("[::1]x:1", "brackets"),
    ("[core]:1", "brackets"),
    ("a:1,b:1", "IPv6"),
    ("core,b:1", "no host"),
    ("münchen.example:1", "no host"),
    ("1\uff127.0.0.1:1", "no host"),
]


@pytest.mark.parametrize(("text", "dial", "secure", "loopback"), GOOD)
def test_an_address_is_read(text: str, dial: str, secure: bool | None, loopback: bool) -> None:
    found = parse(text)
    assert (found.dial, found.secure, found.loopback) == (dial, secure, loopback)
    assert parse(str(found)) == found


@pytest.mark.parametrize(("text", "said"), BAD)
def test_what_is_none_is_refused_with_a_reason(text: str, said: str) -> None:
    with pytest.raises(TargetError) as caught:
        parse(text)
    assert said.lower() in str(caught.value).lower()
    assert "CANARY" not in str(caught.value)


@pytest.mark.parametrize("kind", [Client, AsyncClient])
@pytest.mark.parametrize("target", ["https://authy.example/v1", "http://core", "core:99999"])
def test_a_client_says_so_before_it_calls(kind: type[Client | AsyncClient], target: str) -> None:
    with pytest.raises(ValueError, match="write"):
        kind(target, "ak_1")
