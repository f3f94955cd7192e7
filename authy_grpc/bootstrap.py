"""Makes the real store, clock, random and carrier, once, and services of them."""

import os
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TextIO

from prometheus_client import CollectorRegistry, Counter, Gauge
from structlog.typing import FilteringBoundLogger

from authy_grpc import audit, logs
from authy_grpc.audit import Audit
from authy_grpc.client.certificates import PemFile, read_pair, read_roots
from authy_grpc.client.renewal import Renewal
from authy_grpc.domain.clock import lies_well_beyond
from authy_grpc.domain.user import CARRIED
from authy_grpc.home import Secrets
from authy_grpc.metrics import Metrics
from authy_grpc.outbound.addresses import Addresses, Resolve
from authy_grpc.outbound.opened import Listeners
from authy_grpc.outbound.sms import from_url
from authy_grpc.outbound.sms.number import Numbers
from authy_grpc.outbound.sms.sender import Sender
from authy_grpc.parts import Ground, make
from authy_grpc.rpc.auth import Auth
from authy_grpc.rpc.chain import Chain
from authy_grpc.rpc.credential import CredentialServicer
from authy_grpc.rpc.errors import Errors
from authy_grpc.rpc.observe import Observe
from authy_grpc.rpc.peer import Peers
from authy_grpc.rpc.receive import Receive
from authy_grpc.rpc.streams import Streams
from authy_grpc.rpc.validate import Validate
from authy_grpc.server import Server, Service, Tls
from authy_grpc.service.account import OwnAccount
from authy_grpc.service.credentials import Credentials
from authy_grpc.service.operator_key import OperatorKeys
from authy_grpc.service.qr import QrCodes
from authy_grpc.service.signals import Signals
from authy_grpc.settings import Settings
from authy_grpc.store import events, keyset, postgres, probe
from authy_grpc.store.database import Database
from authy_grpc.store.listener import Listener
from authy_grpc.store.tx import Tools
from authy_grpc.store.vault import Vault
from authy_grpc.v1 import credential_pb2_grpc
from authy_grpc.worker.loop import Step, Workers

_PROBE_SECONDS = 1.0
_CLOCK_SECONDS = 60.0
_CONNECTIONS_SECONDS = 5.0
_METRICS_SECONDS = 10.0

Clock = Callable[[], datetime]
Random = Callable[[int], bytes]


