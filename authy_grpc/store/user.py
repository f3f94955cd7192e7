"""Users of a site as they are made and removed. What a site sees of one is in `link.py`."""

from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, delete
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.base import Executable
from sqlmodel import SQLModel

from authy_grpc.domain.ids import new_authy_id
from authy_grpc.store import account as accounts
from authy_grpc.store import link as links
from authy_grpc.store.bulk import table
from authy_grpc.store.link import CUSTOM_USER_ID, Kept, subject
from authy_grpc.store.statements import Statement, statement
from authy_grpc.store.tables import (
    BackupCodeRow,
    SentCodeRow,
    SiteKeyRow,
    SpentAuthyIdRow,
    TellingRow,
    TextRow,
)
from authy_grpc.store.tx import Tx
from authy_grpc.store.vault import Vault

_SPENT = table(SpentAuthyIdRow)
_NEW_ID: dict[str, Any] = {name: bindparam(name) for name in ("application_id", "authy_id")}


def _spend(postgres: bool) -> Executable:
    new = (postgresql if postgres else sqlite).insert(_SPENT).values(_NEW_ID)
    found: Executable = new.on_conflict_do_nothing().returning(_SPENT.c.authy_id)
    return found


_SPEND = Statement(str, _spend)
_OWN: list[type[SQLModel]] = [SentCodeRow, BackupCodeRow, TellingRow, TextRow, SiteKeyRow]
_REMOVE = [
    statement(delete(each).where(each.c.site_id == bindparam("site_id")))
    for each in [table(model) for model in _OWN]
]


def awaiting_link(
    vault: Vault,
    application_id: str,
    account_id: str | None,
    custom_user_id: str,
    site_id: str,
    now: datetime,
    *,
    sealed_seed: bytes | None = None,
) -> Kept:
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
    return Kept(
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


def activate(tx: Tx, link: Kept) -> None:
    """Make a link that waited a user, with an authy_id of its own."""
    phone_codes = link.phone_codes
    if link.account_id is not None:
        account = accounts.ROWS.find(tx, link.account_id)
        phone_codes = account is not None and account.phone_codes and account.sealed_number is not None
    authy_id = _unspent(tx, link.application_id)
    links.ROWS.change(
        tx, link, phone_codes=phone_codes, authy_id=authy_id, state="ACTIVE", create_time=tx.now()
    )


def lock(tx: Tx, application_id: str, authy_id: str) -> Kept:
    """The user of a site, locked, and before it the account behind it.

    Raises:
        NotFound: there is none, or it is another site's.
    """
    account_id = links.holder(tx, application_id, authy_id)
    if account_id is not None:
        accounts.lock_for_link(tx, account_id)
    return links.find(tx, application_id, authy_id, lock=True)


def remove(tx: Tx, link: Kept) -> None:
    """Remove a link with all that is its own. The thumbprints of its keys and its authy_id stay spent."""
    for each in _REMOVE:
        each.run(tx, site_id=link.site_id)
    links.ROWS.remove(tx, link)


def _unspent(tx: Tx, application_id: str) -> str:
    """An authy_id that the site was never given; it is spent from here on."""
    while True:
        authy_id = new_authy_id(tx.random)
        if _SPEND.first(tx, application_id=application_id, authy_id=authy_id) is not None:
            return authy_id
