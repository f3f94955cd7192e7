"""Owns how links are found, and what a site may see of one: it is read from the link and its keys alone.

A link in the state ENDED, and a key whose device is out, look to the site as before until it is
told. Whether they still count is another question, which `verification.py` answers.
"""

from datetime import datetime

from sqlalchemy import bindparam, or_
from sqlalchemy import select as select_columns
from sqlmodel import col, select

from authy_grpc.domain.errors import NotFound
from authy_grpc.domain.event import UserEvent, UserEventType
from authy_grpc.domain.keys import write_jwk
from authy_grpc.domain.totp import without_future
from authy_grpc.domain.user import Factor, SiteKey
from authy_grpc.store.application import profile
from authy_grpc.store.bulk import table
from authy_grpc.store.columns import has_digest
from authy_grpc.store.events import NewEvent
from authy_grpc.store.push import PushLink
from authy_grpc.store.statements import Statement
from authy_grpc.store.tables import LinkRow, SiteKeyRow
from authy_grpc.store.tx import Tx
from authy_grpc.store.vault import Vault

_LINK = table(LinkRow)

CUSTOM_USER_ID = "link.custom_user_id"
DEVICE_SECRET = "device.secret"


def find(tx: Tx, application_id: str, authy_id: str, *, lock: bool = False) -> LinkRow:
    """The link that a site knows by an authy_id.

    Args:
        tx: of the work.
        application_id: of the site that asks.
        authy_id: as it gave it.
        lock: whether the work will change it.

    Raises:
        NotFound: there is none, or it is another site's.
    """
    statement = select(LinkRow).where(
        LinkRow.application_id == application_id,
        LinkRow.authy_id == authy_id,
        LinkRow.state != "AWAITING",
    )
    row = tx.exec(statement.with_for_update() if lock else statement).first()
    if row is None:
        raise NotFound
    return row


def find_by_custom_user_id(
    tx: Tx, application_id: str, custom_user_id: str, *, lock: bool = False
) -> LinkRow | None:
    """The link of a site's own user reference, or None. It tries the digests of every key."""
    columns = col(LinkRow.custom_user_digest), col(LinkRow.custom_user_digest_odd)
    pair = tx.vault.pair("custom_user_id", subject(application_id, custom_user_id))
    statement = select(LinkRow).where(
        LinkRow.application_id == application_id,
        has_digest(columns, pair),
        LinkRow.state != "AWAITING",
    )
    return tx.exec(statement.with_for_update() if lock else statement).first()


_HAS_USER = Statement(
    str,
    select_columns(_LINK.c.site_id).where(
        _LINK.c.application_id == bindparam("application_id"),
        or_(
            _LINK.c.custom_user_digest == bindparam("digest"),
            _LINK.c.custom_user_digest_odd == bindparam("digest_odd"),
        ),
        _LINK.c.state != "AWAITING",
    ),
)


def has_user(tx: Tx, application_id: str, custom_user_id: str) -> bool:
    """Whether a site's own user reference has a user."""
    even, odd = tx.vault.pair("custom_user_id", subject(application_id, custom_user_id))
    return _HAS_USER.first(tx, application_id=application_id, digest=even, digest_odd=odd) is not None


def subject(application_id: str, custom_user_id: str) -> bytes:
    """What the digest of a custom_user_id is made over: two sites' equal ones have nothing in common."""
    return f"{application_id}\n{custom_user_id}".encode()


def custom_user_id(vault: Vault, link: LinkRow | PushLink) -> str:
    """The site's own reference of a link."""
    return vault.open(CUSTOM_USER_ID, link.site_id, link.sealed_custom_user_id).decode()


def site_key(row: SiteKeyRow) -> SiteKey:
    """A key as its site sees it."""
    return known_key(row.kid, row.point, row.create_time, row.revoke_time)


def known_key(kid: str, point: bytes, create_time: datetime, revoke_time: datetime | None) -> SiteKey:
    """A key that is kept, as its site sees it: it was judged when it was brought."""
    return SiteKey(kid, write_jwk(point), create_time, revoke_time)


def told_keys(tx: Tx, site_id: str) -> tuple[SiteKey, ...]:
    """All keys that the site knows of, oldest first, the revoked ones too."""
    statement = (
        select(SiteKeyRow)
        .where(SiteKeyRow.site_id == site_id)
        .order_by(col(SiteKeyRow.create_time), col(SiteKeyRow.kid))
    )
    return tuple(site_key(row) for row in tx.exec(statement))


def has_phone(link: LinkRow) -> bool:
    """Whether the site has been told of an account with a phone behind the user."""
    return link.sealed_seed is None


def event(
    vault: Vault,
    link: LinkRow | PushLink,
    type: UserEventType,
    *,
    factor: Factor | None = None,
    reason: str = "",
    key: SiteKey | None = None,
) -> NewEvent:
    """An event about the user of a link, in its site's feed."""
    return NewEvent(
        type=type.value,
        subject_id=link.site_id,
        application_id=link.application_id,
        account_id=link.account_id,
        body=UserEvent(
            authy_id=link.authy_id or "",
            custom_user_id=custom_user_id(vault, link),
            factor=factor,
            reason=reason,
            key=key,
        ),
    )


def forget_future_steps(tx: Tx, link: LinkRow) -> None:
    """Forget the steps of soft tokens that were used by a clock which ran ahead."""
    now = tx.now()
    period = profile(tx, link.application_id).code_period_seconds
    link.seed_last_step = without_future(link.seed_last_step, now, period)
    tx.add(link)
    keys = select(SiteKeyRow).where(SiteKeyRow.site_id == link.site_id, SiteKeyRow.state == "ACTIVE")
    for key in tx.exec(keys):
        key.last_step = without_future(key.last_step, now, period)
        tx.add(key)
