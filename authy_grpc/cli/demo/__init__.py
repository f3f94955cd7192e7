"""`demo`: tells the whole story in a terminal, over real gRPC on loopback."""

from typing import Annotated

import typer

from authy_grpc.cli.options import Json


def demo(
    json: Json = False,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave it running at the end, with commands to paste.")
    ] = False,
) -> None:
    """Tell the whole story: sites, a phone, QR code, codes, an approval, privacy, events, REST, a webhook."""
    from authy_grpc.cli.failure import extra

    with extra("server,phone,gateway"):
        from authy_grpc.cli.demo import show
    if not show.run(json=json, keep=keep):
        raise typer.Exit(1)
