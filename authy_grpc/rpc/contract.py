"""Lists the methods of the contract by their descriptors, whose options the tables of rpc are made from."""

from collections.abc import Iterator
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from google.protobuf.descriptor import MethodDescriptor

import authy_grpc.v1

PACKAGE = "authy_grpc.v1."


def methods() -> Iterator[MethodDescriptor]:
    """Every method, file by file, in the order of the contract."""
    for name in sorted(each.name for each in iter_modules(authy_grpc.v1.__path__)):
        if name.endswith("_pb2"):
            module: Any = import_module(f"{PACKAGE}{name}")
            for service in module.DESCRIPTOR.services_by_name.values():
                yield from service.methods


def path(method: MethodDescriptor) -> str:
    """The method's path in gRPC, such as `/authy_grpc.v1.UserService/GetUser`."""
    return f"/{method.containing_service.full_name}/{method.name}"
