"""Owns how enrollments are kept, found and changed, each change with its event."""

from datetime import datetime

from sqlmodel import col, select

from authy_grpc.domain import enrollment as rules
from authy_grpc.domain.enrollment import Enrollment, EnrollmentMethod, EnrollmentState
from authy_grpc.domain.errors import NotFound
from authy_grpc.domain.event import event_type
from authy_grpc.domain.ids import hash_secret
from authy_grpc.domain.keys import jwk, thumbprint
from authy_grpc.domain.user import SiteKey
from authy_grpc.store import account as accounts
from authy_grpc.store.columns import has_digest
from authy_grpc.store.events import NewEvent
from authy_grpc.store.link import subject
from authy_grpc.store.reserve import reserve
from authy_grpc.store.tables import AccountRow, EnrollmentRow, LinkRow
from authy_grpc.store.tx import Tx
from authy_grpc.store.vault import Vault

CUSTOM_USER_ID = "enrollment.custom_user_id"
_OPEN = sorted(set(EnrollmentState) - rules.TERMINAL)
_DUE = 100


def find(tx: Tx, application_id: str, enrollment_id: str, *, lock: bool = False) -> EnrollmentRow:
    """An enrollment of a site.

    Raises:
        NotFound: there is none, or it is another site's.
    """
    statement = select(EnrollmentRow).where(
        EnrollmentRow.enrollment_id == enrollment_id, EnrollmentRow.application_id == application_id
    )
    # Locked, it is as it is now, whatever the session has read of it before.
    locked = statement.with_for_update().execution_options(populate_existing=True)
    row = tx.exec(locked if lock else statement).first()
    if row is None:
        raise NotFound
    return row


def find_by_token(tx: Tx, token: str) -> EnrollmentRow:
    """The enrollment of a QR code's token, locked.

    Raises:
        NotFound: there is none.
    """
    statement = select(EnrollmentRow).where(EnrollmentRow.token_hash == hash_secret(token))
    row = tx.exec(statement.with_for_update()).first()
    if row is None:
        raise NotFound
    return row


def lock_about(tx: Tx, seen: EnrollmentRow, *, account: bool = False) -> tuple[EnrollmentRow, LinkRow | None]:
    """An enrollment with the link that it is about, as they are now, locked.

    Args:
        tx: of the work.
        seen: the enrollment, as it was read.
        account: whether to lock the account that holds both, too: before them, as everywhere.

    Raises:
        NotFound: it is gone.
    """
    if account and seen.account_id is not None:
        tx.get(AccountRow, seen.account_id, with_for_update={"key_share": True})
    row = find(tx, seen.application_id, seen.enrollment_id, lock=True)
    link = tx.get(LinkRow, row.site_id, with_for_update=True) if row.site_id else None
    return row, link


def open_of(tx: Tx, application_id: str, custom_user_id: str) -> list[EnrollmentRow]:
    """The open enrollments of a site's own user reference, locked: one at most. Nobody begins another."""
    columns = col(EnrollmentRow.custom_user_digest), col(EnrollmentRow.custom_user_digest_odd)
    pair = tx.vault.pair("custom_user_id", subject(application_id, custom_user_id))
    # Not the row: of many who begin anew at once each would find the one before ended, and its own refused.
    for digest in sorted(filter(None, pair)):
        reserve(tx, f"enrollment:{digest.hex()}")
    statement = (
        select(EnrollmentRow)
        .where(
            EnrollmentRow.application_id == application_id,
            has_digest(columns, pair),
            col(EnrollmentRow.state).in_(_OPEN),
        )
        .with_for_update()
    )
    return list(tx.exec(statement))


def awaiting(tx: Tx, site_id: str) -> list[EnrollmentRow]:
    """The enrollments that wait for a first code to make or renew a link, locked."""
    statement = (
        select(EnrollmentRow)
        .where(EnrollmentRow.site_id == site_id, EnrollmentRow.state == "AWAITING_CODE")
        .with_for_update()
    )
    return list(tx.exec(statement))


