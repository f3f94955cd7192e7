"""Runs a TCP server that ends with its block, whatever connections its peers keep open."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, cast

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def listening(serve: Serve, **options: Any) -> AsyncIterator[int]:
    """Serve connections on a free port; those still open at the end of the block are cancelled and aborted.

    `asyncio.Server.wait_closed`, which `async with server` calls too, waits for connections that a peer keeps
    open since Python 3.12.1: so nothing here calls it.

    Args:
        serve: handles one connection.
        **options: for `asyncio.start_server`, such as `ssl` or `sock`; loopback where no `sock` is given.

    Yields:
        the port.
    """
    handlers: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handler = cast("asyncio.Task[None]", asyncio.current_task())
        handlers.add(handler)
        try:
            with suppress(asyncio.CancelledError):
                await serve(reader, writer)
        finally:
            handlers.discard(handler)
            writer.transport.abort()

    where = options if "sock" in options else {"host": "127.0.0.1", "port": 0, **options}
    server = await asyncio.start_server(connected, **where)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for handler in handlers:
            handler.cancel()
        await asyncio.gather(*handlers, return_exceptions=True)
