"""Closes a gRPC server's listening sockets while it serves on, counts its connections, and limits them.

gRPC itself closes them only with its calls.

A proxy passes a call on to another server where a connection is refused. One that is taken and then reset may
have been answered, so it reports an error instead. So who stops refuses connections first.
"""

import os
import resource
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_DESCRIPTORS = "/dev/fd"
# What an option of gRPC can hold.
_MOST = 2**31 - 1


def most_connections() -> int:
    """How many connections gRPC may have at a port: as many as the gateway beside it.

    That leaves a quarter of the descriptors to the database, to files and to posts.
    """
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MOST if soft == resource.RLIM_INFINITY else min(max(soft * 3 // 8, 1), _MOST)


def listening() -> frozenset[int]:
    """Returns the descriptors of this process that listen; none where the system does not tell."""
    with suppress(OSError):
        return frozenset(int(each) for each in os.listdir(_DESCRIPTORS) if _listens(int(each)))
    return frozenset()


def close(numbers: frozenset[int]) -> None:
    """Refuses connections from now on at these descriptors, and leaves those that stand alone."""
    for number in numbers:
        if _listens(number):
            with suppress(OSError), _socket(number) as same:
                same.shutdown(socket.SHUT_RDWR)


def connected(numbers: frozenset[int]) -> int:
    """Counts the connections that came in at listening descriptors."""
    with suppress(OSError):
        places = {_place(each) for each in numbers} - {None}
        found = [_place(int(each)) for each in os.listdir(_DESCRIPTORS) if int(each) not in numbers]
        return sum(each in places for each in found)
    return 0


@contextmanager
def _socket(number: int) -> Iterator[socket.socket]:
    """A descriptor's socket, which stays open. Not a copy, which another count would count."""
    same = socket.socket(fileno=number)
    try:
        yield same
    finally:
        same.detach()


def _place(number: int) -> int | str | bytes | None:
    """The port or path that a socket of this process has on this side; None for what has none."""
    try:
        if not stat.S_ISSOCK(os.fstat(number).st_mode):
            return None
        with _socket(number) as same:
            name = same.getsockname()
    except OSError:
        return None
    return (name[1] if isinstance(name, tuple) else name) or None


def _listens(number: int) -> bool:
    try:
        if not stat.S_ISSOCK(os.fstat(number).st_mode):
            return False
        with _socket(number) as same:
            return bool(same.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
    except OSError:
        return False
