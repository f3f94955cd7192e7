"""A check-up of a database finds what holds its feed back."""

from datetime import UTC, datetime, timedelta

import psycopg

from authy_grpc.cli.checks import _feed
from authy_grpc.store import checkup, events
from authy_grpc.store.database import Database
from authy_grpc.store.events import NewEvent
from authy_grpc.store.tx import Tools, Tx
from tests.recording import by


async def test_a_write_that_stays_open_holds_the_feed_back(postgres_url: str, tools: Tools) -> None:
    database = Database(postgres_url, tools, guard=True)
    await database.write(events.begin_epoch)
    with psycopg.connect(postgres_url) as other:
        other.execute("SELECT pg_current_xact_id()")
        begun = datetime.now(UTC)
        event = NewEvent(type="account.changed", subject_id="acc_1", account_id="acc_1")

        def work(tx: Tx) -> None:
            then = by(tx, clock=lambda: begun)
            then.record(event)
            then.write_recorded()

        await database.write(work)
        found = checkup.look(postgres_url)
        assert found.time is not None and found.held_back is not None
        assert abs((found.time - found.held_back - begun).total_seconds()) < 0.01
        assert _feed(timedelta(seconds=5)).level == "warn"
        other.commit()
    assert checkup.look(postgres_url).held_back is None
    assert _feed(None).level == "ok"
    await database.close()


async def test_a_file_has_no_other_writers(sqlite_url: str) -> None:
    assert checkup.look(sqlite_url).held_back is None
