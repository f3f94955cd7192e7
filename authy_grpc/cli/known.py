"""Knows every variable `AUTHY_*` that something reads, and refuses to serve with one that nothing does."""

import os
from collections.abc import Iterator
from typing import Any

from authy_grpc.cli.failure import Failure, extra

# Read by the client, which has no settings class.
_OF_THE_CLIENT = ("AUTHY_API_KEY", "AUTHY_CA", "AUTHY_CLIENT_CERT", "AUTHY_CLIENT_KEY")


def check() -> None:
    """Ask whether the environment has nothing but what is known: a mistyped setting would not be missed.

    Raises:
        Failure: it has, with the nearest names.
    """
    if strange := unknown():
        raise Failure(tell(strange), mend(strange))


def unknown() -> dict[str, str]:
    """The environment's variables that nothing reads, each with the nearest that is read, or with ""."""
    with extra("server"):
        from authy_grpc import environment
    return environment.unknown(os.environ, names())


def tell(strange: dict[str, str]) -> str:
    """What is wrong."""
    return f"No such setting: {', '.join(strange)}."


def mend(strange: dict[str, str]) -> str:
    """What to do."""
    near = [f"{other} for {name}" for name, other in strange.items() if other]
    rest = "unset it, or see the table in docs/operations.md."
    return f"Set {', '.join(near)}, or {rest}" if near else rest.capitalize()


def names() -> set[str]:
    """Every variable that is read: by a settings class, by an option of a command, or by the client."""
    import typer

    from authy_grpc.cli.app import app
    from authy_grpc.settings import Settings

    found = {*Settings.names(), *_OF_THE_CLIENT, *_of_options(typer.main.get_command(app))}
    try:
        from gateway.settings import GatewaySettings
    except ModuleNotFoundError:
        return found
    return {*found, *GatewaySettings.names()}


def _of_options(command: Any) -> Iterator[str]:
    for parameter in command.params:
        read = parameter.envvar or ()
        yield from (read,) if isinstance(read, str) else read
    for each in getattr(command, "commands", {}).values():
        yield from _of_options(each)
