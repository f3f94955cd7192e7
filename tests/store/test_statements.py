"""Prebuilt statements on the driver's own cursor: what is converted, and who hears of them."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import bindparam, insert, select
from sqlalchemy.exc import IntegrityError

from authy_grpc.domain.errors import CodeRejected
from authy_grpc.store.bulk import table
from authy_grpc.store.columns import Moment
from authy_grpc.store.database import Database
from authy_grpc.store.statements import Statement, among, statement
from authy_grpc.store.tables import AccountRow, MetaRow
from authy_grpc.store.tx import Tools, Tx
from authy_grpc.store.vault import Vault
from authy_grpc.store.writer import ChangedAndRaised
from tests.clock import TurnedClock
from tests.databases import watched

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
_ACCOUNT, _META = table(AccountRow), table(MetaRow)
_ADD = statement(insert(_META))
_KEEP = statement(insert(_ACCOUNT))
_FIND = Statement(
    lambda *columns: columns,
    select(_ACCOUNT.c.account_id, _ACCOUNT.c.phone_codes, _ACCOUNT.c.create_time, _ACCOUNT.c.number_digest)
    .where(_ACCOUNT.c.create_time >= bindparam("since", type_=Moment))
    .where(among(_ACCOUNT.c.new_device_policy, ["ALLOW", "DENY"])),
)


async def test_types_are_converted_both_ways(database: Database) -> None:
    row = dict.fromkeys(column.name for column in _ACCOUNT.c)
    row |= {"account_id": "acc_1", "new_device_policy": "ALLOW", "phone_codes": True, "create_time": NOON}
    row |= {"number_digest": b"\x00\xff", "sites_revision": 0, "devices_revision": 0, "activity_revision": 0}

    await database.write(lambda tx: _KEEP.run(tx, **row))

    kept = ("acc_1", True, NOON, b"\x00\xff")
    assert await database.read(lambda tx: _FIND.all(tx, since=NOON)) == [kept]
    assert await database.read(lambda tx: _FIND.first(tx, since=NOON)) == kept
    assert await database.read(lambda tx: _FIND.first(tx, since=NOON + timedelta(seconds=1))) is None


async def test_a_work_that_changes_by_one_and_raises_is_noticed(database: Database) -> None:
    def work(tx: Tx) -> None:
        _ADD.run(tx, name="trace", value=b"")
        raise CodeRejected

    with pytest.raises(ChangedAndRaised):
        await database.write(work)


async def test_faults_are_raised_and_counted_as_those_of_sqlalchemy(database: Database) -> None:
    heard: list[object] = []
    database.on_error = heard.append
    await database.write(lambda tx: _ADD.run(tx, name="once", value=b""))

    with pytest.raises(IntegrityError):
        await database.write(lambda tx: _ADD.run(tx, name="once", value=b""))

    assert heard


async def test_a_work_has_one_time_and_the_next_has_another(database_url: str, keyset_text: str) -> None:
    clock = TurnedClock()
    database = watched(database_url, Tools(Vault(keyset_text), clock, lambda size: bytes(size)))

    def work(tx: Tx) -> tuple[datetime, datetime]:
        before = tx.now()
        clock.turn(seconds=1)
        return before, tx.now()

    first, second = [await database.write(work) for _ in range(2)]
    await database.close()
    assert first[0] == first[1] < second[0] == second[1]
