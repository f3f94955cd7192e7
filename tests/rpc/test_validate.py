"""The limits of the contract, at -1, 0 and +1."""

import struct
from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from authy_grpc.domain.errors import BadField
from authy_grpc.rpc.validate import Validate
from authy_grpc.v1 import (
    account_pb2 as account,
)
from authy_grpc.v1 import (
    application_pb2 as application,
)
from authy_grpc.v1 import (
    approval_pb2 as approval,
)
from authy_grpc.v1 import (
    authenticator_pb2 as authenticator,
)
from authy_grpc.v1 import (
    enrollment_pb2 as enrollment,
)
from authy_grpc.v1 import (
    event_pb2 as event,
)
from authy_grpc.v1 import (
    user_pb2 as user,
)
from authy_grpc.v1 import (
    verification_pb2 as verification,
)
from authy_grpc.v1 import (
    webhook_pb2 as webhook,
)

PNG = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sIIBBBBB", 13, b"IHDR", 1, 1, 8, 6, 0, 0, 0)
CONTROLS = "\x00\x1f\x7f\x9f\u2028\u2029\u202a\u202e\u2066\u2069"
Change = Callable[[Any], None]


def bad(request: Message, *, local_origins: bool = False) -> dict[str, str]:
    """The bad fields of a request, with what is wrong."""
    try:
        Validate(local_origins=local_origins).check(request)
    except BadField as error:
        return {violation.field: violation.description for violation in error.violations}
    return {}


def registration(**changes: Any) -> Message:
    fields = {
        "verification_id": "pvn_1",
        "code": "123456",
        "name": "Phone",
        "signing_key": bytes(65),
        "agreement_key": bytes(65),
        "signature": bytes(64),
    }
    return account.RegisterDeviceRequest(**(fields | changes))


def new_application(**changes: Any) -> Message:
    fields = {"name": "Shop", "origin": "https://shop.example"}
    return application.CreateApplicationRequest(application=application.Application(**(fields | changes)))


def question(**changes: Any) -> Message:
    return approval.CreateApprovalRequest(**({"authy_id": "1000000", "message": "Pay?"} | changes))


def scan(**changes: Any) -> Message:
    return enrollment.CreateEnrollmentRequest(**({"custom_user_id": "u"} | changes))


def seconds(value: float) -> Duration:
    whole = int(value)
    return Duration(seconds=whole, nanos=round((value - whole) * 1e9))


