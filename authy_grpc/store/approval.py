"""Approvals as they are kept. Message and details are read from the sealed question, as the user does."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime

from sqlalchemy import Select, bindparam, insert, select

from authy_grpc.domain.approval import TERMINAL, Approval, ApprovalState, DenyReason, Detail, at, move
from authy_grpc.domain.errors import NotFound
from authy_grpc.domain.event import event_type
from authy_grpc.domain.receipts import Question
from authy_grpc.store.bulk import table
from authy_grpc.store.columns import Moment
from authy_grpc.store.events import NewEvent
from authy_grpc.store.push import PushLink
from authy_grpc.store.statements import Statement, Updated, statement
from authy_grpc.store.tables import ApprovalRow, DeviceRow, LinkRow, SiteKeyRow
from authy_grpc.store.tx import Tx
from authy_grpc.store.vault import Vault

_QUESTION = "approval.question"
_HIDDEN_DETAILS = "approval.hidden_details"
_MATCH_NUMBER = "approval.match_number"
_RECEIPT = "approval.receipt"
_PENDING = ApprovalState.PENDING.value
_STEP = 100
_APPROVAL, _LINK, _KEY, _DEVICE = table(ApprovalRow), table(LinkRow), table(SiteKeyRow), table(DeviceRow)


@dataclass(slots=True)
class Kept:
    """An approval as it is kept: `ApprovalRow`, which would take ten times as long to read."""

    approval_id: str
    application_id: str
    site_id: str
    account_id: str | None
    authy_id: str
    state: str
    sealed_question: bytes = field(repr=False)
    sealed_hidden_details: bytes = field(repr=False)
    sealed_match_number: bytes | None = field(repr=False)
    match_digits: int
    require_user_verification: bool
    answers: str
    sealed_receipt: bytes | None = field(repr=False)
    deny_reason: str | None
    revision: int
    create_time: datetime
    expire_time: datetime
    respond_time: datetime | None


@dataclass(frozen=True, slots=True)
class Pending:
    """A question that waits for an answer, as the authenticator gets it."""

    approval_id: str
    site_id: str
    question: bytes = field(repr=False)
    match_digits: int
    expire_time: datetime


@dataclass(frozen=True, slots=True)
class Due:
    """A question whose time has run out, and what has to be locked before it."""

    approval_id: str
    site_id: str
    account_id: str | None


@dataclass(frozen=True, slots=True)
class AnsweringKey:
    """A device's key for a link, where the device may answer with it now."""

    point: bytes
    device_id: str
    sealed_name: bytes = field(repr=False)


_ROW = [_APPROVAL.c[each.name] for each in fields(Kept)]
_BY_ID: Select[Kept] = select(*_ROW).where(_APPROVAL.c.approval_id == bindparam("approval_id"))
_OPEN: Select[Kept] = select(*_ROW).where(
    _APPROVAL.c.site_id == bindparam("site_id"), _APPROVAL.c.state == _PENDING
)
_FIND = Statement(Kept, _BY_ID)
_LOCK = Statement(Kept, _BY_ID.with_for_update())
_LOCK_OPEN = Statement(Kept, _OPEN.with_for_update())
_ASKED = Statement(
    str,
    select(_APPROVAL.c.site_id).where(
        _APPROVAL.c.approval_id == bindparam("approval_id"),
        _APPROVAL.c.account_id == bindparam("account_id"),
    ),
)
_ANSWERING = Statement(
    AnsweringKey,
    select(_KEY.c.point, _DEVICE.c.device_id, _DEVICE.c.sealed_name)
    .join(_DEVICE, _DEVICE.c.device_id == _KEY.c.device_id)
    .where(
        _KEY.c.site_id == bindparam("site_id"),
        _KEY.c.device_id == bindparam("device_id"),
        _KEY.c.kid == bindparam("kid"),
        _KEY.c.state == "ACTIVE",
        _DEVICE.c.state == "ACTIVE",
    )
    .with_for_update(),
)
_WAITING = Statement(
    Kept,
    select(*_ROW)
    .join(_LINK, _LINK.c.site_id == _APPROVAL.c.site_id)
    .where(
        _LINK.c.account_id == bindparam("account_id"),
        _LINK.c.state == "ACTIVE",
        _APPROVAL.c.state == _PENDING,
        _APPROVAL.c.expire_time > bindparam("now", type_=Moment),
    )
    .order_by(_APPROVAL.c.approval_id),
)
_DUE = Statement(
    Kept,
    select(*_ROW)
    .where(_APPROVAL.c.state == _PENDING, _APPROVAL.c.expire_time <= bindparam("now", type_=Moment))
    .order_by(_APPROVAL.c.expire_time)
    .limit(_STEP),
)
_INSERT = statement(insert(_APPROVAL).values({each.name: bindparam(each.name) for each in fields(Kept)}))
_CHANGE = Updated(_APPROVAL, "approval_id")


