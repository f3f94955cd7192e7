"""Keeps webhooks: where a site has its events posted, what signs them, and how the receiver does."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import bindparam

from authy_grpc.domain.delivery import Health
from authy_grpc.domain.errors import NotFound
from authy_grpc.domain.webhook import Webhook, WebhookState
from authy_grpc.store.rows import Rows
from authy_grpc.store.tables import WebhookRow
from authy_grpc.store.tx import Tx
from authy_grpc.store.vault import Vault

_URL = "webhook.url"
_SECRET = "webhook.secret"
_OLD_SECRET = "webhook.old_secret"


@dataclass(slots=True)
class Kept:
    """A webhook as it is kept: `WebhookRow`."""

    webhook_id: str
    application_id: str
    sealed_url: bytes = field(repr=False)
    types: str
    state: str
    sealed_secret: bytes = field(repr=False)
    turn_time: datetime
    create_time: datetime
    disabled_reason: str = ""
    sealed_old_secret: bytes | None = field(default=None, repr=False)
    old_secret_until: datetime | None = None
    failures: int = 0
    first_failure_time: datetime | None = None
    next_probe_time: datetime | None = None
    last_success_time: datetime | None = None


ROWS = Rows(Kept, WebhookRow)
_OF_SITE = ROWS.where(ROWS.c.application_id == bindparam("application_id"), order=(ROWS.c.webhook_id,))


def add(tx: Tx, application_id: str, webhook: Webhook, secret: str) -> None:
    """Keep a new webhook."""
    own = webhook.webhook_id
    ROWS.add(
        tx,
        Kept(
            webhook_id=own,
            application_id=application_id,
            sealed_url=tx.vault.seal(_URL, own, webhook.url.encode()),
            types=json.dumps(webhook.types),
            state=webhook.state.value,
            sealed_secret=tx.vault.seal(_SECRET, own, secret.encode()),
            turn_time=webhook.create_time,
            create_time=webhook.create_time,
        ),
    )


def find(tx: Tx, application_id: str, webhook_id: str, *, lock: bool = False) -> Kept:
    """A webhook of a site; where it is locked, then before its deliveries.

    Raises:
        NotFound: there is none, or it is another site's.
    """
    row = ROWS.find(tx, webhook_id, lock=lock)
    if row is None or row.application_id != application_id:
        raise NotFound
    return row


def of_site(tx: Tx, application_id: str) -> list[Kept]:
    """All webhooks of a site, oldest first."""
    return _OF_SITE.all(tx, application_id=application_id)


def to_webhook(vault: Vault, row: Kept) -> Webhook:
    """A webhook as its site sees it."""
    return Webhook(
        webhook_id=row.webhook_id,
        url=url(vault, row),
        types=tuple(json.loads(row.types)),
        state=WebhookState(row.state),
        disabled_reason=row.disabled_reason,
        create_time=row.create_time,
        last_success_time=row.last_success_time,
    )


def url(vault: Vault, row: Kept) -> str:
    """Where it is posted to."""
    return vault.open(_URL, row.webhook_id, row.sealed_url).decode()


def change(tx: Tx, row: Kept, changes: Mapping[str, Any], **columns: Any) -> None:
    """Write what a site changes of a webhook.

    Args:
        tx: of the work, in which the webhook is locked.
        row: the webhook.
        changes: new values by field: url, types, state.
        columns: others that change with them.
    """
    if "url" in changes:
        columns["sealed_url"] = tx.vault.seal(_URL, row.webhook_id, changes["url"].encode())
    if "types" in changes:
        columns["types"] = json.dumps(list(changes["types"]))
    if "state" in changes:
        # Why it was turned off is told until it is turned on, or off by the site itself.
        columns |= {"state": changes["state"].value, "disabled_reason": ""}
    ROWS.change(tx, row, **columns)


def secrets(vault: Vault, row: Kept, now: datetime) -> list[str]:
    """What posts are signed with now, the newest first."""
    found = [vault.open(_SECRET, row.webhook_id, row.sealed_secret).decode()]
    if row.sealed_old_secret is not None and row.old_secret_until is not None and now < row.old_secret_until:
        found.append(vault.open(_OLD_SECRET, row.webhook_id, row.sealed_old_secret).decode())
    return found


def rotate(tx: Tx, row: Kept, secret: str, overlap: timedelta) -> None:
    """Sign with a new secret, and with the present one for a while; one from before that goes at once."""
    now, own = tx.now(), row.webhook_id
    newest = secrets(tx.vault, row, now)[0]
    ROWS.change(
        tx,
        row,
        sealed_old_secret=tx.vault.seal(_OLD_SECRET, own, newest.encode()) if overlap else None,
        old_secret_until=now + overlap if overlap else None,
        sealed_secret=tx.vault.seal(_SECRET, own, secret.encode()),
    )


def health(row: Kept) -> Health:
    """How its receiver does."""
    return Health(row.failures, row.first_failure_time, row.next_probe_time)
