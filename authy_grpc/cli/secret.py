"""Commands that make an installation's secrets, and exchange its keyset."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from authy_grpc.cli.on_store import require_trail, write_act
from authy_grpc.cli.options import Json, Yes

if TYPE_CHECKING:
    from authy_grpc.service.reencryption import Reencrypted
    from authy_grpc.settings import Settings

_RESTART = "Copy it to every server, and restart them all: a server reads its keyset when it starts."

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
    write_act("InitKeys")
    show.console.print(f"{', '.join(made) or 'Nothing new'}: {folder.resolve()}")
    show.console.print("Back them up apart from the database: without the keyset it cannot be read.")


@app.command()
def add() -> None:
    """Begin a rotation: add new keys to the keyset, by which nothing is written yet."""
    from authy_grpc.cli.failure import extra

    with extra("server"):
        from authy_grpc.store import rotation
    _change("AddKeys", rotation.add_keys, "New keys were added", "authy-grpc keys promote")


@app.command()
def promote() -> None:
    """Write by the new keys from now on. Every server must have been restarted with them before."""
    from authy_grpc.cli.failure import extra

    with extra("server"):
        from authy_grpc.store import rotation
    _change("PromoteKeys", rotation.promote, "New keys were promoted", "authy-grpc keys reencrypt")


@app.command()
def reencrypt(
    drop_old: Annotated[bool, typer.Option("--drop-old", help="Drop the old keys in the end.")] = False,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Make all that is stored anew by the new keys, beside running servers. It may be interrupted."""
    from authy_grpc.cli import installation, show
    from authy_grpc.cli.failure import Failure, extra

    with extra("server"):
        from authy_grpc import home
        from authy_grpc.store import rotation, schema
    settings = installation.read_settings()
    installation.require_database(settings)
    require_trail()
    text = home.read_secrets(settings).keyset
    schema.check(settings.database)
    if rotation.stage(text) is rotation.Stage.ADDED:
        raise Failure(
            "The new keys were not promoted.", "Restart every server, then: authy-grpc keys promote"
        )
    if drop_old:
        # Asked now, so that nobody waits for a refusal.
        home.require_file(settings)
        rotation.drop_old(text)
        question = "Has every server been restarted since `keys promote`, with that keyset?"
        if not yes:
            typer.confirm(question, abort=True, err=True)
    done = _reencrypt(settings, text, quiet=json)
    if not done.complete:
        raise Failure(
            "Rows by the old keys go on coming: a server has not been restarted since `keys promote`.",
            "Restart every server with the promoted keyset, then run this again.",
        )
    if drop_old:
        home.change_keyset(settings, rotation.drop_old)
    write_act("DropOldKeys" if drop_old else "ReencryptKeys")
    if json:
        return show.as_json({"rows": done.rows, "droppedOldKeys": drop_old})
    show.console.print(f"{sum(done.rows.values()):,} rows were made anew; none is left.")
    if drop_old:
        show.console.print(f"The old keys were dropped. {_RESTART}")
    if rotation.stage(text) is rotation.Stage.PROMOTED:
        show.following(f"authy-grpc keys reencrypt{'' if drop_old else ' --drop-old'}")


def _change(act: str, step: Callable[[str], str], said: str, following: str) -> None:
    from authy_grpc import home
    from authy_grpc.cli import installation, show

    require_trail()
    path = home.change_keyset(installation.read_settings(), step)
    write_act(act)
    show.console.print(f"{said}: {path}\n{_RESTART}")
    show.following(following)


def _reencrypt(settings: "Settings", text: str, *, quiet: bool) -> "Reencrypted":
    import asyncio

    from authy_grpc.service.reencryption import Reencryption
    from authy_grpc.store.database import Database
    from authy_grpc.store.vault import Vault

    async def within() -> "Reencrypted":
        database = Database(settings.database)
        try:
            with _progress(quiet) as progress:
                return await Reencryption(database=database, vault=Vault(text), progress=progress).run()
        finally:
            await database.close()

    return asyncio.run(within())


@contextmanager
def _progress(quiet: bool) -> Iterator[Callable[[str, int, int], None]]:
    """Shows on a terminal how far it is."""
    from rich.console import Console

    console = Console(stderr=True)
    with console.status("Begins", spinner="line") as status:
        if quiet or not console.is_terminal:
            status.stop()
        yield lambda table, seen, made: status.update(f"{table}: {seen:,} rows seen, {made:,} made anew")
