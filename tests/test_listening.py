"""What keeps a server from listening is said as it is."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from authy_grpc.listening import ListenError, parse, probe


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("127.0.0.1:99999", "up to 65535"),
        ("127.0.0.1:port", "up to 65535"),
        ("127.0.0.1", "port is missing"),
        ("127.0.0.1:", "port is missing"),
        ("50051", "port is missing"),
        (":50051", "names no address"),
        ("*:50051", "names no address"),
        ("::1:50051", "brackets"),
        ("http://127.0.0.1:1", "no scheme"),
        ("127.0.0.1:1/v1", "no path"),
        ("a b:1", "white space"),
        ("unix:/x", "only gRPC"),
        ("", "port is missing"),
    ],
)
def test_an_address_that_cannot_be_read(text: str, said: str) -> None:
    with pytest.raises(ListenError, match=said) as caught:
        parse("AUTHY_LISTEN", text)
    assert caught.value.mend


@pytest.mark.parametrize(
    ("text", "shown", "loopback"),
    [
        (" 127.0.0.1:1 ", "127.0.0.1:1", True),
        ("[::1]:1", "[::1]:1", True),
        ("[::]:1", "[::]:1", False),
        ("0.0.0.0:1", "0.0.0.0:1", False),
        ("localhost:1", "localhost:1", True),
        ("unix:///run/x", "unix:/run/x", True),
        ("unix:x", "unix:x", True),
    ],
)
def test_an_address_is_read(text: str, shown: str, loopback: bool) -> None:
    place = parse("AUTHY_LISTEN", text, unix=True)
    assert (str(place), place.loopback) == (shown, loopback)


def refused(text: str) -> ListenError:
    with pytest.raises(ListenError) as caught:
        probe(parse("AUTHY_LISTEN", text, unix=True))
    return caught.value


def test_what_is_free_can_be_bound(tmp_path: Path) -> None:
    for text in ("127.0.0.1:0", "localhost:0", f"unix:{tmp_path}/x"):
        probe(parse("AUTHY_LISTEN", text, unix=True))


def test_a_port_that_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        error = refused(f"127.0.0.1:{taken.getsockname()[1]}")
    assert error.taken and str(error).endswith("is another server there?")


def test_an_address_of_another_machine() -> None:
    error = refused("203.0.113.7:50051")
    assert "no such address" in str(error) and not error.taken
    assert "looked up" in str(refused("no-such-host.invalid:1"))


@pytest.fixture
def unprivileged() -> Iterator[None]:
    """Root may take each port and write into each folder."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    yield
    os.seteuid(0)


def test_no_right_to_a_port(unprivileged: None) -> None:
    first = int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())
    if first <= 1:
        pytest.skip("on this machine everybody may take each port")
    error = refused("127.0.0.1:1")
    assert "no right" in str(error) and "CAP_NET_BIND_SERVICE" in error.mend


def test_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "s"
    assert "no folder" in str(refused(f"unix:{path}/s"))
    path.write_text("")
    assert "something else" in str(refused(f"unix:{path}"))
    path.unlink()
    assert "at most" in str(refused(f"unix:{tmp_path}/{'x' * 120}"))
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        # Nobody listens: left over by one that died.
        probe(parse("AUTHY_LISTEN", f"unix:{path}", unix=True))
        other.listen()
        assert refused(f"unix:{path}").taken


def test_a_folder_that_may_not_be_written(unprivileged: None) -> None:
    assert "may not write" in str(refused("unix:/etc/s"))
