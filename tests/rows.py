"""Makes, reads and changes rows behind the services' back, as objects of the ORM, which has no part in them.

Those that are made here say as little as their tables allow.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, TypeVar

from sqlmodel import Session, SQLModel, select

from authy_grpc.store.tables import ApplicationRow, ApprovalRow, EnrollmentRow
from authy_grpc.store.tx import Tx

Kind = TypeVar("Kind", bound=SQLModel)


@contextmanager
def objects(tx: Tx) -> Iterator[Session]:
    """The ORM on a transaction; what it has read or made is good afterwards."""
    with Session(tx.connection(), join_transaction_mode="rollback_only") as session:
        yield session
        session.flush()
        session.expunge_all()


def add(tx: Tx, *rows: SQLModel) -> None:
    """Write rows, in their order."""
    with objects(tx) as session:
        for row in rows:
            # A copy: a work that is run again adds it again.
            session.add(type(row)(**row.model_dump()))
            session.flush()


def find(tx: Tx, kind: type[Kind], key: Any) -> Kind | None:
    """A row by its key."""
    with objects(tx) as session:
        return session.get(kind, key)


def one(tx: Tx, kind: type[Kind], key: Any) -> Kind:
    """A row by its key, which is there."""
    with objects(tx) as session:
        return session.get_one(kind, key)


def found(tx: Tx, statement: Any) -> list[Any]:
    """What a SELECT finds: rows, or values of one column."""
    with objects(tx) as session:
        return list(session.exec(statement))


def every(tx: Tx, kind: type[Kind]) -> list[Kind]:
    """All rows of a table."""
    return found(tx, select(kind))


def remove(tx: Tx, kind: type[SQLModel], key: Any) -> None:
    """Remove a row."""
    with objects(tx) as session:
        session.delete(session.get_one(kind, key))


def change(tx: Tx, kind: type[SQLModel], key: Any, **values: Any) -> None:
    """Set columns of a row."""
    with objects(tx) as session:
        row = session.get_one(kind, key)
        for name, value in values.items():
            setattr(row, name, value)


def application(create_time: datetime, **fields: Any) -> ApplicationRow:
    """An application; `app_1` where no other id is given."""
    usual: dict[str, Any] = {
        "application_id": "app_1",
        "name": "Example",
        "origin": "https://example.com",
        "code_digits": 6,
        "code_period_seconds": 30,
        "match_digits": 6,
        "phone_codes": True,
        "require_code": False,
        "create_time": create_time,
    }
    return ApplicationRow(**usual | fields)


def enrollment(state: str, expire_time: datetime, *, name: str = "enr_1") -> EnrollmentRow:
    """An enrollment of `app_1` that has stood in a state since it was to expire."""
    return EnrollmentRow(
        enrollment_id=name,
        application_id="app_1",
        sealed_custom_user_id=b"",
        custom_user_digest=name.encode(),
        method="AUTHENTICATOR",
        state=state,
        require_code=False,
        replace_existing=False,
        create_time=expire_time,
        update_time=expire_time,
        expire_time=expire_time,
    )


def approval(state: str, expire_time: datetime, *, name: str = "apr_1") -> ApprovalRow:
    """A question of `app_1`."""
    return ApprovalRow(
        approval_id=name,
        application_id="app_1",
        site_id="sit_1",
        authy_id="1234567",
        state=state,
        sealed_question=b"",
        sealed_hidden_details=b"",
        match_digits=6,
        require_user_verification=False,
        create_time=expire_time,
        expire_time=expire_time,
    )
