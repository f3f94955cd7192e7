"""The entry of the program: starts the command line, or says what it needs."""

import os
import sys

_OWNER_ALONE = 0o077


def main() -> None:
    """Runs the command line."""
    _open_standard_streams()
    # Databases, secrets, texts and private keys: what is made here is for its owner alone.
    os.umask(_OWNER_ALONE)
    # gRPC's own lines on stderr have addresses in them, and are no JSON.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    try:
        from authy_grpc.cli.app import app
    except ModuleNotFoundError as error:
        if error.name not in ("typer", "rich"):
            raise
        # A plain install is the contract and the client alone.
        sys.exit(
            "authy-grpc: the commands are not installed: in a clone, pip install '.[server]' (or [phone])"
        )
    app()


def _open_standard_streams() -> None:
    # Where one was closed (`2>&-`), the next file opened would get its number: a database, of all things.
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


if __name__ == "__main__":
    main()
