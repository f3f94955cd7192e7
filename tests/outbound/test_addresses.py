"""What a stranger may have called: no address that is not public, however spelled, nor a name for one."""

import socket
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address
from random import Random

import pytest

from authy_grpc.outbound.addresses import Addresses, ForbiddenAddress, Unresolved, is_public
from tests.naming import always, name_server, turning

NOT_PUBLIC_4 = (  # noqa: SIM905
    "0.0.0.0 0.1.2.3 10.0.0.1 10.255.255.255 100.64.0.1 100.100.100.200 100.127.255.255 127.0.0.1 "
    "127.1.2.3 127.255.255.254 168.63.129.16 169.254.0.1 169.254.169.254 169.254.170.2 172.16.0.1 "
    "172.31.255.255 192.0.0.1 192.0.0.8 192.0.0.9 192.0.0.170 192.0.0.192 192.0.2.1 192.31.196.1 "
    "192.52.193.1 192.88.99.1 192.168.0.1 192.168.255.255 192.175.48.1 198.18.0.1 198.19.255.255 "
    "198.51.100.1 203.0.113.1 224.0.0.1 233.252.0.1 239.255.255.250 240.0.0.1 255.255.255.255"
).split()
NOT_PUBLIC_6 = (  # noqa: SIM905
    ":: ::1 ::2 ::127.0.0.1 ::10.0.0.1 ::93.184.216.34 ::ffff:127.0.0.1 ::ffff:10.0.0.1 "
    "::ffff:169.254.169.254 ::ffff:93.184.216.34 ::ffff:0:127.0.0.1 64:ff9b::7f00:1 64:ff9b::a9fe:a9fe "
    "64:ff9b::5db8:d822 64:ff9b:1::1 64:ff9b:1:7f00:1:: 100::1 2001::1 2001:0:7f00:1:: 2001:1::1 "
    "2001:2::1 2001:4:112::1 2001:10::1 2001:20::1 2001:db8::1 2002:7f00:1::1 2002:a00:1:: "
    "2002:a9fe:a9fe:: 2002:5db8:d822::1 2620:4f:8000::1 3fff::1 4000::1 5f00::1 fc00::1 fd00::1 "
    "fd00:ec2::254 fd20:ce::254 fe80::1 fe80::a9fe:a9fe fec0::1 feff::1 ff02::1 ff05::2 ff0e::1"
).split()
PUBLIC = (  # noqa: SIM905
    "1.1.1.1 8.8.8.8 93.184.216.34 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.1 168.63.129.15 "
    "169.253.255.255 172.15.255.255 172.32.0.0 192.0.1.0 192.167.255.255 192.169.0.0 198.17.255.255 "
    "198.20.0.0 223.255.255.255 2001:200::1 2001:4860:4860::8888 2003::1 2606:4700:4700::1111 "
    "2a00:1450:4001:81b::200e"
).split()


def spellings_4(address: IPv4Address) -> Iterator[str]:
    """What one resolver or another takes for the address."""
    value, parts = int(address), address.packed
    a, b, c, d = parts
    yield str(address)
    yield f"{value}"
    yield f"0x{value:08x}"
    yield f"0X{value:X}"
    yield f"0{value:o}"
    yield f"00{value:o}"
    yield f"{value + 2**32}"
    yield ".".join(f"0x{part:x}" for part in parts)
    yield ".".join(f"0{part:o}" for part in parts)
    yield ".".join(f"{part:03d}" for part in parts)
    yield ".".join(f"{part:04o}" for part in parts)
    yield f"{a}.{b}.{(c << 8) + d}"
    yield f"{a}.{(b << 16) + (c << 8) + d}"
    yield f"0x{a:x}.{(b << 16) + (c << 8) + d}"
    yield f"{a}.{b}.0x{c:x}.{d:o}"
    for zero in ("０", "٠", "𝟎"):  # noqa: RUF001
        yield "".join(chr(ord(zero) + int(c)) if c.isdigit() else c for c in str(address))
    yield str(address).replace(".", "。")
    yield str(address).replace(".", "．")  # noqa: RUF001
    yield str(address).replace(".", "%2e")
    yield f"{address}."
    yield f"{address}.."
    yield f".{address}"
    yield f"[{address}]"
    yield f"[::ffff:{address}]"
    yield f"[::{address}]"
    yield f"[64:ff9b::{address}]"
    yield f"[2002:{value >> 16:x}:{value & 0xFFFF:x}::1]"
    yield f"[::ffff:{value >> 16:x}:{value & 0xFFFF:x}]"


def spellings_6(address: IPv6Address) -> Iterator[str]:
    yield f"[{address}]"
    yield f"[{address.exploded}]"
    yield f"[{address.exploded.upper()}]"
    yield f"[{address}%25eth0]"
    yield f"[{address}%1]"
    yield f"[{address}"
    yield f"{address}"
    yield f"[[{address}]]"
    low = IPv4Address(int(address) & 0xFFFFFFFF)
    yield f"[{address.exploded.rsplit(':', 2)[0]}:{low}]"
    yield f"[{address}].nip.io"


