"""Reads from the options of the contract who may make which call, and why each may be refused."""

import re
from collections.abc import Mapping

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


class Refusals:
    """The reasons that calls are refused for.

    Args:
        comments: of the contract, by full name.
    """

    def __init__(self, comments: Mapping[str, str]) -> None:
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
        options = route.rpc.GetOptions().Extensions
        found = {"BAD_FIELD", *_by_access(route)}
        found |= {
            errors_pb2.ErrorReason.Name(reason).removeprefix(_PREFIX)
            for reason in options[options_pb2.reasons]
        }
        sorted_by_http: dict[int, list[str]] = {}
        if options[options_pb2.unimplemented]:
            sorted_by_http[HTTP[code_pb2.UNIMPLEMENTED]] = []
        for reason in self.meanings:
            if reason in found:
                sorted_by_http.setdefault(self._http[reason], []).append(reason)
        return dict(sorted(sorted_by_http.items()))


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


def _by_access(route: Route) -> set[str]:
    if anyone_may(route):
        return set()
    access = _access(route)
    device = access.caller == options_pb2.CALLER_DEVICE
    bound = device and not (access.held and access.limited and not access.itself_alone)
    return {"BAD_CREDENTIAL", "MISSING_SCOPE"} | ({"DEVICE_HELD"} if bound else set())
