"""Owns that rows go when they have served."""

from collections.abc import Callable
from datetime import datetime

from authy_grpc.store import retention
from authy_grpc.store.database import Database


class Retention:
    """Removes what is kept no longer.

    Args:
        database: from which.
        clock: the time.
    """

    def __init__(self, *, database: Database, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._clock = clock

    async def prune(self) -> int:
        """Remove some of each kind; answers how many rows went."""
        return await self._database.write(lambda tx: retention.prune(tx, self._clock()))
