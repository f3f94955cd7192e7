"""`doctor`: says of each thing that an installation needs that it is well, or what to mend."""

from typing import TYPE_CHECKING, Annotated

import typer

from authy_grpc.cli.options import Json

if TYPE_CHECKING:
    from authy_grpc.cli.finding import Finding

_STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red"}


def doctor(
    server: Annotated[
        str,
        typer.Option(
            envvar="AUTHY_SERVER", metavar="HOST:PORT", help="Where the service should answer, if not there."
        ),
    ] = "",
    json: Json = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 for a warning, too.")] = False,
) -> None:
    """Check settings, secrets, database, keyset, clock, texts and addresses; exit with 1 where one fails.

    The service is looked for where this home's settings say that it listens.
    """
    from authy_grpc.cli.failure import extra

    with extra("server"):
        from authy_grpc.cli import checks, show
    findings = checks.all_of(server)
    if json:
        show.as_json([finding.as_dict() for finding in findings])
    else:
        _show(findings)
    levels = {finding.level for finding in findings}
    if "fail" in levels or (strict and "warn" in levels):
        raise typer.Exit(1)


def _show(findings: "list[Finding]") -> None:
    from rich.table import Table
    from rich.text import Text

    from authy_grpc.cli import show

    shown = Table.grid(padding=(0, 2))
    for finding in findings:
        text = Text(finding.text)
        if finding.mend:
            text.append(f"\n→ {finding.mend}", style="cyan")
        shown.add_row(
            Text(finding.level, style=_STYLES[finding.level]), Text(finding.name, style="bold"), text
        )
    show.whole(shown)
