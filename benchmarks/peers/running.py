"""Installs the peers from their packages, and runs one beside the service: gunicorn, with two workers."""

import asyncio
import hashlib
import hmac
import os
import socket
import struct
import subprocess
import time
import venv
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import urlencode

from benchmarks.control import server_core
from benchmarks.load import Call
from benchmarks.web import Connections, head

_HERE = Path(__file__).parent
_ROOT = _HERE.parents[1]
_LOCK = _ROOT / "requirements/peers.txt"
_PERIOD = 30
_FORM = {"content-type": "application/x-www-form-urlencoded"}
_PATIENCE = 60.0


@dataclass(frozen=True)
class Kind:
    """A peer.

    Attributes:
        module: of this folder, that seeds it and makes its application.
        application: what gunicorn is given.
        path: where a code is checked.
        names: of the fields for whose code it is, and for the code.
        said: what stands in the answer to a right code.
        persons: how many are seeded.
        steps: of the codes that each of them can use within a minute, in order, from now.
    """

    name: str
    module: str
    application: str
    path: str
    names: tuple[str, str]
    said: bytes
    persons: int
    steps: Sequence[int]


KINDS = (
    Kind(
        name="django-otp, a bare view",
        module="site_on_django",
        application="site_on_django:application",
        path="/verify",
        names=("user", "code"),
        said=b"accepted",
        persons=4096,
        steps=(-1, 0, 1),
    ),
    Kind(
        name="privacyIDEA, /validate/check",
        module="site_on_privacyidea",
        application="site_on_privacyidea:create()",
        path="/validate/check",
        names=("serial", "pass"),
        said=b'"value": true',
        persons=512,
        steps=range(-5, 6),
    ),
)


def install(folder: Path) -> Path:
    """Their Python, with what they need of the lock file; kept for the next time in `.bench-peers`."""
    place = _ROOT / ".bench-peers"
    python, stamp = place / "bin/python", place / hashlib.sha256(_LOCK.read_bytes()).hexdigest()[:16]
    if not stamp.exists():
        venv.create(place, clear=True, with_pip=True)
        install: list[str | Path] = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*install, "--require-hashes", "--requirement", _LOCK], check=True, cwd=folder)
        stamp.touch()
    return python


class Peer:
    """One that runs."""

    def __init__(self, kind: Kind, address: str, keys: dict[str, bytes]) -> None:
        self._kind = kind
        self._connections = Connections(address)
        self._codes = self._unused(keys)

    async def accepted(self, count: int) -> Sequence[Call]:
        """Right codes, each of which is checked to be taken."""
        return [partial(self._verify, request) for request in (next(self._codes) for _ in range(count))]

    def close(self) -> None:
        """Hang up."""
        self._connections.close()

    def _unused(self, keys: dict[str, bytes]) -> Iterator[bytes]:
        for step in self._kind.steps:
            for name, key in keys.items():
                whose, which = self._kind.names
                body = urlencode(
                    {whose: name, which: _code(key, int(time.time()) // _PERIOD + step)}
                ).encode()
                yield head("POST", self._kind.path, _FORM, len(body)) + body
        raise RuntimeError(f"{self._kind.name}: all codes of its users are used")

    async def _verify(self, request: bytes) -> None:
        answer = await self._connections.ask(request)
        if self._kind.said not in answer:
            raise RuntimeError(f"{self._kind.name} answered {answer.decode()}")


@asynccontextmanager
async def running(kind: Kind, python: Path, url: str, folder: Path) -> AsyncIterator[Peer]:
    """Seed a peer's empty database, and run it on the core that the service has, too."""
    own = folder / kind.module
    own.mkdir()
    environment = os.environ | {"PEER_DATABASE": url, "PEER_FOLDER": str(own)}
    run = partial(asyncio.create_subprocess_exec, cwd=_HERE, env=environment)
    seeding = await run(python, f"{kind.module}.py", str(kind.persons), stdout=asyncio.subprocess.PIPE)
    seeded, _ = await seeding.communicate()
    if seeding.returncode:
        raise RuntimeError(f"{kind.name} could not be set up")
    keys = {name: bytes.fromhex(key) for name, key in (line.split() for line in seeded.decode().splitlines())}
    address = f"127.0.0.1:{_free_port()}"
    # Of gunicorn's own workers those with threads alone keep connections, as the generator does.
    command = ["--workers", "2", "--worker-class", "gthread", "--threads", "8", "--keep-alive", "60"]
    command += ["--bind", address, "--log-level", "warning", kind.application]
    process = await run(python, "-m", "gunicorn", *command)
    if (core := server_core()) is not None:
        os.sched_setaffinity(process.pid, {core})
    peer = Peer(kind, address, keys)
    try:
        await _answers(address)
        yield peer
    finally:
        peer.close()
        process.terminate()
        await process.wait()


async def _answers(address: str) -> None:
    host, _, port = address.rpartition(":")
    async with asyncio.timeout(_PATIENCE):
        while True:
            try:
                _, writer = await asyncio.open_connection(host, int(port))
            except OSError:
                await asyncio.sleep(0.1)
            else:
                writer.close()
                return


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _code(key: bytes, step: int) -> str:
    """RFC 6238, by SHA-1, with six digits."""
    made = hmac.digest(key, struct.pack(">Q", step), "sha1")
    at = made[-1] & 15
    return f"{(struct.unpack('>I', made[at : at + 4])[0] & 0x7FFFFFFF) % 10**6:06}"
