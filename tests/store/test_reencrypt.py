"""All that a keyset has made is known, is made anew, and meets in one index whoever wrote it."""

import asyncio
from collections.abc import Callable
from dataclasses import asdict
from datetime import timedelta
from itertools import combinations, permutations
from typing import Any

import pytest
from sqlalchemy import delete
from sqlalchemy.exc import IntegrityError
from sqlmodel import SQLModel

from authy_grpc.store import account as accounts
from authy_grpc.store import link as links
from authy_grpc.store import reencrypt as store
from authy_grpc.store.database import Database
from authy_grpc.store.enrollment import open_of
from authy_grpc.store.reencrypt import TABLES, UNKNOWN
from authy_grpc.store.tables import AccountRow, EnrollmentRow, LinkRow
from authy_grpc.store.tx import Tx
from authy_grpc.store.user import awaiting_link
from authy_grpc.store.vault import Vault
from tests import rows
from tests.clock import TurnedClock
from tests.recording import by
from tests.rotating import keysets
from tests.threads import Event
from tests.works import does

NUMBER = "+4915112345678"
NOW = TurnedClock().now
# Of random secrets, without a key.
UNKEYED = {"api_key.secret_hash", "operator_key.secret_hash", "session.token_hash", "enrollment.token_hash"}
# Pairs of keysets that may serve one database at once.
NEIGHBOURS = {
    ("old", "added"),
    ("old", "promoted"),
    ("added", "promoted"),
    ("added", "settled"),
    ("promoted", "settled"),
}


def _all_columns() -> set[str]:
    return {
        f"{table.name}.{column.name}"
        for table in SQLModel.metadata.tables.values()
        for column in table.columns
    }


def test_no_sealed_column_and_no_digest_is_missing_from_the_list() -> None:
    columns = _all_columns()
    sealed = {each for each in columns if each.partition(".")[2].startswith("sealed_")}
    digests = {each for each in columns if "_digest" in each.partition(".")[2] or each.endswith("_hash")}
    assert len(sealed) > 15 and len(digests) > 10
    assert {f"{table.name}.{column}" for table in TABLES for column in table.places} == sealed
    anew = {
        f"{table.name}.{column}" for table in TABLES for digest in table.digests for column in digest.columns
    }
    assert anew | {*UNKNOWN} | UNKEYED == digests
    assert not anew & ({*UNKNOWN} | UNKEYED)


def test_places_are_the_columns_own() -> None:
    for table in TABLES:
        for column, place in table.places.items():
            assert place == f"{table.name}.{column.removeprefix('sealed_')}"


def test_each_pair_of_columns_has_its_unique_index() -> None:
    paired = [(table, digest) for table in TABLES for digest in table.digests if digest.paired]
    assert len(paired) == 3
    for table, digest in paired:
        of = SQLModel.metadata.tables[table.name]
        unique = {tuple(index.columns.keys())[-1] for index in of.indexes if index.unique}
        unique |= {tuple(each.columns.keys())[-1] for each in of.constraints if hasattr(each, "columns")}
        assert {*digest.columns} <= unique


def _account(vault: Vault, name: str, number: str = NUMBER) -> AccountRow:
    account_id = f"acc_{name}"
    kept = accounts.number_columns(vault, account_id, number)
    return AccountRow(account_id=account_id, new_device_policy="HOLD", create_time=NOW, **kept)


def _enrollment(vault: Vault, name: str) -> EnrollmentRow:
    even, odd = vault.pair("custom_user_id", links.subject("app_1", "ada"))
    return EnrollmentRow(
        enrollment_id=f"enr_{name}",
        application_id="app_1",
        sealed_custom_user_id=vault.seal("enrollment.custom_user_id", f"enr_{name}", b"ada"),
        custom_user_digest=even,
        custom_user_digest_odd=odd,
        method="AUTHENTICATOR",
        state="PENDING",
        require_code=False,
        replace_existing=False,
        create_time=NOW,
        update_time=NOW,
        expire_time=NOW + timedelta(minutes=10),
    )


def _link(vault: Vault, name: str) -> LinkRow:
    kept = asdict(awaiting_link(vault, "app_1", None, "ada", f"sit_{name}", NOW))
    return LinkRow(**kept | {"state": "ACTIVE", "authy_id": name})


ROWS: dict[str, Callable[[Vault, str], SQLModel]] = {
    "account": _account,
    "enrollment": _enrollment,
    "link": _link,
}


def _anew(vault: Vault) -> Callable[[Tx], set[store.Key]]:
    return lambda tx: store.make_anew(tx, vault, TABLES[0], [("acc_1",)], wait=True)


async def _clear(database: Database) -> None:
    for model in (LinkRow, EnrollmentRow, AccountRow):
        statement = delete(model)
        await database.write(does(statement))


async def _add(database: Database, *added: SQLModel) -> None:
    await database.write(lambda tx: rows.add(tx, *added))