def urls(host: str) -> Iterator[str]:
    yield f"https://{host}/"
    yield f"https://{host}"
    yield f"https://{host}?a=b"
    yield f"https://{host}:443/hook"
    yield f"https://{host}:8443/hook"
    yield f"https://user:password@{host}/"
    yield f"https://example.com@{host}/"
    yield f"https://example.com:443@{host}:443/"
    yield f"https://{host}\\@example.com/"
    yield f"https://{host}#@example.com/"
    yield f"HTTPS://{host}/"
    yield f"http://{host}/"


async def never(host: str) -> list[IPv4Address | IPv6Address]:
    raise AssertionError("it was taken for a name")


def refused(addresses: Addresses, url: str) -> bool:
    try:
        addresses.read(url)
    except ForbiddenAddress:
        return True
    return False


@pytest.mark.parametrize("text", [*NOT_PUBLIC_4, *NOT_PUBLIC_6])
def test_no_spelling_of_an_address_that_is_not_public_is_read(text: str) -> None:
    address = ip_address(text)
    assert not is_public(address)
    hosts = spellings_4(address) if isinstance(address, IPv4Address) else spellings_6(address)
    addresses = Addresses(resolve=never)
    assert [url for host in hosts for url in urls(host) if not refused(addresses, url)] == []


@pytest.mark.parametrize("text", PUBLIC)
def test_a_public_address_is_read(text: str) -> None:
    address = ip_address(text)
    host = text if address.version == 4 else f"[{address.exploded}]"
    assert is_public(address)
    target = Addresses(resolve=never).read(f"https://{host}:8443/hook?a=b")
    assert (target.host, target.port, target.path) == (text, 8443, "/hook?a=b")
    # The control of the test above: one that is refused there for its address alone is taken here.
    assert refused(Addresses(resolve=never), f"https://user@{host}/")
    with_dot = f"https://{host}./"
    assert refused(Addresses(resolve=never), with_dot)


def test_what_the_system_takes_for_loopback_is_not_read() -> None:
    """The spellings above are no fancy: the system's resolver takes many of them."""
    taken = []
    for host in spellings_4(IPv4Address("127.0.0.1")):
        try:
            found = socket.getaddrinfo(host, 443, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            continue
        if found[0][4][0] == "127.0.0.1":
            taken.append(host)
    assert len(taken) >= 8
    assert all(refused(Addresses(resolve=never), f"https://{host}/") for host in taken)


def test_random_addresses_are_public_only_where_the_registry_says_so(
    figure: Callable[[int, int], int],
) -> None:
    random = Random(1)
    for _ in range(figure(2_000, 200_000)):
        address = IPv4Address(random.getrandbits(32))
        assert is_public(address) <= (address.is_global and not address.is_multicast)
        assert not is_public(IPv6Address(0xFFFF << 32 | int(address)))
        assert not is_public(IPv6Address(random.getrandbits(128) & ~(7 << 125)))  # 0000::/3


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST",
        "localhost.",
        "a.localhost",
        "localhost.localdomain.",
        "printer.local",
        "metadata.google.internal",
        "1.0.0.127.in-addr.arpa",
        "hidden.onion",
        "intranet",
        "example.com.",
        "example..com",
        ".example.com",
        "-a.example.com",
        "a-.example.com",
        "a_b.example.com",
        "exa mple.com",
        "example.com\t",
        "example.com\n",
        "example.com%00.example.net",
        "ex%61mple.com",
        "bücher.example",
        "ｅxample.com",  # noqa: RUF001
        "ⓛⓞⓒⓐⓛⓗⓞⓢⓣ",
        "loopback。example.com",
        "exam\u00adple.com",
        "exam\u200bple.com",
        "fuß.example",
        "\u212a.example",
        "example.1",
        "example.0x7f",
        "a" * 64 + ".example.com",
        ".".join(["a" * 60] * 5) + ".com",
        "",
        "[]",
        "[::1",
        "*.example.com",
        "example.com,example.net",
    ],
)
def test_a_name_that_is_not_a_full_public_one_in_its_one_spelling_is_refused(host: str) -> None:
    addresses = Addresses(resolve=never)
    assert all(refused(addresses, url) for url in urls(host))


@pytest.mark.parametrize(
    "host", ["example.com", "EXAMPLE.com", "xn--bcher-kva.example", "a.b-c.d0.co", "1.example.com"]
)
def test_a_public_name_is_read(host: str) -> None:
    target = Addresses(resolve=never).read(f"https://{host}")
    assert (target.scheme, target.host, target.port, target.path) == ("https", host.lower(), 443, "/")
    assert target.authority == host.lower()
    assert Addresses(resolve=never).read(f"https://{host}:8443?q").authority == f"{host.lower()}:8443"


