"""Owns the command that makes an installation's secrets."""

import os

import typer

app = typer.Typer(help="The installation's secrets.", no_args_is_help=True)


@app.callback()
def group() -> None:
    """The installation's secrets: keyset, operator key and gateway key."""


@app.command()
def init() -> None:
    """Make the secrets that are not there yet. A database that has a keyset gets no other."""
    from authy_grpc.cli import installation, show
    from authy_grpc.cli.failure import Failure, extra

    with extra("server"):
        from authy_grpc import home
        from authy_grpc.store import checkup
    settings = installation.read_settings()
    path = installation.sqlite_file(settings)
    folder = home.secrets_folder(settings)
    there = {file.name for file in folder.glob("*")}
    keyset = settings.keyset.get_secret_value() or any(name.startswith("keyset") for name in there)
    if not keyset and (path is None or path.exists()) and checkup.look(settings.database).sealed:
        raise Failure(
            "This database was sealed by a keyset that is not here; another would open nothing in it.",
            f"Bring the keyset back from your backup to {folder}.",
        )
    home.make_secrets(settings, os.urandom)
    made = sorted({file.name for file in folder.glob("*")} - there)
    show.console.print(f"{', '.join(made) or 'Nothing new'}: {folder.resolve()}")
    show.console.print("Back them up apart from the database: without the keyset it cannot be read.")
