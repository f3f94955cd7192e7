"""Links and their keys as they are kept and found, and what a site may see of one: of these two tables alone.

A link in the state ENDED, and a key whose device is out, look to the site as before until it is
told. Whether they still count is another question, which `verification.py` answers.
"""

from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import bindparam, or_, select

from authy_grpc.domain.errors import NotFound
from authy_grpc.domain.event import UserEvent, UserEventType
from authy_grpc.domain.keys import write_jwk
from authy_grpc.domain.totp import without_future
from authy_grpc.domain.user import Factor, SiteKey
from authy_grpc.store.application import profile
from authy_grpc.store.events import NewEvent
from authy_grpc.store.push import PushLink
from authy_grpc.store.rows import Rows
from authy_grpc.store.statements import Statement, among
from authy_grpc.store.tables import LinkRow, SiteKeyRow
from authy_grpc.store.tx import Tx
from authy_grpc.store.vault import Vault

CUSTOM_USER_ID = "link.custom_user_id"


@dataclass(slots=True)
class Kept:
    """A link as it is kept: `LinkRow`."""

    site_id: str
    application_id: str
    account_id: str | None
    sealed_custom_user_id: bytes = field(repr=False)
    custom_user_digest: bytes | None = field(repr=False)
    custom_user_digest_odd: bytes | None = field(repr=False)
    state: str
    create_time: datetime
    authy_id: str | None = None
    sealed_label: bytes | None = field(default=None, repr=False)
    sealed_seed: bytes | None = field(default=None, repr=False)
    seed_last_step: int = -1
    phone_codes: bool = True
    failures: int = 0
    locked_until: datetime | None = None
    push_misses: int = 0
    push_frozen_until: datetime | None = None
    last_use_time: datetime | None = None
    last_verify_time: datetime | None = None


@dataclass(slots=True)
class KeptKey:
    """A device's key for a link as it is kept: `SiteKeyRow`."""

    kid: str
    site_id: str
    device_id: str
    point: bytes
    state: str
    create_time: datetime
    last_step: int = -1
    revoke_time: datetime | None = None


ROWS, KEYS = Rows(Kept, LinkRow), Rows(KeptKey, SiteKeyRow)
_LINK, _KEY = ROWS.c, KEYS.c
_OF_APPLICATION = _LINK.application_id == bindparam("application_id")
_OF_USER = _OF_APPLICATION & (_LINK.authy_id == bindparam("authy_id")) & (_LINK.state != "AWAITING")
_OF_REFERENCE = (
    _OF_APPLICATION
    & or_(
        _LINK.custom_user_digest == bindparam("digest"),
        _LINK.custom_user_digest_odd == bindparam("digest_odd"),
    )
    & (_LINK.state != "AWAITING")
)
_OF_ACCOUNT = (_LINK.account_id == bindparam("account_id")) & (_LINK.state != "ENDED")
_FIND, _LOCK = ROWS.where(_OF_USER), ROWS.where(_OF_USER, lock=True)
_LOCK_BY_REFERENCE = ROWS.where(_OF_REFERENCE, lock=True)
_HAS_USER = Statement(str, select(_LINK.site_id).where(_OF_REFERENCE))
_HOLDER = Statement(
    lambda account_id: account_id,
    select(_LINK.account_id).where(_OF_APPLICATION, _LINK.authy_id == bindparam("authy_id")),
)
_ALL_OF_APPLICATION = ROWS.where(_OF_APPLICATION, order=(_LINK.site_id,), lock=True)
_ALL_OF, _LOCK_ALL_OF = (ROWS.where(_OF_ACCOUNT, order=(_LINK.site_id,), lock=lock) for lock in (False, True))
_HAS_LINKS = Statement(str, select(_LINK.site_id).where(_OF_ACCOUNT).limit(1))
_OWN = (
    (_LINK.site_id == bindparam("site_id"))
    & (_LINK.account_id == bindparam("account_id"))
    & among(_LINK.state, ("AWAITING", "ACTIVE"))
)
_FIND_OWN, _LOCK_OWN = ROWS.where(_OWN), ROWS.where(_OWN, lock=True)
_IS_ACTIVE = _KEY.state == "ACTIVE"
_KEYS_OF = KEYS.where(_KEY.site_id == bindparam("site_id"), order=(_KEY.create_time, _KEY.kid))
_ACTIVE_KEYS_OF = KEYS.where(_KEY.site_id == bindparam("site_id"), _IS_ACTIVE)
_KEY_OF = KEYS.where(
    _KEY.site_id == bindparam("site_id"), _KEY.device_id == bindparam("device_id"), _IS_ACTIVE
)
_KEYS_OF_DEVICE = KEYS.where(
    _KEY.device_id == bindparam("device_id"),
    _IS_ACTIVE,
    select(_LINK.site_id).where(_LINK.site_id == _KEY.site_id, _LINK.state == "ACTIVE").exists(),
    order=(_KEY.kid,),
)


