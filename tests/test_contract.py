"""What the contract says in its options, and that it says enough."""

import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.descriptor_pb2 import FieldOptions, MethodOptions
from prometheus_client import CollectorRegistry, Counter

from authy_grpc.rpc.access import need_of
from authy_grpc.rpc.auth import NEEDS, OPEN
from authy_grpc.rpc.contract import PACKAGE
from authy_grpc.rpc.fields import rule_of, update_of
from authy_grpc.rpc.rules import (
    Choice,
    Entries,
    Items,
    Number,
    Origin,
    PageSize,
    Png,
    Size,
    Text,
    Unsupported,
)
from authy_grpc.store import page
from authy_grpc.v1 import options_pb2
from authy_grpc.v1.application_pb2 import ApiKeyScope
from authy_grpc.v1.errors_pb2 import ErrorReason
from tests.reasons import LISTED, unlisted

ROOT = Path(__file__).parents[1] / "protos"
NOUNS = sorted(path.stem for path in (ROOT / "authy_grpc/v1").glob("*.proto"))
LIMITED: dict[int, tuple[type, ...]] = {
    FieldDescriptor.TYPE_STRING: (Text, Origin),
    FieldDescriptor.TYPE_BYTES: (Size, Png),
    FieldDescriptor.TYPE_INT32: (Number, PageSize),
    FieldDescriptor.TYPE_ENUM: (Choice,),
}
TEXT = {"min_chars", "max_chars", "text", "pattern"}
# Options by type of field, or by name of message.
FITTING: dict[int | str, set[str]] = {
    FieldDescriptor.TYPE_STRING: {"required", "format", *TEXT},
    FieldDescriptor.TYPE_BYTES: {"required", "format", "exact_bytes", "max_bytes"},
    FieldDescriptor.TYPE_INT32: {"required", "minimum", "maximum", "capped_at"},
    FieldDescriptor.TYPE_ENUM: {"required"},
    "map": {"max_name_chars", *TEXT},
    "Duration": {"min_seconds", "max_seconds"},
    "FieldMask": {"update"},
    "Application": {"required"},
}
# What follows from `access`, or is every call's.
UNSAID = {
    "UNSPECIFIED", "BAD_FIELD", "BACKEND", "DRAINING", "REQUEST_TIMEOUT", "INTERNAL", "MISSING_SCOPE",
    "DEVICE_HELD",
}  # fmt: skip
SCOPES = {name.removeprefix("API_KEY_SCOPE_") for name, number in ApiKeyScope.items() if number}

# Calls that take something that could be guessed or forged: each has a test of its limiter, its single use
# or its proof. A new one fails here until it is written down.
GUESSABLE = {
    "VerificationService/VerifyCode",
    "EnrollmentService/ConfirmEnrollment",
    "AccountService/RegisterDevice",
    "AccountService/ChangePhone",
    "AccountService/ApproveDevice",
}
SIGNED = {
    "AccountService/RegisterDevice",
    "AccountService/CreateSession",
    "AccountService/UpdateAccount",
    "AccountService/ChangePhone",
    "AccountService/DeleteAccount",
    "AccountService/UpdateDevice",
    "AccountService/AcknowledgeDevice",
    "AccountService/ApproveDevice",
    "AccountService/RevokeDevice",
    "AccountService/SetPushSubscription",
    "AuthenticatorService/AcceptEnrollment",
    "AuthenticatorService/AddSiteKey",
    "AuthenticatorService/UpdateSite",
    "AuthenticatorService/RemoveSite",
    "AuthenticatorService/RespondApproval",
}
BEARING = {
    "AuthenticatorService/OpenEnrollment",
    "AuthenticatorService/AcceptEnrollment",
    "AuthenticatorService/RejectEnrollment",
    "AccountService/StartPhoneVerification",
    "CredentialService/Check",
}
SECRETS = {
    "guessable": (GUESSABLE, {"code", "recovery_code", "check", "match_number", "pin", "password"}),
    "signed": (SIGNED, {"proof", "signature", "site_key_proof", "receipt"}),
    "bearing": (BEARING, {"token", "secret", "registration_proof", "credential"}),
}


def methods() -> Iterator[MethodDescriptor]:
    for noun in NOUNS:
        module = importlib.import_module(f"authy_grpc.v1.{noun}_pb2")
        for service in module.DESCRIPTOR.services_by_name.values():
            yield from service.methods


def path(method: MethodDescriptor) -> str:
    service: Any = method.containing_service
    return f"{service.full_name}/{method.name}"


def messages() -> dict[str, Descriptor]:
    """All messages that come in, by full name."""
    found: dict[str, Descriptor] = {}

    def add(kind: Any) -> None:
        if kind.full_name not in found and kind.full_name.startswith(PACKAGE):
            found[kind.full_name] = kind
            for field in kind.fields:
                if field.message_type is not None:
                    add(field.message_type)

    for method in methods():
        add(method.input_type)
    return found