def add(tx: Tx, link: PushLink, question: Question, approval: Approval, match_number: str) -> Kept:
    """Keep a new approval, which is answered to the bytes of `question`."""
    own = approval.approval_id
    hidden = json.dumps(approval.hidden_details).encode()
    kept = Kept(
        approval_id=own,
        application_id=link.application_id,
        site_id=link.site_id,
        account_id=link.account_id,
        authy_id=approval.authy_id,
        state=approval.state.value,
        sealed_question=tx.vault.seal(_QUESTION, own, question.write()),
        sealed_hidden_details=tx.vault.seal(_HIDDEN_DETAILS, own, hidden),
        sealed_match_number=tx.vault.seal(_MATCH_NUMBER, own, match_number.encode())
        if match_number
        else None,
        match_digits=question.match_digits,
        require_user_verification=approval.require_user_verification,
        answers="{}",
        sealed_receipt=None,
        deny_reason=None,
        revision=approval.revision,
        create_time=approval.create_time,
        expire_time=approval.expire_time,
        respond_time=None,
    )
    _INSERT.run(tx, **{each.name: getattr(kept, each.name) for each in fields(kept)})
    return kept


def find(tx: Tx, application_id: str, approval_id: str) -> Kept:
    """An approval of a site, not locked.

    Raises:
        NotFound: there is none, or it is another site's.
    """
    kept = _FIND.first(tx, approval_id=approval_id)
    if kept is None or kept.application_id != application_id:
        raise NotFound
    return kept


def find_asked(tx: Tx, account_id: str, approval_id: str) -> str:
    """The link by which an account was asked, not locked.

    Raises:
        NotFound: there is no such approval, or it is another account's.
    """
    site_id = _ASKED.first(tx, approval_id=approval_id, account_id=account_id)
    if site_id is None:
        raise NotFound
    return site_id


def locked(tx: Tx, approval_id: str) -> Kept | None:
    """An approval as it is now, locked. Its link is locked before it."""
    return _LOCK.first(tx, approval_id=approval_id)


def open_of_link(tx: Tx, site_id: str) -> Kept | None:
    """The one question of a link that was not seen to end, locked; the link is locked before it."""
    return _LOCK_OPEN.first(tx, site_id=site_id)


def answering_key(tx: Tx, site_id: str, device_id: str, kid: str) -> AnsweringKey | None:
    """A device's key for a link, locked together with the device, where it may answer with it now.

    Args:
        tx: of the work.
        site_id: the link.
        device_id: whose key.
        kid: which of its keys for this link: never a key of another device or link.
    """
    return _ANSWERING.first(tx, site_id=site_id, device_id=device_id, kid=kid)


def question(vault: Vault, row: Kept) -> bytes:
    """What the user reads and signs, byte for byte."""
    return vault.open(_QUESTION, row.approval_id, row.sealed_question)


def match_number(vault: Vault, row: Kept) -> str:
    """What the user has to type; empty for nothing."""
    if row.sealed_match_number is None:
        return ""
    return vault.open(_MATCH_NUMBER, row.approval_id, row.sealed_match_number).decode()


