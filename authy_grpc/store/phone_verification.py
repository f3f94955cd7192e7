"""Owns the codes that prove a number, and what the one who used a code was answered."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from pydantic import TypeAdapter
from sqlalchemy import update
from sqlmodel import col, select

from authy_grpc.domain.account import Registration
from authy_grpc.domain.clock import WELL_BEYOND_NOW
from authy_grpc.domain.phone import ANSWERED_FOR, GOOD_FOR, GUESSES, PhonePurpose
from authy_grpc.store.tables import PhoneVerificationRow
from authy_grpc.store.tx import Tx
from authy_grpc.store.vault import Vault

_NUMBER = "phone_verification.number"
_CODE = "phone_verification.code"
_ANSWER = "phone_verification.answer"
_POINT_BYTES = 65
_REGISTRATION = TypeAdapter(Registration)


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
    tx.add(
        PhoneVerificationRow(
            verification_id=verification_id,
            sealed_number=tx.vault.seal(_NUMBER, verification_id, number.encode()),
            number_digest=tx.vault.digest("number", number.encode()),
            purpose=purpose.value,
            sealed_code=tx.vault.seal(_CODE, verification_id, code.encode()),
            create_time=tx.now(),
            expire_time=expire_time,
        )
    )


def newest_but(tx: Tx, count: int) -> datetime | None:
    """When the code expires that was sent before the newest so many; None where there is none.

    Those that a clock which ran ahead has sent are passed over, see `domain/clock.py`.
    """
    expires = col(PhoneVerificationRow.expire_time)
    sent = select(expires).where(expires <= tx.now() + GOOD_FOR + WELL_BEYOND_NOW)
    return tx.exec(sent.order_by(expires.desc()).offset(count).limit(1)).first()


def find(tx: Tx, verification_id: str) -> PhoneVerificationRow | None:
    """A verification, locked, or None."""
    return tx.get(PhoneVerificationRow, verification_id, with_for_update=True)


def number(vault: Vault, row: PhoneVerificationRow) -> str:
    """The number that it proves."""
    return vault.open(_NUMBER, row.verification_id, row.sealed_number).decode()


def code(vault: Vault, row: PhoneVerificationRow) -> str:
    """The code that went out."""
    return vault.open(_CODE, row.verification_id, row.sealed_code).decode()


def use(row: PhoneVerificationRow, vault: Vault, request: bytes, answer: Registration, now: datetime) -> None:
    """Note that the code is used up, by which call, and what that was answered."""
    row.request_hash = vault.digest("request", request)
    row.device_id = answer.device.device_id
    row.use_time = now
    # Bytes have no place in JSON: the key, whose length is known, stands before it.
    text = _REGISTRATION.dump_json(replace(answer, server_agreement_key=b""))
    row.sealed_answer = vault.seal(_ANSWER, row.verification_id, answer.server_agreement_key + text)


def answer(vault: Vault, row: PhoneVerificationRow) -> Registration | None:
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
    digest, device = col(PhoneVerificationRow.number_digest), col(PhoneVerificationRow.device_id)
    own = digest.in_(tx.vault.digests("number", number.encode())) | device.in_(device_ids)
    nothing = {
        "sealed_number": b"",
        "number_digest": b"",
        "sealed_code": b"",
        "failures": GUESSES,
        "request_hash": None,
        "device_id": None,
        "sealed_answer": None,
    }
    tx.connection().execute(update(PhoneVerificationRow).where(own).values(nothing))


def forget_answers(tx: Tx) -> int:
    """Drop answers that are not given again: they hold recovery codes. Answers how many."""
    forget = (
        update(PhoneVerificationRow)
        .where(
            col(PhoneVerificationRow.use_time) < tx.now() - ANSWERED_FOR,
            col(PhoneVerificationRow.sealed_answer).is_not(None),
        )
        .values(sealed_answer=None)
    )
    return tx.connection().execute(forget).rowcount