def fields() -> dict[str, FieldDescriptor]:
    """All fields that come in, by full name."""
    return {field.full_name: field for kind in messages().values() for field in kind.fields}


ANY_NUMBER = {
    # What the service itself has said: a report of another lease counts for nothing.
    "ReportDeliveryRequest.attempt",
}


def test_every_field_that_comes_in_has_a_limit() -> None:
    for name, field in fields().items():
        kind: Any = field.containing_type
        if kind.GetOptions().map_entry:
            continue  # the map's own rule
        rule = rule_of(field)
        if field.is_repeated:
            assert isinstance(rule, Items | Entries), name
            if field.type == FieldDescriptor.TYPE_STRING:
                assert isinstance(rule, Items) and isinstance(rule.each, Text), name
        elif field.type in LIMITED and name.removeprefix(PACKAGE) not in ANY_NUMBER:
            assert isinstance(rule, (*LIMITED[field.type], Unsupported)), name
            assert not isinstance(rule, Choice) or rule.known, name


def misfits(field: FieldDescriptor | SimpleNamespace) -> set[str]:
    """Options of a field that do not fit its type, or say what cannot be."""
    options = field.GetOptions()
    told = {each.name: value for each, value in options.ListFields() if each.name != "deprecated"}
    kind = "map" if is_map(field) else field.message_type.name if field.message_type else field.type
    fit = FITTING.get(kind, set()) | {"unsupported"}
    if field.is_repeated:
        fit = (fit | {"max_items"}) - {"required"}
    wrong = told.keys() - fit
    for low, high in (("minimum", "maximum"), ("min_chars", "max_chars"), ("min_seconds", "max_seconds")):
        if low in told and high in told and told[low] > told[high]:
            wrong.add(low)
    if {"minimum", "maximum"} & told.keys() and "maximum" not in told:
        wrong.add("minimum")
    return wrong


def is_map(field: FieldDescriptor | SimpleNamespace) -> bool:
    return field.message_type is not None and bool(field.message_type.GetOptions().map_entry)


def test_no_limit_stands_where_none_is_kept() -> None:
    coming_in, found = fields(), {}
    for noun in NOUNS:
        module = importlib.import_module(f"authy_grpc.v1.{noun}_pb2")
        for kind in module.DESCRIPTOR.message_types_by_name.values():
            for field in kind.fields:
                if wrong := misfits(field) if field.full_name in coming_in else limits_of(field):
                    found[field.full_name] = wrong
    assert found == {}
    assert sum(bool(limits_of(field)) for field in coming_in.values()) > 100


def limits_of(field: FieldDescriptor) -> set[str]:
    return {each.name for each, _ in field.GetOptions().ListFields()}


def test_a_limit_that_does_not_fit_would_be_found() -> None:
    options = FieldOptions()
    options.Extensions[options_pb2.max_chars] = 5
    options.Extensions[options_pb2.minimum] = 5
    options.Extensions[options_pb2.maximum] = 4
    options.Extensions[options_pb2.required] = True

    def told(kind: int, *, repeated: bool = False) -> set[str]:
        return misfits(
            SimpleNamespace(GetOptions=lambda: options, type=kind, message_type=None, is_repeated=repeated)
        )

    assert told(FieldDescriptor.TYPE_INT32) == {"max_chars", "minimum"}
    assert told(FieldDescriptor.TYPE_STRING) == {"minimum", "maximum"}
    assert "required" in told(FieldDescriptor.TYPE_STRING, repeated=True)
    assert "required" not in told(FieldDescriptor.TYPE_STRING)


def flaws(options: MethodOptions, *, takes_request_id: bool = False) -> set[str]:
    """What a method's options lack, or have and must not."""
    access = options.Extensions[options_pb2.access]
    device = access.held or access.limited or access.itself_alone
    again = takes_request_id or options.idempotency_level == MethodOptions.NO_SIDE_EFFECTS
    found = {
        "caller": access.caller == options_pb2.CALLER_UNSPECIFIED,
        "scopes": bool(access.scopes)
        and (access.caller != options_pb2.CALLER_SITE or not set(access.scopes) <= SCOPES),
        "device": device and access.caller != options_pb2.CALLER_DEVICE,
        "itself_alone": access.itself_alone and not (access.held or access.limited),
        "single_use": options.HasExtension(options_pb2.single_use) == again,
    }
    return {name for name, wrong in found.items() if wrong}


def test_every_method_says_who_may_call_and_what_a_second_call_does() -> None:
    found = {
        path(method): wrong
        for method in methods()
        if (
            wrong := flaws(
                method.GetOptions(), takes_request_id="request_id" in method.input_type.fields_by_name
            )
        )
    }
    assert found == {}


