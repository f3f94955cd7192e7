"""Commands that serve HTTP: `gateway`, beside a service elsewhere, and `up`, both in one process."""

import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from authy_grpc.cli import supervisor
from authy_grpc.cli.options import LOCAL_SERVER, Server
from authy_grpc.cli.serve import (
    check_listen,
    check_metrics,
    check_texts,
    ignore_hangups,
    prepare,
    start,
    tell_metrics,
)
from authy_grpc.cli.stopper import Stoppable, Stopper

if TYPE_CHECKING:
    from starlette.routing import BaseRoute
    from structlog.typing import FilteringBoundLogger

    from authy_grpc.home import Secrets
    from authy_grpc.listening import Place
    from authy_grpc.settings import Settings
    from gateway.server import HttpServer
    from gateway.settings import GatewaySettings

Home = Annotated[Path | None, typer.Option(help="Holds data/ and secrets/ (AUTHY_HOME).")]
HttpListen = Annotated[str | None, typer.Option(help="HOST:PORT of the REST gateway (AUTHY_HTTP_LISTEN).")]
MetricsListen = Annotated[str | None, typer.Option(help="HOST:PORT for Prometheus (AUTHY_METRICS_LISTEN).")]
Insecure = Annotated[
    bool | None, typer.Option("--insecure", help="Beyond loopback: a proxy in front does TLS.")
]


def gateway(
    server: Server = LOCAL_SERVER,
    http_listen: HttpListen = None,
    metrics_listen: MetricsListen = None,
    home: Home = None,
    insecure: Insecure = None,
    dev: Annotated[bool, typer.Option("--dev", help="Development: webhooks may go to this machine.")] = False,
) -> None:
    """Run the REST gateway, and post webhooks. The gateway key is AUTHY_GATEWAY_KEY, or lies in the home."""
    from authy_grpc.cli.failure import extra

    with extra("server,gateway"):
        import uvloop

        from authy_grpc.cli import installation, known
        from authy_grpc.home import read_gateway_key

    known.check()
    settings = installation.read_settings(
        home=home,
        http_listen=http_listen,
        metrics_listen=metrics_listen,
        insecure=insecure,
        dev=dev or None,
    )
    ignore_hangups()
    check_http_listen(settings)
    check_metrics(settings)
    uvloop.run(_gateway(settings, server, read_gateway_key(settings)))


def up(
    home: Home = None,
    listen: Annotated[str | None, typer.Option(help="HOST:PORT of gRPC (AUTHY_LISTEN).")] = None,
    http_listen: HttpListen = None,
    metrics_listen: MetricsListen = None,
    insecure: Insecure = None,
    dev: Annotated[bool | None, typer.Option("--dev", help="Development: texts go to the console.")] = None,
    example: Annotated[bool, typer.Option("--example", help="Development: run examples/site, too.")] = False,
) -> None:
    """Run the service and its REST gateway in one process. All other settings come from AUTHY_…."""
    from authy_grpc.cli.failure import extra

    with extra("server,gateway"):
        import uvloop

        from authy_grpc.cli import development, installation, known

    known.check()
    settings = installation.read_settings(
        home=home,
        listen=listen,
        http_listen=http_listen,
        metrics_listen=metrics_listen,
        insecure=insecure,
        dev=dev,
    )
    ignore_hangups()
    check_listen(settings)
    check_http_listen(settings)
    check_texts(settings)
    development.check(settings, example=example)
    uvloop.run(_up(settings, prepare(settings), example=example))


def check_http_listen(settings: "Settings") -> None:
    """Ask whether the gateway may listen where it is told to, and whether it can.

    Raises:
        Failure: others could read along, or use what is for development.
        ListenError: the address cannot be read or bound.
        CertificateError: what it is to show cannot be used.
    """
    from authy_grpc import listening

    place = check_http_address(settings)
    check_http_certificate(settings)
    listening.probe(place)


def check_http_certificate(settings: "Settings") -> None:
    """Ask whether the certificate that the gateway is to show can be used.

    Raises:
        CertificateError: a file cannot be used.
    """
    from gateway.certificate import read_shown

    read_shown(_options(settings, ""))


def check_http_address(settings: "Settings") -> "Place":
    """Ask whether the gateway may listen where it is told to.

    Raises:
        Failure: others could read along, or use what is for development.
        ListenError: the address cannot be read.
    """
    from authy_grpc import listening
    from authy_grpc.cli.failure import Failure

    # Read before anything is started, so that what is wrong in it stops nothing half-way.
    _options(settings, "")
    place = listening.parse("AUTHY_HTTP_LISTEN", settings.http_listen)
    if place.loopback:
        return place
    if settings.dev:
        raise Failure(
            f"AUTHY_DEV is for this machine alone, and AUTHY_HTTP_LISTEN is {settings.http_listen}.",
            "Listen on 127.0.0.1, or unset AUTHY_DEV.",
        )
    if settings.http_tls_cert is None and not settings.insecure:
        raise Failure(
            f"AUTHY_HTTP_LISTEN is {settings.http_listen}: without TLS others could read credentials.",
            "Set AUTHY_HTTP_TLS_CERT and AUTHY_HTTP_TLS_KEY, or AUTHY_INSECURE=1 behind a proxy with TLS.",
        )
    return place