def real_clock() -> datetime:
    """The time."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class World:
    """What a service needs of the outside. Tests bring their own.

    Attributes:
        clock: the time, aware.
        random: random bytes.
        sender: hands texts to a carrier; None for the one that the settings name.
        resolve: finds the addresses of names that sites give; None for the system's name servers.
        log_stream: where the log goes; None: nowhere.
        log_level: the least that is logged.
        guard: whether to watch that works which raise have changed nothing.
    """

    clock: Clock = real_clock
    random: Random = os.urandom
    sender: Sender | None = None
    resolve: Resolve | None = None
    log_stream: TextIO | None = sys.stderr
    log_level: str = "info"
    guard: bool = False


@dataclass(frozen=True)
class Core:
    """A service that was built: start it, stop it.

    Attributes:
        account: for the operator, who reaches accounts on the store itself.
        listeners: what is never posted to, though its network be open to a webhook.
        operator_keys: for the operator, on the store itself.
        audit: the audit trail.
    """

    server: Server
    database: Database
    signals: Signals
    listener: Listener | None
    credentials: Credentials
    qr_codes: QrCodes
    workers: Workers
    account: OwnAccount
    operator_keys: OperatorKeys
    audit: Audit
    registry: CollectorRegistry
    log: FilteringBoundLogger
    listeners: Listeners

    async def start(self) -> int:
        """Serve, and let the workers run; answers the port."""
        await self.signals.start()
        if self.listener is not None:
            self.listener.start()
        port = await self.server.start()
        self.listeners.add(port)
        self.workers.start()
        return port

    async def stop(self, *, now: bool = False) -> None:
        """Drain, then close everything."""
        await self.server.stop(now=now)
        await self.workers.stop()
        await self.credentials.close()
        if self.listener is not None:
            await self.listener.stop()
        await self.signals.stop()
        await self.database.close()
        self.qr_codes.close()


async def build(settings: Settings, secrets: Secrets, world: World) -> Core:
    """Make a service.

    Args:
        settings: what the operator has set; the database's schema is up to date.
        secrets: the installation's.
        world: clock, random, carrier and log.

    Raises:
        KeysetError: the keyset is not the one that sealed the database.
        DatabaseTrouble: an URL cannot be read.
    """
    async with AsyncExitStack() as opened:
        core = await _make(settings, secrets, world, opened)
        # `Core.stop` closes it; where there is none, it is closed here.
        opened.pop_all()
    return core


async def _make(settings: Settings, secrets: Secrets, world: World, opened: AsyncExitStack) -> Core:
    clock, random, allowances = world.clock, world.random, settings.allowances
    registry, listeners = CollectorRegistry(), settings.listeners
    output = logs.output(world.log_stream, registry)
    log = logs.build(output, clock, world.log_level)
    lines = logs.CallLines(output, clock, world.log_level)
    metrics = Metrics(registry, clock, log)
    if settings.signals_url.get_secret_value():
        # Before anything is opened: where it cannot be read nothing has to be closed again.
        postgres.parameters(settings.signals_url.get_secret_value(), "AUTHY_SIGNALS_URL")
    trail = audit.build(settings.audit_log, world.log_stream, clock, registry)
    vault = Vault(secrets.keyset)
    database = Database(settings.database, Tools(vault, clock, random), guard=world.guard)
    opened.push_async_callback(database.close)
    metrics.watch(database)
    await database.write(lambda session: keyset.check(session, vault))
    await database.write(events.begin_epoch)
    signals = Signals(database, log)
    credentials = Credentials(
        database, signals, clock, operator_key=secrets.operator_key, gateway_key=secrets.gateway_key
    )
    streams = Streams(clock=clock, random=random, ended=credentials.ended)
    parts = make(
        Ground(
            database=database,
            vault=vault,
            signals=signals,
            streams=streams,
            sender=world.sender or _sender(settings, clock),
            carried=CARRIED if world.sender or settings.texts else frozenset(),
            numbers=Numbers(settings.sms_countries),
            sms_per_hour=settings.sms_per_hour,
            public_url=settings.origin,
            check_url=Addresses(dev=settings.dev, resolve=world.resolve, listeners=listeners).check,
            opened_to=lambda application_id: allowances.get(application_id, ()),
            log=log,
            clock=clock,
            random=random,
        )
    )
    opened.callback(parts.qr_codes.close)

    def wake() -> None:
        signals.wake()
        parts.deliveries.wake()
        workers.wake()

    peers = Peers(settings.forwarding, log, registry)
    auth = Auth(credentials.find, address=peers)
    chain = Chain(
        observe=Observe(log, lines, registry, random, trail),
        errors=Errors(log),
        auth=auth,
        receive=Receive(address=peers),
        validate=Validate(local_origins=settings.dev),
    )
    server = Server(
        chain=chain,
        streams=streams,
        services=[*parts.services, _credential_service(auth)],
        listen=settings.listen,
        tls=read_tls(settings, log),
        reflects=settings.reflection,
        address=peers,
    )
    workers = Workers(
        [
            *parts.steps,
            Step("metrics", metrics.look_at(database, signals), _METRICS_SECONDS),
            Step("readiness", database.probe, _PROBE_SECONDS),
            Step("connections", _count_connections(server, registry, log), _CONNECTIONS_SECONDS),
            Step("clock", _clock_check(database, clock, log), _CLOCK_SECONDS),
        ],
        log,
    )
    database.on_events = wake
    database.on_writable = _tell_readiness(server, log)
    return Core(
        server=server,
        database=database,
        signals=signals,
        listener=await _listener(settings, database, wake, log),
        credentials=credentials,
        qr_codes=parts.qr_codes,
        workers=workers,
        account=parts.account,
        operator_keys=OperatorKeys(database=database),
        audit=trail,
        registry=registry,
        log=log,
        listeners=listeners,
    )


def _credential_service(auth: Auth) -> Service:
    return Service(
        "authy_grpc.v1.CredentialService",
        CredentialServicer(auth.judge),
        credential_pb2_grpc.add_CredentialServiceServicer_to_server,
    )


def _tell_readiness(server: Server, log: FilteringBoundLogger) -> Callable[[Exception | None], None]:
    def tell(fault: Exception | None) -> None:
        server.set_ready(fault is None)
        if fault is None:
            log.info("database can be written again")
        else:
            log.error("database cannot be written", exc_info=fault)

    return tell


def _count_connections(
    server: Server, registry: CollectorRegistry, log: FilteringBoundLogger
) -> Callable[[], Awaitable[int]]:
    """A step that counts gRPC's connections, and says so where no more get in."""
    gauge = Gauge("grpc_server_connections", "Connections to gRPC, counted every 5 s.", registry=registry)
    full = Counter("grpc_server_connections_full", "Counts that found none left.", registry=registry)
    limit = Gauge("grpc_server_connections_limit", "As many may be; more are dropped.", registry=registry)

    async def count() -> int:
        found, most = await server.connections()
        gauge.set(found)
        limit.set(most)
        if found >= most:
            full.inc()
            log.warning("connections refused", reason="all of gRPC's are taken", state=found)
        return 0

    return count


def _clock_check(database: Database, clock: Clock, log: FilteringBoundLogger) -> Callable[[], Awaitable[int]]:
    """A step that says so where this clock lies far behind the newest row: one of two clocks is wrong."""

    async def check() -> int:
        newest, now = await database.read(probe.newest_time), clock()
        if newest is not None and lies_well_beyond(newest, now):
            log.error("clock is behind the database", seconds=round((newest - now).total_seconds()))
        return 0

    return check


async def _listener(
    settings: Settings, database: Database, wake: Callable[[], None], log: FilteringBoundLogger
) -> Listener | None:
    """What hears of other servers' commits; without one they are found by polls."""
    url = settings.signals_url.get_secret_value()
    if not database.postgres:
        return None
    if not url and await database.read(probe.is_pooled):
        # In transaction mode a session is handed to others, and hears nothing.
        log.warning("AUTHY_DATABASE_URL leads to a pooler: set AUTHY_SIGNALS_URL past it, or streams lag")
        return None
    return Listener(url or settings.database, wake, log, database.is_own)


def _sender(settings: Settings, clock: Clock) -> Sender:
    return from_url(settings.texts, stream=sys.stdout, clock=clock)


def read_tls(settings: Settings, log: FilteringBoundLogger | None = None) -> Renewal[Tls] | None:
    """What a server shows; None for clear text.

    Raises:
        CertificateError: a file cannot be used.
    """
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    certificate = PemFile("AUTHY_TLS_CERT", settings.tls_cert)
    key = PemFile("AUTHY_TLS_KEY", settings.tls_key)
    client_ca = PemFile("AUTHY_TLS_CLIENT_CA", settings.tls_client_ca) if settings.tls_client_ca else None

    def read() -> Tls:
        chain, secret = read_pair(certificate, key)
        return Tls(chain, secret, read_roots(client_ca) if client_ca else None)

    files = [file.path for file in (certificate, key, client_ca) if file is not None]
    return Renewal(files, read, log=log)
