"""Reads who may make which call from the options of the contract, and why each may be refused."""

import re
from collections.abc import Iterator, Mapping

from google.protobuf.descriptor import MethodDescriptor
from google.rpc import code_pb2

from authy_grpc.v1 import errors_pb2, options_pb2
from gateway.errors import HTTP
from gateway.routes import Route

SITE, DEVICE, OPERATOR = "siteKey", "deviceToken", "operatorKey"
_SCHEMES: Mapping[int, str] = {
    options_pb2.CALLER_SITE: SITE,
    options_pb2.CALLER_DEVICE: DEVICE,
    options_pb2.CALLER_OPERATOR: OPERATOR,
}
_CALLERS: Mapping[int, str] = {
    options_pb2.CALLER_ANYONE: "Caller: anybody, without a credential.",
    options_pb2.CALLER_OPERATOR: "Caller: the operator's key.",
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
        found = {"BAD_FIELD", *_by_caller(route), *_by_fields(route)}
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


def anyone_may(route: Route) -> bool:
    """Whether a call needs no credential; so, too, of one that is not of the contract."""
    return _access(route).caller in (options_pb2.CALLER_UNSPECIFIED, options_pb2.CALLER_ANYONE)


def security(route: Route) -> list[Mapping[str, list[str]]]:
    """The security requirements of a call: one of them is enough."""
    access = _access(route)
    if access.caller == options_pb2.CALLER_ANYONE:
        return []
    scheme = _SCHEMES[access.caller]
    return [{scheme: [scope]} for scope in access.scopes] or [{scheme: []}]


def who(route: Route) -> str:
    """A sentence that says who may call."""
    access = _access(route)
    if access.caller == options_pb2.CALLER_SITE:
        scopes = " or ".join(access.scopes)
        return f"Caller: an API key with the scope {scopes}." if scopes else "Caller: any API key."
    if access.caller != options_pb2.CALLER_DEVICE:
        return _CALLERS[access.caller]
    bound = [word for word, may in (("HELD", access.held), ("limited", access.limited)) if may]
    itself = ", for itself alone" if access.itself_alone else ""
    also = f" One that is {' or '.join(bound)} may call, too{itself}." if bound else ""
    return f"Caller: the token of a device.{also}"


def _access(route: Route) -> options_pb2.Access:
    return route.rpc.GetOptions().Extensions[options_pb2.access]


def _by_caller(route: Route) -> set[str]:
    if anyone_may(route):
        return set()
    held = {"DEVICE_HELD"} if _access(route).caller == options_pb2.CALLER_DEVICE else set()
    return {"BAD_CREDENTIAL", "MISSING_SCOPE"} | held


def _by_fields(route: Route) -> set[str]:
    names = set(route.rpc.input_type.fields_by_name)
    found = {"REQUEST_ID_REUSED"} if "request_id" in names else set()
    found |= {"CURSOR_EXPIRED"} if "cursor" in names else set()
    names_one = any(name.endswith("_id") and name != "request_id" for name in names)
    return found | ({"NOT_FOUND"} if route.variables or names_one else set())
