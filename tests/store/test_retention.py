"""Rows go when they have served, to the millisecond, and what must stay stays."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlmodel import SQLModel

from authy_grpc.domain import approval, enrollment
from authy_grpc.store import position, retention
from authy_grpc.store.database import Database
from authy_grpc.store.events import EARLIEST
from authy_grpc.store.tables import (
    AccountRow,
    ActivityRow,
    AnswerRow,
    BudgetRow,
    DeviceRow,
    EventRow,
    LinkRow,
    PhoneVerificationRow,
    SentCodeRow,
    SessionRow,
    SpentAuthyIdRow,
    SpentKeyRow,
)
from authy_grpc.store.tx import Tx
from tests import rows
from tests.clock import TurnedClock
from tests.recording import by, happened, names, read

NOW = TurnedClock().now
WEEK, MONTH, NOTHING = timedelta(days=7), timedelta(days=30), timedelta(0)
Make = Callable[[datetime], SQLModel]


def account(name: str = "acc_1", number: bytes | None = b"number") -> AccountRow:
    return AccountRow(
        account_id=name,
        sealed_number=number,
        number_digest=number and name.encode(),
        new_device_policy="HOLD",
        create_time=NOW,
    )


def device(name: str = "dev_1", account_id: str = "acc_1", **fields: Any) -> DeviceRow:
    values: dict[str, Any] = dict.fromkeys(
        ("sealed_name", "signing_key", "agreement_key", "server_agreement_key", "sealed_secret"), b""
    )
    values |= {"platform": "ANDROID", "state": "ACTIVE", "create_time": NOW - 30 * MONTH}
    return DeviceRow(device_id=name, account_id=account_id, **values | fields)


def link(name: str = "sit_1", account_id: str = "acc_1") -> LinkRow:
    return LinkRow(
        site_id=name,
        application_id="app_1",
        account_id=account_id,
        authy_id=name,
        sealed_custom_user_id=b"",
        custom_user_digest=name.encode(),
        state="ACTIVE",
        create_time=NOW,
    )


def session_of(device_id: str, expire_time: datetime) -> SessionRow:
    return SessionRow(
        session_id=f"ses_{device_id}",
        device_id=device_id,
        token_hash=device_id.encode(),
        create_time=NOW,
        expire_time=expire_time,
    )


def ended(make: Callable[[str, datetime], SQLModel], state: str) -> Make:
    return lambda time: make(state, time)


KINDS: dict[str, tuple[timedelta, Make]] = {
    **{f"enrollment {state}": (WEEK, ended(rows.enrollment, state)) for state in enrollment.TERMINAL},
    **{f"approval {state}": (WEEK, ended(rows.approval, state)) for state in approval.TERMINAL},
    "sent code": (
        WEEK,
        lambda time: SentCodeRow(
            site_id="sit_1", action="", channel="SMS", sealed_code=b"", create_time=time, expire_time=time
        ),
    ),
    "phone verification": (
        WEEK,
        lambda time: PhoneVerificationRow(
            verification_id="ver_1",
            sealed_number=b"",
            number_digest=b"",
            purpose="REGISTER_DEVICE",
            sealed_code=b"",
            create_time=time,
            expire_time=time,
        ),
    ),
    "session": (WEEK, lambda time: session_of("dev_1", time)),
    "answer": (
        NOTHING,
        lambda time: AnswerRow(
            application_id="app_1",
            method="m",
            request_id="r",
            request_digest=b"",
            sealed_body=b"",
            expire_time=time,
        ),
    ),
    "budget": (NOTHING, lambda time: BudgetRow(name="link:sit_1", times="[]", expire_time=time)),
    "activity": (
        timedelta(days=90),
        lambda time: ActivityRow(
            activity_id="act_1", account_id="acc_1", type="site.added", sealed_body=b"", create_time=time
        ),
    ),
    "revoked device": (MONTH, lambda time: device("dev_2", state="REVOKED", revoke_time=time)),
}
STAY: dict[str, SQLModel] = {
    "enrollment PENDING": rows.enrollment("PENDING", NOW - MONTH),
    "enrollment SCANNED": rows.enrollment("SCANNED", NOW - MONTH),
    "enrollment AWAITING_CODE": rows.enrollment("AWAITING_CODE", NOW - MONTH),
    "approval PENDING": rows.approval("PENDING", NOW - MONTH),
    "active device": device("dev_2"),
    "held device": device("dev_2", state="HELD"),
    "account with a number": account("acc_2"),
    "account with a number by another key": AccountRow(
        account_id="acc_2", number_digest_odd=b"number", new_device_policy="HOLD", create_time=NOW
    ),
    "erased account with a device": device("dev_2", "acc_erased"),
    "erased account with a link": link("sit_2", "acc_erased"),
    "spent key": SpentKeyRow(thumbprint="kid"),
    "spent authy_id": SpentAuthyIdRow(application_id="app_1", authy_id="1234567"),
}


@pytest.fixture
async def world(database: Database) -> Database:
    await add(database, rows.application(NOW), account(), device(), link())
    return database


async def add(database: Database, *added: SQLModel) -> None:
    await database.write(lambda tx: rows.add(tx, *added))


async def count(database: Database, table: type[SQLModel]) -> int:
    return await database.read(lambda tx: len(rows.every(tx, table)))


async def prune(database: Database, now: datetime) -> int:
    def work(tx: Tx) -> int:
        return retention.prune(by(tx, clock=lambda: now))

    return await database.write(work)


@pytest.mark.parametrize("kind", sorted(KINDS))
async def test_each_kind_goes_a_millisecond_after_its_time(world: Database, kind: str) -> None:
    span, make = KINDS[kind]
    row = make(NOW)
    before = await count(world, type(row))
    await add(world, row)
    assert await prune(world, NOW + span) == 0
    assert await count(world, type(row)) == before + 1
    assert await prune(world, NOW + span + timedelta(milliseconds=1)) == 1
    assert await count(world, type(row)) == before


@pytest.mark.parametrize("kind", sorted(STAY))
async def test_what_must_stay_stays(world: Database, kind: str) -> None:
    row = STAY[kind]
    if "erased" in kind:
        await add(world, account("acc_erased", None))
    before = await count(world, type(row))
    await add(world, row)
    await prune(world, NOW + 100 * MONTH)
    assert await count(world, type(row)) == before + 1
    assert await count(world, AccountRow) == 1 + ("account" in kind)


async def test_an_erased_account_goes_with_the_last_of_what_it_had(world: Database) -> None:
    await add(
        world,
        account("acc_erased", None),
        device("dev_2", "acc_erased", state="REVOKED", revoke_time=NOW),
        session_of("dev_2", NOW + 5 * WEEK),
    )
    # The device waits for its session, and the account for its device.
    assert await prune(world, NOW + 5 * WEEK) == 0
    assert await prune(world, NOW + 7 * WEEK) == 3
    assert await count(world, AccountRow) == 1


async def test_it_goes_a_step_at_a_time_until_nothing_is_left(world: Database, clock: TurnedClock) -> None:
    await add(world, *[BudgetRow(name=str(number), times="[]", expire_time=NOW) for number in range(1_100)])
    clock.turn(seconds=1)
    assert [await world.write(retention.prune) for _ in range(4)] == [500, 500, 100, 0]


async def record_at(database: Database, times: Sequence[datetime]) -> None:
    def work(tx: Tx) -> None:
        for number, time in enumerate(times):
            then = by(tx, clock=lambda time=time: time)
            then.record(happened(str(number)))
            then.write_recorded()

    await database.write(work)


async def test_events_go_in_the_order_of_the_feed(database: Database) -> None:
    minute = timedelta(minutes=1)
    await record_at(database, [NOW, NOW + minute, NOW + 2 * minute])
    places = [row.position for row in await read(database)]
    pruned = position.pruned
    assert await prune(database, NOW + MONTH) == 0
    assert await database.read(pruned) == EARLIEST
    assert await prune(database, NOW + MONTH + timedelta(milliseconds=1)) == 1
    assert await database.read(pruned) == places[0]
    assert names(await read(database)) == ["1", "2"]
    assert await prune(database, NOW + MONTH + minute + timedelta(milliseconds=1)) == 1
    assert await database.read(pruned) == places[1]
    assert await prune(database, NOW + 2 * MONTH) == 1
    assert await database.read(pruned) == places[2]
    assert await prune(database, NOW + 3 * MONTH) == 0
    assert await database.read(pruned) == places[2]


async def test_where_events_end_says_so_though_clocks_differ(database: Database) -> None:
    """An older event behind a younger one: whoever has not read it has missed something."""
    await record_at(database, [NOW + MONTH, NOW, NOW + 2 * MONTH])
    places = [row.position for row in await read(database)]
    assert await prune(database, NOW + MONTH + timedelta(days=1)) == 1
    assert names(await read(database)) == ["0", "2"]
    assert await database.read(position.pruned) == places[1]
    assert await prune(database, NOW + 2 * MONTH + timedelta(days=1)) == 1
    assert names(await read(database)) == ["2"]
    assert await database.read(position.pruned) == places[1]


async def test_many_events_go_a_step_at_a_time(database: Database) -> None:
    await record_at(database, [NOW] * 1_100)
    assert [await prune(database, NOW + 2 * MONTH) for _ in range(4)] == [500, 500, 100, 0]
    assert await count(database, EventRow) == 0
