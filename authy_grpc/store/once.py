"""Owns what a call with a `request_id` was answered: the same request again gets the same answer."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeVar

from pydantic import TypeAdapter
from sqlmodel import Session

from authy_grpc.domain.errors import Refusal, RequestIdReused
from authy_grpc.store.tables import AnswerRow
from authy_grpc.store.vault import Vault

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


def once(
    session: Session,
    vault: Vault,
    application_id: str,
    request: Request,
    now: datetime,
    answer: TypeAdapter[Any],
    make: Callable[[], T | Refusal],
    *,
    kept: timedelta = KEPT,
) -> T | Refusal:
    """Answer a call, once for each request_id, in the transaction of its effect.

    Args:
        session: of the work.
        vault: seals the answer.
        application_id: who asks. The site, never one of its keys: a key may be changed between tries.
        request: what is asked.
        now: the time.
        answer: how the answer is kept.
        make: does the work. Only what it returns is kept, a refusal is not.
        kept: for how long.

    Raises:
        RequestIdReused: the id was used for another request.
    """
    if not request.request_id:
        return make()
    key = (application_id, request.method, request.request_id)
    kept_row = session.get(AnswerRow, key, with_for_update=True)
    place = f"{application_id}/{request.method}/{request.request_id}"
    if kept_row is not None and kept_row.expire_time > now:
        if kept_row.request_digest not in vault.digests("request", request.content):
            raise RequestIdReused
        before: T = answer.validate_json(vault.open("answer.body", place, kept_row.sealed_body))
        return before
    made = make()
    if not isinstance(made, Refusal):
        digest = vault.digest("request", request.content)
        body, until = vault.seal("answer.body", place, answer.dump_json(made)), now + kept
        # Where another server has answered meanwhile a new row is refused, and the work is run again.
        row = kept_row or AnswerRow(
            application_id=application_id,
            method=request.method,
            request_id=request.request_id,
            request_digest=digest,
            sealed_body=body,
            expire_time=until,
        )
        row.request_digest, row.sealed_body, row.expire_time = digest, body, until
        session.add(row)
    return made
