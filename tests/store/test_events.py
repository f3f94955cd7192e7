"""The feed has one order, in which nothing is skipped and nothing comes twice."""

import io
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import delete, select, text
from sqlmodel import col

from authy_grpc import logs
from authy_grpc.domain.approval import Approval, Detail
from authy_grpc.domain.enrollment import Enrollment, EnrollmentMethod, EnrollmentState
from authy_grpc.domain.event import UserEvent, matches
from authy_grpc.domain.user import Factor, SiteKey
from authy_grpc.service.signals import Signals
from authy_grpc.store import events
from authy_grpc.store.database import Database
from authy_grpc.store.events import EARLIEST, PAGE_BYTES, Body, NewEvent, Position, may_have_more
from authy_grpc.store.tables import EventRow
from authy_grpc.store.tx import Tools, Tx
from authy_grpc.store.vault import KeysetError, Vault, new_keyset
from tests.recording import NOON, by, happened, names, read, record, transaction
from tests.works import does

KEY = SiteKey("kid", '{"kty":"EC"}', NOON)
BODIES: dict[str, Body] = {
    "enrollment.completed": Enrollment(
        enrollment_id="enr_1",
        custom_user_id="ada",
        method=EnrollmentMethod.AUTHENTICATOR,
        state=EnrollmentState.COMPLETED,
        authy_id="1234567",
        create_time=NOON,
        update_time=NOON,
        expire_time=NOON,
        keys=(KEY,),
    ),
    "approval.denied": Approval(
        approval_id="apr_1",
        authy_id="1234567",
        message="Pay?",
        details=(Detail("Sum", "5"),),
        create_time=NOON,
        expire_time=NOON,
        hidden_details={"order": "7"},
    ),
    "code.accepted": UserEvent(authy_id="1234567", custom_user_id="ada", factor=Factor.SMS),
    "user.device_added": UserEvent(authy_id="1234567", custom_user_id="ada", key=KEY),
    "account.changed": None,
}


async def test_what_was_recorded_is_read(database: Database) -> None:
    made = [
        NewEvent(
            type=type,
            subject_id=f"of {type}",
            application_id="app_1",
            account_id="acc_1",
            revision=number,
            body=body,
        )
        for number, (type, body) in enumerate(BODIES.items())
    ]
    await database.write(lambda tx: tx.record(*made))
    rows = await read(database)
    assert {row.type: row.body for row in rows} == BODIES
    assert [row.revision for row in rows] == [0, 1, 2, 3, 4]
    assert {row.create_time for row in rows} == {NOON}
    assert len({row.event_id for row in rows}) == 5
    assert rows[0].topics == ("app_1", "acc_1", "of enrollment.completed")
    assert "ada" not in repr(rows)


async def test_a_body_is_sealed_for_its_row(database: Database) -> None:
    await record(database, "a", "b")
    table = EventRow.__table__  # type: ignore[attr-defined]
    bodies = await database.read(lambda tx: list(tx.connection().scalars(select(table.c.sealed_body))))
    assert all(b"authy_id" not in body for body in bodies)
    swap = table.update().where(table.c.subject_id == "a").values(sealed_body=bodies[1])
    await database.write(does(swap))
    first, second = await read(database)
    with pytest.raises(KeysetError):
        _ = first.body
    assert isinstance(second.body, UserEvent)
    other = Vault(new_keyset())
    rows = await database.read(lambda tx: events.read_after(by(tx, vault=other), EARLIEST, limit=9))
    with pytest.raises(KeysetError):
        _ = rows[1].body


async def test_a_commit_wakes_where_it_recorded_something(database: Database) -> None:
    woken: list[int] = []
    database.on_events = lambda: woken.append(1)
    await database.write(lambda tx: None)
    await database.write(lambda tx: tx.record())
    assert woken == []
    await record(database, "a", "b")
    assert woken == [1]


@pytest.mark.parametrize(
    "types",
    [[], ["user.locked"], ["user.*"], ["*"], ["user.lock", "code.*"], ["USER.*"], ["u_er.*"], ["user%*"]],
)
async def test_types_are_taken_as_a_watcher_takes_them(database: Database, types: list[str]) -> None:
    all_types = ["user.locked", "user.unlocked", "code.accepted", "approval.denied"]
    made = [
        NewEvent(type=type, subject_id=type, application_id="app_1", body=BODIES.get(type))
        for type in all_types
    ]
    await database.write(lambda tx: tx.record(*made))
    rows = await database.read(lambda tx: events.read_after(tx, EARLIEST, types=types, limit=9))
    assert [row.type for row in rows] == [type for type in all_types if matches(type, types)]


async def test_a_feed_has_its_own_events_alone(database: Database) -> None:
    await record(database, "a", application_id="app_1")
    await record(database, "b", application_id="app_2")
    await database.write(lambda tx: tx.record(happened("c", None)))

    def feed(application_id: str | None) -> Callable[[Tx], list[str]]:
        return lambda tx: names(events.read_after(tx, EARLIEST, application_id=application_id, limit=9))

    assert await database.read(feed("app_1")) == ["a"]
    assert await database.read(feed("app_2")) == ["b"]
    assert await database.read(feed("app_3")) == []
    assert await database.read(feed(None)) == ["a", "b", "c"]