def test_a_method_that_says_too_little_would_be_found() -> None:
    assert flaws(MethodOptions()) == {"caller", "single_use"}
    options = MethodOptions(idempotency_level=MethodOptions.NO_SIDE_EFFECTS)
    options.Extensions[options_pb2.access].CopyFrom(options_pb2.Access(caller=options_pb2.CALLER_SITE))
    assert flaws(options) == set()
    options.Extensions[options_pb2.access].scopes.append("VERIFYING")
    options.Extensions[options_pb2.access].itself_alone = True
    options.Extensions[options_pb2.single_use] = False
    assert flaws(options) == {"scopes", "device", "itself_alone", "single_use"}
    bare: Any = SimpleNamespace(GetOptions=MethodOptions, name="Call")
    with pytest.raises(KeyError):
        need_of(bare)


def test_reasons_are_listed_that_follow_from_what_a_method_takes() -> None:
    for method in methods():
        taken = method.input_type.fields_by_name
        for name, reason in (
            ("request_id", "REQUEST_ID_REUSED"),
            ("cursor", "CURSOR_EXPIRED"),
            ("proof", "CLOCK_SKEW"),
            ("proof", "BAD_CREDENTIAL"),
        ):
            assert name not in taken or reason in LISTED[f"/{path(method)}"], (path(method), reason)
        told = [ErrorReason.Name(each) for each in method.GetOptions().Extensions[options_pb2.reasons]]
        assert len(told) == len(set(told)), path(method)
        assert not {each.removeprefix("ERROR_REASON_") for each in told} & UNSAID, path(method)


def test_a_reason_that_is_not_listed_would_be_found() -> None:
    registry = CollectorRegistry()
    handled = Counter("grpc_server_handled", "", ["method", "code", "reason"], registry=registry)
    get, health = "/authy_grpc.v1.UserService/GetUser", "/grpc.health.v1.Health/Check"
    for method, reason in ((get, ""), (get, "NOT_FOUND"), (get, "BACKEND"), (health, "NOT_FOUND")):
        handled.labels(method, "CODE", reason).inc()
    assert unlisted(registry) == set()
    handled.labels(get, "CODE", "PUSH_FROZEN").inc()
    assert unlisted(registry) == {(get, "PUSH_FROZEN")}


def test_every_method_has_its_entry_in_auth() -> None:
    ours = {f"/{path(method)}" for method in methods()}
    assert ours == {name for name, need in NEEDS.items() if need is not OPEN}
    assert {name.split("/")[1] for name, need in NEEDS.items() if need is OPEN} == {"grpc.health.v1.Health"}


def test_pages_are_capped_where_the_contract_says_so() -> None:
    capped = {rule.high for field in fields().values() if isinstance(rule := rule_of(field), PageSize)}
    assert capped == {page.size(2**31 - 1)}


def test_every_update_of_a_resource_has_a_mask() -> None:
    found = set()
    for method in methods():
        resource = method.input_type.fields_by_name.get(method.name.removeprefix("Update").lower())
        if method.name.startswith("Update") and resource is not None and resource.message_type is not None:
            mask: Any = method.input_type.fields_by_name["update_mask"].message_type
            assert mask.full_name == "google.protobuf.FieldMask"
            found.add(method.input_type.name)
    assert found == {kind.name for kind in messages().values() if update_of(kind)}
    renames = {method.name for method in methods() if method.name.startswith("Update")}
    assert renames - {name.removesuffix("Request") for name in found} == {"UpdateDevice", "UpdateSite"}


def test_every_path_of_an_update_is_a_field() -> None:
    for kind in messages().values():
        if (update := update_of(kind)) is not None:
            resource: Any = kind.fields_by_name[update.resource].message_type
            assert update.paths
            assert {*update.paths, *([update.key] if update.key else [])} <= set(resource.fields_by_name)


@pytest.mark.parametrize("kind", SECRETS)
def test_every_call_that_takes_a_secret_is_listed(kind: str) -> None:
    listed, names = SECRETS[kind]
    taking = {
        path(method).removeprefix(PACKAGE)
        for method in methods()
        if names & {field.name for field in method.input_type.fields}
    }
    assert taking == listed


def test_no_message_has_a_field_that_sounds_secret_and_is_not_judged() -> None:
    judged = set().union(*(names for _, names in SECRETS.values()))
    # Keys are public halves; `auth` and `p256dh` are the caller's own push subscription.
    others = {"auth"}
    suspicious = re.compile("code|secret|token|proof|pin|password|auth|receipt|check|number")
    plain = {
        "page_token",
        "phone_number",
        "code_digits",
        "code_period_seconds",
        "phone_codes",
        "require_code",
    }
    plain |= {"authy_id", "pending_phone_number"}
    for name, field in fields().items():
        if suspicious.search(field.name):
            assert field.name in judged | others | plain, name
