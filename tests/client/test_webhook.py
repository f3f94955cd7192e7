"""Posts verify by any secret that is good, and by nothing else."""

import base64
import json
import random
import string
from array import array
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.message import Message
from typing import Any

import httpx
import pytest
import starlette.datastructures
from google.protobuf import json_format
from standardwebhooks import Webhook

from authy_grpc.client import WebhookError, verify_webhook
from authy_grpc.v1.event_pb2 import Event, UserEvent

Headers = dict[str, str]
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
DRAW = random.Random(17)


def new_secret() -> str:
    return "whsec_" + base64.b64encode(DRAW.randbytes(32)).decode()


def body_of(text: str = "ada", *, ascii_only: bool = True) -> bytes:
    event = Event(event_id="evt_1", type="code.accepted", user=UserEvent(custom_user_id=text))
    data = json_format.MessageToDict(event)
    told = {"type": event.type, "timestamp": "2026-11-24T12:00:00Z", "data": data}
    return json.dumps(told, ensure_ascii=ascii_only).encode()


def signed(body: bytes, *secrets: str, now: datetime = NOW) -> Headers:
    """The headers of a post, by the library that other receivers use."""
    signatures = [Webhook(each).sign("evt_1", now, body.decode()) for each in secrets]
    stamp = str(int(now.timestamp()))
    return {"Webhook-Id": "evt_1", "webhook-timestamp": stamp, "WEBHOOK-SIGNATURE": " ".join(signatures)}


def reason(secrets: str | list[str], headers: Headers, body: bytes) -> str:
    with pytest.raises(WebhookError) as caught:
        verify_webhook(secrets, headers, body, now=NOW)
    return caught.value.reason


def test_random_bodies_verify_as_the_library_signs_them(figure: Callable[[int, int], int]) -> None:
    for _ in range(figure(200, 10_000)):
        text = "".join(DRAW.choices(string.printable + "äßÐ𝄞\u2028", k=DRAW.randrange(200)))
        secret, body = new_secret(), body_of(text, ascii_only=DRAW.random() < 0.5)
        post = verify_webhook(secret, signed(body, secret), body, now=NOW)
        assert (post.event_id, post.type, post.event.user.custom_user_id) == ("evt_1", "code.accepted", text)
        place = DRAW.randrange(len(body))
        other = body[:place] + bytes([body[place] ^ DRAW.randrange(1, 256)]) + body[place + 1 :]
        assert reason(secret, signed(body, secret), other) == "signature"


def test_any_byte_that_is_changed_is_noticed() -> None:
    secret, body = new_secret(), body_of()
    headers = signed(body, secret)
    for place in range(len(body)):
        for bit in range(8):
            changed = body[:place] + bytes([body[place] ^ 1 << bit]) + body[place + 1 :]
            assert reason(secret, headers, changed) == "signature"
    assert reason(secret, headers | {"Webhook-Id": "evt_2"}, body) == "signature"
    assert reason(secret, headers | {"webhook-timestamp": str(int(NOW.timestamp()) + 1)}, body) == "signature"
    assert reason(secret, headers, body + b" ") == "signature"


def test_while_a_secret_is_rotated_either_serves() -> None:
    old, new, other = new_secret(), new_secret(), new_secret()
    body = body_of()
    both = signed(body, new, old)
    for receiver in (old, new, [old, new], [other, old]):
        assert verify_webhook(receiver, both, body, now=NOW).type == "code.accepted"
    assert reason(other, both, body) == "signature"
    after = signed(body, new)
    assert verify_webhook([old, new], after, body, now=NOW).event_id == "evt_1"
    assert reason(old, after, body) == "signature"


@pytest.mark.parametrize(("seconds", "verifies"), [(-301, False), (-300, True), (300, True), (301, False)])
def test_a_post_is_of_now(seconds: int, verifies: bool) -> None:
    secret, body = new_secret(), body_of()
    headers = signed(body, secret, now=NOW + timedelta(seconds=seconds))
    if verifies:
        verify_webhook(secret, headers, body, now=NOW)
    else:
        assert reason(secret, headers, body) == "time"


@pytest.mark.parametrize("name", ["Webhook-Id", "webhook-timestamp", "WEBHOOK-SIGNATURE"])
def test_each_header_must_be_there(name: str) -> None:
    secret, body = new_secret(), body_of()
    headers = signed(body, secret)
    del headers[name]
    assert reason(secret, headers, body) == "header"


def test_an_id_that_is_no_text_is_refused() -> None:
    secret, body = new_secret(), body_of()
    # As a server hands bytes over that are no UTF-8.
    assert reason(secret, signed(body, secret) | {"Webhook-Id": "evt_\udcff"}, body) == "header"


@pytest.mark.parametrize("stamp", ["", "now", "1.5", "-1", "١٢", "9" * 40])
def test_a_time_is_a_number(stamp: str) -> None:
    secret, body = new_secret(), body_of()
    assert reason(secret, signed(body, secret) | {"webhook-timestamp": stamp}, body) == "header"


@pytest.mark.parametrize(
    "text", ["", "v1", "v1,", "v1,!", "v2,AAAA", "v1a,AAAA", ",", "v1,ä", "v1,AAAA " * 99]
)
def test_what_is_no_signature_verifies_nothing(text: str) -> None:
    secret, body = new_secret(), body_of()
    assert reason(secret, signed(body, secret) | {"WEBHOOK-SIGNATURE": text}, body) == "signature"