async def _up(settings: "Settings", secrets: "Secrets", *, example: bool) -> None:
    from authy_grpc.cli import development, welcome

    async with AsyncExitStack() as closing:
        messages = development.messages() if settings.dev else None
        world = development.world(settings, messages) if messages else None
        core, port = await start(settings, secrets, closing, world)
        channel = core.server.local()
        options = _options(settings, secrets.gateway_key)
        try:
            http, deliverer, http_port = await _serve_http(
                channel,
                options,
                core.log,
                core.registry,
                dev=settings.dev,
                places=(f":{port}", *_places(settings)),
                pages=development.pages(messages) if messages else (),
            )
        except BaseException:
            await core.stop(now=True)
            raise
        core.listeners.add(http_port)
        reached, operator = welcome.reached_at(settings, port), secrets.operator_key
        site = development.Example(settings, reached, operator) if example else None
        before = (site, http, deliverer) if site else (http, deliverer)
        stopper = Stopper(*before, core=core.server, renew=(http.renew, core.server.renew))
        closing.push_async_callback(stopper.close, core)
        stopper.listen()
        if site:
            await site.start()
        welcome.welcome_up(settings, port, http_port)
        if messages:
            development.welcome(settings, http_port, messages.token, site)
        supervisor.ready()
        await stopper.stopped()


async def _gateway(settings: "Settings", server: str, key: str) -> None:
    from prometheus_client import CollectorRegistry

    from authy_grpc import listening, logs
    from authy_grpc.bootstrap import real_clock
    from authy_grpc.cli import show
    from gateway.channels import Channels
    from gateway.reaching import Reaching

    registry = CollectorRegistry()
    log = logs.build(sys.stderr, real_clock, registry=registry)
    logs.take_over(log)
    options = _options(settings, key)
    async with AsyncExitStack() as closing:
        channel = Channels(server, log=log)
        closing.push_async_callback(channel.close)
        tell_metrics(settings, registry, closing)
        places = _places(settings)
        http, deliverer, port = await _serve_http(
            channel, options, log, registry, dev=settings.dev, places=places, core=(server,)
        )
        reaching = Reaching(channel, channel.road, log)
        reaching.start()
        closing.push_async_callback(reaching.stop)
        stopper = Stopper(http, deliverer, renew=(http.renew, channel.renew))
        stopper.listen()
        place = replace(listening.parse("AUTHY_HTTP_LISTEN", settings.http_listen), port=port)
        show.say(f"The gateway serves {settings.http_scheme}://{place}, and calls {channel.target}.")
        show.say("Ctrl-C lets answers finish and stops; twice stops at once. The log is on stderr.")
        supervisor.ready()
        await stopper.stopped()


def _places(settings: "Settings") -> tuple[str, ...]:
    """Where this installation listens: not for webhooks."""
    return settings.listen, settings.http_listen, settings.metrics_listen


def _options(settings: "Settings", key: str) -> "GatewaySettings":
    from gateway.settings import GatewaySettings

    return GatewaySettings(
        http_listen=settings.http_listen,
        http_tls_cert=settings.http_tls_cert,
        http_tls_key=settings.http_tls_key,
        gateway_key=key,  # type: ignore[arg-type]
    )


async def _serve_http(
    channel: Any,
    options: "GatewaySettings",
    log: "FilteringBoundLogger",
    registry: Any,
    *,
    dev: bool,
    places: Sequence[str],
    core: Sequence[str] = (),
    pages: Sequence["BaseRoute"] = (),
) -> "tuple[HttpServer, Stoppable, int]":
    from authy_grpc.bootstrap import real_clock
    from authy_grpc.cli.failure import Failure
    from authy_grpc.outbound.web import Addresses, Listeners, Web
    from gateway.app import build
    from gateway.certificate import read_shown
    from gateway.protocol import Bounds, most_connections
    from gateway.server import HttpServer
    from gateway.webhooks import Deliverer

    app = build(channel, options, log=log, registry=registry, pages=pages)
    http = HttpServer(
        app,
        options.http_listen,
        drain=app.state.drain,
        bounds=Bounds(
            connections=most_connections(beside_grpc=not core), keep_alive_seconds=options.http_keep_alive
        ),
        proxies=options.proxies,
        shown=read_shown(options, log),
        log=log,
        registry=registry,
    )
    try:
        port = await http.start()
    except OSError as error:
        raise Failure(str(error), "Set AUTHY_HTTP_LISTEN, or stop what is there.") from error
    listeners = Listeners(f":{port}", *places, core=core)
    web = Web(Addresses(dev=dev, listeners=listeners), real_clock)
    deliverer = Deliverer(channel, options.gateway_key.get_secret_value(), web, log)
    deliverer.start()
    return http, deliverer, port
