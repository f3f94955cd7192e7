"""Runs the service: the command `serve`, what may listen where, and what is made first."""

import os
import signal
import sys
import threading
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from authy_grpc.cli import supervisor
from authy_grpc.cli.stopper import Stopper

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from authy_grpc.bootstrap import Core, World
    from authy_grpc.home import Secrets
    from authy_grpc.listening import Place
    from authy_grpc.settings import Settings


def serve(
    home: Annotated[Path | None, typer.Option(help="Holds data/ and secrets/ (AUTHY_HOME).")] = None,
    database_url: Annotated[str | None, typer.Option(help="sqlite:///PATH or postgresql://…")] = None,
    listen: Annotated[str | None, typer.Option(help="HOST:PORT or unix:PATH (AUTHY_LISTEN).")] = None,
    metrics_listen: Annotated[str | None, typer.Option(help="HOST:PORT for Prometheus.")] = None,
    public_url: Annotated[str | None, typer.Option(help="Origin of QR links (AUTHY_PUBLIC_URL).")] = None,
    sms_url: Annotated[str | None, typer.Option(help="console: or file:PATH (AUTHY_SMS_URL).")] = None,
    sms_countries: Annotated[str | None, typer.Option(help="ISO codes, comma-separated.")] = None,
    tls_cert: Annotated[Path | None, typer.Option(help="PEM (AUTHY_TLS_CERT).")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="PEM (AUTHY_TLS_KEY).")] = None,
    tls_client_ca: Annotated[Path | None, typer.Option(help="PEM: who signs clients.")] = None,
    insecure: Annotated[bool | None, typer.Option("--insecure", help="Beyond loopback without TLS.")] = None,
    reflection: Annotated[bool | None, typer.Option("--reflection/--no-reflection")] = None,
    dev: Annotated[bool | None, typer.Option("--dev", help="Development: texts go to the console.")] = None,
) -> None:
    """Run the service. Each flag is a setting AUTHY_… of the environment, too."""
    from authy_grpc.cli.failure import extra

    with extra("server"):
        import uvloop

        from authy_grpc.cli import installation, known

    known.check()
    settings = installation.read_settings(
        home=home,
        database_url=database_url,
        listen=listen,
        metrics_listen=metrics_listen,
        public_url=public_url,
        sms_url=sms_url,
        sms_countries=sms_countries,
        tls_cert=tls_cert,
        tls_key=tls_key,
        tls_client_ca=tls_client_ca,
        insecure=insecure,
        reflection=reflection,
        dev=dev,
    )
    ignore_hangups()
    check_listen(settings)
    check_texts(settings)
    uvloop.run(_serve(settings, prepare(settings)))


