"""Prints the hashes of the web authenticator's files, to compare what a service serves with a release."""

import typer

app = typer.Typer(no_args_is_help=True, help="The web authenticator: what this release serves at /app/.")


@app.callback()
def _group() -> None:
    """Keep `hashes` a command of its own while it is the only one."""


@app.command()
def hashes() -> None:
    """Print SHA-256 and name of each file as served, as sha256sum does, and one hash over that list."""
    from authy_grpc.cli.failure import extra

    with extra("gateway"):
        from gateway.web.files import served, total

    files = served()
    for each in files:
        typer.echo(f"{each.sha256}  {each.name}")
    typer.echo(f"{total(files)}  all {len(files)} files")
