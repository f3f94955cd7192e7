"""The persons of a comparison: one with several links, and somebody else."""

from dataclasses import dataclass

from authy_grpc.phone import Phone
from tests.e2e.cast import new_phone, owner, partner
from tests.e2e.users import STEP_SECONDS, User
from tests.e2e.wire import Speaks
from tests.harness import NUMBER, Service

OTHER_NUMBER = "+4915112345679"


@dataclass
class Cast:
    """One person with three links, two of them at one site; and somebody else, at a site of their own."""

    first: User
    again: User
    elsewhere: User
    stranger: User
    phone: Phone

    @property
    def links(self) -> list[User]:
        """Of the one person."""
        return [self.first, self.again, self.elsewhere]


async def people(service: Service, speaks: Speaks | None = None) -> Cast:
    one, two, three = [await partner(service, name, speaks=speaks) for name in ("One", "Two", "Three")]
    phone = (await owner(service, NUMBER, "Pocket")).phone
    service.clock.turn(seconds=STEP_SECONDS)
    other = (await owner(service, OTHER_NUMBER, "Pocket")).phone
    service.clock.turn(seconds=STEP_SECONDS)
    return Cast(
        User(service, one, "ada at one", phone),
        User(service, one, "augusta at one", phone),
        User(service, two, "lovelace at two", phone),
        User(service, three, "somebody else", other),
        phone,
    )


async def second_phone(service: Service, phone: Phone, number: str = NUMBER) -> Phone:
    """Another device of the same person, let in."""
    second = new_phone(service).phone
    started = await second.start(number)
    service.clock.turn(seconds=3.017)
    await second.register(started, await service.text_code(), "Tablet")
    service.clock.turn(seconds=3.017)
    [held] = await second.devices()
    await phone.approve_device(held.device_id, held.check)
    service.clock.turn(seconds=STEP_SECONDS)
    return second
