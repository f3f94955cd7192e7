"""Finds the phone of the phone's commands, and the site that a name means there."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from authy_grpc.cli.failure import Failure, extra
from authy_grpc.cli.reaching import explained

if TYPE_CHECKING:
    from authy_grpc.phone import Offer, Pending, Phone, Question
    from authy_grpc.v1.account_pb2 import Device
    from authy_grpc.v1.authenticator_pb2 import Site

T = TypeVar("T")
_INBOX_SECONDS = 10.0


def run(
    use: Callable[["Phone"], Awaitable[T]], server: str, origin: str, state: Path, *, new: bool = False
) -> T:
    """Runs something on the phone of a state file.

    Args:
        use: what to do with it.
        server: where the service listens.
        origin: the service's public URL.
        state: the phone's file.
        new: whether the phone is to be registered; else it must be.

    Raises:
        Failure: the phone is not registered, or it is already.
        PhoneError: the service refuses, or cannot be reached.
    """
    with extra("phone"):
        from authy_grpc.phone import Phone

    async def within() -> T:
        async with Phone(server, origin=origin, state=state) as phone:
            if phone.registered and new:
                raise Failure(
                    f"The phone of {state} is registered already.",
                    "Go on: `authy-grpc phone scan`. At another service name another file with --state.",
                )
            if not phone.registered and not new:
                raise Failure(
                    f"There is no phone at {state}.", "`authy-grpc phone register +NUMBER`, or --state FILE."
                )
            return await use(phone)

    with explained(server, first=False):
        return asyncio.run(within())


async def open_offer(phone: "Phone", scanned: str | bytes) -> "Offer":
    """What a site's QR code offers.

    Args:
        phone: that has scanned it.
        scanned: an image, or the code's text.

    Raises:
        Failure: nobody waits for it any more.
        PhoneError: it is no such code, or the service refuses otherwise.
    """
    from authy_grpc.phone import PhoneError

    try:
        return await phone.open(scanned)
    except PhoneError as error:
        if error.reason != "NOT_FOUND":
            raise
        raise Failure("This code was used, or has run out.", "Ask the site for a new one.") from error


async def find_site(phone: "Phone", name: str) -> "Site":
    """A site of the phone.

    Args:
        phone: whose.
        name: its `sit_…`, or a name or label that only one has.

    Raises:
        Failure: none has it, or several.
    """
    sites = await phone.sites()
    found = [site for site in sites if name in (site.site_id, site.label, site.name)]
    if not found:
        raise Failure(f"This phone has no site {name!r}.", "`authy-grpc phone sites` shows them.")
    if len(found) > 1:
        ids = ", ".join(
            f"{site.site_id} (of {site.create_time.ToDatetime():%Y-%m-%d %H:%M})" for site in found
        )
        raise Failure(f"{len(found)} sites are named {name!r}: use an id.", f"One of: {ids}")
    return found[0]


async def show_waiting(phone: "Phone", devices: "list[Device]") -> "list[Device]":
    """Warns of devices that wait to be let in, and tells the service that the owner was shown them.

    Args:
        phone: that shows them.
        devices: all of its account.

    Returns:
        The devices, as they are afterwards.
    """
    from authy_grpc.cli import show
    from authy_grpc.phone import PhoneError
    from authy_grpc.v1.account_pb2 import DEVICE_STATE_HELD

    waiting = [each for each in devices if each.state == DEVICE_STATE_HELD and not each.current]
    if not waiting:
        return devices
    for each in waiting:
        show.console.print(f"A device waits: {each.name!r}, {each.device_id}", style="bold yellow")
        try:
            await phone.acknowledge_device(each.device_id)
        except PhoneError as error:
            # A phone that was let in by time may not say it, and another may have decided meanwhile.
            if error.reason not in ("DEVICE_HELD", "WRONG_STATE"):
                raise
    show.console.print("If it is not yours: --revoke DEVICE_ID. If it is: --approve DEVICE_ID.")
    return await phone.devices()


async def pending(phone: "Phone") -> "Pending":
    """What waits for an answer now."""
    inbox = phone.inbox()
    try:
        async with asyncio.timeout(_INBOX_SECONDS):
            return await anext(inbox)
    except TimeoutError:
        raise Failure("The service says nothing of the inbox.", "See its log.") from None
    finally:
        await inbox.aclose()


async def find_question(phone: "Phone", approval_id: str) -> "Question":
    """A question that waits.

    Args:
        phone: that is asked.
        approval_id: of the question; where empty, the only one.

    Raises:
        Failure: there is no such question, or there are several to choose from.
    """
    questions = [each for each in await pending(phone) if approval_id in ("", each.approval_id)]
    if not questions:
        raise Failure(
            "Nothing waits for an answer." if not approval_id else "That question does not wait (any more)."
        )
    if len(questions) > 1:
        ids = ", ".join(each.approval_id for each in questions)
        raise Failure(f"{len(questions)} questions wait: say which.", f"One of: {ids}")
    return questions[0]