def answers(row: Kept) -> dict[str, tuple[str, int]]:
    """What each receipt that was seen was answered, by the hash of what it signs: a state, and tries left."""
    return {digest: (state, left) for digest, (state, left) in json.loads(row.answers).items()}


def set_answers(row: Kept, given: Mapping[str, tuple[str, int]]) -> None:
    """What receipts were answered, to be written by `keep_answers`, or by `save` with all else."""
    row.answers = json.dumps(given)


def keep_answers(tx: Tx, row: Kept) -> None:
    """Write what receipts were answered."""
    _CHANGE.run(tx, row.approval_id, answers=row.answers)


def to_approval(vault: Vault, row: Kept) -> Approval:
    """An approval as it was last written: `domain.approval.at` tells whether its time has run out."""
    asked = Question.read(question(vault, row))
    hidden = vault.open(_HIDDEN_DETAILS, row.approval_id, row.sealed_hidden_details)
    receipt = vault.open(_RECEIPT, row.approval_id, row.sealed_receipt).decode() if row.sealed_receipt else ""
    return Approval(
        approval_id=row.approval_id,
        authy_id=row.authy_id,
        state=ApprovalState(row.state),
        message=asked.message,
        details=tuple(Detail(label, value) for label, value in asked.details),
        create_time=row.create_time,
        expire_time=row.expire_time,
        respond_time=row.respond_time,
        deny_reason=DenyReason(row.deny_reason) if row.deny_reason else None,
        receipt=receipt,
        revision=row.revision,
        hidden_details=json.loads(hidden),
        require_user_verification=row.require_user_verification,
    )


def save(tx: Tx, row: Kept, changed: Approval) -> None:
    """Write a change of an approval, with its event."""
    receipt = changed.receipt.encode()
    _CHANGE.run(
        tx,
        row.approval_id,
        answers=row.answers,
        state=changed.state.value,
        revision=changed.revision,
        respond_time=changed.respond_time,
        deny_reason=changed.deny_reason.value if changed.deny_reason else None,
        sealed_receipt=tx.vault.seal(_RECEIPT, row.approval_id, receipt) if receipt else row.sealed_receipt,
    )
    record(tx, row, changed)


def record(tx: Tx, row: Kept, changed: Approval) -> None:
    """Write the event of a change: it stands in the site's feed and wakes the account's inboxes."""
    tx.record(
        NewEvent(
            type=event_type(changed),
            subject_id=changed.approval_id,
            application_id=row.application_id,
            account_id=row.account_id,
            revision=changed.revision,
            body=changed,
        ),
    )


def called_off(approval: Approval, now: datetime) -> Approval:
    """A question that was open, ended: CANCELED, or EXPIRED where its time has run out."""
    current = at(approval, now)
    return current if current.state in TERMINAL else move(current, ApprovalState.CANCELED, now)


def cancel_open(tx: Tx, site_id: str) -> None:
    """End the open question of a link that ends, with its event. The link is locked before.

    Args:
        tx: of the change.
        site_id: the link.
    """
    row = open_of_link(tx, site_id)
    if row is not None:
        save(tx, row, called_off(to_approval(tx.vault, row), tx.now()))


def pending(tx: Tx, account_id: str) -> tuple[Pending, ...]:
    """What waits for an answer on an account's devices, oldest first."""
    now = tx.now()
    return tuple(
        Pending(row.approval_id, row.site_id, question(tx.vault, row), row.match_digits, row.expire_time)
        for row in _WAITING.all(tx, account_id=account_id, now=now)
    )


def due(tx: Tx) -> list[Due]:
    """Questions whose time has run out and that were not seen to end, the oldest hundred, not locked."""
    now = tx.now()
    return [to_due(row) for row in _DUE.all(tx, now=now)]


def to_due(row: Kept) -> Due:
    """What has to be locked to end a question."""
    return Due(row.approval_id, row.site_id, row.account_id)
