"""Makes a user of an enrollment: a new one, or one whose device brings a new key."""

from collections.abc import Callable

from authy_grpc.domain.enrollment import Enrollment, EnrollmentMethod, EnrollmentState
from authy_grpc.domain.event import UserEventType
from authy_grpc.domain.ids import new_id
from authy_grpc.domain.keys import jwk, thumbprint
from authy_grpc.domain.user import SiteKey
from authy_grpc.service import unlink
from authy_grpc.store import account as accounts
from authy_grpc.store import enrollment as enrollments
from authy_grpc.store import link as links
from authy_grpc.store import user as users
from authy_grpc.store.tx import Tx

_NO_STEP = -1


def user_of(tx: Tx, row: enrollments.Kept) -> links.Kept | None:
    """The user that an enrollment's custom_user_id has already, locked, or None."""
    custom_user_id = enrollments.present(tx.vault, row, tx.now()).custom_user_id
    return links.lock_by_custom_user_id(tx, row.application_id, custom_user_id)


def link_for(
    tx: Tx,
    row: enrollments.Kept,
    user: links.Kept | None,
    *,
    sealed_seed: Callable[[str], bytes] | None = None,
) -> links.Kept:
    """The link that an enrollment is about: the user's, where one account holds both, or a new one.

    Args:
        tx: of the work.
        row: of the enrollment, with the account that holds it; it is set to the link.
        user: from `user_of`.
        sealed_seed: of GENERIC_TOTP: the seed, sealed for a site_id.
    """
    now = tx.now()
    if user is not None and user.state == "ACTIVE" and row.account_id == user.account_id is not None:
        row.site_id = user.site_id
        return user
    custom_user_id = enrollments.present(tx.vault, row, now).custom_user_id
    site_id = new_id("sit", now, tx.random)
    seed = sealed_seed(site_id) if sealed_seed else None
    link = users.awaiting_link(
        tx.vault, row.application_id, row.account_id, custom_user_id, site_id, now, sealed_seed=seed
    )
    links.ROWS.add(tx, link)
    row.site_id = site_id
    return link


def complete(
    tx: Tx,
    row: enrollments.Kept,
    link: links.Kept,
    user: links.Kept | None,
    *,
    site_name: str,
    step: int = _NO_STEP,
) -> Enrollment:
    """Make the user, and end the one that it replaces.

    Args:
        tx: of the work, in which all rows are locked.
        row: of the enrollment, in a state that may become COMPLETED.
        link: from `link_for`.
        user: from `user_of`: another one than `link` ends.
        site_name: what devices are told.
        step: of the code that confirmed it, which is used up.
    """
    if user is not None and user.site_id != link.site_id:
        unlink.end(tx, user)
    renewed = link.state == "ACTIVE"
    if not renewed:
        users.activate(tx, link)
    key = None
    if row.method == EnrollmentMethod.AUTHENTICATOR:
        key = _bring_key(tx, row, link, step, renewed=renewed)
    else:
        links.ROWS.change(tx, link, seed_last_step=step)
    completed = enrollments.move(tx, row, EnrollmentState.COMPLETED, authy_id=link.authy_id or "", key=key)
    if link.account_id is not None:
        accounts.changed(
            tx,
            link.account_id,
            sites=True,
            activity="site.renewed" if renewed else "site.added",
            site_name=site_name,
        )
    return completed


def _bring_key(tx: Tx, row: enrollments.Kept, link: links.Kept, step: int, *, renewed: bool) -> SiteKey:
    """The key takes the place of the one that the device had, whose codes stay used up."""
    now = tx.now()
    point, device_id = row.point or b"", row.device_id or ""
    key = links.KeptKey(
        kid=thumbprint(point),
        site_id=link.site_id,
        device_id=device_id,
        point=point,
        state="ACTIVE",
        last_step=step,
        create_time=now,
    )
    former = links.active_key(tx, link.site_id, device_id) if renewed else None
    if former is not None:
        key.last_step = max(step, former.last_step)
        links.KEYS.change(tx, former, state="REVOKED", revoke_time=now)
        told = links.event(tx.vault, link, UserEventType.DEVICE_REMOVED, key=links.site_key(former))
        tx.record(told)
    links.KEYS.add(tx, key)
    return SiteKey(key.kid, jwk(point), now)
