"""Posts are written with their events: for all of a batch by one statement, and held up by nobody."""

import asyncio
from collections.abc import Callable

import pytest
from sqlalchemy import text

from authy_grpc.domain.event import WebhookEvent
from authy_grpc.store.database import Database
from authy_grpc.store.engine import connect
from authy_grpc.store.events import NewEvent
from authy_grpc.store.vault import Vault
from tests.clock import TurnedClock
from tests.leasing import Office, another_server
from tests.recording import happened
from tests.sql import statements
from tests.threads import PATIENCE


@pytest.fixture
async def office(
    database: Database, vault: Vault, clock: TurnedClock, random: Callable[[int], bytes]
) -> Office:
    return Office(database, vault, clock, random)


async def test_a_batch_is_one_statement_whatever_it_holds(office: Office) -> None:
    one, two = await office.site("app_1"), await office.site("app_2")
    await office.site("app_3")
    hooks = {
        (await office.hook(site, *types)).webhook_id: name
        for name, site, types in (
            ("one, all", one, ()),
            ("one, locked", one, ("user.locked",)),
            ("two", two, ("webhook.test", "user.*")),
            ("two, for tests", two, ("code.*",)),
        )
    }
    tested = next(webhook_id for webhook_id, name in hooks.items() if name == "two, for tests")
    batch = [
        happened("a", "app_1"),
        happened("b", "app_2", "user.unlocked"),
        NewEvent(type="credential.ended", subject_id="c"),
        happened("d", "app_3"),
        NewEvent(
            type="webhook.test",
            subject_id="e",
            application_id="app_2",
            body=WebhookEvent(webhook_id=tested),
            webhook_id=tested,
        ),
        happened("f", "app_1", "user.unlocked"),
    ]
    with statements() as seen:
        ids = await office.database.write(lambda tx: tx.record(*batch))
    assert len(set(ids)) == 6 and sum("INSERT INTO delivery" in each for each in seen) == 1
    assert len([each for each in seen if "INSERT" in each]) == 2
    rows = await office.rows()
    assert {(hooks[row.webhook_id], row.subject_id) for row in rows} == {
        ("one, all", "a"),
        ("one, locked", "a"),
        ("two", "b"),
        ("two, for tests", "e"),
        ("one, all", "f"),
    }
    assert len(rows) == 5 and [row.subject_id for row in rows] == ["a", "a", "b", "e", "f"]
    assert [row.event_id for row in rows] == [ids[0], ids[0], ids[1], ids[4], ids[5]]


async def test_events_of_nobodys_feed_ask_for_no_statement(office: Office) -> None:
    with statements() as seen:
        made = NewEvent(type="credential.ended", subject_id="key_1")
        await office.database.write(lambda tx: tx.record(made))
    assert not any("delivery" in each for each in seen) and any("INSERT INTO event" in each for each in seen)


async def test_events_wait_for_no_webhook_that_is_being_changed(
    postgres_url: str, vault: Vault, clock: TurnedClock, random: Callable[[int], bytes]
) -> None:
    async with another_server(postgres_url, vault, clock, random) as office:
        site = await office.site()
        webhook = await office.hook(site)
        engine = connect(postgres_url, writes=True, connections=1)
        with engine.begin() as connection:
            connection.execute(text("DELETE FROM webhook"))
            (event_id,) = await asyncio.wait_for(office.happen(site, "ada"), PATIENCE)
        engine.dispose()
        # What was written for one that has gone meanwhile is in nobody's way, and goes to nobody.
        (row,) = await office.rows()
        assert (row.event_id, row.webhook_id) == (event_id, webhook.webhook_id)
        assert await office.deliveries.take(10) == []
