"""Owns how the users of a site are made, listed and removed. What a site sees of one is in `link.py`."""

from datetime import datetime

from sqlalchemy import delete
from sqlmodel import col, select

from authy_grpc.domain.ids import new_authy_id
from authy_grpc.store.link import CUSTOM_USER_ID, find, subject
from authy_grpc.store.tables import (
    AccountRow,
    BackupCodeRow,
    LinkRow,
    SentCodeRow,
    SiteKeyRow,
    SpentAuthyIdRow,
    TellingRow,
    TextRow,
)
from authy_grpc.store.tx import Tx
from authy_grpc.store.vault import Vault


def awaiting_link(
    vault: Vault,
    application_id: str,
    account_id: str | None,
    custom_user_id: str,
    site_id: str,
    now: datetime,
    *,
    sealed_seed: bytes | None = None,
) -> LinkRow:
    """The link that an enrollment makes: no user of the site yet.

    Args:
        vault: seals the site's own reference.
        application_id: whose user it becomes.
        account_id: of the account that holds the enrollment, if any.
        custom_user_id: the site's own reference.
        site_id: of the new link.
        now: the time.
        sealed_seed: of GENERIC_TOTP.
    """
    even, odd = vault.pair("custom_user_id", subject(application_id, custom_user_id))
    return LinkRow(
        site_id=site_id,
        application_id=application_id,
        account_id=account_id,
        sealed_custom_user_id=vault.seal(CUSTOM_USER_ID, site_id, custom_user_id.encode()),
        custom_user_digest=even,
        custom_user_digest_odd=odd,
        state="AWAITING",
        sealed_seed=sealed_seed,
        create_time=now,
    )


def activate(
    tx: Tx,
    link: LinkRow,
) -> None:
    """Make a link that waited a user, with an authy_id of its own."""
    if link.account_id is not None:
        account = tx.get_one(AccountRow, link.account_id)
        link.phone_codes = account.phone_codes and account.sealed_number is not None
    link.authy_id = _unspent(tx, link.application_id)
    link.state, link.create_time = "ACTIVE", tx.now()
    tx.add(SpentAuthyIdRow(application_id=link.application_id, authy_id=link.authy_id))
    tx.add(link)


def lock(tx: Tx, application_id: str, authy_id: str) -> LinkRow:
    """The user of a site, locked, and before it the account behind it.

    Raises:
        NotFound: there is none, or it is another site's.
    """
    holder = select(LinkRow.account_id).where(
        LinkRow.application_id == application_id, LinkRow.authy_id == authy_id
    )
    account_id = tx.exec(holder).first()
    if account_id is not None:
        tx.get(AccountRow, account_id, with_for_update={"key_share": True})
    return find(tx, application_id, authy_id, lock=True)


def remove(tx: Tx, link: LinkRow) -> None:
    """Remove a link with all that is its own. The thumbprints of its keys and its authy_id stay spent."""
    tx.flush()
    for table in (SentCodeRow, BackupCodeRow, TellingRow, TextRow, SiteKeyRow):
        tx.connection().execute(delete(table).where(col(table.site_id) == link.site_id))
    tx.delete(link)
    tx.flush()


def _unspent(tx: Tx, application_id: str) -> str:
    while True:
        authy_id = new_authy_id(tx.random)
        if tx.get(SpentAuthyIdRow, (application_id, authy_id)) is None:
            return authy_id
