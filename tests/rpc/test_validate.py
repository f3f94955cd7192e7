"""The limits of the contract, at -1, 0 and +1."""

import struct
from datetime import timedelta
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from authy_grpc.domain.errors import BadField
from authy_grpc.rpc.validate import Validate
from authy_grpc.v1 import account_pb2 as account
from authy_grpc.v1 import application_pb2 as application
from authy_grpc.v1 import approval_pb2 as approval
from authy_grpc.v1 import authenticator_pb2 as authenticator
from authy_grpc.v1 import enrollment_pb2 as enrollment
from authy_grpc.v1 import event_pb2 as event
from authy_grpc.v1 import user_pb2 as user
from authy_grpc.v1 import verification_pb2 as verification
from authy_grpc.v1 import webhook_pb2 as webhook

PNG = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sIIBBBBB", 13, b"IHDR", 1, 1, 8, 6, 0, 0, 0)
CONTROLS = "\x00\x1f\x7f\x9f\u2028\u2029\u202a\u202e\u2066\u2069"

# A good request of each kind that the limits below are tried on.
GOOD: dict[str, Message] = {
    message.DESCRIPTOR.name: message
    for message in (
        account.CreateSessionRequest(device_id="dev_1"),
        account.RegisterDeviceRequest(
            verification_id="pvn_1",
            code="123456",
            name="Phone",
            signing_key=bytes(65),
            agreement_key=bytes(65),
            signature=bytes(64),
        ),
        account.SetPushSubscriptionRequest(),
        account.StartPhoneVerificationRequest(phone_number="+15005550006"),
        application.CreateApiKeyRequest(application_id="app_1", name="Main"),
        application.CreateApplicationRequest(
            application=application.Application(name="Shop", origin="https://shop.example")
        ),
        approval.CreateApprovalRequest(authy_id="1000000", message="Pay?"),
        authenticator.RespondApprovalRequest(approval_id="apr_1", receipt="a.b.c"),
        authenticator.UpdateSiteRequest(site_id="sit_1"),
        enrollment.CreateEnrollmentRequest(custom_user_id="u"),
        event.WatchEventsRequest(),
        user.ListUsersRequest(),
        user.UnlockUserRequest(authy_id="1000000"),
        verification.VerifyCodeRequest(authy_id="1000000", code="123456"),
        webhook.LeaseDeliveriesRequest(max_in_flight=1),
        webhook.RotateWebhookSecretRequest(webhook_id="whk_1"),
    )
}


def bad(request: Message, *, local_origins: bool = False) -> dict[str, str]:
    """The bad fields of a request, with what is wrong."""
    try:
        Validate(local_origins=local_origins)(request)
    except BadField as error:
        return {violation.field: violation.description for violation in error.violations}
    return {}


def changed(kind: str, path: str, value: Any) -> Message:
    """A good request with another value in one field."""
    request: Any = type(GOOD[kind])()
    request.CopyFrom(GOOD[kind])
    *outer, name = path.split(".")
    inner = request
    for each in outer:
        inner = getattr(inner, each)
    if isinstance(value, Message):
        getattr(inner, name).CopyFrom(value)
    elif isinstance(value, list):
        getattr(inner, name).extend(value)
    elif isinstance(value, dict):
        getattr(inner, name).update(value)
    else:
        setattr(inner, name, value)
    return request  # type: ignore[no-any-return]


def seconds(value: float) -> Duration:
    made = Duration()
    made.FromTimedelta(timedelta(seconds=value))
    return made


