"""Makes, lists and revokes operator keys, on the store itself: whoever holds one cannot make another."""

from typing import TYPE_CHECKING, Annotated

import typer

from authy_grpc.cli.on_store import on_the_store, write_act
from authy_grpc.cli.options import Json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from authy_grpc.bootstrap import Core
    from authy_grpc.service.operator_key import OperatorKey
    from authy_grpc.store.vault import Vault

app = typer.Typer(
    help="Operator keys beside the one among the secrets, with a name for each in the audit trail.",
    no_args_is_help=True,
)

_NAME = r"[a-z0-9][a-z0-9._-]{0,63}"
Name = Annotated[str, typer.Argument(help="Small letters, digits, dot, dash and underscore, such as deploy.")]


@app.command()
def create(name: Name, json: Json = False) -> None:
    """Make a key. It is shown once: only its hash is kept."""
    import re

    from authy_grpc.cli import show
    from authy_grpc.cli.failure import Failure
    from authy_grpc.domain.errors import BadField
    from authy_grpc.service.caller import Operator

    if name == Operator().name:
        raise Failure(
            f"{name} is the key among the secrets.", "Take another name: the audit trail tells them apart."
        )
    if not re.fullmatch(_NAME, name):
        raise Failure(f"{name!r} is no name of a key.", "Small letters, digits, dots, dashes: deploy-2")

    async def use(core: "Core", vault: "Vault") -> "OperatorKey":
        try:
            return await core.operator_keys.create(name)
        except BadField as error:
            raise Failure(
                f"Another operator key is named {name}.", f"Revoke it: authy-grpc operator-key revoke {name}"
            ) from error

    made = on_the_store(use)
    write_act("CreateOperatorKey", operator_key_id=made.operator_key_id)
    if json:
        return show.as_json({"operatorKeyId": made.operator_key_id, "name": name, "secret": made.secret})
    show.console.print(f"Made [bold]{made.operator_key_id}[/]. The key itself, shown this once:\n")
    show.console.print(made.secret, style="bold green")
    # The key is in no command: it would stay in the terminal's scroll-back and the shell's history.
    show.following(
        "read -rs AUTHY_OPERATOR_KEY && export AUTHY_OPERATOR_KEY   # paste the key",
        "authy-grpc application list",
    )


@app.command("list")
def list_all(json: Json = False) -> None:
    """List the keys, without their secrets."""
    from authy_grpc.cli import show

    async def use(core: "Core", vault: "Vault") -> "Sequence[OperatorKey]":
        return await core.operator_keys.listed()

    found = [
        {
            "operatorKeyId": each.operator_key_id,
            "name": each.name,
            "createTime": f"{each.create_time:%Y-%m-%dT%H:%M:%SZ}",
            "lastUseTime": f"{each.last_use_time:%Y-%m-%dT%H:%M:%SZ}" if each.last_use_time else "",
        }
        for each in on_the_store(use)
    ]
    write_act("ListOperatorKeys")
    if json:
        return show.as_json(found)
    show.table(("operator_key_id", "name", "made", "last used"), [tuple(each.values()) for each in found])


@app.command()
def revoke(name: Name) -> None:
    """End a key on every server, within a second."""
    from authy_grpc.cli import show
    from authy_grpc.cli.failure import Failure
    from authy_grpc.domain.errors import NotFound

    async def use(core: "Core", vault: "Vault") -> str:
        try:
            return await core.operator_keys.revoke(name)
        except NotFound as error:
            raise Failure(
                f"No operator key is named {name}.", "`authy-grpc operator-key list` shows them."
            ) from error

    ended = on_the_store(use)
    write_act("RevokeOperatorKey", operator_key_id=ended)
    show.console.print(f"Revoked [bold]{ended}[/]")
