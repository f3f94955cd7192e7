"""Makes, lists and revokes operator keys, on the store itself: no operator key can make another."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from authy_grpc.domain.errors import BadField
from authy_grpc.domain.ids import hash_secret, new_id, new_secret
from authy_grpc.store import credential, operator_key
from authy_grpc.store.database import Database
from authy_grpc.store.tx import Tx


@dataclass(frozen=True, slots=True)
class OperatorKey:
    """A key as the operator sees it.

    Attributes:
        secret: `op_…`, when it was just made; else empty.
    """

    operator_key_id: str
    name: str
    create_time: datetime
    last_use_time: datetime | None
    secret: str = field(default="", repr=False)


class OperatorKeys:
    """The operator keys of an installation, beside the one among its secrets.

    Args:
        database: keeps their hashes.
    """

    def __init__(self, *, database: Database) -> None:
        self._database = database

    async def create(self, name: str) -> OperatorKey:
        """Make a key.

        Args:
            name: what the audit trail calls whoever uses it.

        Raises:
            BadField: another key that is not revoked has it.
        """

        def work(tx: Tx) -> OperatorKey:
            if operator_key.is_named(tx, name):
                raise BadField.one("name", "is another key's")
            now, secret = tx.now(), new_secret("op", tx.random)
            made = OperatorKey(new_id("opk", now, tx.random), name, now, None, secret)
            operator_key.add(
                tx,
                operator_key_id=made.operator_key_id,
                name=name,
                secret_hash=hash_secret(secret),
            )
            return made

        return await self._database.write(work)

    async def listed(self) -> Sequence[OperatorKey]:
        """The keys that are not revoked, oldest first."""

        def work(tx: Tx) -> Sequence[OperatorKey]:
            return [OperatorKey(*row) for row in operator_key.listed(tx)]

        return await self._database.read(work)

    async def revoke(self, name: str) -> str:
        """End a key on every server within a second; answers its id.

        Raises:
            NotFound: no key has this name.
        """

        def work(tx: Tx) -> str:
            tx.now()
            ended = operator_key.revoke(tx, name)
            tx.record(credential.ended(ended))
            return ended

        return await self._database.write(work)
