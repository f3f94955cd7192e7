"""Owns how backup codes are kept: as keyed digests, a row each, gone when it is used."""

from collections.abc import Iterable, Sequence

from sqlalchemy import bindparam, delete, select

from authy_grpc.domain.encoding import fold
from authy_grpc.store.given import Given, table
from authy_grpc.store.statements import statement
from authy_grpc.store.tables import BackupCodeRow
from authy_grpc.store.tx import Tx
from authy_grpc.store.vault import Vault
from authy_grpc.store.verification import LinkState

_PURPOSE = "backup_code"
_CODES = table(BackupCodeRow)


class BackupCodes:
    """Reads, uses up and replaces backup codes.

    Args:
        vault: digests them.
        postgres: whether the store is PostgreSQL.
    """

    def __init__(self, vault: Vault, *, postgres: bool) -> None:
        self._vault = vault
        self._links = Given(postgres, site_id=_CODES.c.site_id.type)
        self._select = statement(
            select(_CODES.c.site_id, _CODES.c.code_hash)
            .select_from(self._links.rows)
            .join(_CODES, _CODES.c.site_id == self._links.c.site_id)
        )
        self._delete = delete(_CODES).where(
            _CODES.c.site_id == bindparam("of_site"), _CODES.c.code_hash == bindparam("used")
        )

    def digests(self, site_id: str, code: str) -> tuple[bytes, ...]:
        """What a code, as typed, may be kept as."""
        return self._vault.digests(_PURPOSE, _subject(site_id, code))

    def read(self, tx: Tx, links: Iterable[LinkState]) -> None:
        """Add to links the digests of their codes.

        Those of a link that has ended go on until its site is told: it has minted them, and could tell by
        trying one when its user's account was erased.
        """
        by_id = {link.site_id: link for link in links}
        if not by_id:
            return
        given = self._links.bind([(site_id,) for site_id in by_id])
        for site_id, digest in self._select.all(tx, **given):
            by_id[site_id].codes.backup.add(digest)

    def save(self, tx: Tx, links: Iterable[LinkState]) -> None:
        """Remove the codes that were used."""
        used = [{"of_site": link.site_id, "used": digest} for link in links for digest in link.codes.spent]
        if used:
            tx.connection().execute(self._delete, used)

    def replace(self, tx: Tx, site_id: str, codes: Sequence[str]) -> None:
        """Keep these codes, and void the earlier ones."""
        tx.connection().execute(delete(_CODES).where(_CODES.c.site_id == site_id))
        for code in codes:
            digest = self._vault.digest(_PURPOSE, _subject(site_id, code))
            tx.add(BackupCodeRow(site_id=site_id, code_hash=digest))


def _subject(site_id: str, code: str) -> bytes:
    return f"{site_id}\n{fold(code)}".encode()
