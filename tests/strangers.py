"""Owns listeners on loopback that answer as a test likes, and count who came."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

Behaviour = Callable[["Stranger", asyncio.StreamWriter], Awaitable[None]]


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
        self._open: set[asyncio.Task[None]] = set()
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
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
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
            self._open.discard(task)
            self.gone.set()
            writer.transport.abort()

    async def stop(self) -> None:
        for task in list(self._open):
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)


@asynccontextmanager
async def stranger(
    behaviour: Behaviour, *, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None
) -> AsyncIterator[Stranger]:
    """A listener that is there for a while."""
    made = Stranger(behaviour)
    server = await asyncio.start_server(made.serve, host, 0, ssl=tls)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        await made.stop()
        await server.wait_closed()


def says(answer: bytes, *, close: bool = False) -> Behaviour:
    """The same bytes for each request."""

    async def behaviour(self: Stranger, writer: asyncio.StreamWriter) -> None:
        await self.send(writer, answer)
        if close:
            writer.transport.abort() if not answer else writer.close()

    return behaviour


OK = says(b"HTTP/1.1 204 No Content\r\n\r\n")