@pytest.mark.parametrize(
    "port",
    ["", "0", "00443", "0443", "22", "25", "80", "444", "1023", "65536", "99999999", "+443", "4 43", "-1"],
)
def test_a_port_of_another_protocol_is_refused(port: str) -> None:
    assert refused(Addresses(resolve=never), f"https://example.com:{port}/")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "https",
        "https:",
        "https:/example.com/",
        "https:///example.com/",
        "//example.com/",
        "http://example.com/",
        "ftp://example.com/",
        "file:///etc/passwd",
        "gopher://example.com:8443/",
        "javascript:alert(1)",
        "httpſ://example.com/",  # noqa: RUF001
        " https://example.com/",
        "https://example.com/ ",
        "https://example.com/\r\nX-Injected: 1",
        "https://example.com/\x00",
        "https://example.com/ä",
        "https://example.com/#fragment",
        "https://example.com/a\\b",
        "https://example.com/<a>",
        "https://example.com\\.example.net/",
    ],
)
def test_what_is_not_a_plain_https_address_is_refused(url: str) -> None:
    assert refused(Addresses(resolve=never), url)


def test_a_url_has_at_most_2048_characters() -> None:
    url = "https://example.com/".ljust(2048, "a")
    assert Addresses(resolve=never).read(url).path == url[19:]
    assert refused(Addresses(resolve=never), url + "a")


def test_development_lets_loopback_in_and_nothing_else() -> None:
    addresses = Addresses(dev=True, resolve=never)
    for url in (
        "http://127.0.0.1:8000/",
        "http://localhost:8000/",
        "http://[::1]:8000/",
        "https://localhost:8443/",
    ):
        assert addresses.read(url).port in {8000, 8443}
        assert refused(Addresses(resolve=never), url)
    assert addresses.read("http://[::1]/").authority == "[::1]"
    for host in (set(NOT_PUBLIC_4) | set(NOT_PUBLIC_6)) - {
        "127.0.0.1",
        "127.1.2.3",
        "127.255.255.254",
        "::1",
    }:
        written = f"[{host}]" if ":" in host else host
        assert refused(addresses, f"http://{written}:8000/")
        assert refused(addresses, f"https://{written}:8000/")
    assert refused(addresses, "http://example.com/")
    assert refused(addresses, "http://1.1.1.1/")
    assert refused(addresses, "http://2130706433:8000/")


async def test_localhost_is_not_looked_up() -> None:
    addresses = Addresses(dev=True, resolve=never)
    await addresses.check("http://localhost:8000/")
    assert {str(address) for address in await addresses.find("localhost")} == {"127.0.0.1", "::1"}


@pytest.mark.parametrize("text", [*NOT_PUBLIC_4, *NOT_PUBLIC_6])
async def test_a_name_that_leads_to_an_address_that_is_not_public_is_refused(text: str) -> None:
    zone = {
        "private.example": always(text),
        "mixed.example": always("93.184.216.34", text, "2606:4700:4700::1111"),
        "chain.example": always(">middle.example"),
        "middle.example": always(">private.example"),
        "public.example": always(">front.example"),
        "front.example": always("93.184.216.34", "2606:4700:4700::1111"),
    }
    async with name_server(zone) as (resolve, server):
        addresses = Addresses(resolve=resolve)
        for name in ("private", "mixed", "chain"):
            with pytest.raises(ForbiddenAddress, match="not public"):
                await addresses.check(f"https://{name}.example/")
        await addresses.check("https://public.example/")
        found = [str(address) for address in await addresses.find("public.example")]
        assert found == ["93.184.216.34", "2606:4700:4700::1111"]
        assert server.asked["chain.example", "A"] == server.asked["chain.example", "AAAA"] == 1


async def test_a_name_is_checked_each_time() -> None:
    zone = {"turns.example": turning(["93.184.216.34"], ["127.0.0.1"])}
    async with name_server(zone) as (resolve, _):
        addresses = Addresses(resolve=resolve)
        await addresses.check("https://turns.example/")
        with pytest.raises(ForbiddenAddress):
            await addresses.check("https://turns.example/")


async def test_a_name_without_an_address_is_told_apart() -> None:
    zone = {"empty.example": always(), "six.example": always("2606:4700:4700::1111")}
    async with name_server(zone) as (resolve, _):
        addresses = Addresses(resolve=resolve)
        for name in ("missing", "empty"):
            with pytest.raises(Unresolved):
                await addresses.check(f"https://{name}.example/")
        await addresses.check("https://six.example/")


def test_nothing_that_is_printed_has_the_address() -> None:
    secret = "canary-4711"
    target = Addresses(resolve=never).read(f"https://{secret}.example.com/{secret}")
    assert secret in target.host and secret in target.path
    assert secret not in repr(target)
    for url in (
        f"http://{secret}.example/",
        f"https://{secret}@example.com/",
        f"https://example.com/{secret} ",
    ):
        with pytest.raises(ForbiddenAddress) as caught:
            Addresses(resolve=never).read(url)
        assert secret not in repr(caught.value)
