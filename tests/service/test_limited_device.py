"""A device that was let in by time may not, for a week, act against the others or change the account."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from authy_grpc.domain.device import DeviceState, NewDevicePolicy
from authy_grpc.domain.errors import ClockSkew, DeviceHeld
from authy_grpc.store.tables import DeviceRow
from tests.clock import TurnedClock
from tests.registering import Handset, People


@pytest.fixture
async def people(database_url: str, clock: TurnedClock) -> AsyncIterator[People]:
    async with People.opened(database_url, clock) as opened:
        yield opened


class Household:
    """Somebody's phone, one that got in by the number alone and by time, and one that waits."""

    def __init__(self, people: People) -> None:
        self.people = people

    async def set_up(self, *, written: bool) -> None:
        self.owner, _ = await self.people.register()
        self.taker, _ = await self.people.register()
        self.people.clock.turn(days=7)
        if written:
            await self.people.admission.release_due()
        self.waiting, added = await self.people.register()
        self.check = added.device.check

    def forbidden(self, by: Handset) -> list[Callable[[], Awaitable[Any]]]:
        people = self.people
        return [
            lambda: people.revoke(by, self.waiting.device_id),
            lambda: people.revoke(by, self.owner.device_id),
            lambda: people.approve(by, self.waiting.device_id, self.check),
            lambda: people.update(by, new_device_policy=NewDevicePolicy.ALLOW),
            lambda: people.update(by, phone_codes=False),
            lambda: people.account.delete(by.caller, people.proof(by, "DeleteAccount")),
        ]

    async def states(self) -> list[str]:
        return sorted(each.state for each in await self.people.rows(DeviceRow))


@pytest.mark.parametrize("written", [True, False])
async def test_it_may_not_put_the_owner_out(people: People, written: bool) -> None:
    home = Household(people)
    await home.set_up(written=written)
    before = await home.states()
    for call in home.forbidden(home.taker):
        with pytest.raises(DeviceHeld):
            await call()
    assert await home.states() == before
    account = await people.account.get(home.owner.caller)
    assert (account.new_device_policy, account.phone_codes) == (NewDevicePolicy.HOLD, True)


async def test_what_it_may_not_uses_the_proof_up(people: People) -> None:
    home = Household(people)
    await home.set_up(written=True)
    proof = people.proof(home.taker, "DeleteAccount")
    for error in (DeviceHeld, ClockSkew):
        with pytest.raises(error):
            await people.account.delete(home.taker.caller, proof)


async def test_it_may_go_by_itself(people: People) -> None:
    home = Household(people)
    await home.set_up(written=True)
    await people.revoke(home.taker, home.taker.device_id)
    assert (await people.row(DeviceRow, home.taker.device_id)).state == "REVOKED"


async def test_the_owner_may_put_it_out(people: People) -> None:
    home = Household(people)
    await home.set_up(written=True)
    await people.revoke(home.owner, home.taker.device_id)
    assert (await people.row(DeviceRow, home.taker.device_id)).state == "REVOKED"


async def test_after_a_week_it_may_all(people: People) -> None:
    home = Household(people)
    await home.set_up(written=True)
    limited_until = (await people.row(DeviceRow, home.taker.device_id)).limited_until
    people.clock.turn(seconds=(limited_until - people.clock()) / timedelta(seconds=1) - 1)
    with pytest.raises(DeviceHeld):
        await people.update(home.taker, phone_codes=False)
    people.clock.turn(seconds=1)
    await people.revoke(home.taker, home.owner.device_id)
    await people.account.delete(home.taker.caller, people.proof(home.taker, "DeleteAccount"))
    assert set(await home.states()) == {DeviceState.REVOKED}
