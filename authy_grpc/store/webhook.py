"""Owns how webhooks are kept."""

import json
from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlmodel import col, select

from authy_grpc.domain.delivery import Health
from authy_grpc.domain.errors import NotFound
from authy_grpc.domain.webhook import Webhook, WebhookState
from authy_grpc.store.tables import WebhookRow
from authy_grpc.store.tx import Tx
from authy_grpc.store.vault import Vault

_URL = "webhook.url"
_SECRET = "webhook.secret"
_OLD_SECRET = "webhook.old_secret"


def add(tx: Tx, application_id: str, webhook: Webhook, secret: str) -> None:
    """Keep a new webhook."""
    tx.add(
        WebhookRow(
            webhook_id=webhook.webhook_id,
            application_id=application_id,
            sealed_url=tx.vault.seal(_URL, webhook.webhook_id, webhook.url.encode()),
            types=json.dumps(webhook.types),
            state=webhook.state.value,
            sealed_secret=tx.vault.seal(_SECRET, webhook.webhook_id, secret.encode()),
            turn_time=webhook.create_time,
            create_time=webhook.create_time,
        )
    )


def find(tx: Tx, application_id: str, webhook_id: str, *, lock: bool = False) -> WebhookRow:
    """A webhook of a site.

    Raises:
        NotFound: there is none, or it is another site's.
    """
    row = locked(tx, webhook_id) if lock else tx.get(WebhookRow, webhook_id)
    if row is None or row.application_id != application_id:
        raise NotFound
    return row


def locked(tx: Tx, webhook_id: str) -> WebhookRow | None:
    """A webhook as it is now, locked before its deliveries."""
    return tx.get(WebhookRow, webhook_id, with_for_update=True)


def of_site(tx: Tx, application_id: str) -> list[WebhookRow]:
    """All webhooks of a site, oldest first."""
    statement = (
        select(WebhookRow)
        .where(WebhookRow.application_id == application_id)
        .order_by(col(WebhookRow.webhook_id))
    )
    return list(tx.exec(statement))


def to_webhook(vault: Vault, row: WebhookRow) -> Webhook:
    """A webhook, from its row."""
    return Webhook(
        webhook_id=row.webhook_id,
        url=url(vault, row),
        types=tuple(json.loads(row.types)),
        state=WebhookState(row.state),
        disabled_reason=row.disabled_reason,
        create_time=row.create_time,
        last_success_time=row.last_success_time,
    )


def url(vault: Vault, row: WebhookRow) -> str:
    """Where it is posted to."""
    return vault.open(_URL, row.webhook_id, row.sealed_url).decode()


def set_url(vault: Vault, row: WebhookRow, value: str) -> None:
    """Post to another address."""
    row.sealed_url = vault.seal(_URL, row.webhook_id, value.encode())


def set_types(row: WebhookRow, types: Sequence[str]) -> None:
    """Ask for other types."""
    row.types = json.dumps(list(types))


def secrets(vault: Vault, row: WebhookRow, now: datetime) -> list[str]:
    """What posts are signed with now, the newest first."""
    found = [vault.open(_SECRET, row.webhook_id, row.sealed_secret).decode()]
    if row.sealed_old_secret is not None and row.old_secret_until is not None and now < row.old_secret_until:
        found.append(vault.open(_OLD_SECRET, row.webhook_id, row.sealed_old_secret).decode())
    return found


def rotate(vault: Vault, row: WebhookRow, secret: str, now: datetime, overlap: timedelta) -> None:
    """Sign with a new secret, and with the present one for a while; one from before that goes at once."""
    newest, own = secrets(vault, row, now)[0], row.webhook_id
    row.sealed_old_secret = vault.seal(_OLD_SECRET, own, newest.encode()) if overlap else None
    row.old_secret_until = now + overlap if overlap else None
    row.sealed_secret = vault.seal(_SECRET, own, secret.encode())


def health(row: WebhookRow) -> Health:
    """How its receiver does."""
    return Health(row.failures, row.first_failure_time, row.next_probe_time)


def set_health(row: WebhookRow, value: Health) -> None:
    """Write how its receiver does."""
    row.failures = value.failures
    row.first_failure_time = value.first_failure_time
    row.next_probe_time = value.next_probe_time


def remove(tx: Tx, row: WebhookRow) -> None:
    """Remove a webhook. What was to be posted to it is nobody's then: it goes by `retention.py`, in steps."""
    tx.delete(row)
