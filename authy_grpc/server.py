"""The gRPC server: its options, reflection, TLS, and how it starts and stops."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from threading import Lock
from types import MappingProxyType
from typing import Any

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2_grpc
from prometheus_client import CollectorRegistry, start_http_server

from authy_grpc import listeners, listening
from authy_grpc.client.renewal import Renewal
from authy_grpc.rpc.chain import Chain, Methods
from authy_grpc.rpc.health import Health
from authy_grpc.rpc.largest import largest_request
from authy_grpc.rpc.local import LocalChannel
from authy_grpc.rpc.peer import AddressOf, by_socket
from authy_grpc.rpc.reflection import SERVICE as REFLECTION
from authy_grpc.rpc.reflection import Reflection
from authy_grpc.rpc.streams import Streams

_CONNECTIONS = "grpc.max_allowed_incoming_connections"
_HEALTH = "grpc.health.v1.Health"
_MAX_STREAM_AGE = timedelta(minutes=33)
_LAST_SECONDS = 1.0
_MOMENT_SECONDS, _MOMENTS = 0.05, 20
OPTIONS: tuple[tuple[str, int], ...] = (
    # Between a soft and a hard limit grpc refuses at random: one limit.
    ("grpc.max_metadata_size", 16 * 1024),
    ("grpc.absolute_max_metadata_size", 16 * 1024),
    ("grpc.max_receive_message_length", largest_request()),
    # What is kept of a message before it is read. gRPC widens it to the message's size then; its own guesses
    # at bandwidth would widen it unasked.
    ("grpc.http2.lookahead_bytes", 2 * 1024),
    ("grpc.http2.bdp_probe", 0),
    # Calls are taken up in the order of their coming: so many of one connection may stand before another's,
    # at 16 KiB each; more are refused without Python. gRPC counts those that were reset or have ended, too,
    # until Python has let go of them, so a client that is busy up to the limit sees refusals: far fewer would
    # hit honest bursts. It is more than one address may hold of health and reflection.
    ("grpc.max_concurrent_streams", 600),
    # gRPC's defaults cancel calls at random once 1,000 wait to be taken up, and more may come back at once
    # when a server has started anew. These are 160 MB of metadata at most; what waits 30 s is canceled still.
    ("grpc.server.max_pending_requests", 10_000),
    ("grpc.server.max_pending_requests_hard_limit", 10_000),
    ("grpc.server_handshake_timeout_ms", 5_000),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    # Without it a ping that nobody answers is waited for a minute, whatever the line above says.
    ("grpc.http2.ping_timeout_ms", 20_000),
    ("grpc.keepalive_permit_without_calls", 1),
    # Half of what our client sends, so that none is told `too_many_pings`.
    ("grpc.http2.min_ping_interval_without_data_ms", 15_000),
    # One without calls costs its peer nothing, and a descriptor here. Clients connect again unasked.
    ("grpc.max_connection_idle_ms", 60_000),
    ("grpc.max_connection_age_ms", 30 * 60_000),
    # Streams end by themselves before the connection is cut under them.
    ("grpc.max_connection_age_grace_ms", int(_MAX_STREAM_AGE.total_seconds()) * 1000 + 60_000),
)


@dataclass(frozen=True)
class Tls:
    """What a server shows, all as PEM.

    Attributes:
        client_ca: who must have signed a client's certificate; None asks for none.
    """

    certificate: bytes
    key: bytes = field(repr=False)
    client_ca: bytes | None = None


@dataclass(frozen=True)
class Service:
    """One service that the server offers.

    Attributes:
        name: its full name, such as `authy_grpc.v1.UserService`.
        servicer: what answers.
        add: the generated function that adds it to a server.
    """

    name: str
    servicer: Any
    add: Callable[[Any, grpc.aio.Server], None]


class Server:
    """A gRPC server: built from its parts, started once, stopped once.

    Args:
        chain: what takes each call from its metadata to its end.
        streams: what ends the streams when the server drains.
        services: what is served, beside health.
        listen: `host:port`, port 0 for any that is free, or `unix:/path`.
        tls: None serves in the clear. What can be renewed is read anew when its files change.
        reflects: whether tools may ask what is served.
        shares_port: whether other processes may bind the same port.
        address: of who calls, for what each caller may hold.
        grace: how long calls that were accepted may take to finish.
        options: of gRPC, in place of those of `OPTIONS` that have their names.
    """

    def __init__(
        self,
        *,
        chain: Chain,
        streams: Streams,
        services: Sequence[Service],
        listen: str,
        tls: Tls | Renewal[Tls] | None = None,
        reflects: bool = True,
        shares_port: bool = False,
        address: AddressOf = by_socket,
        grace: timedelta = timedelta(seconds=30),
        options: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        self._chain = chain
        self._streams = streams
        self._services = services
        self._place = listening.parse("AUTHY_LISTEN", listen, unix=True)
        self._tls = tls
        self._reflects = reflects
        self._shares_port = shares_port
        beside = {"grpc.so_reuseport": int(shares_port), _CONNECTIONS: listeners.most_connections()}
        self._options = {**dict(OPTIONS), **beside, **options}
        self._most = self._options[_CONNECTIONS]
        self._grace = grace.total_seconds()
        self._address = address
        self._health = Health([service.name for service in services], streams, address)
        self._server: grpc.aio.Server | None = None
        self._listening: frozenset[int] = frozenset()

    async def start(self) -> int:
        """Bind and serve.

        Returns:
            The port that was bound; of a unix socket, 1.

        Raises:
            OSError: the address cannot be bound.
        """
        methods = Methods(self._chain.wrap, self._add_all)
        server = grpc.aio.server(handlers=[methods], options=tuple(self._options.items()))
        before = listeners.listening()
        port = self._bind(server)
        await server.start()
        self._listening = listeners.listening() - before
        self._server = server
        return port

    def local(self) -> LocalChannel:
        """A channel to all of it but reflection, for who is in this process."""
        return LocalChannel(self._chain, self._add)

    def _add(self, server: Any) -> None:
        for service in self._services:
            service.add(service.servicer, server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)

    def _add_all(self, server: Any) -> None:
        self._add(server)
        if self._reflects:
            names = [service.name for service in self._services]
            Reflection((*names, _HEALTH, REFLECTION), self._streams, self._address).add_to(server)

    def _bind(self, server: grpc.aio.Server) -> int:
        listening.probe(self._place, shared=self._shares_port)
        try:
            if self._tls is None:
                return server.add_insecure_port(str(self._place))
            return server.add_secure_port(str(self._place), _credentials(self._tls))
        except (RuntimeError, ValueError) as error:
            reason = "gRPC cannot listen there"
            if self._tls is not None:
                reason += ", or cannot use the certificate and its key"
            raise self._place.wrong(reason) from error

    async def connections(self) -> tuple[int, int]:
        """How many connections there are, and how many may be: gRPC drops more without a word."""
        return await asyncio.to_thread(listeners.connected, self._listening), self._most

    def renew(self) -> None:
        """Read the certificates anew, for the connections that come from now on."""
        if isinstance(self._tls, Renewal):
            self._tls.renew()

    def quit(self) -> None:
        """Say NOT_SERVING from now on, and answer as before: for who stops what calls it first."""
        self._health.stop()

    def set_ready(self, ready: bool) -> None:
        """Say NOT_SERVING while it is not."""
        self._health.set_ready(ready)

    async def stop(self, *, now: bool = False) -> None:
        """Drain and stop: say NOT_SERVING, end the streams, let calls that were accepted finish.

        Args:
            now: do not wait for them. Cuts short a stop that is waiting, too.
        """
        if self._server is None:
            return
        self.quit()
        self._chain.close()
        await self._streams.drain()
        # A server that is told to stop cancels calls on their way in, which no client takes for a reason to
        # try again: so they are refused by ourselves for as long as others finish.
        # Connections are refused before that: then proxies go to another server, and calls become few.
        listeners.close(self._listening)
        self._listening = frozenset()
        if not now:
            await self._idle(self._grace)
            await self._quiet()
        await self._server.stop(None if now else _LAST_SECONDS)
        # grpc does not wait for handlers that it has cancelled, and they still use what is closed next.
        await self._idle(_LAST_SECONDS)

    async def _quiet(self) -> None:
        """Wait until no call has come for a moment; not for ever, since some callers never tire."""
        for _ in range(_MOMENTS):
            before = self._chain.late
            await asyncio.sleep(_MOMENT_SECONDS)
            if self._chain.late == before:
                return

    async def _idle(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._chain.idle()


def _credentials(tls: Tls | Renewal[Tls]) -> grpc.ServerCredentials:
    shown = tls.look() if isinstance(tls, Renewal) else tls
    lock = Lock()

    def changed() -> Any:
        """What a new connection is shown, if it is something else than the last; grpc asks in a thread."""
        nonlocal shown
        with lock:
            found = tls.look() if isinstance(tls, Renewal) else tls
            if found is shown:
                return None
            shown = found
            return _configuration(found)

    return grpc.dynamic_ssl_server_credentials(_configuration(shown), changed, shown.client_ca is not None)


def _configuration(tls: Tls) -> Any:
    return grpc.ssl_server_certificate_configuration([(tls.key, tls.certificate)], tls.client_ca)


def serve_metrics(listen: str, registry: CollectorRegistry) -> tuple[int, Callable[[], None]]:
    """Serve a registry as Prometheus text, in a thread of its own.

    Args:
        listen: `host:port`, port 0 for any that is free.

    Returns:
        The port, and what stops it.

    Raises:
        OSError: the address cannot be bound.
    """
    place = listening.parse("AUTHY_METRICS_LISTEN", listen)
    listening.probe(place)
    server, thread = start_http_server(place.port, place.host, registry)

    def stop() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return server.server_port, stop
