"""The demo's search must find what is there, or finding nothing says nothing."""

import json

import pytest
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

from authy_grpc.cli.demo.compare import Knowledge, common, mentions
from authy_grpc.cli.demo.tap import Exchange
from authy_grpc.domain.encoding import base64url
from authy_grpc.v1.approval_pb2 import GetApprovalRequest, GetApprovalResponse
from authy_grpc.v1.user_pb2 import GetUserRequest, GetUserResponse, SiteKey, User

NOW = 1_795_000_000.0
USER = "/authy_grpc.v1.UserService/GetUser"
APPROVAL = "/authy_grpc.v1.ApprovalService/GetApproval"


def got_user(user: User, asked: str = "somebody") -> Knowledge:
    request = GetUserRequest(custom_user_id=asked)
    answer = GetUserResponse(user=user)
    return Knowledge.of([Exchange(USER, request.SerializeToString(), [answer.SerializeToString()])])


def got_receipt(payload: object) -> Knowledge:
    answer = GetApprovalResponse()
    header, body = base64url(b'{"alg":"ES256"}'), base64url(json.dumps(payload).encode())
    answer.approval.receipt = f"{header}.{body}.c2lnbmF0dXJl"
    request = GetApprovalRequest(approval_id="apr_1").SerializeToString()
    return Knowledge.of([Exchange(APPROVAL, request, [answer.SerializeToString()])])


def got_error(*, text: str = "", metadata: tuple[str, str | bytes] = ("x", "")) -> Knowledge:
    request = GetUserRequest(authy_id="1").SerializeToString()
    return Knowledge.of([Exchange(USER, request, metadata=[metadata], error=text)])


def test_an_equal_value_is_found_wherever_it_lies() -> None:
    jwk = json.dumps({"kty": "EC", "x": "an-equal-value"})
    status = Status(code=5)
    status.details.add().Pack(ErrorInfo(metadata={"site": "an-equal-value"}))
    places = [
        got_user(User(authy_id="an-equal-value")),
        got_user(User(keys=[SiteKey(kid="an-equal-value")])),
        got_user(User(keys=[SiteKey(jwk=jwk)])),
        got_receipt({"question": {"details": [["a", "an-equal-value"]]}}),
        got_error(metadata=("x-any", "an-equal-value")),
        got_error(metadata=("grpc-status-details-bin", status.SerializeToString())),
    ]
    for one in places:
        for two in places:
            assert "an-equal-value" in common(one, two, NOW)


def test_a_word_with_a_digit_in_an_error_is_found() -> None:
    assert common(got_error(text="no user 4711-0815"), got_user(User(authy_id="4711-0815")), NOW) == {
        "4711-0815"
    }


def test_equal_times_are_found_unless_in_whole_seconds() -> None:
    user = User()
    user.create_time.FromMilliseconds(1_795_000_000_123)
    assert common(got_user(user), got_user(user), NOW) == {"2026-11-18T11:06:40.123Z"}
    user.create_time.FromMilliseconds(1_795_000_000_000)
    assert not common(got_user(user), got_user(user), NOW)


def test_numbers_are_found_unless_they_are_times_of_now() -> None:
    one = got_receipt({"n": 123_456_789, "time": int(NOW) + 5})
    two = got_receipt({"time": int(NOW) + 5, "n": 123_456_789})
    assert common(one, two, NOW) == {"123456789", "c2lnbmF0dXJl"}


def test_what_both_sites_chose_is_theirs() -> None:
    user = User(custom_user_id="user-17")
    assert not common(got_user(user, "user-17"), got_user(user, "user-17"), NOW)


def test_what_one_site_chose_and_the_other_received_is_found() -> None:
    chosen = got_user(User(), "customer-20417")
    received = got_user(User(custom_user_id="customer-20417"))
    assert common(chosen, received, NOW) == {"customer-20417"}


@pytest.mark.parametrize(
    "word", ["NOT_FOUND", "authy_grpc", "code.accepted", "enrollment.completed", "short"]
)
def test_words_of_the_contract_say_nothing(word: str) -> None:
    user = User(authy_id=word)
    assert not common(got_user(user), got_user(user), NOW)


def test_a_number_is_found_in_values_and_bytes() -> None:
    known = got_user(User(custom_user_id="call +15005550006"))
    assert mentions(known, ["5005550006", "+15005550006", "6005550006"]) == {"5005550006", "+15005550006"}
    assert mentions(got_error(metadata=("x", "15005550006")), ["15005550006"])
    assert mentions(got_receipt({"question": {"message": "15005550006"}}), ["15005550006"])
    assert not mentions(got_user(User(custom_user_id="nobody")), ["15005550006"])
