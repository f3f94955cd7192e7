"""Removes a link between a site and an account, with all that is its own."""

from authy_grpc.domain.enrollment import EnrollmentState
from authy_grpc.domain.event import UserEventType
from authy_grpc.store import account as accounts
from authy_grpc.store import approval as approvals
from authy_grpc.store import enrollment as enrollments
from authy_grpc.store import link as links
from authy_grpc.store import user as users
from authy_grpc.store.application import profile
from authy_grpc.store.tx import Tx


def end(
    tx: Tx,
    link: links.Kept,
    *,
    record: bool = True,
    waiting: EnrollmentState = EnrollmentState.REJECTED,
) -> None:
    """Remove a link: its keys, codes, open questions, and what its site was yet to be told.

    Of one that still waits for its first code the enrollment ends, and the link with it.

    Args:
        tx: of the change, in which the link is locked.
        link: row of the link, gone afterwards.
        record: whether its site's feed says `user.deleted`.
        waiting: what becomes of an enrollment that waits for a code to make or renew the link.
    """
    for row in enrollments.awaiting(tx, link.site_id):
        enrollments.end(tx, row, waiting)
    if link.state == "AWAITING":
        return
    approvals.cancel_open(tx, link.site_id)
    if record:
        told = links.event(tx.vault, link, UserEventType.DELETED)
        tx.record(told)
    account_id = link.account_id
    # Of an owner who is gone the same is written, without a name: the site would see the difference.
    application = profile(tx, link.application_id)
    site_name = application.name if link.state == "ACTIVE" else ""
    users.remove(tx, link)
    if account_id is not None:
        accounts.changed(tx, account_id, sites=True, activity="site.removed", site_name=site_name)
