"""Owns how a change of an account reaches its devices: revisions that rise, activity, and a wake-up."""

import json
from collections.abc import Callable
from datetime import datetime

from sqlalchemy import update
from sqlmodel import Session, col

from authy_grpc.domain.ids import new_id
from authy_grpc.store.events import Events, NewEvent
from authy_grpc.store.tables import AccountRow, ActivityRow
from authy_grpc.store.vault import Vault

ACTIVITY = "activity.body"
ACCOUNT_CHANGED = "account.changed"


class Accounts:
    """Tells the devices of accounts what happened.

    Args:
        vault: seals the names in an activity.
        events: whose rows wake the devices' inboxes.
        random: source of random bytes.
    """

    def __init__(self, vault: Vault, events: Events, random: Callable[[int], bytes]) -> None:
        self._vault = vault
        self._events = events
        self._random = random

    def changed(
        self,
        session: Session,
        now: datetime,
        account_id: str,
        *,
        sites: bool = False,
        devices: bool = False,
        activity: str = "",
        site_name: str = "",
        device_name: str = "",
    ) -> None:
        """Raise the revisions of what changed, keep an activity, and wake the account's inboxes.

        Args:
            session: of the change.
            now: when it happened.
            account_id: whose devices are told.
            sites: whether ListSites answers something else now.
            devices: whether ListDevices answers something else now.
            activity: what ListActivity shows, such as `device.added`; empty for nothing.
            site_name: of the activity.
            device_name: of the activity.
        """
        session.connection().execute(
            update(AccountRow)
            .where(col(AccountRow.account_id) == account_id)
            .values(
                sites_revision=AccountRow.sites_revision + int(sites),
                devices_revision=AccountRow.devices_revision + int(devices),
                activity_revision=AccountRow.activity_revision + 1,
            )
        )
        if activity:
            activity_id = new_id("act", now, self._random)
            body = json.dumps({"site": site_name, "device": device_name}).encode()
            sealed = self._vault.seal(ACTIVITY, activity_id, body)
            session.add(
                ActivityRow(
                    activity_id=activity_id,
                    account_id=account_id,
                    type=activity,
                    sealed_body=sealed,
                    create_time=now,
                )
            )
        self._events.record(
            session, now, NewEvent(type=ACCOUNT_CHANGED, subject_id=account_id, account_id=account_id)
        )
