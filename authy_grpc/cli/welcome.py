"""Prints what `serve` says once it serves: where, and what to try next."""

import os
import shlex
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from rich.text import Text

from authy_grpc import listening
from authy_grpc.cli import grpcurl, show
from authy_grpc.cli.options import LOCAL_ORIGIN, LOCAL_SERVER
from authy_grpc.client.certificates import PemFile
from authy_grpc.client.connect import TlsFiles, road
from authy_grpc.settings import Settings


def welcome(settings: Settings, port: int, http_port: int = 0) -> None:
    """Print where the service is, and commands that work when pasted into another terminal.

    Args:
        settings: what it was started with.
        port: what it listens on.
        http_port: what the gateway of this process listens on; 0 where there is none.
    """
    server = reached_at(settings, port)
    say = show.say
    say(
        Text.assemble(
            ("authy-grpc", "bold"),
            f" serves gRPC at {server.removeprefix('grpc://')}",
            "." if settings.tls_cert else ", without TLS.",
        )
    )
    say(Text(f"{_links(settings, http_port)}\n"))
    if not settings.texts:
        say(
            Text(
                "No text message can go out, so no phone can register: set AUTHY_SMS_URL, or AUTHY_DEV=1.\n",
                "red",
            )
        )
    for line in _next(settings, server):
        say(line)
    say(Text("\nCtrl-C lets calls finish and stops; twice stops at once. The log follows on stderr."))


def _links(settings: Settings, http_port: int) -> str:
    """Where QR links lead; where nobody can follow them, what to set."""
    app = f"{settings.origin}/app/"
    if not http_port:
        if settings.public_url:
            return f"QR links open {app}: a gateway has to be reached there."
        return (
            f"QR links begin with {settings.origin}, where this command serves nothing: run `authy-grpc up` "
            "instead, or set AUTHY_PUBLIC_URL to where people reach your gateway."
        )
    place = listening.parse("AUTHY_HTTP_LISTEN", settings.http_listen)
    if settings.public_url or (place.port == http_port and listening.reachable(place) == place):
        return f"QR links open the web authenticator at {app}"
    return f"QR links begin with {settings.origin}: set AUTHY_PUBLIC_URL to where browsers reach the gateway."


def _next(settings: Settings, server: str) -> Iterator[Text]:
    try:
        files, lines = _files(settings), _lines(settings, server)
    except ValueError as error:
        # The certificates are of commands alone: the service goes on.
        yield Text(f"No command reaches it from here: {error}.", "red")
        return
    if settings.tls_client_ca and not files.certificate:
        wanted = "AUTHY_CLIENT_CERT and AUTHY_CLIENT_KEY"
        yield Text(
            f"Callers need a certificate: set {wanted} to one that {settings.tls_client_ca} has signed.\n"
        )
    yield Text("Try next, in another terminal:", style="bold")
    for line in lines:
        yield Text(f"  {line}", style="cyan")


def _lines(settings: Settings, server: str) -> list[str]:
    authy = show.program("authy-grpc", elsewhere=True)
    files = _files(settings)
    plain = " ".join(grpcurl.words(road(server, files=files), files, elsewhere=True))
    lines = [f"export AUTHY_HOME={shlex.quote(str(settings.home.resolve()))}"]
    if server != LOCAL_SERVER:
        lines.append(f"export AUTHY_SERVER={shlex.quote(server)}")
    lines += [
        f"export {name}={shlex.quote(str(path.resolve()))}" for name, path in _exported(settings, files)
    ]
    if settings.origin != LOCAL_ORIGIN:
        lines.append(f"export AUTHY_PUBLIC_URL={settings.origin}")
    lines += [
        f"{authy} application create Shop https://shop.example",
        f"{authy} api-key create Shop",
    ]
    # pyotp comes with the phone's extra.
    if settings.texts and find_spec("pyotp"):
        lines.append(f"{authy} phone register +15005550006")
    if settings.reflection:
        lines += [f"{plain} list", f"{plain} describe authy_grpc.v1.EnrollmentService"]
    lines.append(f"{plain} grpc.health.v1.Health/Check")
    return lines


def reached_at(settings: Settings, port: int) -> str:
    """Where commands on this machine find the service, as AUTHY_SERVER takes it.

    Args:
        settings: what it was started with.
        port: what it listens on.
    """
    place = listening.parse("AUTHY_LISTEN", settings.listen, unix=True)
    if place.path:
        return str(replace(place, path=str(Path(place.path).resolve())))
    place = replace(listening.reachable(place), port=port)
    clear = settings.tls_cert is None and not place.loopback
    return f"grpc://{place}" if clear else str(place)


def _files(settings: Settings) -> TlsFiles:
    served = settings.tls_cert and PemFile("AUTHY_TLS_CERT", settings.tls_cert)
    return replace(TlsFiles.of(os.environ), served=served or None)


def _exported(settings: Settings, files: TlsFiles) -> Iterator[tuple[str, Path]]:
    """The settings by which a command in another terminal trusts the served file, and is trusted."""
    if settings.tls_cert and settings.tls_key:
        yield "AUTHY_TLS_CERT", settings.tls_cert
        yield "AUTHY_TLS_KEY", settings.tls_key
        for file in (files.ca, files.certificate, files.key):
            if file is not None:
                yield file.setting, file.path


def welcome_up(settings: Settings, port: int, http_port: int) -> None:
    """Print where service and gateway are, and commands that work when pasted into another terminal.

    Args:
        settings: what they were started with.
        port: what gRPC listens on.
        http_port: what the gateway listens on.
    """
    place = replace(listening.parse("AUTHY_HTTP_LISTEN", settings.http_listen), port=http_port)
    show.say(Text.assemble(("authy-grpc", "bold"), f" serves REST at {settings.http_scheme}://{place}"))
    welcome(settings, port, http_port)
