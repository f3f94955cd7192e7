"""Idempotency of a batch of calls: what `once.py` does, for many at once."""

from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from typing import Any, Generic, TypeVar

from pydantic import TypeAdapter
from sqlalchemy import String, and_, bindparam, delete, select, tuple_

from authy_grpc.domain.errors import RequestIdReused
from authy_grpc.store.bulk import Bulk, Inserted, table
from authy_grpc.store.columns import Moment, to_millis
from authy_grpc.store.once import Request
from authy_grpc.store.tables import AnswerRow
from authy_grpc.store.tx import Tx
from authy_grpc.store.vault import Vault

T = TypeVar("T")

_PLACE = "answer.body"
_ANSWER = table(AnswerRow)

# Site, method and request_id.
_Key = tuple[str, str, str]


def _key(application_id: str, request: Request) -> _Key:
    return application_id, request.method, request.request_id


class Answered(Generic[T]):
    """What the calls of a batch were answered before, and are answered now."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self._known: dict[_Key, tuple[bytes, T]] = {}
        self.made: list[tuple[_Key, bytes, T]] = []
        # What is kept no longer, and stands in the way of what is made.
        self.expired: list[_Key] = []

    def know(self, key: _Key, digest: bytes, answer: T) -> None:
        """Add what is kept: the digest of the request, and its answer."""
        self._known[key] = digest, answer

    def find(self, application_id: str, request: Request) -> T | None:
        """What a call was answered before, or None.

        Raises:
            RequestIdReused: its id was used for another request.
        """
        known = self._known.get(_key(application_id, request))
        if known is None:
            return None
        digest, answer = known
        if digest not in self._vault.digests("request", request.content):
            raise RequestIdReused
        return answer

    def add(self, application_id: str, request: Request, answer: T) -> None:
        """Remember an answer, of a call that has a `request_id`."""
        if not request.request_id:
            return
        key = _key(application_id, request)
        digest = self._vault.digest("request", request.content)
        self._known[key] = digest, answer
        self.made.append((key, digest, answer))


_BULK = Bulk(application_id=String, method=String, request_id=String)
_KEY = (_ANSWER.c.application_id, _ANSWER.c.method, _ANSWER.c.request_id)
_SELECT = _BULK.statement(
    lambda keys: (
        select(*_KEY, _ANSWER.c.request_digest, _ANSWER.c.sealed_body, _ANSWER.c.expire_time)
        .select_from(keys)
        .join(_ANSWER, and_(*[column == keys.c[column.name] for column in _KEY]))
    )
)
# Not one that another server has put in its place since it was read.
_DELETE = _BULK.statement(
    lambda keys: delete(_ANSWER).where(
        tuple_(*_KEY).in_(select(*keys.c)), _ANSWER.c.expire_time <= bindparam("now", type_=Moment)
    )
)
_INSERT = Inserted(_ANSWER, *(column.name for column in _ANSWER.c))


class Answers(Generic[T]):
    """Reads and keeps answers, of a batch in one statement.

    Args:
        answer: how one is kept.
        kept: for how long.
    """

    def __init__(self, answer: TypeAdapter[T], kept: timedelta) -> None:
        self._answer = answer
        self._life = kept

    def ask(self, tx: Tx, calls: Iterable[tuple[str, Request]]) -> Callable[[], Answered[T]]:
        """Ask what calls, each of a site, were answered before; it is waited for when it is wanted."""
        keys = {_key(application_id, request) for application_id, request in calls if request.request_id}
        rows = _SELECT.ask(tx, sorted(keys))
        return lambda: self._answered(tx, rows())

    def _answered(self, tx: Tx, rows: Iterable[Sequence[Any]]) -> Answered[T]:
        now, answered = tx.now(), Answered[T](tx.vault)
        for *names, digest, sealed, expire_time in rows:
            application_id, method, request_id = names
            key = application_id, method, request_id
            if expire_time <= now:
                answered.expired.append(key)
                continue
            body = tx.vault.open(_PLACE, "/".join(key), sealed)
            answered.know(key, digest, self._answer.validate_json(body))
        return answered

    def save(self, tx: Tx, answered: Answered[T]) -> None:
        """Keep what was answered now.

        Where another server has just used one of the ids, the database refuses, and the call runs again.
        """
        now = tx.now()
        _DELETE.run(tx, answered.expired, now=now)
        until = to_millis(now + self._life)
        rows = [
            (*key, digest, tx.vault.seal(_PLACE, "/".join(key), self._answer.dump_json(answer)), until)
            for key, digest, answer in answered.made
        ]
        _INSERT.run(tx, rows)
