"""Authenticates and authorizes calls: finds out who calls, and whether the method is for that caller.

Whose row it is, the query settles: a foreign id is simply not found.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

from authy_grpc.domain.errors import BadCredential, BadField, DeviceHeld, MissingScope
from authy_grpc.domain.forwarded import UNREADABLE, canonical
from authy_grpc.rpc.access import Need, of_contract
from authy_grpc.rpc.call import Call, Context, current_caller
from authy_grpc.rpc.peer import AddressOf, by_socket
from authy_grpc.service.caller import Caller, Device, Gateway, Nobody, Operator, Site

Find = Callable[[str], Awaitable[Caller | None]]

OPEN = Need(None)
NEEDS: Mapping[str, Need] = {
    **of_contract(),
    # Not of this contract.
    **{f"/grpc.health.v1.Health/{method}": OPEN for method in ("Check", "List", "Watch")},
}
# What the server offers to tools, beside the contract.
_TOOLS: Mapping[str, Need] = {"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": OPEN}

_Kind = TypeVar("_Kind", Site, Device, Operator, Gateway, Nobody)


def caller() -> Caller | None:
    """Who calls; None where nobody has to be known."""
    return current_caller.get()


def _expect(kind: type[_Kind]) -> _Kind:
    found = current_caller.get()
    if not isinstance(found, kind):
        raise TypeError(f"this method's entry in NEEDS is not for {kind.__name__}")
    return found


def site() -> Site:
    """The relying site that calls."""
    return _expect(Site)


def device() -> Device:
    """The device that calls."""
    return _expect(Device)


def operator() -> Operator:
    """The operator that calls."""
    return _expect(Operator)


def gateway() -> Gateway:
    """The gateway that calls."""
    return _expect(Gateway)


def nobody() -> Nobody:
    """The caller without a credential."""
    return _expect(Nobody)


class Auth:
    """Settles who calls, and whether this method is for that caller.

    Args:
        find: who holds a credential; None for one that is unknown, revoked or expired.
        needs: what each method asks, by full name. A method that is not in it is never served.
        address: of who calls, without a gateway's word.
    """

    def __init__(self, find: Find, needs: Mapping[str, Need] = NEEDS, address: AddressOf = by_socket) -> None:
        self._find = find
        self._address = address
        self._needs = needs

    def need(self, method: str) -> Need:
        """What a method asks of its caller; KeyError for one that is not served."""
        return self._needs.get(method) or _TOOLS[method]

    async def __call__(self, call: Call, need: Need) -> None:
        """Set the caller of a call, where somebody has to be known.

        Raises:
            BadCredential, MissingScope, DeviceHeld: it is not for this caller.
        """
        if need.kind is None:
            return
        if need.kind is Nobody:
            call.caller = Nobody(await self._peer(call.context))
        else:
            call.caller = await self._known(_header(call.context, "authorization"))
            _check(call.caller, need)
        current_caller.set(call.caller)

    async def judge(self, method: str, authorization: str) -> None:
        """Ask whether a call would be refused for its credential, without making it.

        Args:
            method: its full name.
            authorization: the header; empty where there is none.

        Raises:
            BadCredential, MissingScope, DeviceHeld: it would.
            BadField: there is no such method.
        """
        need = self._needs.get(method)
        if need is None:
            raise BadField.one("method", "is no call of this service")
        if need.kind not in (None, Nobody):
            _check(await self._known(authorization), need)

    async def _known(self, authorization: str) -> Caller:
        scheme, _, secret = authorization.partition(" ")
        found = await self._find(secret.strip()) if scheme.lower() == "bearer" else None
        if found is None:
            raise BadCredential
        return found

    async def _peer(self, context: Context) -> str:
        """The address that a caller without a credential has; a gateway's word counts for its own callers."""
        told, key = _header(context, "x-authy-peer"), _header(context, "x-authy-gateway")
        address = UNREADABLE if told == UNREADABLE else canonical(told)
        if address and key and isinstance(await self._find(key), Gateway):
            return address
        return self._address(context)


def _check(found: Caller, need: Need) -> None:
    if type(found) is not need.kind:
        raise MissingScope(need.kind.__name__.lower() if need.kind else "")
    if isinstance(found, Site) and need.scopes and found.scopes.isdisjoint(need.scopes):
        raise MissingScope(need.scopes[0].value)
    if isinstance(found, Device) and found.held and not need.held:
        raise DeviceHeld


def _header(context: Context, name: str) -> str:
    """A header's value; empty where it is missing, or comes more than once."""
    values = [value for key, value in context.invocation_metadata() or () if key == name]
    return values[0] if len(values) == 1 and isinstance(values[0], str) else ""