def find(tx: Tx, application_id: str, authy_id: str, *, lock: bool = False) -> Kept:
    """The link that a site knows by an authy_id.

    Args:
        tx: of the work.
        application_id: of the site that asks.
        authy_id: as it gave it.
        lock: whether the work will change it.

    Raises:
        NotFound: there is none, or it is another site's.
    """
    row = (_LOCK if lock else _FIND).first(tx, application_id=application_id, authy_id=authy_id)
    if row is None:
        raise NotFound
    return row


def lock_by_custom_user_id(tx: Tx, application_id: str, custom_user_id: str) -> Kept | None:
    """The link of a site's own user reference, locked, or None. It tries the digests of every key."""
    even, odd = tx.vault.pair("custom_user_id", subject(application_id, custom_user_id))
    return _LOCK_BY_REFERENCE.first(tx, application_id=application_id, digest=even, digest_odd=odd)


def holder(tx: Tx, application_id: str, authy_id: str) -> str | None:
    """The account behind a user of a site; None where there is no user, or no account."""
    return _HOLDER.first(tx, application_id=application_id, authy_id=authy_id)


def of_application(tx: Tx, application_id: str) -> list[Kept]:
    """All links of a site, in a fixed order, locked."""
    return _ALL_OF_APPLICATION.all(tx, application_id=application_id)


def of_account(tx: Tx, account_id: str, *, lock: bool = True) -> list[Kept]:
    """The links of an account that have not ended, in a fixed order, locked where they will be changed."""
    return (_LOCK_ALL_OF if lock else _ALL_OF).all(tx, account_id=account_id)


def has_links(tx: Tx, account_id: str) -> bool:
    """Whether an account has links that have not ended."""
    return _HAS_LINKS.first(tx, account_id=account_id) is not None


def find_own(tx: Tx, account_id: str, site_id: str, *, lock: bool = False) -> Kept | None:
    """A link of an account that has not ended; None where there is none, or it is another account's."""
    return (_LOCK_OWN if lock else _FIND_OWN).first(tx, account_id=account_id, site_id=site_id)


def has_user(tx: Tx, application_id: str, custom_user_id: str) -> bool:
    """Whether a site's own user reference has a user."""
    even, odd = tx.vault.pair("custom_user_id", subject(application_id, custom_user_id))
    return _HAS_USER.first(tx, application_id=application_id, digest=even, digest_odd=odd) is not None


def subject(application_id: str, custom_user_id: str) -> bytes:
    """What the digest of a custom_user_id is made over: two sites' equal ones have nothing in common."""
    return f"{application_id}\n{custom_user_id}".encode()


def custom_user_id(vault: Vault, link: Kept | PushLink) -> str:
    """The site's own reference of a link."""
    return vault.open(CUSTOM_USER_ID, link.site_id, link.sealed_custom_user_id).decode()


def site_key(row: KeptKey) -> SiteKey:
    """A key as its site sees it."""
    return known_key(row.kid, row.point, row.create_time, row.revoke_time)


def known_key(kid: str, point: bytes, create_time: datetime, revoke_time: datetime | None) -> SiteKey:
    """A key that is kept, as its site sees it: it was judged when it was brought."""
    return SiteKey(kid, write_jwk(point), create_time, revoke_time)


def told_keys(tx: Tx, site_id: str) -> tuple[SiteKey, ...]:
    """All keys that the site knows of, oldest first, the revoked ones too."""
    return tuple(site_key(row) for row in _KEYS_OF.all(tx, site_id=site_id))


def active_key(tx: Tx, site_id: str, device_id: str) -> KeptKey | None:
    """The key that a device has for a link, or None."""
    return _KEY_OF.first(tx, site_id=site_id, device_id=device_id)


def keys_of_device(tx: Tx, device_id: str) -> list[KeptKey]:
    """The keys of a device that sites know and take for good."""
    return _KEYS_OF_DEVICE.all(tx, device_id=device_id)


def has_phone(link: Kept) -> bool:
    """Whether the site has been told of an account with a phone behind the user."""
    return link.sealed_seed is None


def event(
    vault: Vault,
    link: Kept | PushLink,
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


def forget_future_steps(tx: Tx, link: Kept) -> None:
    """Forget the steps of soft tokens that were used by a clock which ran ahead."""
    now = tx.now()
    period = profile(tx, link.application_id).code_period_seconds
    step = without_future(link.seed_last_step, now, period)
    if step != link.seed_last_step:
        ROWS.change(tx, link, seed_last_step=step)
    for key in _ACTIVE_KEYS_OF.all(tx, site_id=link.site_id):
        step = without_future(key.last_step, now, period)
        if step != key.last_step:
            KEYS.change(tx, key, last_step=step)
