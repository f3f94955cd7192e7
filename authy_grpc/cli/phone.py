"""Commands of the simulated phone: registration, sites, codes and devices."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from authy_grpc.cli import phone_answer
from authy_grpc.cli.options import LOCAL_ORIGIN, LOCAL_SERVER, PHONE_STATE, Json, Origin, Server, State, Yes

if TYPE_CHECKING:
    from authy_grpc.phone import Phone
    from authy_grpc.v1.account_pb2 import Device, RegisterDeviceResponse
    from authy_grpc.v1.authenticator_pb2 import Activity, Site

app = typer.Typer(
    help="A simulated phone: register, scan, make codes, answer questions.", no_args_is_help=True
)
phone_answer.add_to(app)


@app.command()
def register(
    number: Annotated[str, typer.Argument(help="The phone number, such as +15005550006.")],
    name: Annotated[str, typer.Option(help="Of this device, 1 to 60 characters.")] = "Simulated phone",
    server: Server = LOCAL_SERVER,
    origin: Origin = LOCAL_ORIGIN,
    state: State = PHONE_STATE,
) -> None:
    """Prove a number and make this phone a device of its account. The code is read from stdin."""
    from authy_grpc.cli import handset, show

    async def use(phone: "Phone") -> "RegisterDeviceResponse":
        verification = await phone.start(number)
        show.console.print("A code is on its way. (With AUTHY_DEV the service prints it.)")
        return await phone.register(verification, typer.prompt("Code from the text message"), name)

    answer = handset.run(use, server, origin, state, new=True)
    show.console.print(f"Registered as [bold]{answer.device.device_id}[/]; its keys are in {state}")
    if answer.recovery_code:
        show.console.print(f"Recovery code, shown this once: [bold]{answer.recovery_code}[/]")
    if answer.device.check:
        show.console.print("The account has other devices: this one waits. To let it in, run on another:")
        waiting = f"--approve {answer.device.device_id} --check {answer.device.check}"
        show.console.print(f"  {show.program()} phone devices {waiting}", style="cyan")
    else:
        show.following(f"{show.program()} phone scan IMAGE_OR_LINK")


@app.command()
def scan(
    code: Annotated[str, typer.Argument(help="An image file with a QR code, or the code's text.")],
    yes: Yes = False,
    reject: Annotated[bool, typer.Option("--reject", help="Refuse it.")] = False,
    server: Server = LOCAL_SERVER,
    origin: Origin = LOCAL_ORIGIN,
    state: State = PHONE_STATE,
    json: Json = False,
) -> None:
    """Scan a site's QR code, see who asks, and link the site."""
    from authy_grpc.cli import handset, show
    from authy_grpc.cli.failure import Failure

    scanned: str | bytes = code
    if "://" not in code:
        if not Path(code).is_file():
            raise Failure(f"{code} is neither a file nor the text of a QR code.")
        scanned = Path(code).read_bytes()

    async def use(phone: "Phone") -> "Site | None":
        offer = await handset.open_offer(phone, scanned)
        if reject:
            await phone.reject(offer)
            return None
        if not yes and not typer.confirm(f"Link {offer.site_name} ({offer.origin})?", err=json):
            raise Failure("Not linked.", "Scan it again and answer y, or refuse it with --reject.")
        return await phone.accept(offer)

    site = handset.run(use, server, origin, state)
    if site is None:
        return show.console.print("Refused.")
    if json:
        return show.as_json(site)
    show.console.print(f"Linked [bold]{site.site_id}[/]")
    if site.awaiting_code:
        show.console.print("The site asks for a first code to finish.")
    show.following(f"{show.program()} phone code {site.site_id}")


@app.command()
def sites(
    server: Server = LOCAL_SERVER,
    origin: Origin = LOCAL_ORIGIN,
    state: State = PHONE_STATE,
    json: Json = False,
) -> None:
    """List the sites that are linked."""
    from authy_grpc.cli import handset, show

    async def use(phone: "Phone") -> "list[Site]":
        return await phone.sites()

    found = handset.run(use, server, origin, state)
    if json:
        return show.as_json(found)
    rows = [
        (each.site_id, each.label or each.name, show.when(each.create_time), show.when(each.last_use_time))
        for each in found
    ]
    show.table(("site_id", "name", "linked", "last used"), rows)


@app.command()
def code(
    site: Annotated[str, typer.Argument(help="Its sit_… id, or a name that only one has.")],
    server: Server = LOCAL_SERVER,
    origin: Origin = LOCAL_ORIGIN,
    state: State = PHONE_STATE,
    json: Json = False,
) -> None:
    """Show the code to type into a site now (RFC 6238)."""
    from authy_grpc.cli import handset, show

    async def use(phone: "Phone") -> tuple["Site", str]:
        found = await handset.find_site(phone, site)
        return found, await phone.code(found)

    found, digits = handset.run(use, server, origin, state)
    if json:
        return show.as_json({"siteId": found.site_id, "code": digits})
    show.console.print(digits, style="bold green")


@app.command()
def devices(
    approve: Annotated[str, typer.Option(help="Let in the device of this id.", metavar="DEVICE_ID")] = "",
    check: Annotated[str, typer.Option(help="The six digits that it shows.")] = "",
    revoke: Annotated[str, typer.Option(help="Put out the device of this id.", metavar="DEVICE_ID")] = "",
    server: Server = LOCAL_SERVER,
    origin: Origin = LOCAL_ORIGIN,
    state: State = PHONE_STATE,
    json: Json = False,
) -> None:
    """List the account's devices; let one in, or put one out.

    A device that waits is shown, and that it was shown is told to the service: it is let in 24 h later. Not
    with --json, which nobody may look at.
    """
    from authy_grpc.cli import handset, show
    from authy_grpc.v1.account_pb2 import DeviceState

    async def use(phone: "Phone") -> "list[Device]":
        if approve:
            await phone.approve_device(approve, check or typer.prompt("Digits that it shows"))
        if revoke:
            own = revoke == phone.device_id
            await phone.revoke_device(revoke)
            if own:
                return []
        found = await phone.devices()
        # What goes to a script was not seen by the owner.
        return found if json else await handset.show_waiting(phone, found)

    found = handset.run(use, server, origin, state)
    if json:
        return show.as_json(found)
    rows = [
        (
            each.device_id,
            each.name + (" (this one)" if each.current else ""),
            show.name_of(DeviceState, each.state, "DEVICE_STATE_"),
            show.when(each.create_time),
            each.check or "-",
        )
        for each in found
    ]
    show.table(("device_id", "name", "state", "added", "check"), rows)


@app.command()
def activity(
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 20,
    server: Server = LOCAL_SERVER,
    origin: Origin = LOCAL_ORIGIN,
    state: State = PHONE_STATE,
    json: Json = False,
) -> None:
    """Show what has happened on the account, newest first."""
    from authy_grpc.cli import handset, show

    async def use(phone: "Phone") -> "list[Activity]":
        return await phone.activity(limit)

    found = handset.run(use, server, origin, state)
    if json:
        return show.as_json(found)
    rows = [
        (show.when(each.time), each.type, each.site_name or "-", each.device_name or "-") for each in found
    ]
    show.table(("time", "what", "site", "device"), rows)
