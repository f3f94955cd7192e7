"""Owns how relying sites and their API keys are kept."""

from dataclasses import dataclass, fields

from sqlalchemy import bindparam, delete
from sqlalchemy import select as select_columns
from sqlalchemy.orm import defer
from sqlmodel import col, select

from authy_grpc.domain.application import ApiKey, Application, Scope
from authy_grpc.domain.errors import NotFound
from authy_grpc.store.bulk import table as by_model
from authy_grpc.store.statements import Statement
from authy_grpc.store.tables import (
    AnswerRow,
    ApiKeyRow,
    ApplicationRow,
    ApprovalRow,
    EnrollmentRow,
    EventRow,
    WebhookRow,
)
from authy_grpc.store.tx import Tx

# Larger than all else of its row: it is read where it is asked for.
WITHOUT_LOGO = defer(ApplicationRow.logo)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Profile:
    """What others ask of a relying site."""

    name: str
    origin: str
    logo_id: str
    code_digits: int
    code_period_seconds: int
    phone_codes: bool
    require_code: bool


_APPLICATION = by_model(ApplicationRow)
_PROFILE = Statement(
    Profile,
    select_columns(*[_APPLICATION.c[each.name] for each in fields(Profile)]).where(
        _APPLICATION.c.application_id == bindparam("application_id")
    ),
)


def profile(tx: Tx, application_id: str) -> Profile:
    """What others ask of a relying site.

    Raises:
        NotFound: there is none.
    """
    found = _PROFILE.first(tx, application_id=application_id)
    if found is None:
        raise NotFound
    return found


def find(tx: Tx, application_id: str, *, lock: bool = False) -> ApplicationRow:
    """A relying site.

    Raises:
        NotFound: there is none.
    """
    row = tx.get(
        ApplicationRow, application_id, with_for_update=True if lock else None, options=[WITHOUT_LOGO]
    )
    if row is None:
        raise NotFound
    return row


def listed(tx: Tx, after: str, limit: int) -> list[Application]:
    """Relying sites, oldest first, without their logos. Their ids rise with time.

    Args:
        tx: of a read.
        after: the id to go on after; empty for the beginning.
        limit: at most so many.
    """
    statement = (
        select(ApplicationRow)
        .options(WITHOUT_LOGO)
        .where(ApplicationRow.application_id > after)
        .order_by(col(ApplicationRow.application_id))
        .limit(limit)
    )
    return [to_application(row, logo=False) for row in tx.exec(statement)]


def find_key(tx: Tx, api_key_id: str) -> ApiKeyRow:
    """An API key that is not revoked.

    Raises:
        NotFound: there is none.
    """
    row = tx.get(ApiKeyRow, api_key_id, with_for_update=True)
    if row is None or row.revoke_time is not None:
        raise NotFound
    return row


def keys(tx: Tx, application_id: str) -> list[ApiKeyRow]:
    """The keys of a relying site that are not revoked, oldest first."""
    statement = (
        select(ApiKeyRow)
        .where(ApiKeyRow.application_id == application_id, col(ApiKeyRow.revoke_time).is_(None))
        .order_by(col(ApiKeyRow.api_key_id))
    )
    return list(tx.exec(statement))


def to_row(value: Application, logo_id: str) -> ApplicationRow:
    """The row of a new relying site."""
    return ApplicationRow(
        application_id=value.application_id,
        name=value.name,
        origin=value.origin,
        logo=value.logo,
        logo_id=logo_id,
        code_digits=value.code_digits,
        code_period_seconds=value.code_period_seconds,
        match_digits=value.match_digits,
        phone_codes=value.phone_codes,
        require_code=value.require_code,
        create_time=value.create_time,
    )


def to_application(row: ApplicationRow, *, logo: bool = True) -> Application:
    """A relying site, from its row."""
    return Application(
        application_id=row.application_id,
        name=row.name,
        origin=row.origin,
        logo=row.logo if logo else b"",
        code_digits=row.code_digits,
        code_period_seconds=row.code_period_seconds,
        match_digits=row.match_digits,
        phone_codes=row.phone_codes,
        require_code=row.require_code,
        create_time=row.create_time,
    )


def to_api_key(row: ApiKeyRow) -> ApiKey:
    """An API key, from its row."""
    return ApiKey(
        api_key_id=row.api_key_id,
        application_id=row.application_id,
        name=row.name,
        scopes=tuple(Scope(each) for each in row.scopes.split()),
        create_time=row.create_time,
        last_use_time=row.last_use_time,
        expire_time=row.expire_time,
    )


def erase(tx: Tx, application: ApplicationRow) -> None:
    """Remove a relying site whose links are gone, with all that is its own but its spent ids.

    Posts to its webhooks are nobody's then: they go by `retention.py`, in steps.
    """
    tx.flush()
    own = application.application_id
    for table in (ApiKeyRow, EnrollmentRow, ApprovalRow, AnswerRow, EventRow, WebhookRow):
        tx.connection().execute(delete(table).where(col(table.application_id) == own))
    tx.delete(application)
