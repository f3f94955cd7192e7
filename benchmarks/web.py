"""HTTP as the load generator speaks it: as little of it as serves, so that it costs next to nothing."""

import asyncio
import re
from collections.abc import Mapping

_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)
_END = b"\r\n\r\n"


def head(verb: str, path: str, headers: Mapping[str, str], length: int) -> bytes:
    """The first lines of a request.

    Args:
        verb: its method.
        path: what is asked for.
        headers: beside those that are made here.
        length: of the body, in bytes.
    """
    lines = [f"{verb} {path} HTTP/1.1", "Host: benchmark", f"Content-Length: {length}"]
    return "\r\n".join([*lines, *(f"{name}: {value}" for name, value in headers.items()), "\r\n"]).encode()


def message(buffer: bytes) -> tuple[bytes, int] | None:
    """The body of the first message in what has come, and where that ends; None where more is to come."""
    end = buffer.find(_END)
    if end < 0:
        return None
    found = _LENGTH.search(buffer, 0, end)
    begin = end + len(_END)
    whole = begin + (int(found[1]) if found else 0)
    return (buffer[begin:whole], whole) if len(buffer) >= whole else None


class Connection(asyncio.Protocol):
    """A connection that is kept: one request after the other."""

    def __init__(self) -> None:
        self._buffer = b""
        self._waiting: asyncio.Future[bytes] | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is open."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Some of an answer has come."""
        self._buffer += data
        found = message(self._buffer)
        if found is not None and self._waiting is not None and not self._waiting.done():
            answer, self._buffer = self._buffer[: found[1]], self._buffer[found[1] :]
            if answer.startswith(b"HTTP/1.1 200 "):
                self._waiting.set_result(found[0])
            else:
                self._waiting.set_exception(RuntimeError(answer.decode()))

    def connection_lost(self, error: Exception | None) -> None:
        """It is closed."""
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(error or ConnectionError("the server has hung up"))

    async def ask(self, request: bytes) -> bytes:
        """Send a request; answers the body of a 200."""
        assert self._transport is not None
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._waiting

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.close()


class Connections:
    """Connections to one address, each used by one call at a time."""

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self._where = host, int(port)
        self._free: list[Connection] = []

    async def ask(self, request: bytes) -> bytes:
        """Send a request on a connection that is free; answers the body of a 200."""
        connection = self._free.pop() if self._free else await self._connect()
        body = await connection.ask(request)
        self._free.append(connection)
        return body

    def close(self) -> None:
        """Hang up."""
        for each in self._free:
            each.close()

    async def _connect(self) -> Connection:
        loop = asyncio.get_running_loop()
        return (await loop.create_connection(Connection, *self._where))[1]


class Held(asyncio.Protocol):
    """A stream that is held: what it brings is dropped, once it has brought something."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._buffer = b""
        self._transport: asyncio.Transport | None = None
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is open."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """Something has come."""
        if self.opened.done():
            return
        self._buffer += data
        if not b"HTTP/1.1 200 ".startswith(self._buffer[:13]):
            self.opened.set_exception(RuntimeError(self._buffer.decode()))
        elif self._buffer.partition(_END)[2]:
            self.opened.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        """It is closed."""
        if not self.opened.done():
            self.opened.set_exception(error or ConnectionError("the server has hung up"))

    def cancel(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.close()


async def hold(address: str, request: bytes) -> Held:
    """Open a stream, and wait for the first that it brings."""
    host, _, port = address.rpartition(":")
    loop = asyncio.get_running_loop()
    held = (await loop.create_connection(lambda: Held(request), host, int(port)))[1]
    await held.opened
    return held
