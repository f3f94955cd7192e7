"""Commands by which an operator shows and erases an account: on the store itself, by its number."""

from typing import TYPE_CHECKING, Annotated

import typer

from authy_grpc.cli.on_store import on_the_store, write_act
from authy_grpc.cli.options import Json, Yes

if TYPE_CHECKING:
    from authy_grpc.bootstrap import Core
    from authy_grpc.store.account import Kept
    from authy_grpc.store.database import Database
    from authy_grpc.store.tx import Tx
    from authy_grpc.store.vault import Vault

app = typer.Typer(
    help="Accounts, on the store itself: no call of the contract takes a number from an operator.",
    no_args_is_help=True,
)

_TRIES = 10
_LEFT = (
    "Somebody reads an earlier state of the database, so its write-ahead log still holds what was erased,"
    " sealed. End that reader (a backup?) and restart the server, which empties the log."
)

Number = Annotated[str, typer.Argument(help="The phone number, such as +15005550006.")]


@app.command()
def show(number: Number, json: Json = False) -> None:
    """Show what there is of a number's account, without the names of its devices and sites."""
    from authy_grpc.cli import show as out
    from authy_grpc.store import device as devices
    from authy_grpc.store import link as links

    def work(tx: "Tx") -> dict[str, str | int | bool]:
        row = _find(tx, number)
        active = [each for each in devices.of_account(tx, row.account_id) if each.state == "ACTIVE"]
        return {
            "accountId": row.account_id,
            "createTime": f"{row.create_time:%Y-%m-%dT%H:%M:%SZ}",
            "newDevicePolicy": row.new_device_policy,
            "phoneCodes": row.phone_codes,
            "activeDevices": len(active),
            "sites": len(links.of_account(tx, row.account_id, lock=False)),
        }

    async def use(core: "Core", vault: "Vault") -> dict[str, str | int | bool]:
        return await core.database.read(work)

    found = on_the_store(use)
    write_act("ShowAccount", account_id=found["accountId"])
    if json:
        return out.as_json(found)
    out.facts([(name, str(value)) for name, value in found.items()])


@app.command()
def erase(number: Number, yes: Yes = False) -> None:
    """Erase a number's account, its devices and its links. Each site is told after a delay of its own."""
    from authy_grpc.cli import show as out

    async def use(core: "Core", vault: "Vault") -> str:
        def work(tx: "Tx") -> str:
            row = _find(tx, number, lock=True)
            core.account.erase(tx, row)
            return row.account_id

        # Asked for before, so that nobody is asked about an account that is not there.
        await core.database.read(lambda tx: _find(tx, number))
        if not yes:
            typer.confirm(f"Erase the account of {number}? Nothing brings it back.", abort=True)
        erased = await core.database.write(work, accounts=True)
        if not await _empty_log(core.database):
            typer.echo(_LEFT, err=True)
        return erased

    erased = on_the_store(use)
    write_act("EraseAccount", account_id=erased)
    out.console.print(f"Erased [bold]{erased}[/]")


async def _empty_log(database: "Database") -> bool:
    """Empty SQLite's write-ahead log; False where somebody reads an earlier state all the while.

    A server beside it does not know what was deleted here. Each try waits a second for readers.
    """
    for _ in range(_TRIES):
        await database.truncate_log()
        if not database.log_holds_deleted:
            return True
    return False


def _find(tx: "Tx", number: str, *, lock: bool = False) -> "Kept":
    from authy_grpc.cli.failure import Failure
    from authy_grpc.domain.typed import normalize_number
    from authy_grpc.store import account as store

    row = store.find_by_number(tx, normalize_number(number), lock=lock)
    if row is None:
        raise Failure("No account has this number.", "Write it with + and its country, as it was proven.")
    return row
