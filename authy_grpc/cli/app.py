"""The command line as a whole: which commands there are, and that what fails ends in a sentence."""

import os
import sys
from typing import Annotated, Any, TextIO, cast

import typer
from typer.core import TyperGroup

from authy_grpc.cli import (
    account,
    api_key,
    application,
    contract,
    database,
    demo,
    doctor,
    gateway,
    operator_key,
    phone,
    secret,
    serve,
    web,
    webhook,
)
from authy_grpc.cli.failure import explain, report
from authy_grpc.tidy import tidy_environment


class Commands(TyperGroup):
    """The commands; an expected failure is told with what to do next, and exits with 1."""

    def invoke(self, ctx: Any) -> Any:
        """Runs one command."""
        tidy_environment(os.environ)
        try:
            try:
                return super().invoke(ctx)
            finally:
                # While it can be told: at its exit Python would print an exception, and end with 120.
                _flush()
        except BrokenPipeError:
            # Whoever read has left, such as `head`: click ends the program without a word.
            raise
        except Exception as error:
            failure = explain(error)
            if failure is None:
                raise
            report(failure)
            _drop_unwritten()
            raise typer.Exit(1) from error


def _drop_unwritten() -> None:
    """Let go what stdout cannot take: Python tries again at its exit."""
    try:
        _flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _flush() -> None:
    # None where it was closed from the beginning (`>&-`).
    if (stdout := cast("TextIO | None", sys.stdout)) is not None:
        stdout.flush()


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _tell_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"authy-grpc {version('authy-grpc')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_tell_version, is_eager=True, help="Tell the version.")
    ] = False,
) -> None:
    """A second factor without personal data: enroll by QR code, verify and approve over gRPC."""


app.command("serve")(serve.serve)
app.command("gateway")(gateway.gateway)
app.command("up")(gateway.up)
app.command("demo")(demo.demo)
app.add_typer(application.app, name="application")
app.add_typer(api_key.app, name="api-key")
app.add_typer(operator_key.app, name="operator-key")
app.add_typer(account.app, name="account")
app.add_typer(phone.app, name="phone")
app.add_typer(webhook.app, name="webhook")
app.add_typer(database.app, name="db")
app.add_typer(secret.app, name="keys")
app.command("doctor")(doctor.doctor)
app.add_typer(web.app, name="web")
app.command("protos")(contract.protos)
