"""What falls due for several sites of one account at once, as after a standstill, is not told together."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from authy_grpc.store.database import Session
from authy_grpc.store.tables import LinkRow, TellingRow
from tests.clock import TurnedClock
from tests.registering import Handset, People

_STEP = 100


@pytest.fixture
async def people(database_url: str, clock: TurnedClock) -> AsyncIterator[People]:
    async with People.opened(database_url, clock) as opened:
        yield opened


async def due(people: People, *links: LinkRow) -> None:
    """Have each site told now, in this order."""

    def work(session: Session) -> None:
        for index, link in enumerate(links):
            session.add(
                TellingRow(
                    telling_id=f"tel_{index:03}",
                    site_id=link.site_id,
                    kind="user.deleted",
                    due_time=people.clock() - timedelta(seconds=len(links) - index),
                )
            )

    await people.database.write(work)


async def owner(people: People, account_id: str) -> Handset:
    """Somebody of whom nothing but links is needed."""
    handset = Handset.new()
    handset.account_id, handset.device_id = account_id, f"dev_{account_id}"
    return handset


async def test_sites_of_one_account_are_told_apart_however_many_others_are_due(people: People) -> None:
    ada = await owner(people, "acc_ada")
    first, last = await people.link(ada), await people.link(ada)
    between = [await people.link(await owner(people, f"acc_{index}")) for index in range(_STEP)]
    await due(people, first, *between, last)
    while await people.telling.tell_due():
        pass
    told = [row.body.authy_id for row in await people.recorded("user.deleted") if row.body]  # type: ignore[union-attr]
    assert len(told) == _STEP + 1
    assert first.authy_id in told and last.authy_id not in told
    (put_off,) = await people.rows(TellingRow)
    assert put_off.site_id == last.site_id and put_off.due_time > people.clock()


async def test_two_servers_that_begin_at_once_tell_them_apart_too(people: People) -> None:
    for index in range(5):
        ada = await owner(people, f"acc_{index}")
        await due_again(people, *[await people.link(ada) for _ in range(4)], name=f"{index}")
    await asyncio.gather(*[people.telling.tell_due() for _ in range(4)])
    assert len(await people.recorded("user.deleted")) == 5
    assert len(await people.rows(TellingRow)) == 15


async def due_again(people: People, *links: LinkRow, name: str) -> None:
    def work(session: Session) -> None:
        for index, link in enumerate(links):
            session.add(
                TellingRow(
                    telling_id=f"tel_{name}_{index}",
                    site_id=link.site_id,
                    kind="user.deleted",
                    due_time=people.clock(),
                )
            )

    await people.database.write(work)
