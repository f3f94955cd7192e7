"""The types of events, and what those about users and webhooks say."""

from collections.abc import Collection
from dataclasses import dataclass, field
from enum import StrEnum

from authy_grpc.domain.approval import Approval
from authy_grpc.domain.enrollment import Enrollment
from authy_grpc.domain.user import Factor, SiteKey


class UserEventType(StrEnum):
    """What can happen to a user."""

    CODE_ACCEPTED = "code.accepted"
    CODE_REJECTED = "code.rejected"
    CODE_SENT = "code.sent"
    CODE_DELIVERED = "code.delivered"
    CODE_UNDELIVERED = "code.undelivered"
    LOCKED = "user.locked"
    UNLOCKED = "user.unlocked"
    PUSH_FROZEN = "user.push_frozen"
    FACTORS_CHANGED = "user.factors_changed"
    DELETED = "user.deleted"
    DEVICE_ADDED = "user.device_added"
    DEVICE_REMOVED = "user.device_removed"


@dataclass(frozen=True, slots=True, kw_only=True)
class UserEvent:
    """What happened to a user.

    Attributes:
        custom_user_id: as it was then.
        reason: of `code.rejected` and `code.undelivered`.
        key: of `user.device_added` and `user.device_removed`.
    """

    authy_id: str
    custom_user_id: str = field(repr=False)
    factor: Factor | None = None
    reason: str = ""
    key: SiteKey | None = None


class WebhookEventType(StrEnum):
    """What can happen to a webhook."""

    TEST = "webhook.test"
    DISABLED = "webhook.disabled"


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookEvent:
    """What happened to a webhook.

    Attributes:
        reason: of `webhook.disabled`.
    """

    webhook_id: str
    reason: str = ""


def event_type(subject: Enrollment | Approval) -> str:
    """Returns what the event of a change is called, such as `enrollment.completed`."""
    noun = "enrollment" if isinstance(subject, Enrollment) else "approval"
    return f"{noun}.{subject.state.value.lower()}"


def matches(name: str, patterns: Collection[str]) -> bool:
    """Returns whether a reader who asked for `patterns` wants an event of this type.

    Args:
        name: the event's type.
        patterns: whole types, or beginnings that end in `*`, such as `approval.*`. Without any: all types.
    """
    return not patterns or any(
        name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern for pattern in patterns
    )
