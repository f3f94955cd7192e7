"""Owns who may make which call, and why each may be refused: read from the comments of the contract."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from google.protobuf.descriptor import MethodDescriptor
from google.rpc import code_pb2

from authy_grpc.v1 import errors_pb2
from gateway.errors import HTTP
from gateway.routes import Route

SITE, DEVICE, OPERATOR = "siteKey", "deviceToken", "operatorKey"
# By service or method: the kind of credential, and of a site's keys one of these scopes.
_CALLERS: Mapping[str, tuple[str, ...]] = {
    "AccountService": (DEVICE,),
    "AccountService/StartPhoneVerification": (),
    "AccountService/RegisterDevice": (),
    "AccountService/CreateSession": (),
    "ApplicationService": (OPERATOR,),
    "ApplicationService/GetCurrentApplication": (SITE,),
    "ApprovalService": (SITE, "VERIFY"),
    "AuthenticatorService": (DEVICE,),
    "EnrollmentService": (SITE, "ENROLL"),
    "EventService": (SITE, "EVENTS"),
    "UserService": (SITE, "ENROLL"),
    "UserService/GetUser": (SITE, "ENROLL", "VERIFY"),
    "UserService/ListUsers": (SITE, "ENROLL", "VERIFY"),
    "VerificationService": (SITE, "VERIFY"),
    "VerificationService/CreateBackupCodes": (SITE, "ENROLL"),
    "WebhookService": (SITE, "MANAGE"),
}
_PREFIX = "ERROR_REASON_"
_REASON = re.compile(r"reason ([A-Z_]+)")
_AS = re.compile(r"\s*as ([A-Z]\w+)")
_OF_ALL = "Errors of every call that takes one"


class Refusals:
    """The reasons that calls are refused for.

    Args:
        comments: of the contract, by full name.
    """

    def __init__(self, comments: Mapping[str, str]) -> None:
        self._comments = comments
        package = errors_pb2.DESCRIPTOR.package
        # What each reason means, by its name.
        self.meanings: dict[str, str] = {
            name.removeprefix(_PREFIX): comments[f"{package}.ErrorReason.{name}"]
            for name, number in errors_pb2.ErrorReason.items()
            if number
        }
        self._http = {
            reason: HTTP[code_pb2.Code.Value(re.split(r"[.,]", text)[0])]
            for reason, text in self.meanings.items()
        }

    def of(self, route: Route) -> dict[int, list[str]]:
        """The reasons for which the contract's own rules refuse a call, by HTTP code.

        501 is there, without a reason, for a call that the service does not have yet.
        """
        found = {"BAD_FIELD", *_by_caller(caller(route)), *_by_fields(route)}
        sorted_by_http: dict[int, list[str]] = {}
        for text in self._told(route.rpc):
            found |= set(_REASON.findall(text))
            found |= {"NOT_FOUND"} if "NOT_FOUND" in text else set()
            if "UNIMPLEMENTED" in text:
                sorted_by_http[HTTP[code_pb2.UNIMPLEMENTED]] = []
        for reason in self.meanings:
            if reason in found:
                sorted_by_http.setdefault(self._http[reason], []).append(reason)
        return dict(sorted(sorted_by_http.items()))

    def _told(self, rpc: MethodDescriptor) -> Iterator[str]:
        """What the contract says of a method's errors, of those it points to, and of what it takes."""
        text = self._comments.get(rpc.full_name, "").partition("Errors:")[2]
        yield text
        if pointed := _AS.match(text):
            yield from self._told(rpc.containing_service.methods_by_name[pointed[1]])
        for field in rpc.input_type.fields:
            if field.message_type is not None:
                yield self._comments.get(field.message_type.full_name, "").partition(_OF_ALL)[2]


def caller(route: Route) -> tuple[str, ...]:
    """Who may call: the security scheme and the scopes of which one is needed; empty where anyone may."""
    service: Any = route.rpc.containing_service
    return _CALLERS.get(f"{service.name}/{route.rpc.name}", _CALLERS[service.name])


def anyone_may(route: Route) -> bool:
    """Whether a call needs no credential; so, too, of one that is not of the contract."""
    service: Any = route.rpc.containing_service
    return not _CALLERS.get(f"{service.name}/{route.rpc.name}", _CALLERS.get(service.name, ()))


def security(route: Route) -> list[Mapping[str, list[str]]]:
    """The security requirements of a call: one of them is enough."""
    scheme, *scopes = caller(route) or ("",)
    if not scheme:
        return []
    return [{scheme: [scope]} for scope in scopes] or [{scheme: []}]


def _by_caller(needed: tuple[str, ...]) -> set[str]:
    if not needed:
        return set()
    held = {"DEVICE_HELD"} if needed[0] == DEVICE else set()
    return {"BAD_CREDENTIAL", "MISSING_SCOPE"} | held


def _by_fields(route: Route) -> set[str]:
    names = set(route.rpc.input_type.fields_by_name)
    found = {"REQUEST_ID_REUSED"} if "request_id" in names else set()
    found |= {"CURSOR_EXPIRED"} if "cursor" in names else set()
    names_one = any(name.endswith("_id") and name != "request_id" for name in names)
    return found | ({"NOT_FOUND"} if route.variables or names_one else set())