NAME = (("a", "a" * 60, "\U0001f600" * 60), ("", "a" * 61, *CONTROLS))
KEY = ((bytes(65),), (b"", bytes(64), bytes(66)))
DETAIL = approval.Detail(label="a")
TOO_LATE = Timestamp(seconds=253402300800)
LIMITS: dict[str, tuple[tuple[Any, ...], tuple[Any, ...]]] = {
    "CreateApiKeyRequest.name": NAME,
    "CreateApiKeyRequest.expire_time": (
        (Timestamp(seconds=1), Timestamp(seconds=253402300799, nanos=999999999)),
        (TOO_LATE, Timestamp(nanos=-1), Timestamp(nanos=10**9)),
    ),
    "CreateApplicationRequest.application.name": NAME,
    "CreateApplicationRequest.application.logo": (
        (b"", PNG, PNG.ljust(32768)),
        (PNG.ljust(32769), b"GIF89a"),
    ),
    "CreateApplicationRequest.application.code_digits": ((0, 6, 8), (-1, 5, 9)),
    "CreateApplicationRequest.application.code_period_seconds": ((0, 10, 60), (-1, 9, 61)),
    "CreateApplicationRequest.application.match_digits": ((0, 2, 8), (-1, 1, 9)),
    "CreateApprovalRequest.authy_id": (("1", "1" * 256), ("", "1" * 257)),
    "CreateApprovalRequest.message": (("a", "a" * 200), ("", "a" * 201, "a\u2069", "a\u200b", "\u3164", " ")),
    "CreateApprovalRequest.ttl": ((seconds(15), seconds(86400)), (seconds(14.9), seconds(86401))),
    "CreateApprovalRequest.match_digits": ((0, 2, 8), (1, 9)),
    "CreateApprovalRequest.details": (([DETAIL] * 20,), ([DETAIL] * 21,)),
    "CreateApprovalRequest.hidden_details": (
        ({str(n): "" for n in range(20)}, {"a" * 40: "a" * 400}),
        ({str(n): "" for n in range(21)}, {"": ""}, {"a" * 41: ""}, {"a": "a" * 401}),
    ),
    "CreateEnrollmentRequest.custom_user_id": (
        ("a", "a" * 128, "a\u202eb"),
        ("", "a" * 129, "a\x00"),
    ),
    "CreateEnrollmentRequest.ttl": (
        (seconds(30), seconds(86400)),
        (
            *(seconds(29.999), seconds(86400.001), seconds(-30), Duration(seconds=60, nanos=10**9)),
            *(Duration(seconds=60, nanos=-1), Duration(seconds=2**62)),
        ),
    ),
    "CreateEnrollmentRequest.request_id": (("", "a" * 64), ("a" * 65,)),
    "CreateEnrollmentRequest.account_label": (("", "a" * 60), ("a" * 61, "\n")),
    "CreateEnrollmentRequest.method": ((0, 2), (3, -1)),
    "CreateEnrollmentRequest.qr.module_size": ((0, 1, 40), (-1, 41)),
    "CreateSessionRequest.proof.signature": ((b"", bytes(64)), (bytes(63), bytes(65))),
    "LeaseDeliveriesRequest.max_in_flight": ((1, 1000), (0, 1001, -1)),
    "ListUsersRequest.page_size": ((0, 1, 1000, 1001, 2**31 - 1), (-1,)),
    "ListUsersRequest.page_token": (("", "a" * 1024), ("a" * 1025,)),
    "RegisterDeviceRequest.name": NAME,
    "RegisterDeviceRequest.signing_key": KEY,
    "RegisterDeviceRequest.agreement_key": KEY,
    "RegisterDeviceRequest.signature": ((bytes(64),), (b"", bytes(63), bytes(65))),
    "RegisterDeviceRequest.fresh_account": ((False,), (True,)),
    "RegisterDeviceRequest.recovery_code": (("",), ("0123456789ABCDEF",)),
    "RegisterDeviceRequest.platform": ((0, 4), (5, -1)),
    "RegisterDeviceRequest.code": (("1", "1" * 256), ("", "1" * 257, "1\x00")),
    "RespondApprovalRequest.receipt": (("a", "a" * 65536), ("", "a" * 65537)),
    "RotateWebhookSecretRequest.overlap": ((Duration(), seconds(1)), (seconds(-1),)),
    "SetPushSubscriptionRequest.endpoint": (("", "a" * 2048), ("a" * 2049,)),
    "SetPushSubscriptionRequest.auth": ((b"", bytes(16)), (bytes(15), bytes(17))),
    "StartPhoneVerificationRequest.phone_number": (("+1", "1" * 256), ("", "1" * 257)),
    "StartPhoneVerificationRequest.registration_proof": (("", "a" * 4096), ("a" * 4097,)),
    "StartPhoneVerificationRequest.locale": (("", "a" * 256), ("a" * 257,)),
    "UpdateSiteRequest.label": (("", "a" * 40), ("a" * 41, "\x9f")),
    "VerifyCodeRequest.action": (("", "log_in2", "a" * 32), ("a" * 33, "A", "a b", "a\n")),
    "WatchEventsRequest.cursor": (("earliest", "a" * 1024), ("a" * 1025,)),
    "WatchEventsRequest.types": ((["a"] * 100,), (["a"] * 101,)),
}


@pytest.mark.parametrize("field", LIMITS)
def test_a_limit(field: str) -> None:
    kind, _, path = field.partition(".")
    good, wrong = LIMITS[field]
    for value in good:
        assert bad(changed(kind, path, value)) == {}, value
    for value in wrong:
        found = bad(changed(kind, path, value))
        assert list(found) == [path], value
        if isinstance(value, str) and len(value) > 10:
            assert value[:10] not in found[path]


