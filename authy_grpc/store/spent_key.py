"""Remembers public keys: each is brought once, by one device, for one purpose, ever."""

from sqlalchemy import String, select

from authy_grpc.store.bulk import Bulk, Inserted, table
from authy_grpc.store.tables import SpentKeyRow
from authy_grpc.store.tx import Tx

_SPENT = table(SpentKeyRow)
_SEEN = Bulk(thumbprint=String).statement(
    lambda given: select(_SPENT.c.thumbprint).join(given, given.c.thumbprint == _SPENT.c.thumbprint)
)
_SPEND = Inserted(_SPENT, "thumbprint")


def seen(tx: Tx, *thumbprints: str) -> bool:
    """Whether one of these keys was brought before."""
    return bool(_SEEN.all(tx, [(each,) for each in thumbprints]))


def spend(tx: Tx, *thumbprints: str) -> None:
    """Remember keys for ever. Of two works that bring one at once, the second fails and is run again."""
    _SPEND.run(tx, [(each,) for each in thumbprints])
