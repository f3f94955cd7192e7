"""Parses the addresses that servers listen on, and says why one cannot be bound."""

import errno
import os
import re
import socket
import stat
from dataclasses import dataclass, replace
from pathlib import Path

from authy_grpc.client.target import is_loopback

_HOW = "Write HOST:PORT, such as 127.0.0.1:50051."
_LONGEST_UNIX_PATH = 107
_TAKEN = "Stop what is there, or set another address."


class ListenError(OSError):
    """An address cannot be listened on.

    Attributes:
        mend: what to do.
        taken: whether somebody else listens there.
    """

    def __init__(self, text: str, mend: str = "", *, taken: bool = False) -> None:
        super().__init__(text)
        self.mend = mend
        self.taken = taken


@dataclass(frozen=True)
class Place:
    """Where a server listens: host and port, or the path of a unix socket.

    Attributes:
        setting: that names it, such as `AUTHY_LISTEN`.
    """

    setting: str
    host: str = ""
    port: int = 0
    path: str = ""

    def __str__(self) -> str:
        if self.path:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def loopback(self) -> bool:
        """Whether only this machine reaches it."""
        return is_loopback(str(self))

    def wrong(self, reason: str, mend: str = "", *, taken: bool = False) -> ListenError:
        """Returns the error that says so."""
        end = "" if reason.endswith("?") else "."
        return ListenError(f"{self.setting} is {self}: {reason}{end}", mend, taken=taken)


def parse(setting: str, text: str, *, unix: bool = False) -> Place:
    """Reads an address.

    Args:
        setting: that names it.
        text: `HOST:PORT`, port 0 for any that is free.
        unix: whether it may be `unix:PATH`.

    Raises:
        ListenError: it cannot be read.
    """
    text = text.strip()
    if text.startswith("unix:") and text != "unix:":
        if not unix:
            raise ListenError(f"{setting} is {text}: only gRPC listens on a unix socket.", _HOW)
        return Place(setting, path=re.sub(r"^//+", "/", text.removeprefix("unix:")))
    if "://" in text or "/" in text:
        raise ListenError(f"{setting} is {text}: an address to listen on has no scheme and no path.", _HOW)
    host, colon, port = text.rpartition(":")
    if not colon or not port:
        raise ListenError(f"{setting} is {text}: the port is missing.", _HOW)
    if not (port.isascii() and port.isdigit() and int(port) < 1 << 16):
        raise ListenError(f"{setting} is {text}: a port is a number up to 65535.", _HOW)
    if host in ("", "*"):
        mend = "Write 0.0.0.0:PORT for each address of this machine, 127.0.0.1:PORT for itself alone."
        raise ListenError(f"{setting} is {text}: it names no address.", mend)
    bracketed = host.startswith("[") and host.endswith("]")
    host = host[1:-1] if bracketed else host
    if (":" in host) != bracketed:
        raise ListenError(f"{setting} is {text}: an IPv6 address stands in brackets, [::1]:50051.", _HOW)
    if re.search(r"\s", host):
        raise ListenError(f"{setting} is {text}: it has white space inside.", _HOW)
    return Place(setting, host, int(port))


def probe(place: Place, *, shared: bool = False) -> None:
    """Binds the address for a moment: gRPC itself does not say why it cannot.

    Args:
        place: the address.
        shared: whether others of ours may listen there too.

    Raises:
        ListenError: it cannot be bound.
    """
    if place.path:
        return _probe_path(place)
    try:
        found = socket.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (socket.gaierror, UnicodeError):
        raise place.wrong("the name cannot be looked up", "Write an address of this machine.") from None
    faults: list[OSError] = []
    for family, kind, _, _, address in found:
        try:
            with socket.socket(family, kind) as bound:
                bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if shared:
                    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                bound.bind(address)
                bound.listen(1)
        except OSError as error:
            faults.append(error)
            if error.errno == errno.EADDRINUSE:
                break
        else:
            continue
    # A name may have an address of a family that this machine has not.
    if faults and (len(faults) == len(found) or faults[-1].errno == errno.EADDRINUSE):
        raise _explain(place, faults[-1])


def reachable(place: Place) -> Place:
    """Where a program on this machine finds what listens there: of each address, at its own."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(place.host, place.host)  # noqa: S104
    return replace(place, host=host)


def _explain(place: Place, error: OSError) -> ListenError:
    match error.errno:
        case errno.EADDRINUSE:
            return place.wrong("another program listens there: is another server there?", _TAKEN, taken=True)
        case errno.EACCES | errno.EPERM:
            mend = "Take a port from 1024 on, or give the right: CAP_NET_BIND_SERVICE."
            return place.wrong("this user has no right to that port", mend)
        case errno.EADDRNOTAVAIL:
            mend = "Write an address of this machine, or 0.0.0.0 for each."
            return place.wrong("this machine has no such address", mend)
        case errno.EAFNOSUPPORT:
            return place.wrong("this machine has no addresses of that kind", "Write an IPv4 address.")
    return place.wrong(error.strerror or str(error))


def _probe_path(place: Place) -> None:
    path = Path(place.path)
    if len(os.fsencode(place.path)) > _LONGEST_UNIX_PATH:
        raise place.wrong(
            f"a unix socket's path has at most {_LONGEST_UNIX_PATH} bytes", "Take a shorter path."
        )
    if not path.parent.is_dir():
        raise place.wrong(f"there is no folder {path.parent}", "Make it, for the service's user.")
    if not os.access(path.parent, os.W_OK | os.X_OK, effective_ids=True):
        raise place.wrong(
            f"this user may not write into {path.parent}", "Give the right, or take another folder."
        )
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise place.wrong("there is something else of that name", "Take another path, or remove it.")
    # gRPC would take the path away from a server that still listens.
    with socket.socket(socket.AF_UNIX) as other:
        try:
            other.settimeout(1.0)
            other.connect(place.path)
        except OSError:
            return
    raise place.wrong("another program listens there: is another server there?", _TAKEN, taken=True)
