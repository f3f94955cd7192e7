"""Commands by which an operator adds, shows, changes and ends relying sites."""

from pathlib import Path
from typing import Annotated

import typer

from authy_grpc.cli.options import LOCAL_SERVER, Json, Server, Yes

app = typer.Typer(help="Relying sites: add, list, show, change, end.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="Its app_… id, or a name that only one has.", metavar="SITE")]
Logo = Annotated[Path | None, typer.Option(exists=True, dir_okay=False, help="A PNG of at most 32 KiB.")]
MatchDigits = Annotated[int | None, typer.Option(help="Digits that a user types to approve: 0, or 2 to 8.")]
PhoneCodes = Annotated[
    bool | None, typer.Option("--phone-codes/--no-phone-codes", help="Whether codes may be texted.")
]
RequireCode = Annotated[
    bool | None, typer.Option("--require-code/--no-require-code", help="Ask for a first code at enrollment.")
]


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="Shown to users: 1 to 60 characters.")],
    origin: Annotated[str, typer.Argument(help="The site's https origin, such as https://shop.example.")],
    logo: Logo = None,
    code_digits: Annotated[int, typer.Option(help="6 to 8; cannot be changed.")] = 6,
    code_period: Annotated[
        int, typer.Option(help="Seconds a code stands, 10 to 60; cannot be changed.")
    ] = 30,
    match_digits: MatchDigits = None,
    phone_codes: PhoneCodes = None,
    require_code: RequireCode = None,
    server: Server = LOCAL_SERVER,
    json: Json = False,
) -> None:
    """Add a relying site."""
    from authy_grpc.cli import operator, show
    from authy_grpc.v1.application_pb2 import Application, CreateApplicationRequest

    draft = Application(
        name=name,
        origin=origin,
        logo=logo.read_bytes() if logo else b"",
        code_digits=code_digits,
        code_period_seconds=code_period,
        match_digits=match_digits,
        phone_codes=phone_codes,
        require_code=require_code,
    )
    with operator.connect(server) as client:
        made = client.applications.CreateApplication(CreateApplicationRequest(application=draft)).application
    if json:
        return show.as_json(made)
    show.console.print(f"Added [bold]{made.application_id}[/]")
    show.following(f"{show.program()} api-key create {made.application_id}")


@app.command("list")
def list_all(server: Server = LOCAL_SERVER, json: Json = False) -> None:
    """List the relying sites, oldest first."""
    from authy_grpc.cli import operator, show

    with operator.connect(server) as client:
        found = operator.applications(client)
    if json:
        return show.as_json(found)
    if not found:
        return show.following(f"{show.program()} application create NAME https://ORIGIN")
    rows = [(each.application_id, each.name, each.origin, show.when(each.create_time)) for each in found]
    show.table(("application_id", "name", "origin", "added"), rows)


@app.command("show")
def show_one(name: Name, server: Server = LOCAL_SERVER, json: Json = False) -> None:
    """Show one relying site."""
    from authy_grpc.cli import operator, show
    from authy_grpc.v1.application_pb2 import GetApplicationRequest

    with operator.connect(server) as client:
        request = GetApplicationRequest(application_id=operator.find(client, name))
        found = client.applications.GetApplication(request).application
    if json:
        return show.as_json(found)
    show.facts(
        (
            ("application_id", found.application_id),
            ("name", found.name),
            ("origin", found.origin),
            ("logo", f"{len(found.logo)} bytes" if found.logo else "none"),
            ("codes", f"{found.code_digits} digits, every {found.code_period_seconds} s"),
            ("match digits", str(found.match_digits)),
            ("texted codes", "on" if found.phone_codes else "off"),
            ("first code", "asked for" if found.require_code else "not asked for"),
            ("added", show.when(found.create_time)),
        )
    )


@app.command()
def update(
    name: Name,
    new_name: Annotated[str | None, typer.Option("--name", help="1 to 60 characters.")] = None,
    origin: Annotated[str | None, typer.Option(help="The site's https origin.")] = None,
    logo: Logo = None,
    match_digits: MatchDigits = None,
    phone_codes: PhoneCodes = None,
    require_code: RequireCode = None,
    server: Server = LOCAL_SERVER,
    json: Json = False,
) -> None:
    """Change a relying site: what is given, and nothing else."""
    from google.protobuf.field_mask_pb2 import FieldMask

    from authy_grpc.cli import operator, show
    from authy_grpc.v1.application_pb2 import Application, UpdateApplicationRequest

    changed = Application(
        name=new_name or "",
        origin=origin or "",
        logo=logo.read_bytes() if logo else b"",
        match_digits=match_digits,
        phone_codes=phone_codes,
        require_code=require_code,
    )
    given = {
        "name": new_name,
        "origin": origin,
        "logo": logo,
        "match_digits": match_digits,
        "phone_codes": phone_codes,
        "require_code": require_code,
    }
    mask = FieldMask(paths=[field for field, value in given.items() if value is not None])
    if not mask.paths:
        raise typer.BadParameter("say what to change, such as --name or --origin")
    with operator.connect(server) as client:
        changed.application_id = operator.find(client, name)
        request = UpdateApplicationRequest(application=changed, update_mask=mask)
        found = client.applications.UpdateApplication(request).application
    if json:
        return show.as_json(found)
    show.console.print(f"Changed {', '.join(mask.paths)} of [bold]{found.application_id}[/]")


@app.command()
def delete(name: Name, yes: Yes = False, server: Server = LOCAL_SERVER) -> None:
    """End a relying site: its keys stop at once, its users and their links go."""
    from authy_grpc.cli import operator, show
    from authy_grpc.v1.application_pb2 import DeleteApplicationRequest

    with operator.connect(server) as client:
        application_id = operator.find(client, name)
        if not yes:
            typer.confirm(f"End {name}, with all of its users and keys?", abort=True)
        client.applications.DeleteApplication(DeleteApplicationRequest(application_id=application_id))
    show.console.print(f"Ended [bold]{application_id}[/]")
