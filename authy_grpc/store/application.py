"""Keeps relying sites and their API keys."""

from dataclasses import dataclass, fields
from typing import Any

from sqlalchemy import Integer, bindparam, delete, insert, select

from authy_grpc.domain.application import ApiKey, Application, Scope
from authy_grpc.domain.errors import NotFound
from authy_grpc.store.bulk import table
from authy_grpc.store.statements import Statement, Updated, statement
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


def _application(*columns: Any) -> Application:
    return Application(**dict(zip(_NAMES, columns, strict=False)))


def _api_key(*columns: Any) -> ApiKey:
    *values, scopes = columns
    return ApiKey(**dict(zip(_KEY_NAMES, values, strict=True)), scopes=tuple(map(Scope, scopes.split())))


_APPLICATION, _KEY = table(ApplicationRow), table(ApiKeyRow)
# The logo comes last: larger than all else, it is not read with many.
_NAMES = sorted((each.name for each in fields(Application)), key="logo".__eq__)
_KEY_NAMES = [each.name for each in fields(ApiKey) if each.name != "scopes"]
_CHANGING = ("name", "origin", "match_digits", "phone_codes", "require_code")
_OWN = _APPLICATION.c.application_id == bindparam("application_id")
_PROFILE = Statement(Profile, select(*[_APPLICATION.c[each.name] for each in fields(Profile)]).where(_OWN))
_BY_ID = select(*[_APPLICATION.c[name] for name in _NAMES]).where(_OWN)
_FIND, _FIND_LOCKED = Statement(_application, _BY_ID), Statement(_application, _BY_ID.with_for_update())
_LOCK = Statement(str, select(_APPLICATION.c.application_id).where(_OWN).with_for_update())
_LISTED = Statement(
    _application,
    select(*[_APPLICATION.c[name] for name in _NAMES[:-1]])
    .where(_APPLICATION.c.application_id > bindparam("after"))
    .order_by(_APPLICATION.c.application_id)
    .limit(bindparam("limit", type_=Integer)),
)
_INSERT = statement(insert(_APPLICATION))
_CHANGE = Updated(_APPLICATION, "application_id")
_KEYS = Statement(
    _api_key,
    select(*[_KEY.c[name] for name in _KEY_NAMES], _KEY.c.scopes)
    .where(_KEY.c.application_id == bindparam("application_id"), _KEY.c.revoke_time.is_(None))
    .order_by(_KEY.c.api_key_id),
)
_INSERT_KEY = statement(insert(_KEY))
_LOCK_KEY = Statement(
    str,
    select(_KEY.c.api_key_id)
    .where(_KEY.c.api_key_id == bindparam("api_key_id"), _KEY.c.revoke_time.is_(None))
    .with_for_update(),
)
_REVOKE_KEY = Updated(_KEY, "api_key_id")
_ALL_ITS_OWN = (ApiKeyRow, EnrollmentRow, ApprovalRow, AnswerRow, EventRow, WebhookRow, ApplicationRow)
_ERASE = [
    statement(delete(own).where(own.c.application_id == bindparam("application_id")))
    for own in [table(each) for each in _ALL_ITS_OWN]
]


def profile(tx: Tx, application_id: str) -> Profile:
    """What others ask of a relying site.

    Raises:
        NotFound: there is none.
    """
    found = _PROFILE.first(tx, application_id=application_id)
    if found is None:
        raise NotFound
    return found


def find(tx: Tx, application_id: str, *, lock: bool = False) -> Application:
    """A relying site.

    Raises:
        NotFound: there is none.
    """
    found = (_FIND_LOCKED if lock else _FIND).first(tx, application_id=application_id)
    if found is None:
        raise NotFound
    return found


def lock(tx: Tx, application_id: str) -> None:
    """Lock a relying site, unread.

    Raises:
        NotFound: there is none.
    """
    if _LOCK.first(tx, application_id=application_id) is None:
        raise NotFound


def listed(tx: Tx, after: str, limit: int) -> list[Application]:
    """Relying sites, oldest first, without their logos. Their ids rise with time.

    Args:
        tx: of a read.
        after: the id to go on after; empty for the beginning.
        limit: at most so many.
    """
    return _LISTED.all(tx, after=after, limit=limit)


def add(tx: Tx, made: Application, logo_id: str) -> None:
    """Keep a new relying site."""
    _INSERT.run(tx, **{name: getattr(made, name) for name in _NAMES}, logo_id=logo_id)


def save(tx: Tx, changed: Application) -> None:
    """Write what may change of a relying site, but its logo."""
    _CHANGE.run(tx, changed.application_id, **{name: getattr(changed, name) for name in _CHANGING})


def set_logo(tx: Tx, application_id: str, logo: bytes, logo_id: str) -> None:
    """Give a relying site another logo; an empty one has no id."""
    _CHANGE.run(tx, application_id, logo=logo, logo_id=logo_id)


def keys(tx: Tx, application_id: str) -> list[ApiKey]:
    """The keys of a relying site that are not revoked, oldest first."""
    return _KEYS.all(tx, application_id=application_id)


def add_key(tx: Tx, key: ApiKey, secret_hash: bytes) -> None:
    """Keep a new API key."""
    _INSERT_KEY.run(
        tx,
        **{name: getattr(key, name) for name in _KEY_NAMES},
        scopes=" ".join(key.scopes),
        secret_hash=secret_hash,
        revoke_time=None,
    )


def revoke_key(tx: Tx, api_key_id: str) -> None:
    """Revoke an API key.

    Raises:
        NotFound: there is none that is not revoked.
    """
    if _LOCK_KEY.first(tx, api_key_id=api_key_id) is None:
        raise NotFound
    _REVOKE_KEY.run(tx, api_key_id, revoke_time=tx.now())


def erase(tx: Tx, application_id: str) -> None:
    """Remove a relying site whose links are gone, with all that is its own but its spent ids.

    Posts to its webhooks are nobody's then: they go by `retention.py`, in steps.
    """
    for each in _ERASE:
        each.run(tx, application_id=application_id)
