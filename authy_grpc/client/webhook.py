"""Verifies the post of a webhook for its receiver: signed, of now, by a secret that it knows.

The scheme is Standard Webhooks. Written here since a receiver needs nothing but HMAC for it; the tests hold
it against `standardwebhooks`.
"""

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from google.protobuf import json_format

from authy_grpc.v1.event_pb2 import Event

Headers = Mapping[str, Any] | Iterable[tuple[str | bytes, Any]]

TOLERANCE = timedelta(minutes=5)
_PREFIX = "whsec_"
_VERSION = "v1"
# Far more than are ever sent: two, while a secret is being rotated.
_MOST_SIGNATURES = 16
_ID, _TIME, _SIGNATURES = "webhook-id", "webhook-timestamp", "webhook-signature"
_WORDS = {
    "header": f"{_ID}, {_TIME} or {_SIGNATURES} is missing, stands twice or is malformed",
    "time": "it was sent too long ago, or this machine's clock is off",
    "signature": "another secret signed it, or the body is not byte for byte what was posted",
    "body": "it is signed, and not what this service posts",
}


class WebhookError(Exception):
    """A post is not what the service sent, or is too old: answer 400, and do nothing.

    Attributes:
        reason: `header`, `time`, `signature` or `body`.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(f"the post does not verify: {reason}: {_WORDS[reason]}")
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
    secrets: str | bytes | Iterable[str | bytes],
    headers: Headers,
    body: str | bytes | bytearray | memoryview,
    *,
    now: datetime | None = None,
    tolerance: timedelta = TOLERANCE,
) -> Post:
    """Check a post, and read it.

    Args:
        secrets: `whsec_…`, of this webhook; a list of them while a secret is being rotated.
        headers: of the request, as the framework has them: a mapping, a multi-dict, pairs of text or bytes, a
            WSGI environ, in whatever case.
        body: of the request as it came, before anything parsed it: bytes of any kind, or text in UTF-8.
        now: the time; None for this machine's.
        tolerance: how far the post's time may be off.

    Returns:
        The event. Posts about one subject come in order, and each may come again: remember `event_id`.

    Raises:
        WebhookError: it does not verify. See https://www.standardwebhooks.com.
        ValueError: a secret is none.
        TypeError: headers or body are of a kind that cannot be checked, such as parsed JSON.
    """
    many = [secrets] if isinstance(secrets, str | bytes) or not isinstance(secrets, Iterable) else secrets
    keys = [_key(secret) for secret in many]
    posted = _bytes(body)
    event_id, told, signatures = _read_headers(headers)
    _check_time(told, now or datetime.now(UTC), tolerance)
    try:
        content = b".".join((event_id.encode(), told.encode(), posted))
    except UnicodeEncodeError:
        raise WebhookError("header") from None
    found = [_signature(each) for each in signatures.split(" ")[:_MOST_SIGNATURES]]
    expected = [hmac.digest(key, content, hashlib.sha256) for key in keys]
    if not any(hmac.compare_digest(one, other) for one in expected for other in found):
        raise WebhookError("signature")
    return _read(event_id, posted)


def _key(secret: object) -> bytes:
    try:
        text = secret.decode() if isinstance(secret, bytes) else secret
        key = base64.b64decode(text.strip().removeprefix(_PREFIX), validate=True)  # type: ignore[attr-defined]
    except (binascii.Error, ValueError, AttributeError):
        key = b""
    if not key:
        raise ValueError("a webhook's secret is `whsec_` and base64")
    return key


def _bytes(body: object) -> bytes:
    if isinstance(body, str):
        try:
            return body.encode()
        except UnicodeEncodeError:
            raise WebhookError("body") from None
    try:
        return bytes(memoryview(body))  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(
            f"body: {type(body).__name__} cannot be checked: hand over the raw body, as bytes or text, "
            "before anything parses it (`await request.body()`, `request.get_data()`, `request.body`)"
        ) from None


def _read_headers(headers: object) -> tuple[str, str, str]:
    """The id, the time and the signatures.

    Raises:
        WebhookError: one is missing, or stands twice with two values.
    """
    found: dict[str, list[str]] = {_ID: [], _TIME: [], _SIGNATURES: []}
    for name, value in _pairs(headers):
        # A WSGI environ has HTTP_WEBHOOK_ID.
        key = _text(name).lower().replace("_", "-").removeprefix("http-")
        if key in found:
            many = value if isinstance(value, list | tuple) else [value]
            found[key] += [text for each in many if (text := _text(each)) not in found[key]]
    if len(found[_ID]) != 1 or len(found[_TIME]) != 1 or not found[_SIGNATURES]:
        raise WebhookError("header")
    return found[_ID][0], found[_TIME][0], " ".join(found[_SIGNATURES])


def _pairs(headers: Any) -> list[tuple[Any, Any]]:
    try:
        pairs = headers.items() if hasattr(headers, "items") else headers
        return [(name, value) for name, value in pairs]
    except (TypeError, ValueError):
        raise TypeError(
            f"headers: {type(headers).__name__} cannot be read: hand over the request's headers, "
            "as a mapping or as pairs of name and value"
        ) from None


def _text(value: object) -> str:
    """Text of what a header has; empty for what is none."""
    text = value.decode(errors="replace") if isinstance(value, bytes | bytearray) else value
    return text if isinstance(text, str) else ""


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
