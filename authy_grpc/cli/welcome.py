"""Owns what `serve` prints once it serves: where, and what to try next."""

from importlib.util import find_spec

from rich.text import Text

from authy_grpc.cli import show
from authy_grpc.cli.options import LOCAL_ORIGIN, LOCAL_SERVER
from authy_grpc.settings import Settings


def welcome(settings: Settings, port: int) -> None:
    """Print where the service is, and commands that work when pasted into another terminal.

    Args:
        settings: what it was started with.
        port: what it listens on.
    """
    unix = settings.listen.startswith("unix:")
    server = settings.listen if unix else f"{settings.listen.rpartition(':')[0]}:{port}"
    say = show.say
    say(
        Text.assemble(
            ("authy-grpc", "bold"),
            f" serves gRPC at {server}",
            "." if settings.tls_cert else ", without TLS.",
        )
    )
    say(Text(f"QR links begin with {settings.origin}/app/ : there is no page there yet. Scan them with the"))
    say(Text("simulated phone.\n"))
    if not settings.texts:
        say(
            Text(
                "No text message can go out, so no phone can register: set AUTHY_SMS_URL, or AUTHY_DEV=1.\n",
                "red",
            )
        )
    say(Text("Try next, in another terminal:", style="bold"))
    for line in _lines(settings, server):
        say(Text(f"  {line}", style="cyan"))
    say(Text("\nCtrl-C lets calls finish and stops; twice stops at once. The log follows on stderr."))


def _lines(settings: Settings, server: str) -> list[str]:
    authy, grpcurl = (show.program(name, elsewhere=True) for name in ("authy-grpc", "grpcurl"))
    plain = f"{grpcurl} {'' if settings.tls_cert else '-plaintext '}{server}"
    lines = [f"export AUTHY_HOME={settings.home.resolve()}"]
    if server != LOCAL_SERVER:
        lines.append(f"export AUTHY_SERVER={server}")
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


def welcome_up(settings: Settings, port: int, http_port: int) -> None:
    """Print where service and gateway are, and commands that work when pasted into another terminal.

    Args:
        settings: what they were started with.
        port: what gRPC listens on.
        http_port: what the gateway listens on.
    """
    http = f"http://{settings.http_listen.rpartition(':')[0]}:{http_port}"
    show.say(Text.assemble(("authy-grpc", "bold"), f" serves REST at {http}"))
    welcome(settings, port)
