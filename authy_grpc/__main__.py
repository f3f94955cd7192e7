"""Owns the entry of the program: starts the command line, or says what it needs."""

import sys


def main() -> None:
    """Runs the command line."""
    try:
        from authy_grpc.cli.app import app
    except ModuleNotFoundError as error:
        if error.name not in ("typer", "rich"):
            raise
        # A plain install is the contract and the client alone.
        sys.exit("authy-grpc: the commands are not installed: pip install 'authy-grpc[server]' (or [phone])")
    app()


if __name__ == "__main__":
    main()
