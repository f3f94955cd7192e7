"""A way to a PostgreSQL server that a test can break."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Literal

from sqlalchemy import make_url

from authy_grpc.cli.demo.listening import listening

Break = Literal["", "ask", "answer", "silence"]
_COMMIT = b"COMMIT"
# Query, Sync and Flush: https://www.postgresql.org/docs/current/protocol-message-formats.html
_QUERY, _SYNC, _FLUSH = b"QSH"
_WAITS = (_QUERY, _SYNC, _FLUSH)
# SSLRequest and GSSENCRequest, before the startup message.
_REQUESTS = (80877103, 80877104)


class _Asked:
    """Reads what a client sends, to count what it waits for."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._started = False
        self._last = 0

    def waits(self, data: bytes) -> int:
        """How often the client waits, in the messages that are whole with this."""
        self._data += data
        found = 0
        # The startup message has no type.
        while len(self._data) >= (head := 5 if self._started else 8):
            kind, length = self._data[0], int.from_bytes(self._data[head - 4 if self._started else 0 :][:4])
            whole = length + self._started
            if len(self._data) < whole:
                break
            if self._started:
                # psycopg sends a Flush behind the Sync with which it ends a pipeline.
                found += kind in _WAITS and not (kind == _FLUSH and self._last == _SYNC)
                self._last = kind
            else:
                self._started = int.from_bytes(self._data[4:8]) not in _REQUESTS
            del self._data[:whole]
        return found


class Proxy:
    """Forwards connections, until it is told how to break.

    Attributes:
        breaks: once, at the next commit: `ask` loses what the client asks, `answer` what the server answers,
            and the connection with it. `silence` forwards nothing more in either direction.
        refuses: whether new connections are closed at once; `refused` gets one for each.
        broken: how often it did.
        trips: how often clients have asked for all answers, which they wait for: round trips.
    """

    def __init__(self, url: str) -> None:
        self._upstream = make_url(url)
        self._writers: list[asyncio.StreamWriter] = []
        self.breaks: Break = ""
        self.refuses = False
        self.refused: asyncio.Queue[None] = asyncio.Queue()
        self.broken = 0
        self.trips = 0
        self.url = ""

    @classmethod
    @asynccontextmanager
    async def to(cls, url: str) -> AsyncIterator["Proxy"]:
        """A proxy to the server of a URL."""
        proxy = cls(url)
        async with listening(proxy._connected) as port:
            near = proxy._upstream.set(host="127.0.0.1", port=port).difference_update_query(["host", "port"])
            proxy.url = near.render_as_string(hide_password=False)
            try:
                yield proxy
            finally:
                proxy.cut()

    def cut(self) -> None:
        """Break all connections."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refuses:
            writer.transport.abort()
            self.refused.put_nowait(None)
            return
        there, back = await self._open()
        self._writers += [writer, back]
        try:
            await asyncio.gather(self._forward(reader, back, True), self._forward(there, writer, False))
        except OSError:
            # One side was reset, and so is the other.
            writer.transport.abort()
            back.transport.abort()

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host = self._upstream.host or self._upstream.query.get("host", "")
        port = self._upstream.port or 5432
        if isinstance(host, str) and host.startswith("/"):
            return await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
        return await asyncio.open_connection(str(host), port)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, asks: bool) -> None:
        asked = _Asked()
        while data := await reader.read(65536):
            if asks:
                self.trips += asked.waits(data)
            if self.breaks == "silence":
                continue
            if _COMMIT in data and self.breaks == ("ask" if asks else "answer"):
                self.breaks, self.broken = "", self.broken + 1
                self.cut()
                return
            writer.write(data)
        with suppress(OSError):
            writer.write_eof()
