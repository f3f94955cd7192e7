"""Keeps the codes that prove a number, and what the one who used a code was answered."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from pydantic import TypeAdapter
from sqlalchemy import Integer, LargeBinary, String, bindparam, select, update

from authy_grpc.domain.account import Registration
from authy_grpc.domain.clock import WELL_BEYOND_NOW
from authy_grpc.domain.phone import ANSWERED_FOR, GOOD_FOR, GUESSES, PhonePurpose
from authy_grpc.store.bulk import Bulk, table
from authy_grpc.store.columns import Moment
from authy_grpc.store.rows import Rows
from authy_grpc.store.statements import Statement
from authy_grpc.store.tables import PhoneVerificationRow
from authy_grpc.store.tx import Tx
from authy_grpc.store.vault import Vault

_NUMBER = "phone_verification.number"
_CODE = "phone_verification.code"
_ANSWER = "phone_verification.answer"
_POINT_BYTES = 65
_REGISTRATION = TypeAdapter(Registration)


@dataclass(slots=True)
class Kept:
    """A verification as it is kept: `PhoneVerificationRow`."""

    verification_id: str
    sealed_number: bytes = field(repr=False)
    number_digest: bytes = field(repr=False)
    purpose: str
    sealed_code: bytes = field(repr=False)
    create_time: datetime
    expire_time: datetime
    failures: int = 0
    request_hash: bytes | None = field(default=None, repr=False)
    device_id: str | None = None
    sealed_answer: bytes | None = field(default=None, repr=False)
    use_time: datetime | None = None


ROWS = Rows(Kept, PhoneVerificationRow)
_ROWS = table(PhoneVerificationRow)
_BEYOND = Statement(
    lambda time: time,
    select(_ROWS.c.expire_time)
    .where(_ROWS.c.expire_time <= bindparam("until", type_=Moment))
    .order_by(_ROWS.c.expire_time.desc())
    .offset(bindparam("count", type_=Integer))
    .limit(1),
)
_EMPTY = update(_ROWS).values(
    sealed_number=b"",
    number_digest=b"",
    sealed_code=b"",
    failures=GUESSES,
    request_hash=None,
    device_id=None,
    sealed_answer=None,
)
_ERASE_NUMBER = Bulk(digest=LargeBinary).statement(
    lambda given: _EMPTY.where(_ROWS.c.number_digest == given.c.digest)
)
_ERASE_DEVICES = Bulk(own=String).statement(lambda given: _EMPTY.where(_ROWS.c.device_id == given.c.own))
_FORGET = Statement(
    str,
    update(_ROWS)
    .where(_ROWS.c.use_time < bindparam("before", type_=Moment), _ROWS.c.sealed_answer.is_not(None))
    .values(sealed_answer=None)
    .returning(_ROWS.c.verification_id),
)


def add(
    tx: Tx,
    verification_id: str,
    *,
    number: str,
    purpose: PhonePurpose,
    code: str,
    expire_time: datetime,
) -> None:
    """Keep a code that goes out."""
    row = Kept(
        verification_id=verification_id,
        sealed_number=tx.vault.seal(_NUMBER, verification_id, number.encode()),
        number_digest=tx.vault.digest("number", number.encode()),
        purpose=purpose.value,
        sealed_code=tx.vault.seal(_CODE, verification_id, code.encode()),
        create_time=tx.now(),
        expire_time=expire_time,
    )
    ROWS.add(tx, row)


def newest_but(tx: Tx, count: int) -> datetime | None:
    """When the code expires that was sent before the newest so many; None where there is none.

    Those that a clock which ran ahead has sent are passed over, see `domain/clock.py`.
    """
    return _BEYOND.first(tx, until=tx.now() + GOOD_FOR + WELL_BEYOND_NOW, count=count)


def number(vault: Vault, row: Kept) -> str:
    """The number that it proves."""
    return vault.open(_NUMBER, row.verification_id, row.sealed_number).decode()


def code(vault: Vault, row: Kept) -> str:
    """The code that went out."""
    return vault.open(_CODE, row.verification_id, row.sealed_code).decode()


def use(tx: Tx, row: Kept, request: bytes, answer: Registration) -> None:
    """Note that the code is used up, by which call, and what that was answered."""
    # Bytes have no place in JSON: the key, whose length is known, stands before it.
    text = _REGISTRATION.dump_json(replace(answer, server_agreement_key=b""))
    ROWS.change(
        tx,
        row,
        request_hash=tx.vault.digest("request", request),
        device_id=answer.device.device_id,
        use_time=tx.now(),
        sealed_answer=tx.vault.seal(_ANSWER, row.verification_id, answer.server_agreement_key + text),
    )


def answer(vault: Vault, row: Kept) -> Registration | None:
    """What the call that used the code was answered; None where it was forgotten."""
    if row.sealed_answer is None:
        return None
    kept = vault.open(_ANSWER, row.verification_id, row.sealed_answer)
    registration = _REGISTRATION.validate_json(kept[_POINT_BYTES:])
    return replace(registration, server_agreement_key=kept[:_POINT_BYTES])


def erase(tx: Tx, number: str, device_ids: Sequence[str]) -> None:
    """Empty the rows of a number, and those that devices registered by. They are no verification any more.

    The rows stay: what all callers together may have sent is counted from them, see `newest_but`.
    """
    _ERASE_NUMBER.run(tx, [(each,) for each in tx.vault.digests("number", number.encode())])
    _ERASE_DEVICES.run(tx, [(each,) for each in device_ids])


def forget_answers(tx: Tx) -> int:
    """Drop answers that are not given again: they hold recovery codes. Answers how many."""
    return len(_FORGET.all(tx, before=tx.now() - ANSWERED_FOR))
