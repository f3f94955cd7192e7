"""Writes the contract's .proto files, and those that they import, for clients in other languages."""

import re
from pathlib import Path
from typing import Annotated

import typer

_PACKAGE = "authy_grpc/v1"
_IMPORT = re.compile(r'^import "([^"]+)";', re.MULTILINE)
# Each protoc and proto-loader brings these.
_WELL_KNOWN = "google/protobuf/"
# The details of errors: no message of the contract names them.
_DETAILS = ("google/rpc/error_details.proto", "google/rpc/status.proto")


def protos(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where to write them; made if missing.")],
) -> None:
    """Write the contract and all that it imports, to compile clients in other languages."""
    from authy_grpc.cli import show
    from authy_grpc.cli.failure import Failure

    found = sources()
    try:
        for name, text in found.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise Failure(f"{error.filename or folder}: {error.strerror}.", "Name another folder.") from error
    show.console.print(f"{len(found)} files. Compile with [bold]-I {folder}[/] {_PACKAGE}/*.proto")


def sources() -> dict[str, str]:
    """The text of each file by the name that it is imported by, the well-known types left out.

    Raises:
        FileNotFoundError: a file is not installed.
    """
    from google.rpc import status_pb2

    package = Path(__file__).parents[1]
    shipped = package / "protos"
    own = shipped if shipped.is_dir() else package.parent / "protos"
    common = Path(status_pb2.__file__).parents[2]
    waiting = [*(f"{_PACKAGE}/{each.name}" for each in sorted(own.glob(f"{_PACKAGE}/*.proto"))), *_DETAILS]
    found: dict[str, str] = {}
    while waiting:
        name = waiting.pop(0)
        if name in found or name.startswith(_WELL_KNOWN):
            continue
        root = own if name.startswith(_PACKAGE) else common
        found[name] = (root / name).read_text(encoding="utf-8")
        waiting += _IMPORT.findall(found[name])
    return found
