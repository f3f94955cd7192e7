"""Of a person who was erased nothing is left that names them: in no row, opened or not, and in no file."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from sqlmodel import SQLModel

from authy_grpc.phone import Phone
from authy_grpc.store import reencrypt
from authy_grpc.store.tx import Tx
from authy_grpc.store.vault import Vault
from authy_grpc.v1 import account_pb2 as pb
from tests.harness import NUMBER, ORIGIN, Service

OTHER = "+4915112345679"
# The site's own of a user, and what a person typed and was told.
OF_OWNER = ("canary pocket", "canary tablet", "canary slate", "canary label", NUMBER, NUMBER[1:])
OF_ANOTHER = ("canary neighbour", "canary other label", OTHER)
SEALED = {table.model.__tablename__: table for table in reencrypt.TABLES}


class Kept:
    """All that a database holds, sealed values opened beside it.

    Attributes:
        plain: the text of each value, by table and column.
        sealed: what stands in the file for each sealed value, by what it says.
    """

    def __init__(self, rows: dict[str, list[Any]], vault: Vault) -> None:
        self.plain: list[tuple[str, bytes]] = []
        self.sealed: list[tuple[bytes, bytes]] = []
        for name, found in rows.items():
            for row in found:
                self._add(name, row, vault)

    def _add(self, name: str, row: Any, vault: Vault) -> None:
        table = SEALED.get(name)
        for column, value in row._mapping.items():
            place = table.places.get(column) if table else None
            content = value if isinstance(value, bytes) else str(value).encode()
            if table and place and value:
                content = vault.open(place, table.row_of(dict(row._mapping)), value)
                self.sealed.append((content, value))
            self.plain.append((f"{name}.{column}", content))

    def where(self, text: str) -> set[str]:
        """The columns in which a text stands."""
        return {place for place, content in self.plain if text.encode() in content}

    def written(self, *texts: str) -> Iterator[bytes]:
        """The bytes that stand in the database for what says one of these."""
        for content, value in self.sealed:
            if any(each.encode() in content for each in texts):
                yield value


async def kept(service: Service) -> Kept:
    def work(tx: Tx) -> dict[str, list[Any]]:
        tables = SQLModel.metadata.tables
        return {name: [*tx.connection().execute(select(table))] for name, table in tables.items()}

    return Kept(await service.core.database.read(work), Vault(service.secrets.keyset))


def files(service: Service) -> bytes:
    """All of SQLite's files; nothing of PostgreSQL's, which keeps what is deleted until VACUUM."""
    if not service.url.startswith("sqlite"):
        return b""
    path = Path(service.url.removeprefix("sqlite:///"))
    return b"".join(each.read_bytes() for each in sorted(path.parent.glob(f"{path.name}*")))


async def person(service: Service, number: str, *names: str, label: str) -> Phone:
    """Somebody with devices, of which all but the first are out, and with a link that has a label."""
    first, *others = names
    phone = await service.phone(number, first)
    for name in others:
        service.clock.turn(seconds=31)
        another = await service.phone(number, name)
        await phone.revoke_device(another.device_id)
    site = await service.site(label.replace(" ", ""))
    _, linked = await service.enroll(site, phone)
    await phone.rename_site(linked, label)
    # A first code is asked for: another link of the account, that waits.
    return phone


async def test_an_erased_person_is_in_no_row_and_in_no_file(service: Service) -> None:
    phone = await person(service, NUMBER, *OF_OWNER[:3], label="canary label")
    await person(service, OTHER, "canary neighbour", label="canary other label")
    # One device was put out so long ago that it is not listed any more.
    service.clock.turn(days=31)
    await service.core.workers.stop()
    late = await service.stack.enter_async_context(
        Phone(service.channel(), origin=ORIGIN, clock=service.clock)
    )
    # A code and a text that wait.
    await late.start(NUMBER)
    before = await kept(service)
    places = {each: before.where(each) for each in (*OF_OWNER, *OF_ANOTHER)}
    assert all(places.values()), places
    assert {"text.sealed_message", "phone_verification.sealed_number"} <= places[NUMBER]
    of_owner, of_another = list(before.written(*OF_OWNER)), list(before.written(*OF_ANOTHER))
    content = files(service)
    assert not content or all(each in content for each in of_owner + of_another)

    await phone.delete_account()
    after = await kept(service)
    assert {each: after.where(each) for each in OF_OWNER} == {each: set() for each in OF_OWNER}
    assert {each: after.where(each) for each in OF_ANOTHER} == {each: places[each] for each in OF_ANOTHER}
    content = files(service)
    assert [each for each in of_owner if each in content] == []
    assert not content or all(each in content for each in of_another)


async def test_the_budgets_outlive_an_erasure(service: Service) -> None:
    """Neither the number's own nor all callers' begin anew."""
    phone = await service.phone()
    rows = "phone_verification.verification_id"
    before = [content for place, content in (await kept(service)).plain if place == rows]
    await phone.delete_account()
    again = await service.stack.enter_async_context(
        Phone(service.channel(), origin=ORIGIN, clock=service.clock)
    )
    with pytest.raises(Exception, match="RATE_LIMITED"):
        await again.start(NUMBER)
    assert [content for place, content in (await kept(service)).plain if place == rows] == before


async def test_what_was_sent_before_an_erasure_proves_nothing(service: Service) -> None:
    phone = await service.phone()
    service.clock.turn(seconds=31)
    late = await service.stack.enter_async_context(
        Phone(service.channel(), origin=ORIGIN, clock=service.clock)
    )
    started = await late.start(NUMBER)
    code = await service.text_code()
    await phone.delete_account()
    with pytest.raises(Exception, match="CODE_REJECTED"):
        await late.register(started, code, "Late")
    service.clock.turn(seconds=31)
    anew = await service.phone()
    assert [each.state for each in await anew.devices()] == [pb.DEVICE_STATE_ACTIVE]
