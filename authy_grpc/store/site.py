"""Links as the devices of their account see them."""

from dataclasses import fields

from sqlalchemy import bindparam, select

from authy_grpc.domain.errors import NotFound
from authy_grpc.domain.site import Site
from authy_grpc.store import link as links
from authy_grpc.store.application import Profile, profile
from authy_grpc.store.bulk import table
from authy_grpc.store.columns import Moment
from authy_grpc.store.link import Kept
from authy_grpc.store.statements import Statement, among, statement
from authy_grpc.store.tables import ApplicationRow, EnrollmentRow, LinkRow, SiteKeyRow
from authy_grpc.store.tx import Tx
from authy_grpc.store.vault import Vault

_LABEL = "link.label"
_LINK, _KEY = table(LinkRow).c, table(SiteKeyRow).c
_APPLICATION, _ENROLLMENT = table(ApplicationRow).c, table(EnrollmentRow).c


_AWAITING = statement(
    select(_ENROLLMENT.site_id, _ENROLLMENT.device_id).where(
        _ENROLLMENT.account_id == bindparam("account_id"),
        _ENROLLMENT.site_id.is_not(None),
        _ENROLLMENT.state == "AWAITING_CODE",
        _ENROLLMENT.expire_time > bindparam("now", type_=Moment),
    ),
)
_OF_LINK, _OF_APPLICATION = fields(Kept), fields(Profile)


def _both(*columns: object) -> tuple[Kept, Profile]:
    at = len(_OF_LINK)
    return Kept(*columns[:at]), Profile(*columns[at:])  # type: ignore[arg-type]


_LISTED = Statement(
    _both,
    select(*[_LINK[each.name] for each in _OF_LINK], *[_APPLICATION[each.name] for each in _OF_APPLICATION])
    .join_from(table(LinkRow), table(ApplicationRow), _APPLICATION.application_id == _LINK.application_id)
    .where(_LINK.account_id == bindparam("account_id"), among(_LINK.state, ("AWAITING", "ACTIVE")))
    .order_by(_LINK.create_time, _LINK.site_id),
)
_KEYED = Statement(
    str, select(_KEY.site_id).where(_KEY.device_id == bindparam("device_id"), _KEY.state == "ACTIVE")
)
_LOGO = Statement(bytes, select(_APPLICATION.logo).where(_APPLICATION.logo_id == bindparam("logo_id")))


def find(tx: Tx, account_id: str, site_id: str, *, lock: bool = False) -> Kept:
    """A link of an account that has not ended.

    Raises:
        NotFound: there is none, it is another account's, or the time for its first code is over.
    """
    row = links.find_own(tx, account_id, site_id, lock=lock)
    if row is None or (row.state == "AWAITING" and site_id not in _awaiting(tx, account_id)):
        raise NotFound
    return row


def listed(tx: Tx, account_id: str, device_id: str) -> list[Site]:
    """The links of an account as one of its devices sees them, oldest first."""
    awaiting = _awaiting(tx, account_id)
    keyed = {*_KEYED.all(tx, device_id=device_id)}
    keyed |= {site_id for site_id, by in awaiting.items() if by == device_id}
    return [
        site(tx.vault, link, application, has_key=link.site_id in keyed)
        for link, application in _LISTED.all(tx, account_id=account_id)
        if link.state == "ACTIVE" or link.site_id in awaiting
    ]


def one(tx: Tx, link: Kept, device_id: str) -> Site:
    """A link as a device sees it, by what is in the store."""
    application = profile(tx, link.application_id)
    accepted = _awaiting(tx, link.account_id or "").get(link.site_id) == device_id
    has_key = accepted or links.active_key(tx, link.site_id, device_id) is not None
    return site(tx.vault, link, application, has_key=has_key)


def label(vault: Vault, link: Kept) -> str:
    """A link's name of its owner's own; empty for none."""
    sealed = link.sealed_label
    return "" if sealed is None else vault.open(_LABEL, link.site_id, sealed).decode()


def set_label(tx: Tx, link: Kept, value: str) -> None:
    """Give a link its owner's own name; an empty one for none."""
    sealed = tx.vault.seal(_LABEL, link.site_id, value.encode()) if value else None
    links.ROWS.change(tx, link, sealed_label=sealed)


def site(vault: Vault, link: Kept, application: Profile, *, has_key: bool) -> Site:
    """A link as its owner sees it."""
    return Site(
        site_id=link.site_id,
        name=application.name,
        logo_id=application.logo_id,
        origin=application.origin,
        code_digits=application.code_digits,
        code_period_seconds=application.code_period_seconds,
        create_time=link.create_time,
        last_use_time=link.last_use_time,
        has_key=has_key,
        label=label(vault, link),
        awaiting_code=link.state == "AWAITING",
    )


def logo(tx: Tx, logo_id: str) -> bytes:
    """The logo of any site, by an id that nobody guesses.

    Raises:
        NotFound: there is none.
    """
    found = _LOGO.first(tx, logo_id=logo_id)
    if not found or not logo_id:
        raise NotFound
    return found


def _awaiting(tx: Tx, account_id: str) -> dict[str, str | None]:
    """The links for which a site still asks for a first code, and the devices whose code it is."""
    return dict(_AWAITING.all(tx, account_id=account_id, now=tx.now()))
