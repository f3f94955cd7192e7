"""Owns what a batch of calls with a `request_id` was answered: what `once.py` does, for many at once."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar

from pydantic import TypeAdapter
from sqlalchemy import String, and_, bindparam, delete, select, tuple_

from authy_grpc.domain.errors import RequestIdReused
from authy_grpc.store.columns import Moment, to_millis
from authy_grpc.store.given import Given, inserted, table
from authy_grpc.store.once import Request
from authy_grpc.store.statements import statement
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


class Answers(Generic[T]):
    """Reads and keeps answers, of a batch in one statement.

    Args:
        vault: seals them.
        answer: how one is kept.
        kept: for how long.
        postgres: whether the store is PostgreSQL.
    """

    def __init__(self, vault: Vault, answer: TypeAdapter[T], kept: timedelta, *, postgres: bool) -> None:
        self._vault = vault
        self._answer = answer
        self._life = kept
        self._keys = Given(postgres, application_id=String, method=String, request_id=String)
        row, keys = _ANSWER.c, self._keys.c
        same = and_(*[row[name] == keys[name] for name in ("application_id", "method", "request_id")])
        key = (row.application_id, row.method, row.request_id)
        self._select = statement(
            select(*key, row.request_digest, row.sealed_body, row.expire_time)
            .select_from(self._keys.rows)
            .join(_ANSWER, same)
        )
        # Not one that another server has put in its place since it was read.
        expired = row.expire_time <= bindparam("now", type_=Moment)
        self._delete = statement(delete(_ANSWER).where(tuple_(*key).in_(select(*keys)), expired))
        self._insert = inserted(postgres, _ANSWER, *(column.name for column in row))

    def ask(self, tx: Tx, calls: Iterable[tuple[str, Request]]) -> Callable[[datetime], Answered[T]]:
        """Ask what calls, each of a site, were answered before; it is waited for when it is wanted."""
        keys = {_key(application_id, request) for application_id, request in calls if request.request_id}
        rows = self._select.ask(tx, **self._keys.bind(sorted(keys))) if keys else list
        return lambda now: self._answered(now, rows())

    def _answered(self, now: datetime, rows: Iterable[Sequence[Any]]) -> Answered[T]:
        answered = Answered[T](self._vault)
        for *names, digest, sealed, expire_time in rows:
            application_id, method, request_id = names
            key = application_id, method, request_id
            if expire_time <= now:
                answered.expired.append(key)
                continue
            body = self._vault.open(_PLACE, "/".join(key), sealed)
            answered.know(key, digest, self._answer.validate_json(body))
        return answered

    def save(self, tx: Tx, now: datetime, answered: Answered[T]) -> None:
        """Keep what was answered now.

        Where another server has just used one of the ids, the database refuses, and the call runs again.
        """
        if answered.expired:
            given = {**self._keys.bind(answered.expired), "now": now}
            self._delete.run(tx, **given)
        until = to_millis(now + self._life)
        rows = [
            (*key, digest, self._vault.seal(_PLACE, "/".join(key), self._answer.dump_json(answer)), until)
            for key, digest, answer in answered.made
        ]
        self._insert.run(tx, rows)
