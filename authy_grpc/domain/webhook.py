"""What a webhook is, and how a post to it is signed: Standard Webhooks, symmetric."""

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from standardwebhooks import Webhook as Signer

MOST_WEBHOOKS = 20
OVERLAP = timedelta(hours=24)
# The specification asks for 24 to 64.
_SECRET_BYTES = 32


class WebhookState(StrEnum):
    """Whether a webhook is posted to."""

    ENABLED = "ENABLED"
    DISABLED = "DISABLED"


class DisabledReason(StrEnum):
    """Why the service turned a webhook off."""

    GONE = "gone"
    FAILING = "failing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """Where a site has its events posted.

    Attributes:
        types: whole types, or beginnings that end in `*`; none for all.
        disabled_reason: why the service turned it off; empty where the site did, or nobody.
    """

    webhook_id: str
    url: str = field(repr=False)
    types: tuple[str, ...]
    state: WebhookState
    disabled_reason: str
    create_time: datetime
    last_success_time: datetime | None


def new_webhook_secret(random: Callable[[int], bytes]) -> str:
    """Makes a secret: `whsec_` and the base64 of 32 random bytes.

    Args:
        random: gives that many random bytes.
    """
    return f"whsec_{base64.b64encode(random(_SECRET_BYTES)).decode()}"


def post_headers(secrets: Sequence[str], event_id: str, now: datetime, body: str) -> dict[str, str]:
    """Makes the headers of a post.

    Args:
        secrets: one signature for each.
        event_id: what the receiver knows a post again by.
        now: when it is signed; receivers take five minutes on either side.
        body: the very text that is posted.
    """
    signatures = [Signer(secret).sign(event_id, now, body) for secret in secrets]
    return {
        "content-type": "application/json",
        "webhook-id": event_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(signatures),
    }
