"""The answer to CreateApproval as a site checks it: the service is the attacker."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from authy_grpc.client import ReceiptError, check_asked
from authy_grpc.v1.approval_pb2 import Approval, CreateApprovalRequest, Detail

CREATED = 1_800_000_000
EXPIRES = CREATED + 90
ASKED = Approval(
    approval_id="apr_00000000000000000000000001",
    authy_id="1234567",
    message="Pay",
    details=[Detail(label="To", value="NL00")],
    create_time=Timestamp(seconds=CREATED, nanos=900_000_000),
    expire_time=Timestamp(seconds=EXPIRES, nanos=900_000_000),
    match_number="042137",
    hidden_details={"order": "7"},
    require_user_verification=True,
)
REQUEST = CreateApprovalRequest(
    authy_id=ASKED.authy_id,
    message=ASKED.message,
    details=ASKED.details,
    hidden_details=dict(ASKED.hidden_details),
    require_user_verification=True,
)
NOW = datetime.fromtimestamp(CREATED, UTC)


def _with(**changes: Any) -> Approval:
    changed = Approval()
    changed.CopyFrom(ASKED)
    for name, value in changes.items():
        changed.ClearField(name)  # type: ignore[arg-type]
        changed.MergeFrom(Approval(**{name: value}))
    return changed


def test_the_answer_to_a_request_is_what_was_asked() -> None:
    check_asked(REQUEST, ASKED, NOW)
    check_asked(REQUEST, ASKED, NOW + timedelta(seconds=60))
    check_asked(REQUEST, ASKED, NOW - timedelta(seconds=60))


@pytest.mark.parametrize(
    "change",
    [
        {"authy_id": "7654321"},
        {"message": "Log in"},
        {"details": []},
        {"hidden_details": {}},
        {"require_user_verification": False},
        {"create_time": Timestamp(seconds=CREATED - 61), "expire_time": Timestamp(seconds=EXPIRES - 61)},
        {"create_time": Timestamp(seconds=CREATED + 61), "expire_time": Timestamp(seconds=EXPIRES + 61)},
        {"expire_time": Timestamp(seconds=EXPIRES + 2)},
        {"expire_time": Timestamp(seconds=EXPIRES - 2)},
        {"match_number": ""},
        {"match_number": "04213"},
    ],
    ids=str,
)
def test_another_answer_to_a_request_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ReceiptError):
        check_asked(REQUEST, _with(**change), NOW)


def test_a_time_to_live_and_digits_are_those_asked_for() -> None:
    longer = CreateApprovalRequest()
    longer.CopyFrom(REQUEST)
    longer.ttl.CopyFrom(Duration(seconds=300))
    with pytest.raises(ReceiptError, match="expire_time"):
        check_asked(longer, ASKED, NOW)
    check_asked(longer, _with(expire_time=Timestamp(seconds=CREATED + 300)), NOW)
    longer.match_digits = 7
    with pytest.raises(ReceiptError, match="match_digits"):
        check_asked(longer, ASKED, NOW)
    longer.match_digits = 2
    check_asked(longer, _with(expire_time=Timestamp(seconds=CREATED + 300)), NOW)


def test_where_a_request_names_no_digits_they_are_the_applications_own() -> None:
    check_asked(REQUEST, _with(match_number=""), NOW, match_digits=0)
    check_asked(REQUEST, _with(match_number="0421"), NOW, match_digits=4)
    with pytest.raises(ReceiptError, match="match_digits"):
        check_asked(REQUEST, ASKED, NOW, match_digits=8)