def ignore_hangups() -> None:
    """Let SIGHUP end nobody who is not up yet: once it is, certificates are read anew by it."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGHUP, signal.SIG_IGN)


def check_listen(settings: "Settings") -> None:
    """Ask whether the service may listen where it is told to, and whether it can.

    Raises:
        Failure: others could read along, or use what is for development.
        ListenError: an address cannot be read or bound.
        CertificateError: what it is to show cannot be used.
    """
    from authy_grpc import listening

    place = check_address(settings)
    check_certificates(settings)
    listening.probe(place)
    check_metrics(settings)


def check_address(settings: "Settings") -> "Place":
    """Ask whether the service may listen where it is told to.

    Raises:
        Failure: others could read along, or use what is for development.
        ListenError: the address cannot be read.
    """
    from authy_grpc import listening
    from authy_grpc.cli.failure import Failure

    place = listening.parse("AUTHY_LISTEN", settings.listen, unix=True)
    if place.path or place.loopback:
        return place
    if settings.dev:
        raise Failure(
            f"AUTHY_DEV is for this machine alone, and AUTHY_LISTEN is {place}.",
            "Listen on 127.0.0.1, or unset AUTHY_DEV.",
        )
    if settings.tls_cert is None and not settings.insecure:
        raise Failure(
            f"AUTHY_LISTEN is {place}: without TLS others could read API keys.",
            "Set AUTHY_TLS_CERT and AUTHY_TLS_KEY, or AUTHY_INSECURE=1 behind a proxy that does TLS.",
        )
    return place


def check_certificates(settings: "Settings") -> None:
    """Ask whether the certificates that the service is to show can be used.

    Raises:
        Failure: some are missing.
        CertificateError: a file cannot be used.
    """
    from authy_grpc.cli.failure import Failure, extra

    with extra("server"):
        from authy_grpc.bootstrap import read_tls

    if settings.tls_client_ca is not None and settings.tls_cert is None:
        raise Failure(
            "AUTHY_TLS_CLIENT_CA asks callers for certificates, and the service has none itself.",
            "Set AUTHY_TLS_CERT and AUTHY_TLS_KEY.",
        )
    read_tls(settings)


def check_metrics(settings: "Settings") -> None:
    """Ask whether metrics can be told where they should.

    Raises:
        ListenError: the address cannot be read or bound.
    """
    from authy_grpc import listening

    if settings.metrics_listen:
        listening.probe(listening.parse("AUTHY_METRICS_LISTEN", settings.metrics_listen))


def check_texts(settings: "Settings") -> None:
    """Ask whether the settings of text messages can be read.

    Raises:
        Failure: they cannot.
    """
    from authy_grpc.cli.failure import Failure, extra

    with extra("server"):
        from authy_grpc.bootstrap import real_clock
        from authy_grpc.outbound.sms import from_url
        from authy_grpc.outbound.sms.number import Numbers
    try:
        from_url(settings.sms_url.get_secret_value(), stream=sys.stdout, clock=real_clock)
        Numbers(settings.sms_countries)
    except ValueError as error:
        raise Failure(str(error), "Mend AUTHY_SMS_URL or AUTHY_SMS_COUNTRIES.") from error


def prepare(settings: "Settings") -> "Secrets":
    """Make ready what the service starts on: a new SQLite database, its secrets, the schema.

    Raises:
        HomeError: a secret is missing, or lies open.
        SchemaError: the PostgreSQL database is of another version.
    """
    from authy_grpc import home
    from authy_grpc.cli import installation, show
    from authy_grpc.cli.failure import extra

    with extra("server"):
        from authy_grpc.store import schema
    path = installation.sqlite_file(settings)
    if path is None:
        schema.check(settings.database)
        return home.read_secrets(settings)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder = home.make_secrets(settings, os.urandom)
        show.say(f"New database  {path.resolve()}\nNew secrets   {folder.resolve()}")
        show.say("Back up both: each is worthless without the other.\n")
    secrets = home.read_secrets(settings)
    schema.upgrade(settings.database)
    return secrets


async def _serve(settings: "Settings", secrets: "Secrets") -> None:
    from authy_grpc.cli import welcome

    async with AsyncExitStack() as closing:
        core, port = await start(settings, secrets, closing)
        stopper = Stopper(core=core.server, renew=(core.server.renew,))
        closing.push_async_callback(stopper.close, core)
        stopper.listen()
        welcome.welcome(settings, port)
        supervisor.ready()
        await stopper.stopped()


async def start(
    settings: "Settings", secrets: "Secrets", closing: AsyncExitStack, world: "World | None" = None
) -> "tuple[Core, int]":
    """Build the service and start it; answers it and its port.

    Args:
        settings: the operator's.
        secrets: the installation's.
        closing: stops what tells the metrics.
        world: what it needs of the outside, where that is not the usual.

    Raises:
        ListenError: an address cannot be bound.
    """
    from authy_grpc import audit, logs
    from authy_grpc.bootstrap import World, build

    core = await build(settings, secrets, world or World())
    try:
        logs.take_over(core.log)
        core.audit.act("Start", audit.system_user(), settings=audit.public(settings))
        port = await core.start()
        tell_metrics(settings, core.registry, closing)
    except BaseException:
        await core.stop(now=True)
        raise
    return core, port


def tell_metrics(settings: "Settings", registry: "CollectorRegistry", closing: AsyncExitStack) -> None:
    """Serve metrics where the operator wants them, and nowhere else: they tell what phones do, and when.

    Args:
        settings: the operator's.
        registry: of the metrics.
        closing: stops it.

    Raises:
        OSError: the address cannot be bound.
    """
    from authy_grpc.server import serve_metrics

    if settings.metrics_listen:
        _, stop = serve_metrics(settings.metrics_listen, registry)
        closing.callback(stop)
