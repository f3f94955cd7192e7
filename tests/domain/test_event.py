from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from authy_grpc.domain.approval import Approval, ApprovalState
from authy_grpc.domain.enrollment import Enrollment, EnrollmentMethod, EnrollmentState
from authy_grpc.domain.event import UserEvent, UserEventType, event_type, matches
from authy_grpc.domain.user import Factor, SiteKey

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PROTO = Path(__file__).parents[2] / "protos" / "authy_grpc" / "v1" / "event.proto"


@pytest.mark.parametrize("state", EnrollmentState)
def test_an_enrollments_events_are_called_by_its_state(state: EnrollmentState) -> None:
    enrollment = Enrollment(
        enrollment_id="enr_1",
        custom_user_id="alice",
        method=EnrollmentMethod.AUTHENTICATOR,
        state=state,
        create_time=NOW,
        update_time=NOW,
        expire_time=NOW,
    )

    assert event_type(enrollment) == "enrollment." + state.name.lower()


@pytest.mark.parametrize("state", ApprovalState)
def test_an_approvals_events_are_called_by_its_state(state: ApprovalState) -> None:
    approval = Approval(
        approval_id="apr_1", authy_id="1", state=state, message="Pay?", create_time=NOW, expire_time=NOW
    )

    assert event_type(approval) == "approval." + state.name.lower()


def test_the_contract_names_each_type() -> None:
    comment = PROTO.read_text().split("// What happened to a user:")[1].split("message UserEvent")[0]
    named = {word for word in comment.split("`")[1::2] if word.startswith(("code.", "user."))}

    assert named == set(UserEventType)


@pytest.mark.parametrize(
    ("name", "patterns", "wanted"),
    [
        ("approval.denied", (), True),
        ("approval.denied", ("approval.*",), True),
        ("approval.denied", ("approval.denied",), True),
        ("approval.denied", ("code.*", "approval.denied"), True),
        ("approval.denied", ("*",), True),
        ("approval.denied", ("approval.deni",), False),
        ("approval.denied", ("approval.denied.*",), False),
        ("approval.denied", ("approval",), False),
        ("approval.denied", ("Approval.*",), False),
        ("approval.denied", ("code.*", "user.*"), False),
        ("approval.denied", ("",), False),
        ("approvals.denied", ("approval.*",), False),
    ],
)
def test_types_are_whole_or_begin_so(name: str, patterns: tuple[str, ...], wanted: bool) -> None:
    assert matches(name, patterns) is wanted


def test_what_happened_to_a_user_survives_json_and_is_not_printed_whole() -> None:
    event = UserEvent(
        authy_id="1234567", custom_user_id="canary", factor=Factor.SMS, key=SiteKey("kid", "{}", NOW)
    )
    adapter = TypeAdapter(UserEvent)

    assert adapter.validate_json(adapter.dump_json(event)) == event
    assert "canary" not in repr(event)
    assert "1234567" in repr(event)
