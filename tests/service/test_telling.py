"""What falls due for several sites of one account at once is told apart, though several servers tell it."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from authy_grpc.store import telling as store
from authy_grpc.store.tables import LinkRow, TellingRow
from authy_grpc.store.tx import Tx
from tests import rows
from tests.clock import TurnedClock
from tests.registering import Handset, People


@pytest.fixture
async def people(database_url: str, clock: TurnedClock) -> AsyncIterator[People]:
    async with People.opened(database_url, clock) as opened:
        yield opened


async def due(people: People, account: str, links: int) -> list[LinkRow]:
    """An account whose sites are all to be told now."""
    handset = Handset.new()
    handset.account_id, handset.device_id = f"acc_{account}", f"dev_{account}"
    linked = [await people.link(handset) for _ in range(links)]

    def work(tx: Tx) -> None:
        for index, link in enumerate(linked):
            telling_id = f"tel_{account}_{index}"
            now = people.clock()
            row = TellingRow(telling_id=telling_id, site_id=link.site_id, kind="user.deleted", due_time=now)
            rows.add(tx, row)

    await people.database.write(work)
    return linked


async def test_servers_that_tell_at_once_tell_one_site_of_each_account(people: People) -> None:
    for account in range(5):
        await due(people, str(account), links=4)
    await asyncio.gather(*[people.telling.tell_due() for _ in range(4)])
    assert len(await people.recorded("user.deleted")) == 5
    assert len(await people.rows(TellingRow)) == 15


async def test_what_another_server_has_put_off_is_not_told(people: People) -> None:
    await due(people, "ada", links=2)
    found = await people.database.read(lambda tx: store.due(tx))
    await people.telling._put_off(found[1].telling_id)
    # By a server that has looked before that.
    for each in found:
        await people.telling._tell(each.telling_id)
    assert len(await people.recorded("user.deleted")) == 1
