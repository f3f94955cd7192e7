"""Commands by which an operator makes, lists and revokes the API keys of a relying site."""

import os
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated

import typer

from authy_grpc.cli.application import Name
from authy_grpc.cli.options import LOCAL_SERVER, Json, Server

app = typer.Typer(help="API keys of relying sites: make, list, revoke.", no_args_is_help=True)


class Scope(StrEnum):
    """What a key may be used for."""

    ENROLL = "enroll"
    VERIFY = "verify"
    EVENTS = "events"
    MANAGE = "manage"


@app.command()
def create(
    site: Name,
    name: Annotated[str, typer.Argument(help="What you call the key.")] = "backend",
    scope: Annotated[
        list[Scope] | None, typer.Option(help="Repeat for several. Without it: all but manage.")
    ] = None,
    days: Annotated[
        int | None, typer.Option(min=1, max=36_500, help="Days after which the key ends by itself.")
    ] = None,
    server: Server = LOCAL_SERVER,
    json: Json = False,
) -> None:
    """Make a key. It is shown once: only its hash is kept."""
    from authy_grpc.cli import grpcurl, operator, show
    from authy_grpc.client.connect import TlsFiles, road
    from authy_grpc.v1.application_pb2 import ApiKeyScope, CreateApiKeyRequest

    with operator.connect(server) as client:
        request = CreateApiKeyRequest(
            application_id=operator.find(client, site),
            name=name,
            scopes=[ApiKeyScope.Value(f"API_KEY_SCOPE_{each.name}") for each in scope or ()],
        )
        if days is not None:
            request.expire_time.FromDatetime(datetime.now(UTC) + timedelta(days=days))
        made = client.applications.CreateApiKey(request)
    if json:
        return show.as_json(made)
    show.console.print(f"Made [bold]{made.api_key.api_key_id}[/]. The key itself, shown this once:\n")
    show.console.print(made.secret, style="bold green")
    files = TlsFiles.of(os.environ)
    program, address = grpcurl.words(road(server, files=files), files)
    # The key is in no command: it would stay in the terminal's scroll-back and the shell's history.
    show.following(
        "read -rs AUTHY_API_KEY && export AUTHY_API_KEY   # paste the key",
        f'{program} -H "authorization: Bearer $AUTHY_API_KEY" {address} '
        "authy_grpc.v1.ApplicationService/GetCurrentApplication",
    )


@app.command("list")
def list_all(site: Name, server: Server = LOCAL_SERVER, json: Json = False) -> None:
    """List a site's keys, without their secrets."""
    from authy_grpc.cli import operator, show
    from authy_grpc.v1.application_pb2 import ApiKeyScope, ListApiKeysRequest

    with operator.connect(server) as client:
        request = ListApiKeysRequest(application_id=operator.find(client, site))
        found = list(client.applications.ListApiKeys(request).api_keys)
    if json:
        return show.as_json(found)
    show.table(
        ("api_key_id", "name", "scopes", "made", "last used", "ends"),
        [
            (
                each.api_key_id,
                each.name,
                " ".join(show.name_of(ApiKeyScope, scope, "API_KEY_SCOPE_").lower() for scope in each.scopes),
                show.when(each.create_time),
                show.when(each.last_use_time),
                show.when(each.expire_time),
            )
            for each in found
        ],
    )


@app.command()
def revoke(
    api_key_id: Annotated[str, typer.Argument(help="The key_… id, as `api-key list` shows it.")],
    server: Server = LOCAL_SERVER,
) -> None:
    """End a key at once, its open streams too."""
    from authy_grpc.cli import operator, show
    from authy_grpc.v1.application_pb2 import RevokeApiKeyRequest

    with operator.connect(server) as client:
        client.applications.RevokeApiKey(RevokeApiKeyRequest(api_key_id=api_key_id))
    show.console.print(f"Revoked [bold]{api_key_id}[/]")
