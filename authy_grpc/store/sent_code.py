"""Codes that were sent, as they are kept: one for each action of a link."""

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

from sqlalchemy import (
    Boolean,
    FromClause,
    Integer,
    String,
    and_,
    bindparam,
    exists,
    select,
    update,
)
from sqlalchemy.sql.base import Executable

from authy_grpc.domain.event import UserEventType
from authy_grpc.domain.user import Factor
from authy_grpc.domain.verification import SentCode
from authy_grpc.store.bulk import Bulk, table
from authy_grpc.store.rows import upsert
from authy_grpc.store.statements import statement
from authy_grpc.store.tables import AccountRow, ApplicationRow, LinkRow, SentCodeRow, TellingRow
from authy_grpc.store.tx import Tx
from authy_grpc.store.vault import Vault
from authy_grpc.store.verification import LinkState, Name

_PLACE = "sent_code.code"
_SENT, _LINK, _TELLING = table(SentCodeRow), table(LinkRow), table(TellingRow)
_ACCOUNT, _APPLICATION = table(AccountRow), table(ApplicationRow)


def _select_sent(keys: FromClause) -> Executable:
    """Codes count while site and owner have them switched on, and the site knows all about it.

    Those that do not are read all the same: see `SentCode.counts`.
    """
    sent, link, account, telling = _SENT.c, _LINK.c, _ACCOUNT.c, _TELLING.c
    untold = exists().where(
        telling.site_id == link.site_id, telling.kind == UserEventType.FACTORS_CHANGED.value
    )
    switched_on = and_(link.phone_codes, _APPLICATION.c.phone_codes, account.phone_codes)
    is_user = and_(link.state == "ACTIVE", account.sealed_number.is_not(None))
    return (
        select(
            sent.site_id,
            sent.action,
            sent.channel,
            sent.sealed_code,
            sent.failures,
            sent.used,
            sent.expire_time,
            and_(switched_on, is_user, ~untold).label("counts"),
        )
        .select_from(keys)
        .join(_LINK, and_(link.application_id == keys.c.application_id, link.authy_id == keys.c.authy_id))
        .join(_SENT, and_(sent.site_id == link.site_id, sent.action == keys.c.action))
        .join(_APPLICATION, _APPLICATION.c.application_id == link.application_id)
        .join(_ACCOUNT, account.account_id == link.account_id)
    )


def _update_sent(changes: FromClause) -> Executable:
    return (
        update(_SENT)
        .values(failures=changes.c.failures, used=changes.c.used)
        .where(_SENT.c.site_id == changes.c.site_id, _SENT.c.action == changes.c.action)
    )


_SELECT = Bulk(application_id=String, authy_id=String, action=String).statement(_select_sent)
_OF_ACTION = (_SENT.c.site_id == bindparam("site_id")) & (_SENT.c.action == bindparam("action"))
_FIND = statement(
    select(_SENT.c.sealed_code, _SENT.c.channel, _SENT.c.expire_time, _SENT.c.failures, _SENT.c.used).where(
        _OF_ACTION
    )
)
_KEEP = upsert(_SENT)
_UPDATE = Bulk(site_id=String, action=String, failures=Integer, used=Boolean).statement(_update_sent)


def ask(tx: Tx, wanted: Collection[tuple[Name, str]]) -> Callable[[Iterable[LinkState]], None]:
    """Ask for the codes that were sent to links for actions, and whether each counts.

    They are waited for, and added, by what is answered.
    """
    rows = _SELECT.ask(tx, [(*name, action) for name, action in wanted])
    return lambda links: _add(tx.vault, {link.site_id: link for link in links}, rows())


def _add(vault: Vault, links: dict[str, LinkState], rows: Iterable[Sequence[Any]]) -> None:
    for site_id, action, channel, sealed, failures, used, expire_time, counts in rows:
        if site_id not in links:
            # It was made a user since.
            continue
        links[site_id].codes.sent[action] = SentCode(
            code=_open(vault, site_id, action, sealed),
            factor=Factor(channel),
            expire_time=expire_time,
            failures=failures,
            used=used,
            counts=bool(counts),
        )


def save(tx: Tx, links: Iterable[LinkState]) -> None:
    """Write which codes were used, and wrong codes offered in the place of others."""
    rows = [
        (link.site_id, action, link.codes.sent[action].failures, link.codes.sent[action].used)
        for link in links
        for action in link.codes.touched
    ]
    _UPDATE.run(tx, rows)


def find(tx: Tx, site_id: str, action: str) -> SentCode | None:
    """The code that was last sent for an action, good or not."""
    row = _FIND.first(tx, site_id=site_id, action=action)
    if row is None:
        return None
    sealed, channel, expire_time, failures, used = row
    return SentCode(
        code=_open(tx.vault, site_id, action, sealed),
        factor=Factor(channel),
        expire_time=expire_time,
        failures=failures,
        used=used,
    )


def keep(tx: Tx, site_id: str, action: str, sent: SentCode) -> None:
    """Write a code that is being sent, in the place of the one before it."""
    _KEEP.run(
        tx,
        site_id=site_id,
        action=action,
        channel=sent.factor.value,
        sealed_code=tx.vault.seal(_PLACE, f"{site_id}/{action}", sent.code.encode()),
        failures=sent.failures,
        used=sent.used,
        create_time=tx.now(),
        expire_time=sent.expire_time,
    )


def _open(vault: Vault, site_id: str, action: str, sealed: bytes) -> str:
    return vault.open(_PLACE, f"{site_id}/{action}", sealed).decode()