@pytest.mark.parametrize("kind", ROWS)
async def test_servers_with_other_keysets_cannot_write_one_value_twice(database: Database, kind: str) -> None:
    """Without a look at what is there: two servers may look at once, and then write."""
    make, vaults = ROWS[kind], keysets().vaults()
    await _add(database, rows.application(NOW))

    async def both(one: str, two: str) -> bool:
        await _add(database, make(vaults[one], "1"))
        try:
            await _add(database, make(vaults[two], "2"))
        except IntegrityError:
            return False
        finally:
            await _clear(database)
        return True

    twice = {pair for pair in permutations(vaults, 2) if await both(*pair)}
    # Before the old keys may be dropped no server is left that knows them alone.
    assert twice == {("old", "settled"), ("settled", "old")}
    assert set(combinations(vaults, 2)) - twice == NEIGHBOURS


async def test_every_neighbour_finds_what_the_others_wrote(database: Database) -> None:
    vaults = keysets().vaults()
    await _add(database, rows.application(NOW))

    async def found(reader: str, writer: str) -> list[bool]:
        await _add(database, *[make(vaults[writer], "1") for make in ROWS.values()])
        vault = vaults[reader]

        def look(tx: Tx) -> list[bool]:
            tx = by(tx, vault=vault)
            return [
                accounts.find_by_number(tx, NUMBER) is not None,
                accounts.find_by_number(tx, NUMBER + "0") is not None,
                links.lock_by_custom_user_id(tx, "app_1", "ada") is not None,
                links.lock_by_custom_user_id(tx, "app_2", "ada") is not None,
                len(open_of(tx, "app_1", "ada")) == 1,
            ]

        try:
            return await database.write(look)
        finally:
            await _clear(database)

    for one, two in NEIGHBOURS:
        assert await found(one, two) == await found(two, one) == [True, False, True, False, True]
    assert await found("old", "settled") == [False] * 5


def _look(vault: Vault, after: store.Key = ()) -> Any:
    return lambda tx: store.look(tx, vault, TABLES[0], after)


async def test_rows_are_looked_at_a_page_at_a_time(database: Database) -> None:
    vaults = keysets().vaults()
    count = store.STEP + 2
    made = [_account(vaults["old"], f"{each:04}", f"+49{each}") for each in range(count)]
    made[1] = _account(vaults["promoted"], "0001", "+491")
    made[2] = AccountRow(account_id="acc_0002", new_device_policy="HOLD", create_time=NOW)
    await _add(database, *made)

    first = await database.read(_look(vaults["promoted"]))
    second = await database.read(_look(vaults["promoted"], first.last))

    assert (first.seen, second.seen) == (store.STEP, 2)
    stale = [key for (key,) in [*first.stale, *second.stale]]
    # Without what is sealed by the new key already, and an account that was erased.
    assert stale == [row.account_id for index, row in enumerate(made) if index not in (1, 2)]
    assert (await database.read(_look(vaults["old"]))).stale == [("acc_0001",)]


async def test_a_row_is_made_anew(database: Database) -> None:
    vaults = keysets().vaults()
    await _add(database, _account(vaults["old"], "1"))

    async def row() -> accounts.Kept:
        found = await database.read(lambda tx: accounts.ROWS.find(tx, "acc_1"))
        assert found is not None
        return found

    assert await database.write(_anew(vaults["promoted"])) == {("acc_1",)}
    kept = await row()
    assert (kept.number_digest, kept.number_digest_odd) == vaults["promoted"].pair("number", NUMBER.encode())
    assert accounts.number(vaults["settled"], kept) == NUMBER
    # What the dropped key made is of use to a thief alone.
    assert (await database.read(_look(vaults["settled"]))).stale == [("acc_1",)]
    await database.write(_anew(vaults["settled"]))
    kept = await row()
    assert (kept.number_digest, kept.number_digest_odd) == vaults["settled"].pair("number", NUMBER.encode())
    assert kept.number_digest is None
    assert (await database.read(_look(vaults["settled"]))).stale == []


async def test_rows_that_others_have_locked_are_left_for_later(postgres_url: str) -> None:
    vaults = keysets().vaults()
    ours, theirs = Database(postgres_url), Database(postgres_url)
    locked, release = Event(), Event()

    def hold(tx: Tx) -> None:
        accounts.ROWS.find(tx, "acc_1", lock=True)
        locked.set()
        release.wait()

    await _add(ours, *[_account(vaults["old"], name, f"+49{name}") for name in ("1", "2")])
    holder = asyncio.create_task(theirs.write(hold))
    await asyncio.to_thread(locked.wait)
    keys = [("acc_1",), ("acc_2",)]

    def anew(tx: Tx) -> set[store.Key]:
        return store.make_anew(tx, vaults["promoted"], TABLES[0], keys, wait=False)

    try:
        assert await ours.write(anew) == {("acc_2",)}
    finally:
        release.set()
        await holder
    assert await ours.write(anew) == {*keys}
    await ours.close()
    await theirs.close()
