"""Reads what a question needs of the link that it is about: whose it is, its site, and what refusals count.

A link is locked by a statement that reads nothing else: on PostgreSQL the rest of it could be older.
"""

from dataclasses import dataclass, field, fields
from datetime import datetime

from sqlalchemy import Select, bindparam, exists, select

from authy_grpc.domain.errors import NotFound
from authy_grpc.store.bulk import table
from authy_grpc.store.statements import Statement, Updated
from authy_grpc.store.tables import ApplicationRow, LinkRow, SiteKeyRow
from authy_grpc.store.tx import Tx

_LINK, _APPLICATION, _KEY = table(LinkRow), table(ApplicationRow), table(SiteKeyRow)


@dataclass(slots=True)
class PushLink:
    """A link that is locked."""

    site_id: str
    application_id: str
    account_id: str | None
    authy_id: str | None
    state: str
    sealed_custom_user_id: bytes = field(repr=False)
    locked_until: datetime | None
    push_misses: int
    push_frozen_until: datetime | None

    def is_of(self, account_id: str) -> bool:
        """Whether an account may answer for it."""
        return self.state == "ACTIVE" and self.account_id == account_id


@dataclass(frozen=True, slots=True)
class Asking:
    """What a new question says of its site.

    Attributes:
        match_digits: how many digits the site has typed at least.
        has_told_key: whether the link has a key that the site takes for good.
    """

    site_name: str
    origin: str
    match_digits: int
    has_told_key: bool


def _select(*names: str) -> Statement[PushLink]:
    statement: Select[PushLink] = (
        select(*[_LINK.c[each.name] for each in fields(PushLink)])
        .where(*[_LINK.c[name] == bindparam(name) for name in names])
        .with_for_update()
    )
    return Statement(PushLink, statement)


_OF_USER = _select("application_id", "authy_id")
_BY_ID = _select("site_id")
_ASKING = Statement(
    Asking,
    select(
        _APPLICATION.c.name,
        _APPLICATION.c.origin,
        _APPLICATION.c.match_digits,
        exists().where(_KEY.c.site_id == bindparam("site_id"), _KEY.c.revoke_time.is_(None)),
    ).where(_APPLICATION.c.application_id == bindparam("application_id")),
)
_CHANGE = Updated(_LINK, "site_id")


def lock_user(tx: Tx, application_id: str, authy_id: str) -> PushLink:
    """The link that a site knows by an authy_id, locked.

    Raises:
        NotFound: there is none, or it is another site's.
    """
    link = _OF_USER.first(tx, application_id=application_id, authy_id=authy_id)
    if link is None or link.state == "AWAITING":
        raise NotFound
    return link


def lock(tx: Tx, site_id: str) -> PushLink | None:
    """A link as it is now, locked; None where it is gone."""
    return _BY_ID.first(tx, site_id=site_id)


def asking(tx: Tx, link: PushLink) -> Asking:
    """What a new question to a locked link says of its site.

    Raises:
        NotFound: the site is gone.
    """
    found = _ASKING.first(tx, site_id=link.site_id, application_id=link.application_id)
    if found is None:
        raise NotFound
    return found


def missed(tx: Tx, link: PushLink, misses: int, frozen_until: datetime | None) -> None:
    """Write what questions that came to nothing count."""
    link.push_misses, link.push_frozen_until = misses, frozen_until
    _CHANGE.run(tx, link.site_id, push_misses=misses, push_frozen_until=frozen_until)


def succeeded(tx: Tx, link: PushLink) -> None:
    """Write a success: it lifts what wrong codes and refused questions brought about."""
    now = tx.now()
    link.locked_until, link.push_misses, link.push_frozen_until = None, 0, None
    _CHANGE.run(
        tx,
        link.site_id,
        failures=0,
        locked_until=None,
        push_misses=0,
        push_frozen_until=None,
        last_use_time=now,
        last_verify_time=now,
    )
