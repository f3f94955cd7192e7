"""Owns how a receiver checks the post of a webhook: signed, of now, by a secret that it knows.

The scheme is Standard Webhooks. Written here since a receiver needs nothing but HMAC for it; the tests hold
it against `standardwebhooks`.
"""

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from google.protobuf import json_format

from authy_grpc.v1.event_pb2 import Event

TOLERANCE = timedelta(minutes=5)
_PREFIX = "whsec_"
_VERSION = "v1"
# Far more than are ever sent: two, while a secret is being rotated.
_MOST_SIGNATURES = 16


class WebhookError(Exception):
    """A post is not what the service sent, or is too old: answer 400, and do nothing.

    Attributes:
        reason: `header`, `time`, `signature` or `body`.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(f"the post does not verify: {reason}")
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Post:
    """What was posted.

    Attributes:
        event_id: a post may come more than once, each time with the same.
        time: when the event happened.
    """

    event_id: str
    type: str
    time: datetime
    event: Event


def verify_webhook(
    secrets: str | Sequence[str],
    headers: Mapping[str, str],
    body: bytes,
    *,
    now: datetime | None = None,
    tolerance: timedelta = TOLERANCE,
) -> Post:
    """Check a post, and read it.

    Args:
        secrets: `whsec_…`, of this webhook; several while a secret is being rotated.
        headers: of the request, in whatever case.
        body: of the request, byte for byte as it came.
        now: the time; None for this machine's.
        tolerance: how far the post's time may be off.

    Returns:
        The event. Posts about one subject come in order, and each may come again: remember `event_id`.

    Raises:
        WebhookError: it does not verify. See https://www.standardwebhooks.com.
        ValueError: a secret is none.
    """
    keys = [_key(secret) for secret in ([secrets] if isinstance(secrets, str) else secrets)]
    named = {name.lower(): value for name, value in headers.items()}
    try:
        event_id, told, signatures = (named[f"webhook-{each}"] for each in ("id", "timestamp", "signature"))
    except KeyError:
        raise WebhookError("header") from None
    _check_time(told, now or datetime.now(UTC), tolerance)
    try:
        content = b".".join((event_id.encode(), told.encode(), body))
    except UnicodeEncodeError:
        raise WebhookError("header") from None
    found = [_signature(each) for each in signatures.split(" ")[:_MOST_SIGNATURES]]
    expected = [hmac.digest(key, content, hashlib.sha256) for key in keys]
    if not any(hmac.compare_digest(one, other) for one in expected for other in found):
        raise WebhookError("signature")
    return _read(event_id, body)


def _key(secret: str) -> bytes:
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except binascii.Error:
        key = b""
    if not key:
        raise ValueError("a webhook's secret is `whsec_` and base64")
    return key


def _check_time(told: str, now: datetime, tolerance: timedelta) -> None:
    if not (told.isascii() and told.isdigit() and len(told) <= len(str(2**63))):
        raise WebhookError("header")
    if abs(int(told) - now.timestamp()) > tolerance.total_seconds():
        raise WebhookError("time")


def _signature(text: str) -> bytes:
    """What a signature's text holds; nothing where it is of another version, or no base64."""
    version, _, encoded = text.partition(",")
    try:
        return base64.b64decode(encoded, validate=True) if version == _VERSION else b""
    except (binascii.Error, ValueError):
        return b""


def _read(event_id: str, body: bytes) -> Post:
    try:
        told = json.loads(body)
        event = json_format.ParseDict(told["data"], Event(), ignore_unknown_fields=True)
        return Post(event_id, str(told["type"]), datetime.fromisoformat(told["timestamp"]), event)
    except (ValueError, KeyError, TypeError, RecursionError, json_format.ParseError):
        raise WebhookError("body") from None
