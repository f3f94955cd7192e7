"""Converts the domain's values to messages of the contract, and back."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from authy_grpc.domain.application import ApiKey, Application, Scope
from authy_grpc.domain.approval import Approval
from authy_grpc.domain.enrollment import Enrollment
from authy_grpc.domain.event import UserEvent, WebhookEvent
from authy_grpc.domain.user import Factor, SiteKey, User
from authy_grpc.store.events import Recorded
from authy_grpc.store.once import Request
from authy_grpc.v1 import application_pb2, approval_pb2, enrollment_pb2, event_pb2, user_pb2


def timestamp(time: datetime | None) -> Timestamp | None:
    """A time on the wire; unset stays unset."""
    if time is None:
        return None
    # A third of what FromDatetime takes, which goes by way of the calendar.
    span = time - _EPOCH
    return Timestamp(seconds=span.days * 86_400 + span.seconds, nanos=span.microseconds * 1_000)


def time_or_none(message: Message, field: str) -> datetime | None:
    """The time in a field; None where it is unset."""
    if not message.HasField(field):
        return None
    value: datetime = getattr(message, field).ToDatetime(tzinfo=UTC)
    return value


def duration(span: timedelta) -> Duration:
    """A span on the wire."""
    made = Duration()
    made.FromTimedelta(span)
    return made


def span_or_none(message: Message, field: str) -> timedelta | None:
    """The span in a field; None where it is unset."""
    if not message.HasField(field):
        return None
    value: timedelta = getattr(message, field).ToTimedelta()
    return value


def request_of(method: str, request: Message) -> Request:
    """A call that may come again, by its `request_id`."""
    request_id: str = request.request_id  # type: ignore[attr-defined]
    return Request(method, request_id, request.SerializeToString(deterministic=True))


def application(value: Application) -> application_pb2.Application:
    """A relying site."""
    return application_pb2.Application(
        application_id=value.application_id,
        name=value.name,
        origin=value.origin,
        logo=value.logo,
        code_digits=value.code_digits,
        code_period_seconds=value.code_period_seconds,
        match_digits=value.match_digits,
        phone_codes=value.phone_codes,
        require_code=value.require_code,
        create_time=timestamp(value.create_time),
    )


def api_key(value: ApiKey) -> application_pb2.ApiKey:
    """A key, without its secret."""
    return application_pb2.ApiKey(
        api_key_id=value.api_key_id,
        application_id=value.application_id,
        name=value.name,
        scopes=[_SCOPES[scope] for scope in value.scopes],
        create_time=timestamp(value.create_time),
        last_use_time=timestamp(value.last_use_time),
        expire_time=timestamp(value.expire_time),
    )


def scopes(values: Iterable[int]) -> tuple[Scope, ...]:
    """Scopes of the wire, each once."""
    return tuple(scope for scope in Scope if _SCOPES[scope] in set(values))


def site_key(value: SiteKey) -> user_pb2.SiteKey:
    """The public half of a device's key for a site."""
    return user_pb2.SiteKey(
        kid=value.kid,
        jwk=value.jwk,
        create_time=timestamp(value.create_time),
        revoke_time=timestamp(value.revoke_time),
    )


def user(value: User) -> user_pb2.User:
    """A user as the site sees it."""
    return user_pb2.User(
        authy_id=value.authy_id,
        custom_user_id=value.custom_user_id,
        factors=[factor(each) for each in value.factors],
        create_time=timestamp(value.create_time),
        last_verify_time=timestamp(value.last_verify_time),
        locked_until=timestamp(value.locked_until),
        push_frozen_until=timestamp(value.push_frozen_until),
        keys=[site_key(key) for key in value.keys],
        backup_codes_left=value.backup_codes_left,
    )


def factor(value: str | None) -> user_pb2.Factor.ValueType:
    """A factor; unspecified for none."""
    return _FACTORS[value]


def enrollment(value: Enrollment) -> enrollment_pb2.Enrollment:
    """An enrollment."""
    return enrollment_pb2.Enrollment(
        enrollment_id=value.enrollment_id,
        custom_user_id=value.custom_user_id,
        method=enrollment_pb2.EnrollmentMethod.Value(f"ENROLLMENT_METHOD_{value.method}"),
        state=enrollment_pb2.EnrollmentState.Value(f"ENROLLMENT_STATE_{value.state}"),
        authy_id=value.authy_id,
        create_time=timestamp(value.create_time),
        update_time=timestamp(value.update_time),
        expire_time=timestamp(value.expire_time),
        revision=value.revision,
        keys=[site_key(key) for key in value.keys],
    )


def approval(value: Approval, match_number: str = "") -> approval_pb2.Approval:
    """An approval; the match number is given in answers of ApprovalService alone."""
    return approval_pb2.Approval(
        approval_id=value.approval_id,
        authy_id=value.authy_id,
        state=approval_pb2.ApprovalState.Value(f"APPROVAL_STATE_{value.state}"),
        message=value.message,
        details=[approval_pb2.Detail(label=each.label, value=each.value) for each in value.details],
        create_time=timestamp(value.create_time),
        expire_time=timestamp(value.expire_time),
        respond_time=timestamp(value.respond_time),
        match_number=match_number,
        deny_reason=approval_pb2.DenyReason.Value(f"DENY_REASON_{value.deny_reason or 'UNSPECIFIED'}"),
        receipt=value.receipt,
        revision=value.revision,
        hidden_details=value.hidden_details,
        require_user_verification=value.require_user_verification,
    )


def event(value: Recorded) -> event_pb2.Event:
    """An event, as it was recorded."""
    made = event_pb2.Event(event_id=value.event_id, type=value.type, create_time=timestamp(value.create_time))
    match value.body:
        case Enrollment() as body:
            made.enrollment.CopyFrom(enrollment(body))
        case Approval() as body:
            made.approval.CopyFrom(approval(body))
        case UserEvent() as body:
            made.user.CopyFrom(user_event(body))
        case WebhookEvent() as body:
            made.webhook.CopyFrom(event_pb2.WebhookEvent(webhook_id=body.webhook_id, reason=body.reason))
    return made


def user_event(value: UserEvent) -> event_pb2.UserEvent:
    """What happened to a user."""
    return event_pb2.UserEvent(
        authy_id=value.authy_id,
        custom_user_id=value.custom_user_id,
        factor=factor(value.factor),
        reason=value.reason,
        key=site_key(value.key) if value.key else None,
    )


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FACTORS: dict[str | None, user_pb2.Factor.ValueType] = {
    None: user_pb2.FACTOR_UNSPECIFIED,
    **{factor: user_pb2.Factor.Value(f"FACTOR_{factor}") for factor in Factor},
}
_SCOPES = {scope: application_pb2.ApiKeyScope.Value(f"API_KEY_SCOPE_{scope}") for scope in Scope}
