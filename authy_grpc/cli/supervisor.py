"""Tells systemd, or whoever else started a command, that it is ready, reads settings anew, or stops.

The protocol of sd_notify(3): lines in a datagram to the socket that NOTIFY_SOCKET names.
"""

import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress

_SECONDS = 1.0
_MICROSECONDS = 1_000_000


def ready() -> None:
    """Say that it serves."""
    _tell("READY=1")


def stopping() -> None:
    """Say that it has begun to stop."""
    _tell("STOPPING=1")


def reloading(*reload: Callable[[], None]) -> None:
    """Read settings anew, between saying so and saying that it is done."""
    _tell(f"RELOADING=1\nMONOTONIC_USEC={int(time.monotonic() * _MICROSECONDS)}")
    try:
        for each in reload:
            each()
    finally:
        ready()


def _tell(state: str) -> None:
    """Send a state; where nobody listens, or cannot be reached, all goes on."""
    name = os.environ.get("NOTIFY_SOCKET", "")
    if name[:1] not in ("/", "@"):
        return
    # An `@` stands for the zero byte of an abstract socket.
    address = f"\0{name[1:]}" if name.startswith("@") else name
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        sender.settimeout(_SECONDS)
        sender.sendto(state.encode(), address)
