"""Closes a gRPC server's listening sockets while it serves on, which gRPC itself does only with its calls.

A proxy passes a call on to another server where a connection is refused. One that is taken and then reset may
have been answered, so it reports an error instead. So who stops refuses connections first.
"""

import os
import socket
import stat
from contextlib import suppress

_DESCRIPTORS = "/dev/fd"


def listening() -> frozenset[int]:
    """Returns the descriptors of this process that listen; none where the system does not tell."""
    with suppress(OSError):
        return frozenset(int(each) for each in os.listdir(_DESCRIPTORS) if _listens(int(each)))
    return frozenset()


def close(numbers: frozenset[int]) -> None:
    """Refuses connections from now on at these descriptors, and leaves those that stand alone."""
    for number in numbers:
        if _listens(number):
            with suppress(OSError), socket.socket(fileno=os.dup(number)) as same:
                same.shutdown(socket.SHUT_RDWR)


def _listens(number: int) -> bool:
    try:
        if not stat.S_ISSOCK(os.fstat(number).st_mode):
            return False
        with socket.socket(fileno=os.dup(number)) as same:
            return bool(same.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
    except OSError:
        return False
