"""Runs the shop: `python -m examples.site`, beside `make up`. `--help` says what it takes."""

import argparse
import asyncio
import os
from pathlib import Path

import uvicorn

from authy_grpc.client import AsyncClient
from authy_grpc.v1.application_pb2 import (
    ApiKeyScope,
    Application,
    CreateApiKeyRequest,
    CreateApplicationRequest,
)
from examples.site.app import create


async def make_key(target: str, operator_key: str, origin: str) -> str:
    """Makes the shop's application, and answers its API key.

    Args:
        target: where the service listens.
        operator_key: of the installation.
        origin: of the shop's pages; http of this machine in development, https else.

    Raises:
        AuthyError: the service refuses, or is not reached.
    """
    async with AsyncClient(target, operator_key) as operator:
        shop = Application(name="Northwind Books", origin=origin, require_code=True)
        made = await operator.applications.CreateApplication(CreateApplicationRequest(application=shop))
        scopes = [scope for scope in ApiKeyScope.values() if scope]
        application = made.application.application_id
        asked = CreateApiKeyRequest(application_id=application, name="the shop", scopes=scopes)
        return (await operator.applications.CreateApiKey(asked)).secret


def prepare(target: str, operator_key: str, origin: str, data: Path) -> str:
    """The same, kept in the shop's folder: made in the first run at that origin."""
    kept = data / "api.key"
    key, known = kept.read_text().split() if kept.exists() else ("", "")
    if known != origin:
        key = asyncio.run(make_key(target, operator_key, origin))
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
        with os.fdopen(os.open(kept, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(f"{key} {origin}")
    return key


def main() -> None:
    """Read the arguments, and serve."""
    get = os.environ.get
    parser = argparse.ArgumentParser(prog="python -m examples.site", description=__doc__)
    parser.add_argument("--server", default=get("AUTHY_SERVER", "127.0.0.1:50051"), help="the service")
    parser.add_argument("--api-key", default=get("AUTHY_API_KEY", ""), help="else one is made: development")
    parser.add_argument("--home", default=get("AUTHY_HOME", ".dev"), help="where the operator key lies, then")
    parser.add_argument("--listen", default=get("NORTHWIND_LISTEN", "127.0.0.1:8090"))
    parser.add_argument("--origin", default=get("NORTHWIND_ORIGIN", ""), help="as the operator has it")
    parser.add_argument("--data", default=get("NORTHWIND_DATA", ".dev/northwind"), help="a folder")
    given = parser.parse_args()
    host, _, port = given.listen.rpartition(":")
    local = f"http://{given.listen}"
    key, origin = given.api_key, given.origin or local
    if not key:
        operator = Path(given.home, "secrets", "operator.key").read_text().strip()
        key = prepare(given.server, operator, origin, Path(given.data))
    app = create(target=given.server, api_key=key, origin=origin, data=Path(given.data), hook=f"{local}/hook")
    print(f"Northwind Books: {local}", flush=True)
    uvicorn.run(app, host=host, port=int(port), log_level="warning", timeout_graceful_shutdown=1)


if __name__ == "__main__":
    main()
