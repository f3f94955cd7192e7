"""`database upgrade`: brings a database's tables up to date."""

import typer

app = typer.Typer(help="The database's schema.", no_args_is_help=True)


@app.callback()
def group() -> None:
    """The database's schema."""


@app.command()
def upgrade() -> None:
    """Bring the tables of AUTHY_DATABASE_URL up to date. Back the database up first."""
    from authy_grpc.cli import installation, on_store, show
    from authy_grpc.cli.failure import extra

    with extra("server"):
        from authy_grpc.store import schema
    settings = installation.read_settings()
    path = installation.sqlite_file(settings)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    on_store.require_trail()
    version = schema.upgrade(settings.database)
    on_store.write_act("UpgradeDatabase")
    show.console.print(f"The database has schema [bold]{version}[/].")
