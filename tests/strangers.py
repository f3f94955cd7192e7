"""Listeners on loopback that answer as a test likes, and count who came."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

from authy_grpc.cli.demo.listening import listening

Behaviour = Callable[["Stranger", asyncio.StreamWriter], Awaitable[None]]
# What the kernel takes of a listener that nobody reads: else it is the host's to say, and may be megabytes.
_SEND_BUFFER = 64 * 1024


class Stranger:
    """A listener.

    Attributes:
        port: where it listens.
        connections: how many it got.
        requests: what was asked, headers and body.
        sent: bytes that were taken from it.
    """

    def __init__(self, behaviour: Behaviour) -> None:
        self._behaviour = behaviour
        self.port = 0
        self.connections = 0
        self.requests: list[bytes] = []
        self.sent = 0
        self.gone = asyncio.Event()

    async def send(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        """Send bytes, as fast as they are taken."""
        writer.write(data)
        await writer.drain()
        self.sent += len(data)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                while True:
                    head = await reader.readuntil(b"\r\n\r\n")
                    length = next(
                        int(line.split(b":")[1])
                        for line in head.lower().split(b"\r\n")
                        if line.startswith(b"content-length:")
                    )
                    self.requests.append(head + await reader.readexactly(length))
                    await self._behaviour(self, writer)
        finally:
            self.gone.set()


@asynccontextmanager
async def stranger(
    behaviour: Behaviour, *, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None
) -> AsyncIterator[Stranger]:
    """A listener that is there for a while."""
    made = Stranger(behaviour)
    place = socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    # Each connection has it from here.
    place.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
    async with listening(made.serve, sock=place, ssl=tls) as made.port:
        yield made


@contextmanager
def nobody() -> Iterator[int]:
    """A port of loopback that refuses connections, and that nobody else gets."""
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        yield int(place.getsockname()[1])


def says(answer: bytes, *, close: bool = False) -> Behaviour:
    """The same bytes for each request."""

    async def behaviour(self: Stranger, writer: asyncio.StreamWriter) -> None:
        await self.send(writer, answer)
        if close:
            writer.transport.abort() if not answer else writer.close()

    return behaviour


OK = says(b"HTTP/1.1 204 No Content\r\n\r\n")
