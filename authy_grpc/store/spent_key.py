"""Owns that a public key is brought once: by one device, for one purpose, ever."""

from sqlmodel import col, select

from authy_grpc.store.tables import SpentKeyRow
from authy_grpc.store.tx import Tx


def seen(tx: Tx, *thumbprints: str) -> bool:
    """Whether one of these keys was brought before."""
    statement = select(SpentKeyRow.thumbprint).where(col(SpentKeyRow.thumbprint).in_(thumbprints))
    return tx.exec(statement.limit(1)).first() is not None


def spend(tx: Tx, *thumbprints: str) -> None:
    """Remember keys for ever. Of two works that bring one at once, the second fails and is run again."""
    tx.add_all([SpentKeyRow(thumbprint=each) for each in thumbprints])