LIMITS: list[tuple[Callable[..., Message], str, str, tuple[Any, ...], tuple[Any, ...]]] = [
    (new_application, "name", "application.name", ("a", "a" * 60, "\U0001f600" * 60), ("", "a" * 61, *CONTROLS)),
    (new_application, "logo", "application.logo", (b"", PNG, PNG.ljust(32768)), (PNG.ljust(32769), b"GIF89a")),
    (new_application, "code_digits", "application.code_digits", (0, 6, 8), (-1, 5, 9)),
    (new_application, "code_period_seconds", "application.code_period_seconds", (0, 10, 60), (-1, 9, 61)),
    (new_application, "match_digits", "application.match_digits", (0, 2, 8), (-1, 1, 9)),
    (registration, "name", "name", ("a", "a" * 60), ("", "a" * 61, "a\u202eb")),
    (registration, "signing_key", "signing_key", (bytes(65),), (b"", bytes(64), bytes(66))),
    (registration, "agreement_key", "agreement_key", (bytes(65),), (b"", bytes(64), bytes(66))),
    (registration, "signature", "signature", (bytes(64),), (b"", bytes(63), bytes(65))),
    (registration, "fresh_account", "fresh_account", (False,), (True,)),
    (registration, "recovery_code", "recovery_code", ("",), ("0123456789ABCDEF",)),
    (registration, "platform", "platform", (0, 4), (5, -1)),
    (registration, "code", "code", ("1", "1" * 256), ("", "1" * 257, "1\x00")),
    (scan, "custom_user_id", "custom_user_id", ("a", "a" * 128, "a\u202eb"), ("", "a" * 129, "a\x00")),
    (scan, "ttl", "ttl", (seconds(30), seconds(86400)), (seconds(29.999), seconds(86400.001), seconds(-30), Duration())),
    (scan, "ttl", "ttl", (), (Duration(seconds=60, nanos=10**9), Duration(seconds=60, nanos=-1), Duration(seconds=2**62))),
    (scan, "request_id", "request_id", ("", "a" * 64), ("a" * 65,)),
    (scan, "account_label", "account_label", ("", "a" * 60), ("a" * 61, "\n")),
    (scan, "method", "method", (0, 2), (3,)),
    (lambda qr: scan(qr=qr), "qr", "qr.module_size", ({"module_size": 1}, {"module_size": 40}), ({"module_size": 41}, {"module_size": -1})),
    (question, "message", "message", ("a", "a" * 200), ("", "a" * 201, "a\u2069")),
    (question, "ttl", "ttl", (seconds(15), seconds(86400)), (seconds(14.9), seconds(86401))),
    (question, "match_digits", "match_digits", (0, 2, 8), (1, 9)),
    (question, "details", "details", ([{"label": "a"}] * 20,), ([{"label": "a"}] * 21,)),
    (question, "details", "details[1].label", ([{"label": "a"}, {"label": "a" * 40}],), ([{"label": "a"}, {"label": "a" * 41}],)),
    (question, "details", "details[0].value", ([{"label": "a", "value": "a" * 400}],), ([{"label": "a", "value": "a" * 401}],)),
    (question, "hidden_details", "hidden_details", ({str(n): "" for n in range(20)}, {"a" * 40: "a" * 400 }), ({str(n): "" for n in range(21)}, {"": ""}, {"a" * 41: ""}, {"a": "a" * 401})),
    (lambda label: authenticator.UpdateSiteRequest(site_id="sit_1", label=label), "label", "label", ("", "a" * 40), ("a" * 41, "\x9f")),
    (lambda receipt: authenticator.RespondApprovalRequest(approval_id="a", receipt=receipt), "receipt", "receipt", ("a", "a" * 65536), ("", "a" * 65537)),
    (lambda action: verification.VerifyCodeRequest(authy_id="1", code="1", action=action), "action", "action", ("", "log_in2", "a" * 32), ("a" * 33, "A", "a b", "a\n")),
    (lambda page_size: user.ListUsersRequest(page_size=page_size), "page_size", "page_size", (0, 1, 1000, 1001, 2**31 - 1), (-1,)),
    (lambda page_token: user.ListUsersRequest(page_token=page_token), "page_token", "page_token", ("", "a" * 1024), ("a" * 1025,)),
    (lambda cursor: event.WatchEventsRequest(cursor=cursor), "cursor", "cursor", ("earliest", "a" * 1024), ("a" * 1025,)),
    (lambda types: event.ListEventsRequest(types=types), "types", "types", (["a"] * 100,), (["a"] * 101,)),
    (lambda types: event.ListEventsRequest(types=types), "types", "types[1]", (["a", "a" * 256],), (["a", ""], ["a", "a" * 257])),
    (lambda phone_number: account.StartPhoneVerificationRequest(phone_number=phone_number), "phone_number", "phone_number", ("+1", "1" * 256), ("", "1" * 257)),
    (lambda proof: account.StartPhoneVerificationRequest(phone_number="1", registration_proof=proof), "proof", "registration_proof", ("", "a" * 4096), ("a" * 4097,)),
    (lambda locale: account.StartPhoneVerificationRequest(phone_number="1", locale=locale), "locale", "locale", ("", "a" * 256), ("a" * 257,)),
    (lambda signature: account.CreateSessionRequest(device_id="d", proof={"signature": signature}), "signature", "proof.signature", (b"", bytes(64)), (bytes(63), bytes(65))),
    (lambda scopes: application.CreateApiKeyRequest(application_id="a", name="a", scopes=scopes), "scopes", "scopes[0]", ([1], [4]), ([0], [5])),
    (lambda at: application.CreateApiKeyRequest(application_id="a", name="a", expire_time=at), "at", "expire_time", (Timestamp(seconds=1), Timestamp(seconds=253402300799, nanos=999999999)), (Timestamp(seconds=253402300800), Timestamp(nanos=-1), Timestamp(nanos=10**9))),
    (lambda many: webhook.LeaseDeliveriesRequest(max_in_flight=many), "many", "max_in_flight", (1, 1000), (0, 1001, -1)),
    (lambda overlap: webhook.RotateWebhookSecretRequest(webhook_id="w", overlap=overlap), "overlap", "overlap", (Duration(), seconds(1)), (seconds(-1),)),
]  # fmt: skip


@pytest.mark.parametrize(("build", "name", "path", "good", "wrong"), LIMITS)
def test_a_limit(build: Any, name: str, path: str, good: Any, wrong: Any) -> None:
    def request(value: Any) -> Message:
        named = build.__code__.co_varnames[: build.__code__.co_argcount]
        return build(**{(named[0] if named else name): value})  # type: ignore[no-any-return]

    for value in good:
        assert bad(request(value)) == {}, value
    for value in wrong:
        assert list(bad(request(value))) == [path], value


@pytest.mark.parametrize(
    "origin",
    ["https://shop.example", "https://shop.example:8443", "https://xn--bcher-kva.example", "https://203.0.113.7", "https://[2001:db8::1]:444"],
)  # fmt: skip
def test_an_origin(origin: str) -> None:
    assert bad(new_application(origin=origin)) == {}


