"""Owns that rows go when they have served."""

from authy_grpc.store import retention
from authy_grpc.store.database import Database


class Retention:
    """Removes what is kept no longer.

    Args:
        database: from which.
    """

    def __init__(self, *, database: Database) -> None:
        self._database = database

    async def prune(self) -> int:
        """Remove some of each kind; answers how many rows went."""
        return await self._database.write(lambda tx: retention.prune(tx))
