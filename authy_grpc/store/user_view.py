"""Reads users as their site sees them: one, or a page of them, by one statement, with keys and counts.

A user's row comes once for each key; the rows of one follow each other.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from operator import attrgetter

from sqlalchemy import ColumnElement, Integer, Select, bindparam, func, or_, select, tuple_

from authy_grpc.domain.errors import NotFound
from authy_grpc.domain.user import Factor, SiteKey, User
from authy_grpc.store.bulk import table
from authy_grpc.store.columns import Moment, from_millis, to_millis
from authy_grpc.store.link import CUSTOM_USER_ID, known_key, subject
from authy_grpc.store.statements import Statement
from authy_grpc.store.tables import ApplicationRow, BackupCodeRow, LinkRow, SiteKeyRow
from authy_grpc.store.tx import Tx
from authy_grpc.store.vault import Vault

_LINK, _KEY = table(LinkRow), table(SiteKeyRow)
_APPLICATION, _CODE = table(ApplicationRow), table(BackupCodeRow)


@dataclass(frozen=True, slots=True)
class Seen:
    """A user with one of its keys, as they are kept.

    Attributes:
        generic: whether its codes come from another authenticator app.
        phone_codes: whether the site has been told that codes can be sent to the phone.
        site_phone_codes: whether the site has such codes at all.
        kid: of the key; None where the user has none.
    """

    site_id: str
    authy_id: str | None
    sealed_custom_user_id: bytes = field(repr=False)
    generic: bool
    phone_codes: bool
    create_time: datetime
    last_verify_time: datetime | None
    locked_until: datetime | None
    push_frozen_until: datetime | None
    site_phone_codes: bool
    backup_codes_left: int
    kid: str | None
    point: bytes
    key_create_time: datetime
    key_revoke_time: datetime | None

    @property
    def sort_key(self) -> str:
        """Where the user stands in the list."""
        return f"{to_millis(self.create_time)} {self.site_id}"


_PLACE = (_LINK.c.create_time, _LINK.c.site_id)
_BACKUP_CODES_LEFT = (
    select(func.count())
    .select_from(_CODE)
    .where(_CODE.c.site_id == _LINK.c.site_id)
    .correlate(_LINK)
    .scalar_subquery()
)
_USERS = (
    select(
        _LINK.c.site_id,
        _LINK.c.authy_id,
        _LINK.c.sealed_custom_user_id,
        _LINK.c.sealed_seed.is_not(None).label("generic"),
        _LINK.c.phone_codes,
        _LINK.c.create_time,
        _LINK.c.last_verify_time,
        _LINK.c.locked_until,
        _LINK.c.push_frozen_until,
        _APPLICATION.c.phone_codes.label("site_phone_codes"),
        _BACKUP_CODES_LEFT.label("backup_codes_left"),
    )
    .join(_APPLICATION, _APPLICATION.c.application_id == _LINK.c.application_id)
    .where(_LINK.c.application_id == bindparam("application_id"), _LINK.c.state != "AWAITING")
)


def _with_keys(users: Select[tuple[object, ...]]) -> Statement[Seen]:
    found = users.subquery("found")
    return Statement(
        Seen,
        select(*found.c, _KEY.c.kid, _KEY.c.point, _KEY.c.create_time, _KEY.c.revoke_time)
        .join(_KEY, _KEY.c.site_id == found.c.site_id, isouter=True)
        .order_by(found.c.create_time, found.c.site_id, _KEY.c.create_time, _KEY.c.kid),
    )


def _one(condition: ColumnElement[bool]) -> Statement[Seen]:
    return _with_keys(_USERS.where(condition))


_PAGE = _USERS.order_by(*_PLACE).limit(bindparam("limit", type_=Integer))
_AFTER = tuple_(bindparam("create_time", type_=Moment), bindparam("site_id"))
_FIRST_PAGE, _NEXT_PAGE = _with_keys(_PAGE), _with_keys(_PAGE.where(tuple_(*_PLACE) > _AFTER))
_BY_AUTHY_ID = _one(_LINK.c.authy_id == bindparam("authy_id"))
_BY_REFERENCE = _one(
    or_(
        _LINK.c.custom_user_digest == bindparam("digest"),
        _LINK.c.custom_user_digest_odd == bindparam("digest_odd"),
    )
)


def find(tx: Tx, application_id: str, authy_id: str) -> User:
    """A user of a site.

    Raises:
        NotFound: there is none, or it is another site's.
    """
    return _only(tx.vault, _BY_AUTHY_ID.all(tx, application_id=application_id, authy_id=authy_id))


def look_up(tx: Tx, application_id: str, custom_user_id: str) -> User:
    """A user by the site's own reference. It tries the digests of every key of the keyset.

    Raises:
        NotFound: there is none.
    """
    even, odd = tx.vault.pair("custom_user_id", subject(application_id, custom_user_id))
    found = _BY_REFERENCE.all(tx, application_id=application_id, digest=even, digest_odd=odd)
    return _only(tx.vault, found)


def page(tx: Tx, application_id: str, after: str, limit: int) -> list[list[Seen]]:
    """The rows of each of a site's users, oldest first; `user` makes one of them.

    Args:
        tx: of a read.
        application_id: whose.
        after: the `sort_key` to go on after; empty for the beginning.
        limit: at most so many.
    """
    if not after:
        rows = _FIRST_PAGE.all(tx, application_id=application_id, limit=limit)
    else:
        millis, _, site_id = after.partition(" ")
        place = {"create_time": from_millis(int(millis)), "site_id": site_id}
        rows = _NEXT_PAGE.all(tx, application_id=application_id, limit=limit, **place)
    return [list(each) for _, each in groupby(rows, attrgetter("site_id"))]


def user(vault: Vault, rows: Sequence[Seen]) -> User:
    """A user, from its rows: one for each key."""
    seen = rows[0]
    keys = tuple(_keys(rows))
    return User(
        authy_id=seen.authy_id or "",
        custom_user_id=vault.open(CUSTOM_USER_ID, seen.site_id, seen.sealed_custom_user_id).decode(),
        factors=_factors(seen, keys),
        create_time=seen.create_time,
        last_verify_time=seen.last_verify_time,
        locked_until=seen.locked_until,
        push_frozen_until=seen.push_frozen_until,
        keys=keys,
        backup_codes_left=seen.backup_codes_left,
    )


def _only(vault: Vault, rows: Sequence[Seen]) -> User:
    if not rows:
        raise NotFound
    return user(vault, rows)


def _keys(rows: Iterable[Seen]) -> Iterable[SiteKey]:
    for each in rows:
        if each.kid is not None:
            yield known_key(each.kid, each.point, each.key_create_time, each.key_revoke_time)


def _factors(seen: Seen, keys: Sequence[SiteKey]) -> tuple[Factor, ...]:
    # Whether the account has other devices would show at all of its sites at one moment.
    device = any(key.revoke_time is None for key in keys)
    phone = not seen.generic and seen.phone_codes and seen.site_phone_codes
    can = {
        Factor.SOFT_TOKEN: device or seen.generic,
        Factor.SMS: phone,
        Factor.VOICE: phone,
        Factor.PUSH: device,
        Factor.BACKUP_CODE: seen.backup_codes_left > 0,
    }
    return tuple(factor for factor, available in can.items() if available)
