"""Owns how approvals are kept. Message and details are read from the sealed question, as the user does."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import bindparam
from sqlmodel import Session, col, select

from authy_grpc.domain.approval import TERMINAL, Approval, ApprovalState, DenyReason, Detail, at, move
from authy_grpc.domain.errors import NotFound
from authy_grpc.domain.event import event_type
from authy_grpc.domain.receipts import Question
from authy_grpc.store.columns import Moment
from authy_grpc.store.events import Events, NewEvent
from authy_grpc.store.tables import ApprovalRow, DeviceRow, LinkRow, SiteKeyRow
from authy_grpc.store.vault import Vault

_QUESTION = "approval.question"
_HIDDEN_DETAILS = "approval.hidden_details"
_MATCH_NUMBER = "approval.match_number"
_RECEIPT = "approval.receipt"
_PENDING = ApprovalState.PENDING.value
_STEP = 100

# Made once: they are run for every question, and cost more to make than to run.
_ASKED = select(ApprovalRow.site_id).where(
    col(ApprovalRow.approval_id) == bindparam("approval_id"),
    col(ApprovalRow.account_id) == bindparam("account_id"),
)
_OPEN = (
    select(ApprovalRow)
    .where(col(ApprovalRow.site_id) == bindparam("site_id"), ApprovalRow.state == _PENDING)
    .with_for_update()
    .execution_options(populate_existing=True)
)
_TOLD_KEY = (
    select(SiteKeyRow.kid)
    .where(
        col(SiteKeyRow.site_id) == bindparam("site_id"),
        col(SiteKeyRow.revoke_time).is_(None),
    )
    .limit(1)
)
_ANSWERING = (
    select(SiteKeyRow, DeviceRow)
    .join(DeviceRow, col(DeviceRow.device_id) == col(SiteKeyRow.device_id))
    .where(
        col(SiteKeyRow.site_id) == bindparam("site_id"),
        col(SiteKeyRow.device_id) == bindparam("device_id"),
        col(SiteKeyRow.kid) == bindparam("kid"),
        SiteKeyRow.state == "ACTIVE",
        DeviceRow.state == "ACTIVE",
    )
    .with_for_update()
)
_WAITING = (
    select(ApprovalRow)
    .join(LinkRow, col(LinkRow.site_id) == col(ApprovalRow.site_id))
    .where(
        col(LinkRow.account_id) == bindparam("account_id"),
        LinkRow.state == "ACTIVE",
        ApprovalRow.state == _PENDING,
        col(ApprovalRow.expire_time) > bindparam("now", type_=Moment),
    )
    .order_by(col(ApprovalRow.approval_id))
)


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
    # Where the changes of its link are written.
    lane: str


def add(
    session: Session, vault: Vault, link: LinkRow, question: Question, approval: Approval, match_number: str
) -> ApprovalRow:
    """Keep a new approval, which is answered to the bytes of `question`."""
    own = approval.approval_id
    hidden = json.dumps(approval.hidden_details).encode()
    row = ApprovalRow(
        approval_id=own,
        application_id=link.application_id,
        site_id=link.site_id,
        account_id=link.account_id,
        authy_id=approval.authy_id,
        state=approval.state.value,
        sealed_question=vault.seal(_QUESTION, own, question.write()),
        sealed_hidden_details=vault.seal(_HIDDEN_DETAILS, own, hidden),
        sealed_match_number=vault.seal(_MATCH_NUMBER, own, match_number.encode()) if match_number else None,
        match_digits=question.match_digits,
        require_user_verification=approval.require_user_verification,
        revision=approval.revision,
        create_time=approval.create_time,
        expire_time=approval.expire_time,
    )
    session.add(row)
    return row


def find(session: Session, application_id: str, approval_id: str) -> ApprovalRow:
    """An approval of a site, not locked.

    Raises:
        NotFound: there is none, or it is another site's.
    """
    row = session.get(ApprovalRow, approval_id)
    if row is None or row.application_id != application_id:
        raise NotFound
    return row


def find_asked(session: Session, account_id: str, approval_id: str) -> str:
    """The link by which an account was asked, not locked.

    Raises:
        NotFound: there is no such approval, or it is another account's.
    """
    site_id = session.exec(_ASKED, params={"approval_id": approval_id, "account_id": account_id}).first()
    if site_id is None:
        raise NotFound
    return site_id


def locked(session: Session, approval_id: str) -> ApprovalRow | None:
    """An approval as it is now, locked. Its link is locked before it."""
    return session.get(ApprovalRow, approval_id, with_for_update=True, populate_existing=True)


def open_of_link(session: Session, site_id: str) -> ApprovalRow | None:
    """The one question of a link that was not seen to end, locked; the link is locked before it."""
    return session.exec(_OPEN, params={"site_id": site_id}).first()


def has_told_key(session: Session, site_id: str) -> bool:
    """Whether a link has a key that its site takes for good."""
    return session.exec(_TOLD_KEY, params={"site_id": site_id}).first() is not None


def answering_key(
    session: Session, site_id: str, device_id: str, kid: str
) -> tuple[SiteKeyRow, DeviceRow] | None:
    """A device's key for a link and the device, locked, where it may answer with it now.

    Args:
        session: of the work.
        site_id: the link.
        device_id: whose key.
        kid: which of its keys for this link: never a key of another device or link.
    """
    names = {"site_id": site_id, "device_id": device_id, "kid": kid}
    return session.exec(_ANSWERING, params=names).first()


def question(vault: Vault, row: ApprovalRow) -> bytes:
    """What the user reads and signs, byte for byte."""
    return vault.open(_QUESTION, row.approval_id, row.sealed_question)


def match_number(vault: Vault, row: ApprovalRow) -> str:
    """What the user has to type; empty for nothing."""
    if row.sealed_match_number is None:
        return ""
    return vault.open(_MATCH_NUMBER, row.approval_id, row.sealed_match_number).decode()


def answers(row: ApprovalRow) -> dict[str, tuple[str, int]]:
    """What each receipt that was seen was answered, by the hash of what it signs: a state, and tries left."""
    return {digest: (state, left) for digest, (state, left) in json.loads(row.answers).items()}


def keep_answers(session: Session, row: ApprovalRow, given: Mapping[str, tuple[str, int]]) -> None:
    """Write what receipts were answered."""
    row.answers = json.dumps(given)
    session.add(row)


def to_approval(vault: Vault, row: ApprovalRow) -> Approval:
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


def save(
    session: Session, vault: Vault, events: Events, now: datetime, row: ApprovalRow, changed: Approval
) -> None:
    """Write a change of an approval, with its event."""
    row.state = changed.state.value
    row.revision = changed.revision
    row.respond_time = changed.respond_time
    row.deny_reason = changed.deny_reason.value if changed.deny_reason else None
    if changed.receipt:
        row.sealed_receipt = vault.seal(_RECEIPT, row.approval_id, changed.receipt.encode())
    session.add(row)
    record(session, events, now, row, changed)


def record(session: Session, events: Events, now: datetime, row: ApprovalRow, changed: Approval) -> None:
    """Write the event of a change: it stands in the site's feed and wakes the account's inboxes."""
    events.record(
        session,
        now,
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


def cancel_open(session: Session, vault: Vault, events: Events, now: datetime, site_id: str) -> None:
    """End the open question of a link that ends, with its event. The link is locked before.

    Args:
        session: of the change.
        vault: opens and seals what was asked.
        events: where the site learns it.
        now: when the link ends.
        site_id: the link.
    """
    row = open_of_link(session, site_id)
    if row is not None:
        save(session, vault, events, now, row, called_off(to_approval(vault, row), now))


def pending(session: Session, vault: Vault, account_id: str, now: datetime) -> tuple[Pending, ...]:
    """What waits for an answer on an account's devices, oldest first."""
    return tuple(
        Pending(row.approval_id, row.site_id, question(vault, row), row.match_digits, row.expire_time)
        for row in session.exec(_WAITING, params={"account_id": account_id, "now": now})
    )


def due(session: Session, now: datetime) -> list[Due]:
    """Questions whose time has run out and that were not seen to end, the oldest hundred, not locked."""
    statement = (
        select(ApprovalRow)
        .where(ApprovalRow.state == _PENDING, ApprovalRow.expire_time <= now)
        .order_by(col(ApprovalRow.expire_time))
        .limit(_STEP)
    )
    return [to_due(row) for row in session.exec(statement)]


def to_due(row: ApprovalRow) -> Due:
    """What has to be locked to end a question."""
    return Due(row.approval_id, row.site_id, row.account_id, f"{row.application_id}/{row.authy_id}")
