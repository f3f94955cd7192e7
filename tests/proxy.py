"""Owns a way to a PostgreSQL server that a test can break."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Literal

from sqlalchemy import make_url

from authy_grpc.cli.demo.listening import listening

Break = Literal["", "ask", "answer", "silence"]
_COMMIT = b"COMMIT"


class Proxy:
    """Forwards connections, until it is told how to break.

    Attributes:
        breaks: once, at the next commit: `ask` loses what the client asks, `answer` what the server answers,
            and the connection with it. `silence` forwards nothing more in either direction.
        refuses: whether new connections are closed at once; `refused` gets one for each.
        broken: how often it did.
    """

    def __init__(self, url: str) -> None:
        self._upstream = make_url(url)
        self._writers: list[asyncio.StreamWriter] = []
        self.breaks: Break = ""
        self.refuses = False
        self.refused: asyncio.Queue[None] = asyncio.Queue()
        self.broken = 0
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
        while data := await reader.read(65536):
            if self.breaks == "silence":
                continue
            if _COMMIT in data and self.breaks == ("ask" if asks else "answer"):
                self.breaks, self.broken = "", self.broken + 1
                self.cut()
                return
            writer.write(data)
        with suppress(OSError):
            writer.write_eof()