@pytest.mark.parametrize(
    "origin",
    [
        "", "shop.example", "http://shop.example", "http://localhost", "https://", "https://Shop.example", "https://a b",
        "https://shop.example/", "https://shop.example/path", "https://shop.example?q", "https://shop.example#f",
        "https://me@shop.example", "https://me:pw@shop.example", "https://shop.example:0", "https://shop.example:65536",
        "https://shop.example:", "https://-a.example", "https://a..b", "https://a_b.example", "https://127.1",
        "https://0177.0.0.1", "https://2130706433", "https://[::1", "https://[0:0::1]", "https://b\u00fccher.example",
        "https://shop.example\n", "javascript://shop.example", "https://" + "a" * 64 + ".example",
        "https://" + "a." * 130 + "example",
    ],
)  # fmt: skip
def test_what_is_no_origin(origin: str) -> None:
    assert list(bad(new_application(origin=origin))) == ["application.origin"]


def test_http_origins_of_this_machine_in_development_alone() -> None:
    for origin in ("http://localhost", "http://localhost:8080", "http://127.0.0.1:8080", "http://[::1]:1"):
        assert bad(new_application(origin=origin), local_origins=True) == {}
        assert bad(new_application(origin=origin)) != {}
    assert bad(new_application(origin="http://shop.example"), local_origins=True) != {}


def test_all_bad_fields_are_named_at_once() -> None:
    details = [{"label": "a"}, {"label": ""}, {"label": "a", "value": "\n"}]
    request = question(authy_id="", message="", details=details, request_id="a" * 65)
    assert set(bad(request)) == {"authy_id", "message", "details[1].label", "details[2].value", "request_id"}


def test_of_very_many_the_first_are_named() -> None:
    assert len(bad(event.ListEventsRequest(types=[""] * 100))) == 20


def test_no_description_repeats_a_value() -> None:
    for build, name, _, _, wrong in LIMITS:
        for value in wrong:
            if isinstance(value, str) and len(value) > 20:
                argument = build.__code__.co_varnames[: build.__code__.co_argcount] or (name,)
                assert value[:20] not in repr(bad(build(**{argument[0]: value})))


def test_one_of_two_keys_must_be_there() -> None:
    assert list(bad(user.GetUserRequest())) == ["key"]
    assert bad(user.GetUserRequest(authy_id="1")) == bad(user.GetUserRequest(custom_user_id="a")) == {}
    assert list(bad(user.GetUserRequest(authy_id=""))) == ["authy_id"]
    assert list(bad(user.GetUserRequest(custom_user_id="a" * 129))) == ["custom_user_id"]


def test_a_resource_must_be_there() -> None:
    assert list(bad(application.CreateApplicationRequest())) == ["application"]


def update(paths: list[str], **fields: Any) -> Message:
    resource = application.Application(**({"application_id": "app_1"} | fields))
    return application.UpdateApplicationRequest(application=resource, update_mask=FieldMask(paths=paths))


def test_an_update_looks_at_what_it_names() -> None:
    assert bad(update(["logo"])) == {}
    assert bad(update(["logo"], name="a" * 61, code_digits=99, origin="nonsense")) == {}
    assert list(bad(update(["name"], name=""))) == ["application.name"]
    assert list(bad(update(["origin", "match_digits"], match_digits=1))) == [
        "application.origin",
        "application.match_digits",
    ]
    assert list(bad(update(["name"], name="a", application_id=""))) == ["application.application_id"]


@pytest.mark.parametrize("paths", [[], ["code_digits"], ["application_id"], ["name", "nonsense"], [""]])
def test_an_update_of_nothing_or_of_what_stays(paths: list[str]) -> None:
    assert list(bad(update(paths, name="a"))) == ["update_mask"]


def test_the_other_updates() -> None:
    own = account.UpdateAccountRequest(
        account={"new_device_policy": 0}, update_mask={"paths": ["phone_codes"]}
    )
    assert bad(own) == {}
    own.update_mask.paths.append("new_device_policy")
    assert list(bad(own)) == ["account.new_device_policy"]
    own.account.new_device_policy = account.NEW_DEVICE_POLICY_DENY
    assert bad(own) == {}
    hook = webhook.UpdateWebhookRequest(webhook={"webhook_id": "w"}, update_mask={"paths": ["types"]})
    assert bad(hook) == {}
    hook.webhook.types.append("")
    assert list(bad(hook)) == ["webhook.types[0]"]
    assert list(bad(webhook.UpdateWebhookRequest())) == ["webhook.webhook_id", "update_mask"]


def test_an_empty_change_of_phone_takes_it_back() -> None:
    assert bad(account.ChangePhoneRequest()) == {}


def test_messages_of_others_have_the_limits_of_their_types() -> None:
    assert bad(FieldMask(paths=["a"])) == {}
    assert list(bad(FieldMask(paths=["a" * 257]))) == ["paths[0]"]
