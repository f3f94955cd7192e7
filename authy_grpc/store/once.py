"""Idempotency: a request with the same `request_id` again gets the same answer."""

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from typing import Any, TypeVar

from pydantic import TypeAdapter
from sqlalchemy import bindparam, insert, select, update

from authy_grpc.domain.errors import Refusal, RequestIdReused
from authy_grpc.store.bulk import table
from authy_grpc.store.statements import Statement, statement
from authy_grpc.store.tables import AnswerRow
from authy_grpc.store.tx import Tx

T = TypeVar("T")

KEPT = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Request:
    """A call that may come again.

    Attributes:
        method: the full method name.
        request_id: the caller's; empty where it gave none, and the call is answered anew each time.
        content: the request's bytes, the same for the same request.
    """

    method: str
    request_id: str
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Found:
    request_digest: bytes
    sealed_body: bytes = field(repr=False)
    expire_time: datetime


_ANSWER = table(AnswerRow)
_FIND = Statement(
    _Found,
    select(_ANSWER.c.request_digest, _ANSWER.c.sealed_body, _ANSWER.c.expire_time)
    .where(*[column == bindparam(column.name) for column in _ANSWER.primary_key])
    .with_for_update(),
)
_INSERT = statement(insert(_ANSWER))
_UPDATE = statement(
    update(_ANSWER)
    .where(*[column == bindparam(f"of_{column.name}") for column in _ANSWER.primary_key])
    .values({each.name: bindparam(each.name) for each in fields(_Found)})
)


def once(
    tx: Tx,
    application_id: str,
    request: Request,
    answer: TypeAdapter[Any],
    make: Callable[[], T | Refusal],
    *,
    kept: timedelta = KEPT,
) -> T | Refusal:
    """Answer a call, once for each request_id, in the transaction of its effect.

    Args:
        tx: of the work.
        application_id: who asks. The site, never one of its keys: a key may be changed between tries.
        request: what is asked.
        answer: how the answer is kept.
        make: does the work. Only what it returns is kept, an exception is not.
        kept: for how long.

    Raises:
        RequestIdReused: the id was used for another request.
    """
    if not request.request_id:
        return make()
    key = {"application_id": application_id, "method": request.method, "request_id": request.request_id}
    place = "/".join(key.values())
    found = _FIND.first(tx, **key)
    # Not yet the time of the work, which has still to lock what it decides about.
    if found is not None and found.expire_time > tx.tools.clock():
        if found.request_digest not in tx.vault.digests("request", request.content):
            raise RequestIdReused
        before: T = answer.validate_json(tx.vault.open("answer.body", place, found.sealed_body))
        return before
    made = make()
    if not isinstance(made, Exception):
        values = {
            "request_digest": tx.vault.digest("request", request.content),
            "sealed_body": tx.vault.seal("answer.body", place, answer.dump_json(made)),
            "expire_time": tx.now() + kept,
        }
        # Where another server has answered meanwhile a new row is refused, and the work is run again.
        keep = _INSERT if found is None else _UPDATE
        names = key if found is None else {f"of_{name}": value for name, value in key.items()}
        keep.run(tx, **names, **values)
    return made
