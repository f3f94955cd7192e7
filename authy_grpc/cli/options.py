"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for a program.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Server = Annotated[
    str,
    typer.Option("--server", envvar="AUTHY_SERVER", help="Where the service listens.", metavar="HOST:PORT"),
]
LOCAL_SERVER = "127.0.0.1:50051"
Origin = Annotated[
    str,
    typer.Option("--origin", envvar="AUTHY_PUBLIC_URL", help="The service's public URL, as in its QR codes."),
]
LOCAL_ORIGIN = "http://127.0.0.1:8080"
State = Annotated[
    Path,
    typer.Option("--state", envvar="AUTHY_PHONE_STATE", help="The phone's file: private keys, mode 0600."),
]
PHONE_STATE = Path("~/.config/authy-grpc/phone.json").expanduser()
