"""Finds ports of loopback for programs that must be told one: below those that the kernel gives by itself."""

import itertools
import os
import socket
from contextlib import suppress

# Linux gives ports from 32,768 on to whoever asks for any, and to every connection that is opened.
_PORTS = range(20_000, 32_000)
# Apart from each other process, that finds ports at the same time.
_next = itertools.count(os.getpid() * 97)


def free_port(host: str = "127.0.0.1") -> int:
    """A port that nobody has, nor gets before a program of the test takes it."""
    for _ in _PORTS:
        port = _PORTS[next(_next) % len(_PORTS)]
        with suppress(OSError), socket.create_server((host, port)):
            return port
    raise AssertionError("there is no free port")