async def test_a_page_ends_at_its_limit_and_at_a_mebibyte(database: Database) -> None:
    sizes = [0, 500_000, 0, 500_000, 100_000, 2_000_000, 0]
    made = [happened(str(number), padding=size) for number, size in enumerate(sizes)]
    await database.write(lambda tx: tx.record(*made))
    pages, after = [], EARLIEST
    while True:
        rows = await database.read(
            lambda tx, after=after: events.read_after(tx, after, limit=6)  # type: ignore[misc]
        )
        if not rows:
            break
        pages.append(names(rows))
        assert sum(row.size for row in rows[:-1]) <= PAGE_BYTES
        assert may_have_more(rows, 6) == (len(pages) < 3)
        after = rows[-1].position
    assert pages == [["0", "1", "2", "3", "4"], ["5"], ["6"]]


async def test_places_are_never_given_out_again(database: Database) -> None:
    """A cursor would skip what stands where something was removed."""
    await record(database, "a", "b")
    before = (await read(database))[-1].position
    await database.write(does(delete(EventRow)))
    newest = await database.read(events.newest)
    assert newest >= before
    await record(database, "c")
    assert names(await read(database, newest)) == ["c"]
    assert names(await read(database, before)) == ["c"]


async def test_from_now_on_begins_after_what_there_is(database: Database) -> None:
    empty = await database.read(events.newest)
    assert empty > EARLIEST
    await record(database, "a")
    newest = await database.read(events.newest)
    assert names(await read(database, empty)) == ["a"]
    assert await read(database, newest) == []
    await record(database, "b")
    assert names(await read(database, newest)) == ["b"]


def naive(after: int) -> Callable[[Tx], list[tuple[int, str]]]:
    """How a feed must not be read: in the order of its sequence, as far as it can be seen."""
    statement = (
        select(col(EventRow.sequence), col(EventRow.subject_id))
        .where(col(EventRow.sequence) > after)
        .order_by(col(EventRow.sequence))
    )
    return lambda tx: [(row[0] or 0, row[1]) for row in tx.connection().execute(statement)]


@pytest.fixture
async def on_postgres(postgres_url: str, tools: Tools) -> Any:
    database = Database(postgres_url, tools, guard=True)
    await database.write(events.begin_epoch)
    yield database
    await database.close()


async def test_what_commits_late_is_neither_skipped_nor_repeated(
    on_postgres: Database,
) -> None:
    database = on_postgres
    with transaction(database) as slow, transaction(database) as quick:
        assert slow.begin() < quick.begin()
        slow.record("slow 1")
        quick.record("quick 1")
        quick.commit()
        seen = await database.read(naive(0))
        assert [name for _, name in seen] == ["quick 1"]
        assert await read(database) == []
        assert await database.read(lambda tx: events.unsettled(tx, EARLIEST))
        slow.record("slow 2")
        slow.commit()
    rows = await read(database)
    assert names(rows) == ["slow 1", "slow 2", "quick 1"]
    assert names(await read(database, rows[1].position)) == ["quick 1"]
    assert not await database.read(lambda tx: events.unsettled(tx, rows[-1].position))
    # The control: what goes by sequence alone has lost one.
    assert [name for _, name in await database.read(naive(seen[-1][0]))] == ["slow 2"]


async def test_a_transaction_that_is_rolled_back_holds_nothing_up(
    on_postgres: Database,
) -> None:
    database = on_postgres
    with transaction(database) as never:
        never.begin()
        never.record("never")
        await record(database, "a")
        assert await read(database) == []
    assert names(await read(database)) == ["a"]


async def test_the_tailer_waits_for_what_commits_late(
    on_postgres: Database, clock: Callable[[], Any]
) -> None:
    database = on_postgres
    signals = Signals(database, logs.build(io.StringIO(), clock), poll=timedelta(hours=1))
    await signals.start()
    with signals.subscribe("app_1") as subscription:
        with transaction(database) as slow:
            slow.begin()
            await record(database, "quick")
            signals.wake()
            assert await subscription.wait(0.2) == []
            slow.record("slow")
            # Nobody is told of this commit: the tailer looks again by itself, since something is unsettled.
            slow.commit()
        rows = await subscription.wait(5)
        while len(rows) < 2:
            rows += await subscription.wait(5)
    assert names(rows) == ["slow", "quick"]
    await signals.stop()


async def test_a_restored_dump_begins_a_new_epoch(on_postgres: Database, tools: Tools) -> None:
    database = on_postgres
    await record(database, "old 1", "old 2")
    cursor = (await read(database))[0].position
    # As if the cluster that it was dumped from had counted further.
    await database.write(does(text("UPDATE event SET xid = xid + 1000000")))
    cursor = Position(cursor.epoch, cursor.xid + 1_000_000, cursor.sequence)
    # The control: without a new epoch what happens now stands before what was, and some of it is unseen.
    await record(database, "lost")
    assert "lost" not in names(await read(database, cursor))
    await database.write(does(text("DELETE FROM event WHERE subject_id = 'lost'")))

    for _ in range(2):
        await database.write(events.begin_epoch)
        assert (await database.read(events.newest)).epoch == cursor.epoch + 1
    await record(database, "new")
    assert names(await read(database)) == ["old 1", "old 2", "new"]
    assert names(await read(database, cursor)) == ["old 2", "new"]
    other = Database(database.url, replace(tools, epoch=0))
    await other.write(events.begin_epoch)
    assert (await other.read(events.newest)).epoch == cursor.epoch + 1
    await other.close()


async def test_without_a_restored_dump_the_epoch_stays(database: Database) -> None:
    await record(database, "a")
    before = await database.read(events.newest)
    await database.write(events.begin_epoch)
    assert (await database.read(events.newest)).epoch == before.epoch
