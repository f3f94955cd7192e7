"""Secrets of webhooks, and signatures that others' code takes for good."""

import base64
import json
import os
from datetime import UTC, datetime

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from authy_grpc.domain.webhook import new_webhook_secret, post_headers

BODY = json.dumps({"type": "user.locked", "data": {"customUserId": "ada ü 😀"}}, ensure_ascii=False)


def test_a_secret_is_base64_of_32_random_bytes() -> None:
    secret = new_webhook_secret(lambda size: bytes(range(size)))
    assert secret.startswith("whsec_")
    assert base64.b64decode(secret.removeprefix("whsec_"), validate=True) == bytes(range(32))


def test_each_secret_verifies_and_no_other_does() -> None:
    old, new, other = (new_webhook_secret(os.urandom) for _ in range(3))
    headers = post_headers([new, old], "evt_1", datetime.now(UTC), BODY)
    assert headers["content-type"] == "application/json" and headers["webhook-id"] == "evt_1"
    assert [each[:3] for each in headers["webhook-signature"].split(" ")] == ["v1,", "v1,"]
    for secret in (old, new):
        assert Webhook(secret).verify(BODY.encode(), headers)["type"] == "user.locked"
    with pytest.raises(WebhookVerificationError):
        Webhook(other).verify(BODY.encode(), headers)
    alone = post_headers([new], "evt_1", datetime.now(UTC), BODY)
    with pytest.raises(WebhookVerificationError):
        Webhook(old).verify(BODY.encode(), alone)


def test_the_timestamp_is_in_whole_seconds() -> None:
    moment = datetime(2026, 11, 24, 12, 0, 0, 999_999, tzinfo=UTC)
    headers = post_headers([new_webhook_secret(os.urandom)], "evt_1", moment, "{}")
    assert headers["webhook-timestamp"] == str(int(moment.timestamp()))