def test_a_list_says_which() -> None:
    details = [DETAIL, approval.Detail(label="a" * 40, value="a" * 400)]
    assert bad(changed("CreateApprovalRequest", "details", details)) == {}
    details = [DETAIL, approval.Detail(label="a" * 41, value="a" * 401)]
    found = bad(changed("CreateApprovalRequest", "details", details))
    assert list(found) == ["details[1].label", "details[1].value"]
    assert list(bad(changed("WatchEventsRequest", "types", ["a", "", "a" * 257]))) == ["types[1]", "types[2]"]
    for kind, field in (("CreateApiKeyRequest", "scopes"), ("UnlockUserRequest", "factors")):
        assert list(bad(changed(kind, field, [1, 4, 0, 6]))) == [f"{field}[2]", f"{field}[3]"]


@pytest.mark.parametrize(
    "origin",
    [
        "https://shop.example",
        "https://shop.example:8443",
        "https://xn--bcher-kva.example",
        "https://203.0.113.7",
        "https://[2001:db8::1]:444",
    ],
)
def test_an_origin(origin: str) -> None:
    assert bad(changed("CreateApplicationRequest", "application.origin", origin)) == {}


@pytest.mark.parametrize(
    "origin",
    [
        "", "shop.example", "http://shop.example", "http://localhost", "https://", "https://Shop.example",
        "https://shop.example/", "https://shop.example/path", "https://shop.example?q", "https://shop.example#f",
        "https://me@shop.example", "https://me:pw@shop.example", "https://shop.example:0",
        "https://a b", "https://shop.example:65536",
        "https://shop.example:", "https://-a.example", "https://a..b", "https://a_b.example", "https://127.1",
        "https://0177.0.0.1", "https://2130706433", "https://[::1", "https://[0:0::1]", "https://b\u00fccher.example",
        "https://shop.example\n", "javascript://shop.example", "https://" + "a" * 64 + ".example",
        "https://" + "a." * 130 + "example",
    ],
)  # fmt: skip
def test_what_is_no_origin(origin: str) -> None:
    assert list(bad(changed("CreateApplicationRequest", "application.origin", origin))) == [
        "application.origin"
    ]


def test_http_origins_of_this_machine_in_development_alone() -> None:
    for origin in ("http://localhost", "http://localhost:8080", "http://127.0.0.1:8080", "http://[::1]:1"):
        assert (
            bad(changed("CreateApplicationRequest", "application.origin", origin), local_origins=True) == {}
        )
        assert bad(changed("CreateApplicationRequest", "application.origin", origin)) != {}
    assert (
        bad(
            changed("CreateApplicationRequest", "application.origin", "http://shop.example"),
            local_origins=True,
        )
        != {}
    )


def test_all_bad_fields_are_named_at_once() -> None:
    details = [DETAIL, approval.Detail(), approval.Detail(label="a", value="\n")]
    request = approval.CreateApprovalRequest(details=details, request_id="a" * 65)
    assert set(bad(request)) == {"authy_id", "message", "details[1].label", "details[2].value", "request_id"}


def test_of_very_many_the_first_are_named() -> None:
    assert len(bad(event.ListEventsRequest(types=[""] * 100))) == 20


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
    own = account.UpdateAccountRequest(update_mask=FieldMask(paths=["phone_codes"]))
    assert bad(own) == {}
    own.update_mask.paths.append("new_device_policy")
    assert list(bad(own)) == ["account.new_device_policy"]
    own.account.new_device_policy = account.NEW_DEVICE_POLICY_DENY
    assert bad(own) == {}
    hook = webhook.UpdateWebhookRequest(
        webhook=webhook.Webhook(webhook_id="whk_1"), update_mask=FieldMask(paths=["types"])
    )
    assert bad(hook) == {}
    hook.webhook.types.append("")
    assert list(bad(hook)) == ["webhook.types[0]"]
    assert list(bad(webhook.UpdateWebhookRequest())) == ["webhook.webhook_id", "update_mask"]


def test_an_empty_change_of_phone_takes_it_back() -> None:
    assert bad(account.ChangePhoneRequest()) == {}


def test_messages_of_others_have_the_limits_of_their_types() -> None:
    assert bad(FieldMask(paths=["a"])) == {}
    assert list(bad(FieldMask(paths=["a" * 257]))) == ["paths[0]"]
