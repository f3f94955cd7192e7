"""Owns how codes that were sent are kept: one for each action of a link."""

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import Boolean, Integer, String, and_, select, update
from sqlmodel import Session

from authy_grpc.domain.user import Factor
from authy_grpc.domain.verification import SentCode
from authy_grpc.store.given import Given, table
from authy_grpc.store.tables import SentCodeRow
from authy_grpc.store.vault import Vault
from authy_grpc.store.verification import LinkState

_PLACE = "sent_code.code"
_SENT = table(SentCodeRow)


class SentCodes:
    """Reads and saves sent codes: of a batch of links in one statement, or one by itself.

    Args:
        vault: seals them.
        postgres: whether the store is PostgreSQL.
    """

    def __init__(self, vault: Vault, *, postgres: bool) -> None:
        self._vault = vault
        sent = _SENT.c
        self._keys = Given(postgres, site_id=String, action=String)
        same = and_(sent.site_id == self._keys.c.site_id, sent.action == self._keys.c.action)
        columns = (
            sent.site_id,
            sent.action,
            sent.channel,
            sent.sealed_code,
            sent.failures,
            sent.used,
            sent.expire_time,
        )
        self._select = select(*columns).select_from(self._keys.rows).join(_SENT, same)
        self._changes = Given(postgres, site_id=String, action=String, failures=Integer, used=Boolean)
        changes = self._changes.c
        self._update = (
            update(_SENT)
            .values(failures=changes.failures, used=changes.used)
            .where(sent.site_id == changes.site_id, sent.action == changes.action)
        )

    def read(self, session: Session, wanted: Iterable[tuple[LinkState, str]]) -> None:
        """Add to links the codes that were sent for these actions, where such codes count at all."""
        links = {(link.site_id, action): link for link, action in wanted if link.phone_works}
        if not links:
            return
        for row in session.connection().execute(self._select, self._keys.bind(list(links))):
            links[row.site_id, row.action].codes.sent[row.action] = SentCode(
                code=self._open(row.site_id, row.action, row.sealed_code),
                factor=Factor(row.channel),
                expire_time=row.expire_time,
                failures=row.failures,
                used=row.used,
            )

    def save(self, session: Session, links: Iterable[LinkState]) -> None:
        """Write which codes were used, and wrong codes offered in the place of others."""
        rows = [
            (link.site_id, action, link.codes.sent[action].failures, link.codes.sent[action].used)
            for link in links
            for action in link.codes.touched
        ]
        if rows:
            session.connection().execute(self._update, self._changes.bind(rows))

    def find(self, session: Session, site_id: str, action: str) -> SentCode | None:
        """The code that was last sent for an action, good or not."""
        row = session.get(SentCodeRow, (site_id, action))
        if row is None:
            return None
        return SentCode(
            code=self._open(site_id, action, row.sealed_code),
            factor=Factor(row.channel),
            expire_time=row.expire_time,
            failures=row.failures,
            used=row.used,
        )

    def keep(self, session: Session, now: datetime, site_id: str, action: str, sent: SentCode) -> None:
        """Write a code that is being sent, in the place of the one before it."""
        session.merge(
            SentCodeRow(
                site_id=site_id,
                action=action,
                channel=sent.factor.value,
                sealed_code=self._vault.seal(_PLACE, f"{site_id}/{action}", sent.code.encode()),
                failures=sent.failures,
                used=sent.used,
                create_time=now,
                expire_time=sent.expire_time,
            )
        )

    def _open(self, site_id: str, action: str, sealed: bytes) -> str:
        return self._vault.open(_PLACE, f"{site_id}/{action}", sealed).decode()
