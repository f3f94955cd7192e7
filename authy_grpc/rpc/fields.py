"""Owns the limits written in the contract's comments, by message and field: the one table of them."""

from collections.abc import Mapping
from datetime import timedelta

from authy_grpc.rpc.rules import (
    Choice,
    Entries,
    Items,
    Number,
    Origin,
    PageSize,
    Png,
    Required,
    Rule,
    Size,
    Span,
    Text,
    Unsupported,
    Update,
)

PACKAGE = "authy_grpc.v1."
_DAY = timedelta(hours=24)
_ID = Text(1)
_CODE = Text(1)
_NAME = Text(1, 60, human=True)
_TYPES = Items(each=Text(1))
_ACTION = Text(0, 32, pattern="[a-z0-9_]*", form="made of a-z, 0-9 and _")
_KEY, _SIGNATURE = Size(65), Size(64)

FIELDS: Mapping[str, Mapping[str, Rule]] = {
    "Account": {"new_device_policy": Choice(required=True)},
    "Application": {
        # Of a new one the service chooses it; an update must have it, see UPDATES.
        "application_id": Text(),
        "name": _NAME,
        "origin": Origin(),
        "logo": Png(32 * 1024),
        "code_digits": Number(6, 8),
        "code_period_seconds": Number(10, 60),
        "match_digits": Number(2, 8),
    },
    "Detail": {"label": Text(1, 40, human=True), "value": Text(0, 400, human=True)},
    # A proof that is missing is a bad credential, not a bad field.
    "DeviceProof": {"signature": Size(64, empty=True)},
    "QrCodeOptions": {"module_size": Number(1, 40)},
    "Webhook": {"url": Text(1, 2048), "types": _TYPES, "state": Choice(required=True)},
    "AcceptEnrollmentRequest": {"site_key": _KEY, "site_key_proof": _SIGNATURE, "signature": _SIGNATURE},
    "AddSiteKeyRequest": {"site_key": _KEY, "site_key_proof": _SIGNATURE, "signature": _SIGNATURE},
    "ApproveDeviceRequest": {"check": _CODE},
    # Without a verification it takes a change of number back.
    "ChangePhoneRequest": {"verification_id": Text(), "code": Text()},
    "CheckRequest": {"method": Text(1), "credential": Text(0, 4096)},
    "ConfirmEnrollmentRequest": {"code": _CODE},
    "CreateApiKeyRequest": {"name": _NAME, "scopes": Items(each=Choice(required=True))},
    "CreateApplicationRequest": {"application": Required()},
    "CreateApprovalRequest": {
        "message": Text(1, 200, human=True),
        "details": Items(20),
        "hidden_details": Entries(20, names=Text(1, 40), values=Text(0, 400)),
        "ttl": Span(timedelta(seconds=15), _DAY),
        "match_digits": Number(2, 8),
    },
    "CreateEnrollmentRequest": {
        "custom_user_id": Text(1, 128),
        "ttl": Span(timedelta(seconds=30), _DAY),
        "account_label": Text(0, 60, human=True),
    },
    "CreateWebhookRequest": {"url": Text(1, 2048), "types": _TYPES},
    "GetUserRequest": {"custom_user_id": Text(1, 128)},
    "LeaseDeliveriesRequest": {"max_in_flight": Number(1, 1000, zero=False)},
    "ListEventsRequest": {"types": _TYPES},
    "RedeliverRequest": {"event_id": _ID},
    "RegisterDeviceRequest": {
        "code": _CODE,
        "name": _NAME,
        "signing_key": _KEY,
        "agreement_key": _KEY,
        "signature": _SIGNATURE,
        "fresh_account": Unsupported(),
        "recovery_code": Unsupported(),
    },
    "ReportDeliveryRequest": {
        "http_status": Number(0, 999),
        "duration": Span(timedelta(0)),
        "retry_after": Span(),
    },
    "RespondApprovalRequest": {"receipt": Text(1, 65_536)},
    "RotateWebhookSecretRequest": {"overlap": Span(timedelta(0), 30 * _DAY)},
    "SendCodeRequest": {"action": _ACTION},
    # RFC 8291: a P-256 point and 16 bytes.
    "SetPushSubscriptionRequest": {
        "endpoint": Text(0, 2048),
        "p256dh": Size(65, empty=True),
        "auth": Size(16, empty=True),
    },
    "StartPhoneVerificationRequest": {"phone_number": Text(1), "registration_proof": Text(0, 4096)},
    "UnlockUserRequest": {"factors": Items(each=Choice(required=True))},
    "UpdateDeviceRequest": {"name": _NAME},
    "UpdateSiteRequest": {"label": Text(0, 40, human=True)},
    "VerifyCodeRequest": {"code": _CODE, "action": _ACTION},
    "WatchEventsRequest": {"types": _TYPES},
}

# Of fields that mean the same in every request, where the table above has no entry of their own.
BY_NAME: Mapping[str, Rule] = {
    "page_size": PageSize(),
    "page_token": Text(0, 1024),
    "cursor": Text(0, 1024),
    "request_id": Text(0, 64),
    "token": _ID,
    **dict.fromkeys(
        (
            "api_key_id", "application_id", "approval_id", "authy_id", "delivery_id", "device_id",
            "enrollment_id", "logo_id", "site_id", "verification_id", "webhook_id",
        ),
        _ID,
    ),
}  # fmt: skip

UPDATES: Mapping[str, Update] = {
    "UpdateAccountRequest": Update("account", ("new_device_policy", "phone_codes")),
    "UpdateApplicationRequest": Update(
        "application",
        ("name", "origin", "logo", "match_digits", "phone_codes", "require_code"),
        key="application_id",
    ),
    "UpdateWebhookRequest": Update("webhook", ("url", "types", "state"), key="webhook_id"),
}
