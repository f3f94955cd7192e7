"""Rows that come in as one parameter are the rows that were given, on both databases."""

from collections.abc import AsyncIterator

import pytest
from sqlalchemy import BigInteger, Boolean, LargeBinary, String
from sqlmodel import col, select

from authy_grpc.store.bulk import Bulk, Inserted, table
from authy_grpc.store.database import Database
from authy_grpc.store.tables import MetaRow
from authy_grpc.store.tx import Tx
from tests import rows

_ROWS = [
    ("a", 2**62, True, b"\0\xff"),
    ("", -1, False, b""),
    ("\"'\\ü\U0001f600\n", 0, None, bytes(range(256))),
    ("1", None, True, b"1"),
    ("null", None, None, None),
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
    given = Bulk(name=String, number=BigInteger, flag=Boolean, bytes=LargeBinary).statement(
        lambda given: select(*given.c)
    )
    rows = (_ROWS * 100)[:count]
    assert await database.read(lambda tx: given.all(tx, rows)) == rows


async def test_rows_are_inserted_with_bytes_and_stand_beside_the_others(database: Database) -> None:
    meta = table(MetaRow)
    turned = Inserted(meta, "value", "name")
    once = Inserted(meta, "name", "value")
    new: list[tuple[object, object]] = [("a", bytes(range(256))), ("b", b"")]

    async def write(inserted: Inserted, rows: list[tuple[object, object]]) -> None:
        await database.write(lambda tx: inserted.run(tx, rows))

    await write(once, new)
    await write(once, [])
    with pytest.raises(Exception, match=r"(?i)unique"):
        await write(once, [("a", b"x")])
    await write(turned, [(b"y", "c")])

    def read(tx: Tx) -> list[tuple[object, object]]:
        return [(row.name, row.value) for row in rows.found(tx, select(MetaRow).order_by(col(MetaRow.name)))]

    assert await database.read(read) == [*new, ("c", b"y")]
