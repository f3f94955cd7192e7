"""Listens for HTTP: uvicorn on a socket of our own, started and stopped by who runs it."""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any, cast

import structlog
import uvicorn
from prometheus_client import CollectorRegistry
from starlette.types import ASGIApp
from structlog.typing import FilteringBoundLogger

from authy_grpc.client.renewal import Renewal
from authy_grpc.domain.forwarded import Network
from gateway.certificate import Shown
from gateway.peers import Connections, Limits
from gateway.protocol import Bounds, Protocol
from gateway.tls import TlsListener

# How long answers that were begun may take when the server stops.
GRACE_SECONDS = 10
_BACKLOG = 2048
# Accepts on a socket by TLS, with what makes the protocol of a connection.
Secure = Callable[[socket.socket, Callable[[str], Protocol]], TlsListener]


class _Server(uvicorn.Server):
    """Says when it listens, and leaves signals to who runs it."""

    def __init__(self, config: uvicorn.Config, secure: Secure | None) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()
        self._secure = secure

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        if self._secure is None:
            await super().startup(sockets)
        else:
            await super().startup([])
            self.servers += [cast(Any, self._secure(each, self._protocol)) for each in sockets or ()]
        self.listening.set()

    def _protocol(self, peer: str) -> Protocol:
        make: Any = self.config.http_protocol_class
        made: Protocol = make(config=self.config, server_state=self.server_state, app_state={}, peer=peer)
        return made

    def cut(self) -> None:
        """Wait for no answer, and break off all connections: the server waits for them, answered or not."""
        self.force_exit = True
        for connection in list(self.server_state.connections):
            connection.transport.abort()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class HttpServer:
    """Serves an application over HTTP/1.1, in the clear or by TLS.

    Args:
        app: the application.
        listen: `HOST:PORT`, port 0 for any that is free.
        drain: ends what would go on for ever, when it stops.
        bounds: what a connection may cost.
        grace: seconds that answers may take when it stops.
        proxies: whose connections are many peers'.
        shown: what it shows; None serves in the clear.
        log: told how many connections were refused.
        registry: where the metrics are registered.
    """

    def __init__(
        self,
        app: ASGIApp,
        listen: str,
        *,
        drain: Callable[[], None] = lambda: None,
        bounds: Bounds | None = None,
        grace: int = GRACE_SECONDS,
        proxies: tuple[Network, ...] = (),
        shown: Renewal[Shown] | None = None,
        log: FilteringBoundLogger | None = None,
        registry: CollectorRegistry | None = None,
    ) -> None:
        bounds = bounds or Bounds()
        limits = Limits(bounds.connections, bounds.share, proxies)
        counted = Connections(limits, log or structlog.get_logger(), registry or CollectorRegistry())
        self._listen = listen
        self._shown = shown
        secure: Secure | None = None
        if shown is not None:
            secure = partial(TlsListener, shown, counted, bounds.handshake_seconds)
        self._drain = drain
        self._server = _Server(
            uvicorn.Config(
                app,
                http=cast(Any, partial(Protocol, bounds, counted)),
                ws="none",
                lifespan="off",
                # Of the address that a proxy tells, the application decides for itself whether to believe it.
                proxy_headers=False,
                # It would write addresses, which hold what sites call their users.
                access_log=False,
                log_config=None,
                server_header=False,
                date_header=False,
                timeout_graceful_shutdown=grace,
            ),
            secure,
        )
        self._task: asyncio.Task[Any] | None = None

    async def start(self) -> int:
        """Bind and serve; answers the port.

        Raises:
            OSError: the address cannot be bound.
        """
        bound = _bind(self._listen)
        self._task = asyncio.create_task(self._server.serve([bound]), name="authy-http")
        listening = asyncio.ensure_future(self._server.listening.wait())
        await asyncio.wait([self._task, listening], return_when=asyncio.FIRST_COMPLETED)
        listening.cancel()
        if self._task.done():
            # It raises what went wrong.
            self._task.result()
        port: int = bound.getsockname()[1]
        return port

    def renew(self) -> None:
        """Read the certificate anew, for the connections that come from now on."""
        if self._shown is not None:
            self._shown.renew()

    async def stop(self, *, now: bool = False) -> None:
        """Take no more requests, let those under way end, and stop.

        Args:
            now: do not wait for them. Cuts short a stop that is waiting, too.
        """
        if self._task is None:
            return
        self._drain()
        self._server.should_exit = True
        if now:
            self._server.cut()
        with suppress(asyncio.CancelledError):
            await asyncio.shield(self._task)


def _bind(listen: str) -> socket.socket:
    host, _, port = listen.rpartition(":")
    host = host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, int(port)), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise OSError(f"cannot listen on {listen}: {error.strerror or error}") from error
