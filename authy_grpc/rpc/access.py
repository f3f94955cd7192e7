"""Reads from the options of the contract who may call which method."""

from collections.abc import Mapping
from dataclasses import dataclass

from google.protobuf.descriptor import MethodDescriptor

from authy_grpc.domain.application import Scope
from authy_grpc.rpc.contract import methods, path
from authy_grpc.service.caller import Caller, Device, Gateway, Nobody, Operator, Site
from authy_grpc.v1 import options_pb2

_KINDS: Mapping[int, type[Caller]] = {
    options_pb2.CALLER_ANYONE: Nobody,
    options_pb2.CALLER_SITE: Site,
    options_pb2.CALLER_DEVICE: Device,
    options_pb2.CALLER_OPERATOR: Operator,
    options_pb2.CALLER_GATEWAY: Gateway,
}


@dataclass(frozen=True)
class Need:
    """What a method asks of its caller.

    Attributes:
        kind: which caller; None where nobody has to be known.
        scopes: one of these, of a site; any key where empty.
        held: whether a device that waits to be let in may call too.
    """

    kind: type[Caller] | None
    scopes: tuple[Scope, ...] = ()
    held: bool = False


def of_contract() -> Mapping[str, Need]:
    """What each method of the contract asks, by its path. Raises as `need_of`."""
    return {path(method): need_of(method) for method in methods()}


def need_of(method: MethodDescriptor) -> Need:
    """What a method asks.

    Raises:
        KeyError: it has no `access`.
        ValueError: it names a scope that there is not.
    """
    access = method.GetOptions().Extensions[options_pb2.access]
    scopes = tuple(Scope(name) for name in access.scopes)
    return Need(_KINDS[access.caller], scopes, access.held)
