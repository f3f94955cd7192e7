"""Secrets of webhooks, and signatures that others' code takes for good."""

import base64
import json
import os
import random
import string
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from standardwebhooks import Webhook, WebhookVerificationError
from svix.webhooks import Webhook as SvixWebhook

from authy_grpc.client import WebhookError, verify_webhook
from authy_grpc.domain.webhook import new_webhook_secret, post_headers

NOW = "2026-11-24T12:00:00Z"
DRAW = random.Random(23)

# What receivers check a post with: it raises where they refuse it.
Receiver = Callable[[str, bytes, dict[str, str]], Any]
RECEIVERS = [
    pytest.param(lambda secret, body, headers: Webhook(secret).verify(body, headers), id="standardwebhooks"),
    pytest.param(lambda secret, body, headers: SvixWebhook(secret).verify(body, headers), id="svix"),
    pytest.param(lambda secret, body, headers: verify_webhook(secret, headers, body), id="ours"),
]


def body_of(text: str, *, ascii_only: bool = False) -> str:
    """What is posted of an event about such a user."""
    told = {"type": "user.locked", "timestamp": NOW, "data": {"user": {"customUserId": text}}}
    return json.dumps(told, ensure_ascii=ascii_only)


BODY = body_of("ada ü 😀")


def test_a_secret_is_base64_of_32_random_bytes() -> None:
    secret = new_webhook_secret(lambda size: bytes(range(size)))
    assert secret.startswith("whsec_")
    assert base64.b64decode(secret.removeprefix("whsec_"), validate=True) == bytes(range(32))


@pytest.mark.parametrize("receiver", RECEIVERS)
def test_random_bodies_verify_and_changed_ones_do_not(
    receiver: Receiver, figure: Callable[[int, int], int]
) -> None:
    for number in range(figure(100, 10_000)):
        secret, event_id = new_webhook_secret(os.urandom), f"evt_{number}"
        text = "".join(DRAW.choices(string.printable + "äßÐ𝄞\u2028", k=DRAW.randrange(200)))
        body = body_of(text, ascii_only=number % 2 == 0)
        headers, posted = post_headers([secret], event_id, datetime.now(UTC), body), body.encode()
        receiver(secret, posted, headers)
        place = DRAW.randrange(len(posted))
        changed = posted[:place] + bytes([posted[place] ^ DRAW.randrange(1, 256)]) + posted[place + 1 :]
        for forged, told in [(changed, headers), (posted, headers | {"webhook-id": event_id + "0"})]:
            # Bytes that are no UTF-8 are refused while they are read.
            with pytest.raises((WebhookVerificationError, WebhookError, UnicodeDecodeError)):
                receiver(secret, forged, told)


@pytest.mark.parametrize("receiver", RECEIVERS)
def test_each_secret_verifies_and_no_other_does(receiver: Receiver) -> None:
    old, new, other = (new_webhook_secret(os.urandom) for _ in range(3))
    headers = post_headers([new, old], "evt_1", datetime.now(UTC), BODY)
    assert headers["content-type"] == "application/json" and headers["webhook-id"] == "evt_1"
    assert [each[:3] for each in headers["webhook-signature"].split(" ")] == ["v1,", "v1,"]
    for secret in (old, new):
        receiver(secret, BODY.encode(), headers)
    with pytest.raises((WebhookVerificationError, WebhookError)):
        receiver(other, BODY.encode(), headers)
    alone = post_headers([new], "evt_1", datetime.now(UTC), BODY)
    receiver(new, BODY.encode(), alone)
    with pytest.raises((WebhookVerificationError, WebhookError)):
        receiver(old, BODY.encode(), alone)


def test_the_timestamp_is_in_whole_seconds() -> None:
    moment = datetime(2026, 11, 24, 12, 0, 0, 999_999, tzinfo=UTC)
    headers = post_headers([new_webhook_secret(os.urandom)], "evt_1", moment, "{}")
    assert headers["webhook-timestamp"] == str(int(moment.timestamp()))
