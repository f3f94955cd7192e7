"""Owns how links and their keys are kept and found for the devices of an account."""

from sqlmodel import col, select

from authy_grpc.domain.errors import NotFound
from authy_grpc.domain.site import Site
from authy_grpc.store.application import WITHOUT_LOGO, Profile, profile
from authy_grpc.store.tables import ApplicationRow, EnrollmentRow, LinkRow, SiteKeyRow
from authy_grpc.store.tx import Tx
from authy_grpc.store.vault import Vault

_LABEL = "link.label"


def find(tx: Tx, account_id: str, site_id: str, *, lock: bool = False) -> LinkRow:
    """A link of an account that has not ended.

    Raises:
        NotFound: there is none, it is another account's, or the time for its first code is over.
    """
    statement = select(LinkRow).where(
        LinkRow.site_id == site_id,
        LinkRow.account_id == account_id,
        col(LinkRow.state).in_(("AWAITING", "ACTIVE")),
    )
    row = tx.exec(statement.with_for_update() if lock else statement).first()
    if row is None or (row.state == "AWAITING" and site_id not in _awaiting(tx, account_id)):
        raise NotFound
    return row


def active_key(tx: Tx, site_id: str, device_id: str) -> SiteKeyRow | None:
    """The key that a device has for a link, or None."""
    statement = select(SiteKeyRow).where(
        SiteKeyRow.site_id == site_id, SiteKeyRow.device_id == device_id, SiteKeyRow.state == "ACTIVE"
    )
    return tx.exec(statement).first()


def listed(tx: Tx, account_id: str, device_id: str) -> list[Site]:
    """The links of an account as one of its devices sees them, oldest first."""
    statement = (
        select(LinkRow, ApplicationRow)
        .options(WITHOUT_LOGO)
        .join(ApplicationRow, col(ApplicationRow.application_id) == col(LinkRow.application_id))
        .where(LinkRow.account_id == account_id, col(LinkRow.state).in_(("AWAITING", "ACTIVE")))
        .order_by(col(LinkRow.create_time), col(LinkRow.site_id))
    )
    awaiting = _awaiting(tx, account_id)
    keyed = _keyed(tx, device_id) | {site_id for site_id, by in awaiting.items() if by == device_id}
    return [
        site(tx.vault, link, application, has_key=link.site_id in keyed)
        for link, application in tx.exec(statement)
        if link.state == "ACTIVE" or link.site_id in awaiting
    ]


def one(tx: Tx, link: LinkRow, device_id: str) -> Site:
    """A link as a device sees it, by what is in the store."""
    application = profile(tx, link.application_id)
    accepted = _awaiting(tx, link.account_id or "").get(link.site_id) == device_id
    has_key = accepted or active_key(tx, link.site_id, device_id) is not None
    return site(tx.vault, link, application, has_key=has_key)


def label(vault: Vault, link: LinkRow) -> str:
    """A link's name of its owner's own; empty for none."""
    sealed = link.sealed_label
    return "" if sealed is None else vault.open(_LABEL, link.site_id, sealed).decode()


def set_label(vault: Vault, link: LinkRow, value: str) -> None:
    """Give a link its owner's own name; an empty one for none."""
    link.sealed_label = vault.seal(_LABEL, link.site_id, value.encode()) if value else None


def site(vault: Vault, link: LinkRow, application: ApplicationRow | Profile, *, has_key: bool) -> Site:
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
    found = tx.exec(select(ApplicationRow.logo).where(ApplicationRow.logo_id == logo_id)).first()
    if not found or not logo_id:
        raise NotFound
    return found


def _awaiting(tx: Tx, account_id: str) -> dict[str, str | None]:
    """The links for which a site still asks for a first code, and the devices whose code it is."""
    statement = select(EnrollmentRow.site_id, EnrollmentRow.device_id).where(
        EnrollmentRow.account_id == account_id,
        EnrollmentRow.state == "AWAITING_CODE",
        EnrollmentRow.expire_time > tx.now(),
    )
    return {site_id: device_id for site_id, device_id in tx.exec(statement) if site_id is not None}


def _keyed(tx: Tx, device_id: str) -> set[str]:
    statement = select(SiteKeyRow.site_id).where(
        SiteKeyRow.device_id == device_id, SiteKeyRow.state == "ACTIVE"
    )
    return set(tx.exec(statement))
