"""What a failed call raises."""

import pickle
import traceback
from datetime import timedelta
from typing import Any

import grpc
import pytest

from authy_grpc import client
from authy_grpc.client import AuthyError, BadField, Internal, Unavailable, UserLocked
from authy_grpc.client.errors import BY_REASON
from authy_grpc.v1.errors_pb2 import ErrorReason
from authy_grpc.v1.user_pb2 import GetUserRequest


def _raised(caller: Any, target: str) -> AuthyError:
    with pytest.raises(AuthyError) as caught:
        caller.call(target, "users", "GetUser", GetUserRequest())
    return caught.value


def test_every_reason_of_the_contract_has_its_class() -> None:
    reasons = {name.removeprefix("ERROR_REASON_") for name in ErrorReason.DESCRIPTOR.values_by_name} - {
        "UNSPECIFIED"
    }
    assert set(BY_REASON) == reasons
    assert {kind.__name__ for kind in BY_REASON.values()} <= set(client.__all__)


def test_an_error_says_reason_delay_and_what_goes_with_it(serve: Any, refuse: Any, caller: Any) -> None:
    def get(request: GetUserRequest, context: grpc.ServicerContext) -> None:
        refuse(context, "USER_LOCKED", "RESOURCE_EXHAUSTED", retry=timedelta(seconds=30), metadata={"a": "b"})

    error = _raised(caller, serve(GetUser=get))
    assert type(error) is UserLocked
    assert (error.code, error.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "USER_LOCKED")
    assert error.retry_delay == timedelta(seconds=30)
    assert error.metadata == {"a": "b"}
    assert str(error) == "USER_LOCKED: told to"


def test_bad_fields_are_named(serve: Any, refuse: Any, caller: Any) -> None:
    fields = (("message", "too long"), ("details[2].label", "empty"))

    def get(request: GetUserRequest, context: grpc.ServicerContext) -> None:
        refuse(context, "BAD_FIELD", "INVALID_ARGUMENT", fields=fields)

    error = _raised(caller, serve(GetUser=get))
    assert type(error) is BadField
    assert error.fields == list(fields)
    assert error.retry_delay is None
    assert str(error) == "BAD_FIELD: told to; message: too long; details[2].label: empty"


def test_an_internal_error_has_its_request_id(serve: Any, refuse: Any, caller: Any) -> None:
    def get(request: GetUserRequest, context: grpc.ServicerContext) -> None:
        refuse(context, "INTERNAL", "INTERNAL", metadata={"request_id": "req_1"})

    error = _raised(caller, serve(GetUser=get))
    assert type(error) is Internal
    assert error.request_id == "req_1"


@pytest.mark.parametrize(("reason", "domain"), [("NOT_FOUND", "elsewhere"), ("INVENTED_LATER", "authy_grpc")])
def test_what_is_not_known_is_an_authy_error(
    serve: Any, refuse: Any, caller: Any, reason: str, domain: str
) -> None:
    def get(request: GetUserRequest, context: grpc.ServicerContext) -> None:
        refuse(context, reason, "NOT_FOUND", domain=domain)

    error = _raised(caller, serve(GetUser=get))
    assert type(error) is AuthyError
    assert error.reason == ("" if domain == "elsewhere" else reason)


def test_broken_details_lose_the_details_alone(serve: Any, caller: Any) -> None:
    def get(request: GetUserRequest, context: grpc.ServicerContext) -> None:
        context.set_trailing_metadata((("grpc-status-details-bin", b"\xff\xff"),))
        context.abort(grpc.StatusCode.NOT_FOUND, "gone")

    error = _raised(caller, serve(GetUser=get))
    assert (type(error), error.message, error.reason) == (AuthyError, "gone", "")


def test_nobody_there_is_unavailable(serve: Any, caller: Any) -> None:
    error = _raised(caller, "127.0.0.1:1")
    assert type(error) is Unavailable
    assert error.reason == ""
    assert error.message


def test_an_error_survives_pickling_and_holds_no_credential(serve: Any, refuse: Any, caller: Any) -> None:
    def get(request: GetUserRequest, context: grpc.ServicerContext) -> None:
        refuse(context, "BAD_CREDENTIAL", "UNAUTHENTICATED", metadata={"a": "b"})

    error = _raised(caller, serve(GetUser=get))
    pickled = pickle.dumps(error)
    again = pickle.loads(pickled)
    assert (type(again), vars(again)) == (type(error), vars(error))
    told = f"{error!r} {error} {vars(error)} {pickled!r} {''.join(traceback.format_exception(error))}"
    assert "BAD_CREDENTIAL" in told
    assert "CANARY" not in told
