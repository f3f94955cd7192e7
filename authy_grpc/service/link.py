"""Owns how links end for good."""

from datetime import datetime

from authy_grpc.domain.enrollment import EnrollmentState
from authy_grpc.domain.event import UserEventType
from authy_grpc.store import approval as approvals
from authy_grpc.store import enrollment as enrollments
from authy_grpc.store import link as links
from authy_grpc.store import user as users
from authy_grpc.store.account import AccountNews
from authy_grpc.store.application import find
from authy_grpc.store.enrollment import EnrollmentChanges
from authy_grpc.store.events import Events
from authy_grpc.store.tables import LinkRow
from authy_grpc.store.tx import Tx
from authy_grpc.store.vault import Vault


class Links:
    """Ends links.

    Args:
        vault: opens what an event says.
        events: where the site learns it.
        accounts: tells the account's devices.
        changes: ends the enrollments that wait to make or renew a link.
    """

    def __init__(
        self, *, vault: Vault, events: Events, accounts: AccountNews, changes: EnrollmentChanges
    ) -> None:
        self._vault = vault
        self._events = events
        self._accounts = accounts
        self._changes = changes

    def end(
        self,
        tx: Tx,
        now: datetime,
        link: LinkRow,
        *,
        record: bool = True,
        waiting: EnrollmentState = EnrollmentState.REJECTED,
    ) -> None:
        """Remove a link: its keys, codes, open questions, and what its site was yet to be told.

        Of one that still waits for its first code the enrollment ends, and the link with it.

        Args:
            tx: of the change, in which the link is locked.
            now: when it ends.
            link: row of the link, gone afterwards.
            record: whether its site's feed says `user.deleted`.
            waiting: what becomes of an enrollment that waits for a code to make or renew the link.
        """
        for row in enrollments.awaiting(tx, link.site_id):
            self._changes.end(tx, now, row, waiting)
        if link.state == "AWAITING":
            tx.flush()
            return
        approvals.cancel_open(tx, self._vault, self._events, now, link.site_id)
        if record:
            told = links.event(self._vault, link, UserEventType.DELETED)
            self._events.record(tx, now, told)
        account_id = link.account_id
        # Of an owner who is gone the same is written, without a name: the site would see the difference.
        application = find(tx, link.application_id)
        site_name = application.name if link.state == "ACTIVE" else ""
        users.remove(tx, link)
        if account_id is not None:
            self._accounts.changed(
                tx, now, account_id, sites=True, activity="site.removed", site_name=site_name
            )