@pytest.mark.parametrize(
    "text",
    ["", "null", "[]", '{"type":"x"}', '{"type":"x","timestamp":7,"data":{}}', "[" * 100_000],
)
def test_a_body_that_is_no_event_is_told(text: str) -> None:
    secret, body = new_secret(), text.encode()
    assert reason(secret, signed(body, secret), body) == "body"


def test_a_field_of_a_newer_contract_is_passed_over() -> None:
    told = json.loads(body_of())
    told["data"]["brandNew"] = {"a": 1}
    secret, body = new_secret(), json.dumps(told).encode()
    assert verify_webhook(secret, signed(body, secret), body, now=NOW).event.type == "code.accepted"


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_!!", "plain text"])
def test_what_is_no_secret_is_said(secret: str) -> None:
    with pytest.raises(ValueError, match="whsec_"):
        verify_webhook(secret, signed(body_of(), new_secret()), body_of(), now=NOW)


BODY = body_of("Zoë", ascii_only=False)
BODIES: list[Any] = [BODY, bytearray(BODY), memoryview(BODY), BODY.decode(), array("B", BODY)]


def kind(given: Any) -> str:
    return type(given).__name__


@pytest.mark.parametrize("body", BODIES, ids=kind)
def test_a_body_is_taken_as_frameworks_have_it(body: Any) -> None:
    secret = new_secret()
    headers = signed(BODY, secret)
    assert verify_webhook(secret, headers, body, now=NOW).event.user.custom_user_id == "Zoë"
    assert reason(new_secret(), headers, body) == "signature"


def _environ(headers: Headers) -> dict[str, Any]:
    named = {"HTTP_" + name.upper().replace("-", "_"): value for name, value in headers.items()}
    return {"REQUEST_METHOD": "POST", "wsgi.input": object(), "wsgi.version": (1, 0), **named}


def _message(headers: Headers) -> Any:
    made = Message()
    for name, value in headers.items():
        made[name] = value
    return made


SHAPES: dict[str, Callable[[Headers], Any]] = {
    "dict": dict,
    "upper": lambda headers: {name.upper(): value for name, value in headers.items()},
    "pairs": lambda headers: list(headers.items()),
    "asgi": lambda headers: [(name.lower().encode(), value.encode()) for name, value in headers.items()],
    "iterator": lambda headers: iter(headers.items()),
    "lists of values": lambda headers: {name: [value] for name, value in headers.items()},
    "bytes": lambda headers: {name.encode(): value.encode() for name, value in headers.items()},
    "environ": _environ,
    "starlette": starlette.datastructures.Headers,
    "httpx": httpx.Headers,
    "email": _message,
    "twice the same": lambda headers: [*headers.items(), *headers.items()],
    "others": lambda headers: {"Host": "x", "x-other": "ä", 5: None, **headers},
}


@pytest.mark.parametrize("shape", SHAPES)
def test_headers_are_taken_as_frameworks_have_them(shape: str) -> None:
    secret, other = new_secret(), new_secret()
    headers = SHAPES[shape](signed(BODY, other, secret))
    assert verify_webhook(secret, headers, BODY, now=NOW).event_id == "evt_1"
    assert reason(new_secret(), SHAPES[shape](signed(BODY, secret)), BODY) == "signature"


def test_signatures_of_two_lines_are_both_read() -> None:
    one, two = new_secret(), new_secret()
    first, second = signed(BODY, one), signed(BODY, two)
    headers: Any = [*first.items(), ("webhook-signature", second["WEBHOOK-SIGNATURE"])]
    for secret in (one, two):
        assert verify_webhook(secret, headers, BODY, now=NOW).event_id == "evt_1"
    twice: Any = [*first.items(), ("webhook-id", "evt_2")]
    assert reason(one, twice, BODY) == "header"


@pytest.mark.parametrize("body", [{"type": "x"}, None, 7, [BODY], iter([BODY]), object()], ids=kind)
def test_a_body_that_cannot_be_checked_is_told_in_words(body: Any) -> None:
    with pytest.raises(TypeError, match=r"body: .* hand over the raw body"):
        verify_webhook(new_secret(), signed(BODY, new_secret()), body, now=NOW)


@pytest.mark.parametrize("headers", [None, 7, "webhook-id: evt_1", ["webhook-id"], object()], ids=kind)
def test_headers_that_cannot_be_read_are_told_in_words(headers: Any) -> None:
    with pytest.raises(TypeError, match=r"headers: .* hand over the request's headers"):
        verify_webhook(new_secret(), headers, BODY, now=NOW)


@pytest.mark.parametrize("secret", [None, 7, "", "whsec_", b"\xff", [None], ["whsec_!"]], ids=repr)
def test_a_secret_that_is_none_is_told_in_words(secret: Any) -> None:
    with pytest.raises(ValueError, match="`whsec_` and base64"):
        verify_webhook(secret, signed(BODY, new_secret()), BODY, now=NOW)


def test_a_secret_is_taken_as_files_have_it() -> None:
    secret = new_secret()
    for kept in (f"{secret}\n", secret.encode(), (secret,)):
        assert verify_webhook(kept, signed(BODY, secret), BODY, now=NOW).event_id == "evt_1"


def test_each_reason_is_told_in_words() -> None:
    for why in ("header", "time", "signature", "body"):
        assert len(str(WebhookError(why))) > len(f"the post does not verify: {why}: ")