def due(tx: Tx) -> list[EnrollmentRow]:
    """A hundred open enrollments whose time is over, locked, without what another server has taken."""
    statement = (
        select(EnrollmentRow)
        .where(col(EnrollmentRow.state).in_(_OPEN), EnrollmentRow.expire_time <= tx.now())
        .order_by(col(EnrollmentRow.expire_time))
        .limit(_DUE)
        .with_for_update(skip_locked=True)
    )
    return list(tx.exec(statement))


def present(vault: Vault, row: EnrollmentRow, now: datetime) -> Enrollment:
    """An enrollment as it stands: past its time it is EXPIRED, whether or not that was written."""
    return rules.at(_read(vault, row), now)


def begin(tx: Tx, row: EnrollmentRow) -> Enrollment:
    """Write a new enrollment."""
    enrollment = _read(tx.vault, row)
    tx.add(row)
    _record(tx, row, enrollment)
    return enrollment


def move(
    tx: Tx,
    row: EnrollmentRow,
    *states: EnrollmentState,
    authy_id: str = "",
    key: SiteKey | None = None,
) -> Enrollment:
    """Bring an enrollment to its next state, and the next.

    Args:
        tx: of the work, in which the row is locked.
        row: of the enrollment.
        states: in order.
        authy_id: with COMPLETED, of the user.
        key: with COMPLETED, the key that came with it.

    Raises:
        WrongState: a move is not legal; nothing was written.
    """
    now = tx.now()
    steps = [_read(tx.vault, row)]
    for state in states:
        done = state is EnrollmentState.COMPLETED
        steps.append(
            rules.move(
                steps[-1],
                state,
                now,
                authy_id=authy_id if done else "",
                keys=(key,) if done and key else (),
            )
        )
    return _write(tx, row, *steps[1:])


def end(tx: Tx, row: EnrollmentRow, state: EnrollmentState) -> Enrollment:
    """Bring an open enrollment to nothing: to `state`, or to EXPIRED where its time is over."""
    current = present(tx.vault, row, tx.now())
    if current.state is EnrollmentState.EXPIRED:
        return _write(tx, row, current)
    return move(tx, row, state)


def _read(vault: Vault, row: EnrollmentRow) -> Enrollment:
    custom_user_id = vault.open(CUSTOM_USER_ID, row.enrollment_id, row.sealed_custom_user_id)
    keys: tuple[SiteKey, ...] = ()
    if row.state == EnrollmentState.COMPLETED and row.point is not None:
        keys = (SiteKey(thumbprint(row.point), jwk(row.point), row.update_time),)
    return Enrollment(
        enrollment_id=row.enrollment_id,
        custom_user_id=custom_user_id.decode(),
        method=EnrollmentMethod(row.method),
        state=EnrollmentState(row.state),
        authy_id=row.authy_id,
        create_time=row.create_time,
        update_time=row.update_time,
        expire_time=row.expire_time,
        revision=row.revision,
        keys=keys,
    )


def _write(tx: Tx, row: EnrollmentRow, *steps: Enrollment) -> Enrollment:
    last = steps[-1]
    row.state, row.revision, row.update_time = last.state.value, last.revision, last.update_time
    row.authy_id = last.authy_id
    tx.add(row)
    _record(tx, row, *steps)
    if last.state in rules.TERMINAL and last.state is not EnrollmentState.COMPLETED:
        _drop_link(tx, row)
    return last


def _record(tx: Tx, row: EnrollmentRow, *steps: Enrollment) -> None:
    events = [
        NewEvent(
            type=event_type(each),
            subject_id=each.enrollment_id,
            application_id=row.application_id,
            revision=each.revision,
            body=each,
        )
        for each in steps
    ]
    tx.record(*events)


def _drop_link(tx: Tx, row: EnrollmentRow) -> None:
    link = tx.get(LinkRow, row.site_id) if row.site_id else None
    if link is None or link.state != "AWAITING":
        return
    tx.delete(link)
    if link.account_id is not None:
        accounts.changed(tx, link.account_id, sites=True)
