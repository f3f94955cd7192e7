"""What an operator opens for one application's webhooks, and what stays shut for all."""

import socket
from ipaddress import ip_address

import pytest

from authy_grpc.outbound.addresses import Addresses, ForbiddenAddress
from authy_grpc.outbound.opened import Listeners, Opened, read_allowances
from authy_grpc.outbound.web import Failure, Web
from authy_grpc.settings import Settings
from tests.clock import TurnedClock
from tests.naming import always, name_server
from tests.posting import HEADERS
from tests.strangers import OK, stranger

LINK_LOCAL = (
    *("169.254.169.254", "fe80::1", "fe80::1%1", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe"),
    *("2002:a9fe:a9fe::1", "fd00:ec2::254", "0.0.0.0", "::", "224.0.0.1", "255.255.255.255", "::a9fe:a9fe"),
)


def test_pairs_are_read_by_application() -> None:
    text = "app_id=10.0.0.0/8, app_id2=Hooks.internal ,app_id=fd12::/16,,app_3=10.1.2.3"
    found = read_allowances(text)
    assert found == {
        "app_id": ("10.0.0.0/8", "fd12::/16"),
        "app_id2": ("Hooks.internal",),
        "app_3": ("10.1.2.3",),
    }
    assert Opened.read(found["app_id2"]).takes(ip_address("192.168.1.1"), "hooks.internal")
    assert not Opened.read(found["app_id2"]).takes(ip_address("192.168.1.1"), "other.internal")
    assert Opened.read(found["app_3"]).takes(ip_address("10.1.2.3"))
    assert read_allowances("") == {} and not Opened.read(())


@pytest.mark.parametrize(
    "text",
    [
        *(
            "10.0.0.0/8",
            "app_1=",
            "app_1=10.0.0.5/8",
            "app_1=https://hooks.internal",
            "app_1=hooks.internal:80",
        ),
        *("app_1=*.internal", "app_1=169.254.0.0/16", "app_1=fe80::/10", "one=10.0.0.0/8", "=10.0.0.0/8"),
        # Wider than what is anybody's own, or with what stays shut within.
        *("app_1=0.0.0.0/0", "app_1=::/0", "app_1=64.0.0.0/2", "app_1=10.0.0.0/7", "app_1=169.0.0.0/8"),
        *("app_1=2000::/3", "app_1=fe00::/7", "app_1=10.0.0.5,app_1=128.0.0.0/1", "app_1=::/64"),
    ],
)
def test_what_cannot_be_read_stops_the_start(text: str) -> None:
    with pytest.raises(ValueError, match="AUTHY_WEBHOOK_ALLOW"):
        Settings(webhook_allow=text)


@pytest.mark.parametrize("address", LINK_LOCAL)
def test_link_local_addresses_stay_shut(address: str) -> None:
    wide = Opened.read(("0.0.0.0/0", "::/0", "hooks.internal"))
    for each in (Addresses(opened=wide), Addresses(opened=wide, dev=True)):
        assert not each.allows(ip_address(address))
        assert not each.opens("hooks.internal", ip_address(address))
    # The control.
    assert Addresses(opened=wide).allows(ip_address("10.0.0.1"))


async def test_what_is_open_to_one_is_shut_to_others() -> None:
    zone = {"hooks.internal": always("10.0.0.5"), "rebound.example": always("10.0.0.5")}
    async with name_server(zone) as (resolve, _):
        addresses = Addresses(resolve=resolve)
        urls = {
            "https://hooks.internal/x": ("10.0.0.0/8", "hooks.internal"),
            "http://hooks.internal/x": ("hooks.internal",),
            "https://rebound.example/x": ("10.0.0.0/8",),
            "https://10.0.0.5:8443/x": ("10.0.0.0/8", "10.0.0.5"),
            "http://10.0.0.5/x": ("10.0.0.0/8",),
        }
        for url, opening in urls.items():
            for allow in opening:
                await addresses.check(url, (allow,))
            for shut in ((), ("10.1.0.0/16",), ("other.internal",)):
                with pytest.raises(ForbiddenAddress):
                    await addresses.check(url, shut)
        # A name is not opened by what it leads to in clear text, nor by another that does.
        for url, allow in (
            ("http://rebound.example/", "10.0.0.0/8"),
            ("https://rebound.example/", "hooks.internal"),
        ):
            with pytest.raises(ForbiddenAddress):
                await addresses.check(url, (allow,))


def test_the_widest_private_networks_are_read() -> None:
    private = ("10.0.0.0/8", "172.16.0.0/12", "127.0.0.0/8", "fc00::/7", "::1")
    assert read_allowances(",".join(f"app_1={each}" for each in private)) == {"app_1": private}


async def test_where_the_service_listens_stays_shut() -> None:
    with socket.socket() as own:
        own.bind(("127.0.0.1", 0))
        port = own.getsockname()[1]
        listeners = Listeners("0.0.0.0:1234", "unix:/run/x", "", core=("core:50051",))
        listeners.add(port)
        addresses = Addresses(listeners=listeners)
        allow = ("127.0.0.0/8", "::1", "198.51.100.0/24", "localhost")
        urls = [
            *(f"http://{host}:{port}/" for host in ("127.0.0.1", "127.1.2.3", "[::1]", "localhost")),
            *("http://198.51.100.7:50051/", "http://127.0.0.1:50051/"),
        ]
        for url in urls:
            with pytest.raises(ForbiddenAddress):
                await addresses.check(url, allow)
        # The control: another port of this machine, and the same port of another.
        await addresses.check("http://127.0.0.1:50052/", allow)
        await addresses.check(f"http://198.51.100.7:{port}/", allow)


async def test_a_connection_that_is_open_to_one_carries_no_other_s_post() -> None:
    async with stranger(OK) as there, name_server({}) as (resolve, _):
        web = Web(Addresses(resolve=resolve), TurnedClock())
        url = f"http://127.0.0.1:{there.port}/hook"
        for _ in range(2):
            assert (await web.post(url, HEADERS, b"{}", allow=("127.0.0.0/8",))).status == 204
            for allow in ((), ("10.0.0.0/8",)):
                assert (await web.post(url, HEADERS, b"{}", allow=allow)).error is Failure.FORBIDDEN_ADDRESS
        await web.aclose()
        assert there.connections == 1


async def test_a_name_that_is_not_there_is_told_as_one_that_leads_inside() -> None:
    zone = {"inside.example": always("10.0.0.5"), "metadata.example": always("169.254.169.254")}
    async with name_server(zone) as (resolve, _):
        web = Web(Addresses(resolve=resolve), TurnedClock())
        hosts = ("inside.example", "metadata.example", "nowhere.example", "10.0.0.5")
        answers = {await web.post(f"https://{host}/", HEADERS, b"{}") for host in hosts}
        await web.aclose()
    # The duration, too: a look-up that finds nothing takes another time.
    [answer] = answers
    assert answer.error is Failure.FORBIDDEN_ADDRESS and not answer.duration
