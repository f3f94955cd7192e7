"""Enrollments as they are kept, found and changed, each change with its event."""

from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import bindparam, or_

from authy_grpc.domain import enrollment as rules
from authy_grpc.domain.enrollment import Enrollment, EnrollmentMethod, EnrollmentState
from authy_grpc.domain.errors import NotFound
from authy_grpc.domain.event import event_type
from authy_grpc.domain.ids import hash_secret
from authy_grpc.domain.keys import jwk, thumbprint
from authy_grpc.domain.user import SiteKey
from authy_grpc.store import account as accounts
from authy_grpc.store import link as links
from authy_grpc.store.bulk import table
from authy_grpc.store.columns import Moment
from authy_grpc.store.events import NewEvent
from authy_grpc.store.reserve import reserve
from authy_grpc.store.rows import Rows
from authy_grpc.store.statements import Statement, among
from authy_grpc.store.tables import EnrollmentRow
from authy_grpc.store.tx import Tx
from authy_grpc.store.vault import Vault

CUSTOM_USER_ID = "enrollment.custom_user_id"
_OPEN = sorted(set(EnrollmentState) - rules.TERMINAL)
_DUE_AT_ONCE = 100
_ENROLLMENT = table(EnrollmentRow)


@dataclass(slots=True)
class Kept:
    """An enrollment as it is kept: `EnrollmentRow`."""

    enrollment_id: str
    application_id: str
    sealed_custom_user_id: bytes = field(repr=False)
    custom_user_digest: bytes | None = field(repr=False)
    custom_user_digest_odd: bytes | None = field(repr=False)
    method: str
    state: str
    require_code: bool
    replace_existing: bool
    create_time: datetime
    update_time: datetime
    expire_time: datetime
    token_hash: bytes | None = field(default=None, repr=False)
    account_id: str | None = None
    device_id: str | None = None
    point: bytes | None = None
    site_id: str | None = None
    authy_id: str = ""
    confirm_hash: bytes | None = field(default=None, repr=False)
    revision: int = 1


ROWS = Rows(Kept, EnrollmentRow)
_CHANGING = (
    "state",
    "update_time",
    "account_id",
    "device_id",
    "point",
    "site_id",
    "authy_id",
    "confirm_hash",
    "revision",
)
_IS_OPEN = among(_ENROLLMENT.c.state, _OPEN)
_OF_SITE = (_ENROLLMENT.c.enrollment_id == bindparam("enrollment_id")) & (
    _ENROLLMENT.c.application_id == bindparam("application_id")
)
_FIND, _LOCK = ROWS.where(_OF_SITE), ROWS.where(_OF_SITE, lock=True)
_BY_TOKEN = ROWS.where(_ENROLLMENT.c.token_hash == bindparam("token_hash"), lock=True)
_OPEN_OF = ROWS.where(
    _ENROLLMENT.c.application_id == bindparam("application_id"),
    or_(
        _ENROLLMENT.c.custom_user_digest == bindparam("digest"),
        _ENROLLMENT.c.custom_user_digest_odd == bindparam("digest_odd"),
    ),
    _IS_OPEN,
    lock=True,
)
_AWAITING = ROWS.where(
    _ENROLLMENT.c.site_id == bindparam("site_id"), _ENROLLMENT.c.state == "AWAITING_CODE", lock=True
)
_DUE = Statement(
    Kept,
    ROWS.select.where(_IS_OPEN, _ENROLLMENT.c.expire_time <= bindparam("now", type_=Moment))
    .order_by(_ENROLLMENT.c.expire_time)
    .limit(_DUE_AT_ONCE)
    .with_for_update(skip_locked=True),
)


def find(tx: Tx, application_id: str, enrollment_id: str, *, lock: bool = False) -> Kept:
    """An enrollment of a site.

    Raises:
        NotFound: there is none, or it is another site's.
    """
    row = (_LOCK if lock else _FIND).first(tx, application_id=application_id, enrollment_id=enrollment_id)
    if row is None:
        raise NotFound
    return row


def find_by_token(tx: Tx, token: str) -> Kept:
    """The enrollment of a QR code's token, locked.

    Raises:
        NotFound: there is none.
    """
    row = _BY_TOKEN.first(tx, token_hash=hash_secret(token))
    if row is None:
        raise NotFound
    return row


def lock_about(tx: Tx, seen: Kept, *, account: bool = False) -> tuple[Kept, links.Kept | None]:
    """An enrollment with the link that it is about, as they are now, locked.

    Args:
        tx: of the work.
        seen: the enrollment, as it was read.
        account: whether to lock the account that holds both, too: before them, as everywhere.

    Raises:
        NotFound: it is gone.
    """
    if account and seen.account_id is not None:
        accounts.lock_for_link(tx, seen.account_id)
    row = find(tx, seen.application_id, seen.enrollment_id, lock=True)
    return row, links.ROWS.find(tx, row.site_id, lock=True)


def open_of(tx: Tx, application_id: str, custom_user_id: str) -> list[Kept]:
    """The open enrollments of a site's own user reference, locked: one at most. Nobody begins another."""
    even, odd = tx.vault.pair("custom_user_id", links.subject(application_id, custom_user_id))
    # Not the row: of many who begin anew at once each would find the one before ended, and its own refused.
    for digest in sorted(filter(None, (even, odd))):
        reserve(tx, f"enrollment:{digest.hex()}")
    return _OPEN_OF.all(tx, application_id=application_id, digest=even, digest_odd=odd)


def awaiting(tx: Tx, site_id: str) -> list[Kept]:
    """The enrollments that wait for a first code to make or renew a link, locked."""
    return _AWAITING.all(tx, site_id=site_id)


def due(tx: Tx) -> list[Kept]:
    """A hundred open enrollments whose time is over, locked, without what another server has taken."""
    return _DUE.all(tx, now=tx.now())


def present(vault: Vault, row: Kept, now: datetime) -> Enrollment:
    """An enrollment as it stands: past its time it is EXPIRED, whether or not that was written."""
    return rules.at(_read(vault, row), now)


def begin(tx: Tx, row: Kept) -> Enrollment:
    """Write a new enrollment."""
    enrollment = _read(tx.vault, row)
    ROWS.add(tx, row)
    _record(tx, row, enrollment)
    return enrollment


def move(
    tx: Tx,
    row: Kept,
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


def end(tx: Tx, row: Kept, state: EnrollmentState) -> Enrollment:
    """Bring an open enrollment to nothing: to `state`, or to EXPIRED where its time is over."""
    current = present(tx.vault, row, tx.now())
    if current.state is EnrollmentState.EXPIRED:
        return _write(tx, row, current)
    return move(tx, row, state)


def _read(vault: Vault, row: Kept) -> Enrollment:
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


def _write(tx: Tx, row: Kept, *steps: Enrollment) -> Enrollment:
    last = steps[-1]
    row.state, row.revision, row.update_time = last.state.value, last.revision, last.update_time
    row.authy_id = last.authy_id
    ROWS.change(tx, row, **{name: getattr(row, name) for name in _CHANGING})
    _record(tx, row, *steps)
    if last.state in rules.TERMINAL and last.state is not EnrollmentState.COMPLETED:
        _drop_link(tx, row)
    return last


def _record(tx: Tx, row: Kept, *steps: Enrollment) -> None:
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


def _drop_link(tx: Tx, row: Kept) -> None:
    link = links.ROWS.find(tx, row.site_id)
    if link is None or link.state != "AWAITING":
        return
    links.ROWS.remove(tx, link)
    if link.account_id is not None:
        accounts.changed(tx, link.account_id, sites=True)
