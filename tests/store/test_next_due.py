"""When something falls due next is read from what is open, and from nothing else."""

from datetime import datetime, timedelta

import pytest
from sqlmodel import SQLModel

from authy_grpc.domain.enrollment import TERMINAL, EnrollmentState
from authy_grpc.store import next_due
from authy_grpc.store.database import Database
from authy_grpc.store.tables import ApplicationRow, ApprovalRow, EnrollmentRow, TextRow
from authy_grpc.store.tx import Tx
from tests import rows
from tests.clock import TurnedClock

NOW = TurnedClock().now


def after(minutes: int) -> datetime:
    return NOW + timedelta(minutes=minutes)


async def add(database: Database, *added: SQLModel) -> None:
    def work(tx: Tx) -> None:
        if rows.find(tx, ApplicationRow, "app_1") is None:
            rows.add(tx, rows.application(NOW))
        rows.add(tx, *added)

    await database.write(work)


def enrollment(state: str, expire_time: datetime) -> EnrollmentRow:
    return rows.enrollment(state, expire_time, name=f"enr_{state}_{expire_time}")


def approval(state: str, expire_time: datetime) -> ApprovalRow:
    return rows.approval(state, expire_time, name=f"apr_{state}_{expire_time}")


async def test_nothing_is_due_where_nothing_is_open(database: Database) -> None:
    over = [enrollment(each.value, after(1)) for each in sorted(TERMINAL)]
    await add(database, *over, approval("APPROVED", after(1)), approval("EXPIRED", after(1)))
    assert await database.read(next_due.of_enrollments) is None
    assert await database.read(next_due.of_approvals) is None
    assert await database.read(next_due.of_texts) is None


@pytest.mark.parametrize("state", sorted(set(EnrollmentState) - TERMINAL))
async def test_an_open_enrollment_falls_due(database: Database, state: EnrollmentState) -> None:
    other = next(each for each in sorted(set(EnrollmentState) - TERMINAL) if each is not state)
    await add(database, enrollment(other.value, after(9)), enrollment(state.value, after(5)))
    assert await database.read(next_due.of_enrollments) == after(5)


async def test_an_open_question_and_a_text_fall_due(database: Database) -> None:
    await add(database, approval("PENDING", after(9)), approval("PENDING", after(4)))
    texts = [
        TextRow(text_id=f"txt_{each}", sealed_message=b"", due_time=after(each), expire_time=after(20))
        for each in (7, 3)
    ]
    await add(database, *texts)
    assert await database.read(next_due.of_approvals) == after(4)
    assert await database.read(next_due.of_texts) == after(3)
