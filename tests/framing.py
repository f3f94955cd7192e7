"""Speaks HTTP/2 to a gRPC server by hand (RFC 9113), to do what no client does: half a message, or none."""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Self

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
_END_STREAM, _ACK, _END_HEADERS = 1, 1, 4
_INITIAL_WINDOW = 4
_FRAME = 16_384
_MIB = 1024 * 1024


def head(size: int) -> bytes:
    """What comes before a message of so many bytes."""
    return struct.pack(">BI", 0, size)


class Wire:
    """One connection. What is written keeps to the windows that the server gives.

    Attributes:
        ended: when the server ended a stream, by its number, on the loop's clock.
        closed: whether the server has closed the connection.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._next = 1
        self._window, self._initial = 65_535, 65_535
        self._windows: dict[int, int] = {}
        self._unsent: dict[int, memoryview] = {}
        self._settled = asyncio.Event()
        self.ended: dict[int, float] = {}
        self.closed = asyncio.Event()

    @classmethod
    @asynccontextmanager
    async def open(cls, port: int, source: str = "127.0.0.1") -> AsyncIterator[Self]:
        """A connection from an address of loopback, when the server has told its settings."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0))
        wire = cls(reader, writer)
        writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        wire.frame(SETTINGS, 0, 0)
        reading = asyncio.create_task(wire._read())
        try:
            await wire._settled.wait()
            yield wire
        finally:
            reading.cancel()
            writer.transport.abort()

    def frame(self, kind: int, flags: int, stream: int, payload: bytes | memoryview = b"") -> None:
        """Write a frame, whatever it is."""
        begin = struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream)
        self._writer.write(begin + payload)

    def call(self, path: str, *metadata: tuple[str, str], data: bytes = b"") -> int:
        """Begin a call, and send what the server takes of its bytes; the stream stays open on this side.

        Returns:
            The number of its stream.
        """
        stream, self._next = self._next, self._next + 2
        pairs = (
            (":method", "POST"),
            (":scheme", "http"),
            (":path", path),
            (":authority", "localhost"),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
            *metadata,
        )
        self.frame(HEADERS, _END_HEADERS, stream, b"".join(_literal(*pair) for pair in pairs))
        self._windows[stream] = self._initial
        self._unsent[stream] = memoryview(data)
        self._pump(stream)
        return stream

    def send(self, stream: int, data: bytes) -> None:
        """Send more of a call's bytes."""
        self._unsent[stream] = memoryview(bytes(self._unsent[stream]) + data)
        self._pump(stream)

    def _pump(self, stream: int) -> None:
        data = self._unsent.get(stream, memoryview(b""))
        while size := min(len(data), self._windows[stream], self._window, _FRAME):
            if size < 0:
                return
            self.frame(DATA, 0, stream, data[:size])
            self._windows[stream] -= size
            self._window -= size
            data = self._unsent[stream] = data[size:]

    async def _read(self) -> None:
        with suppress(asyncio.IncompleteReadError, OSError):
            while True:
                begin = await self._reader.readexactly(9)
                payload = await self._reader.readexactly(int.from_bytes(begin[:3]))
                kind, flags, stream = struct.unpack(">BBI", begin[3:])
                self._take(kind, flags, stream, payload)
                await self._writer.drain()
        self.closed.set()

    def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == SETTINGS and not flags & _ACK:
            for key, value in struct.iter_unpack(">HI", payload):
                if key == _INITIAL_WINDOW:
                    self._initial = value
            self.frame(SETTINGS, _ACK, 0)
            self._settled.set()
        elif kind == PING and not flags & _ACK:
            self.frame(PING, _ACK, 0, payload)
        elif kind == WINDOW_UPDATE:
            self._widen(stream, int.from_bytes(payload))
        elif kind == RST_STREAM or (kind == HEADERS and flags & _END_STREAM):
            self.ended.setdefault(stream, asyncio.get_running_loop().time())
            self._unsent.pop(stream, None)
        elif kind == DATA and payload:
            self.frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", len(payload)))

    def _widen(self, stream: int, size: int) -> None:
        if stream:
            self._windows[stream] += size
            self._pump(stream)
            return
        self._window += size
        for each in list(self._unsent):
            self._pump(each)


def _literal(name: str, value: str) -> bytes:
    """A header field that is not indexed, in HPACK (RFC 7541, 6.2.2)."""
    return b"\x00" + b"".join(_length(len(each)) + each.encode() for each in (name, value))


def _length(size: int) -> bytes:
    """A number with a prefix of seven bits (RFC 7541, 5.1)."""
    if size < 127:
        return bytes([size])
    out, size = bytearray([127]), size - 127
    while size >= 128:
        out.append(size % 128 + 128)
        size //= 128
    return bytes([*out, size])
