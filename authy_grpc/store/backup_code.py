"""Backup codes as they are kept: keyed digests, a row each, gone when it is used."""

from collections.abc import Iterable, Sequence

from sqlalchemy import FromClause, String, bindparam, delete, select
from sqlalchemy.sql.base import Executable

from authy_grpc.domain.encoding import fold
from authy_grpc.store.bulk import Bulk, Inserted, table
from authy_grpc.store.statements import statement
from authy_grpc.store.tables import BackupCodeRow
from authy_grpc.store.tx import Tx
from authy_grpc.store.vault import Vault
from authy_grpc.store.verification import LinkState

_PURPOSE = "backup_code"
_CODES = table(BackupCodeRow)


_DELETE = statement(
    delete(_CODES).where(_CODES.c.site_id == bindparam("of_site"), _CODES.c.code_hash == bindparam("used"))
)
_VOID = statement(delete(_CODES).where(_CODES.c.site_id == bindparam("site_id")))
_INSERT = Inserted(_CODES, "site_id", "code_hash")


def _select(sites: FromClause) -> Executable:
    return (
        select(_CODES.c.site_id, _CODES.c.code_hash)
        .select_from(sites)
        .join(_CODES, _CODES.c.site_id == sites.c.site_id)
    )


_SELECT = Bulk(site_id=String).statement(_select)


def digests(vault: Vault, site_id: str, code: str) -> tuple[bytes, ...]:
    """What a code, as typed, may be kept as."""
    return vault.digests(_PURPOSE, _subject(site_id, code))


def read(tx: Tx, links: Iterable[LinkState]) -> None:
    """Add to links the digests of their codes.

    Those of a link that has ended go on until its site is told: it has minted them, and could tell by
    trying one when its user's account was erased.
    """
    by_id = {link.site_id: link for link in links}
    for site_id, digest in _SELECT.all(tx, [(site_id,) for site_id in by_id]):
        by_id[site_id].codes.backup.add(digest)


def save(tx: Tx, links: Iterable[LinkState]) -> None:
    """Remove the codes that were used."""
    for link in links:
        for digest in link.codes.spent:
            _DELETE.run(tx, of_site=link.site_id, used=digest)


def replace(tx: Tx, site_id: str, codes: Sequence[str]) -> None:
    """Keep these codes, and void the earlier ones."""
    _VOID.run(tx, site_id=site_id)
    _INSERT.run(tx, [(site_id, tx.vault.digest(_PURPOSE, _subject(site_id, code))) for code in codes])


def _subject(site_id: str, code: str) -> bytes:
    return f"{site_id}\n{fold(code)}".encode()
