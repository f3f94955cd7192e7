"""Rows that come in as one parameter are the rows that were given, on both databases."""

from collections.abc import AsyncIterator

import pytest
from sqlalchemy import BigInteger, Boolean, String
from sqlmodel import col, select

from authy_grpc.store.database import Database
from authy_grpc.store.given import Given, Inserted, table
from authy_grpc.store.tables import MetaRow
from authy_grpc.store.tx import Tx

_ROWS = [
    ("a", 2**62, True),
    ("", -1, False),
    ("\"'\\ü\U0001f600\n", 0, None),
    ("1", None, True),
    ("null", None, None),
]


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = Database(database_url, guard=True)
    try:
        yield opened
    finally:
        await opened.close()


@pytest.mark.parametrize("count", [1, 5, 500])
async def test_rows_come_back_as_they_were_given(database: Database, count: int) -> None:
    given = Given(database.postgres, name=String, number=BigInteger, flag=Boolean)
    statement = select(given.c.name, given.c.number, given.c.flag)
    rows = (_ROWS * 100)[:count]

    def work(tx: Tx) -> list[tuple[object, ...]]:
        return [tuple(row) for row in tx.connection().execute(statement, given.bind(rows))]

    assert await database.read(work) == rows


async def test_rows_are_inserted_with_bytes_and_stand_beside_the_others(database: Database) -> None:
    meta = table(MetaRow)
    turned = Inserted(database.postgres, meta, "value", "name")
    once = Inserted(database.postgres, meta, "name", "value")
    new: list[tuple[object, object]] = [("a", bytes(range(256))), ("b", b"")]

    async def write(inserted: Inserted, rows: list[tuple[object, object]]) -> None:
        await database.write(lambda tx: inserted.run(tx, rows))

    await write(once, new)
    await write(once, [])
    with pytest.raises(Exception, match=r"(?i)unique"):
        await write(once, [("a", b"x")])
    await write(turned, [(b"y", "c")])

    def read(tx: Tx) -> list[tuple[object, object]]:
        return [(row.name, row.value) for row in tx.exec(select(MetaRow).order_by(col(MetaRow.name)))]

    assert await database.read(read) == [*new, ("c", b"y")]
