"""What the contract promises in its comments and descriptors, held against the tables that keep it."""

import importlib
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from google.api import annotations_pb2
from google.protobuf import descriptor_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.descriptor_pb2 import MethodOptions
from grpc_tools import protoc  # type: ignore[import-untyped]

from authy_grpc.rpc.access import need_of
from authy_grpc.rpc.auth import NEEDS, OPEN
from authy_grpc.rpc.fields import BY_NAME, FIELDS, PACKAGE, UPDATES
from authy_grpc.rpc.rules import Choice, Entries, Items, Number, PageSize, Png, Size, Span, Text
from authy_grpc.rpc.validate import rule_of
from authy_grpc.v1 import options_pb2
from authy_grpc.v1.application_pb2 import ApiKeyScope

ROOT = Path(__file__).parents[1] / "protos"
NOUNS = sorted(path.stem for path in (ROOT / "authy_grpc/v1").glob("*.proto"))
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


@pytest.fixture(scope="module")
def comments(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The comment before each field of the contract, on one line, by full name."""
    target = tmp_path_factory.mktemp("contract") / "set.binpb"
    google = Path(annotations_pb2.__file__).parents[2]
    well_known = Path(protoc.__file__).parent / "_proto"
    sources = [str(ROOT / f"authy_grpc/v1/{noun}.proto") for noun in NOUNS]
    options = [f"-I{ROOT}", f"-I{google}", f"-I{well_known}", "--include_source_info", f"-o{target}"]
    assert protoc.main(["protoc", *options, *sources]) == 0
    found: dict[str, str] = {}
    for file in descriptor_pb2.FileDescriptorSet.FromString(target.read_bytes()).file:
        for place in file.source_code_info.location:
            match list(place.path):
                case [4, message, 2, field]:
                    kind = file.message_type[message]
                    name = f"{file.package}.{kind.name}.{kind.field[field].name}"
                    found[name] = " ".join(place.leading_comments.split())
    return found


NUMBER = r"(\d[\d,]*)"
UNIT = r"(?: ?(s|min|h|KiB))?"
RANGE = re.compile(rf"(?<![\w.]){NUMBER}{UNIT} to {NUMBER}{UNIT}(?! \d)")
MOST = re.compile(rf"\b[Aa]t most {NUMBER}{UNIT}")
BYTES = re.compile(rf"{NUMBER} bytes")
SCALE = {None: 1, "": 1, "s": 1, "min": 60, "h": 3600, "KiB": 1024}


def stated(comment: str) -> set[int]:
    """The limits that a comment states: in characters, entries, bytes or seconds."""
    found = {scaled(*pair) for low, a, high, b in RANGE.findall(comment) for pair in ((low, a), (high, b))}
    found |= {scaled(*pair) for pair in MOST.findall(comment)}
    return found | {scaled(number, "") for number in BYTES.findall(comment)}


def scaled(number: str, unit: str) -> int:
    return int(number.replace(",", "")) * SCALE[unit]


def kept(rule: object) -> set[int]:
    """The limits that a rule keeps."""
    match rule:
        case Text() | Number() | PageSize():
            return {rule.low, rule.high}
        case Size():
            return {rule.exact}
        case Png():
            return {rule.high}
        case Span():
            return {round(side / timedelta(seconds=1)) for side in (rule.low, rule.high)}
        case Entries():
            return {rule.high} | kept(rule.names) | kept(rule.values)
        case Items():
            return {rule.high} | kept(rule.each)
    return set()


# Limits that a comment states of something else than the field itself.
ELSEWHERE = {
    # Of Detail's own fields, which have rules of their own.
    "CreateApprovalRequest.details",
}


def test_every_limit_in_a_comment_has_its_rule(comments: dict[str, str]) -> None:
    checked = 0
    for name, field in fields().items():
        limits = stated(comments.get(name, ""))
        if not limits or name.removeprefix(PACKAGE) in ELSEWHERE:
            continue
        assert limits <= kept(rule_of(field)), (name, limits, rule_of(field))
        checked += 1
    assert checked >= 30


def test_the_search_for_limits_would_find_them(comments: dict[str, str]) -> None:
    assert stated("Shown to users: 1 to 60 characters.") == {1, 60}
    assert stated("How long the QR code works: 30 s to 24 h, 10 min where unset.") == {30, 86400}
    assert stated("PNG, at most 32 KiB, served to authenticators") == {32768}
    assert stated("At most 20; label 1 to 40 characters, value at most 400, no control") == {20, 1, 40, 400}
    assert stated("uncompressed points (65 bytes): one signs") == {65}
    assert stated("At most 65,536 characters.") == {65536}
    assert stated("Leave out states up to this revision.") == set()
    assert comments[PACKAGE + "CreateEnrollmentRequest.custom_user_id"] == "1 to 128 characters."
    assert set(comments) >= {PACKAGE + name for name in ELSEWHERE}


def test_limits_that_are_stated_of_something_else_are_kept_too() -> None:
    known = fields()

    def limits(name: str) -> set[int]:
        return kept(rule_of(known[PACKAGE + name]))

    assert limits("CreateApprovalRequest.details") == {20}
    assert limits("Detail.label") == {1, 40} and limits("Detail.value") == {0, 400}


def test_as_elsewhere_means_the_same_rule(comments: dict[str, str]) -> None:
    """`As in X.` states the limits of the field of the same name in X."""
    known, found = fields(), 0
    for name, field in known.items():
        if other := re.match(r"As in (\w+)", comments.get(name, "")):
            model = known[f"{PACKAGE}{other[1]}.{field.name}"]
            assert rule_of(field) == rule_of(model)
            found += 1
    assert found >= 3


def test_every_string_list_and_enum_that_comes_in_has_a_limit() -> None:
    for name, field in fields().items():
        kind: Any = field.containing_type
        if kind.GetOptions().map_entry:
            continue  # the map's own rule
        rule = rule_of(field)
        if field.is_repeated:
            assert isinstance(rule, Items | Entries), name
            if field.type == FieldDescriptor.TYPE_STRING:
                assert isinstance(rule, Items) and isinstance(rule.each, Text), name
        elif field.type == FieldDescriptor.TYPE_STRING:
            assert rule is not None, name
        elif field.type == FieldDescriptor.TYPE_BYTES:
            assert isinstance(rule, Size | Png), name
        elif field.type == FieldDescriptor.TYPE_ENUM:
            assert isinstance(rule, Choice) and rule.known, name


def test_the_tables_name_nothing_that_is_not_there() -> None:
    known = messages()
    for kind, rules in FIELDS.items():
        assert set(rules) <= set(known[PACKAGE + kind].fields_by_name), kind
    names = {field.name for field in fields().values()}
    assert set(BY_NAME) <= names
    assert set(UPDATES) <= {name.removeprefix(PACKAGE) for name in known}


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


def test_every_method_has_its_entry_in_auth() -> None:
    ours = {f"/{path(method)}" for method in methods()}
    assert ours == {name for name, need in NEEDS.items() if need is not OPEN}
    assert {name.split("/")[1] for name, need in NEEDS.items() if need is OPEN} == {"grpc.health.v1.Health"}


def test_every_update_of_a_resource_has_a_mask() -> None:
    found = set()
    for method in methods():
        resource = method.input_type.fields_by_name.get(method.name.removeprefix("Update").lower())
        if method.name.startswith("Update") and resource is not None and resource.message_type is not None:
            mask: Any = method.input_type.fields_by_name["update_mask"].message_type
            assert mask.full_name == "google.protobuf.FieldMask"
            found.add(method.input_type.name)
    assert found == set(UPDATES)
    renames = {method.name for method in methods() if method.name.startswith("Update")}
    assert renames - {name.removesuffix("Request") for name in found} == {"UpdateDevice", "UpdateSite"}


def test_every_path_of_an_update_is_a_field() -> None:
    known = messages()
    for name, update in UPDATES.items():
        resource: Any = known[PACKAGE + name].fields_by_name[update.resource].message_type
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
