"""A contract with all that a rule and a field can be, a server that echoes it, and random messages."""

import importlib
import math
import string
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import grpc
import grpc.aio
from google.api import annotations_pb2
from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message_factory import GetMessageClass
from grpc_tools import protoc  # type: ignore[import-untyped]

from gateway.routes import Route, routes

_PROTO = Path(__file__).with_name("everything.proto")
SERVICE = "authy_test.everything.EverythingService"
_COMMON = Path(annotations_pb2.__file__).parents[2]
_WELL_KNOWN = Path(protoc.__file__).parent / "_proto"


def _load() -> Any:
    with TemporaryDirectory() as folder:
        out = Path(folder, "everything.binpb")
        includes = [f"-I{path}" for path in (_PROTO.parent, _COMMON, _WELL_KNOWN)]
        code = protoc.main(["protoc", *includes, f"--descriptor_set_out={out}", str(_PROTO)])
        assert code == 0
        [file] = descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes()).file
    for dependency in file.dependency:
        importlib.import_module(dependency.removesuffix(".proto").replace("/", ".") + "_pb2")
    pool: Any = descriptor_pool.Default()
    return pool.AddSerializedFile(file.SerializeToString())


FILE = _load()
ROUTES: tuple[Route, ...] = tuple(routes([FILE]))
Everything: Any = GetMessageClass(FILE.message_types_by_name["Everything"])
Inner: Any = GetMessageClass(FILE.message_types_by_name["Inner"])
Patch: Any = GetMessageClass(FILE.message_types_by_name["PatchRequest"])


Answer = Callable[[bytes, Any], Awaitable[bytes]]


async def same(request: bytes, context: Any) -> bytes:
    """Answers with the request."""
    context.set_trailing_metadata((("x-request-id", "0123456789abcdef"),))
    return request


@asynccontextmanager
async def echo(answer: Answer = same) -> AsyncIterator[grpc.aio.Channel]:
    """A channel to a server that has the service, and no other.

    Args:
        answer: what each method does with a request's bytes.
    """
    handler: Any = grpc.unary_unary_rpc_method_handler(answer)
    server = grpc.aio.server()
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(SERVICE, {"Echo": handler, "Patch": handler}),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}")
    try:
        yield channel
    finally:
        await channel.close()
        await server.stop(None)


_LETTERS = (*string.printable, "ä", "é", "日", "\u2028", "\x00", "\U0001f600", '"', "\\", "/", "<", "\x7f")
_EDGES = (0, 1, -1, 2**31 - 1, -(2**31), 2**32 - 1, 2**53 + 1, 2**63 - 1, -(2**63), 2**64 - 1)
_BITS = {
    FieldDescriptor.TYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_SINT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_SFIXED32: (-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.TYPE_FIXED32: (0, 2**32 - 1),
    FieldDescriptor.TYPE_UINT64: (0, 2**64 - 1),
    FieldDescriptor.TYPE_FIXED64: (0, 2**64 - 1),
}
_LONG = (-(2**63), 2**63 - 1)


class Chance:
    """Makes random messages of any kind."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)

    def message(self, kind: Descriptor, depth: int = 0) -> Any:
        """A message, some of whose fields are set."""
        made: Any = GetMessageClass(kind)()
        if kind.file.package == "google.protobuf":
            self._well_known(kind, made)
            return made
        for field in kind.fields:
            if self.random.random() < (0.6 if depth < 3 else 0.1):
                self._fill(made, field, depth)
        return made

    def _fill(self, made: Any, field: FieldDescriptor, depth: int) -> None:
        inner = field.message_type
        if inner is not None and inner.GetOptions().map_entry:
            held = getattr(made, field.name)
            value = inner.fields_by_name["value"]
            for _ in range(self.random.randrange(3)):
                key = self.value(inner.fields_by_name["key"])
                if value.message_type is not None:
                    held[key].CopyFrom(self.message(value.message_type, depth + 1))
                else:
                    held[key] = self.value(value)
        elif field.is_repeated:
            held = getattr(made, field.name)
            for _ in range(self.random.randrange(4)):
                if inner is not None:
                    held.add().CopyFrom(self.message(inner, depth + 1))
                else:
                    held.append(self.value(field))
        elif inner is not None:
            getattr(made, field.name).CopyFrom(self.message(inner, depth + 1))
        else:
            setattr(made, field.name, self.value(field))

    def value(self, field: FieldDescriptor) -> Any:
        """A value of a field that holds no message."""
        kind = field.type
        if field.enum_type is not None:
            known = list(field.enum_type.values_by_number)
            return self.random.choice(known if "NullValue" in field.enum_type.name else [*known, 77])
        if kind == FieldDescriptor.TYPE_STRING:
            return "".join(self.random.choices(_LETTERS, k=self.random.randrange(12)))
        if kind == FieldDescriptor.TYPE_BYTES:
            return self.random.randbytes(self.random.randrange(12))
        if kind == FieldDescriptor.TYPE_BOOL:
            return self.random.random() < 0.5
        if kind in (FieldDescriptor.TYPE_DOUBLE, FieldDescriptor.TYPE_FLOAT):
            return self._float(single=kind == FieldDescriptor.TYPE_FLOAT)
        low, high = _BITS.get(kind, _LONG)
        return min(high, max(low, self.random.choice((*_EDGES, self.random.randint(low, high)))))

    def _float(self, *, single: bool) -> float:
        roll = self.random.random()
        if roll < 0.1:
            return self.random.choice((math.inf, -math.inf, 0.0, -0.0, 1.0, 1e20))
        if single:
            found = struct.unpack("f", self.random.randbytes(4))[0]
        else:
            found = struct.unpack("d", self.random.randbytes(8))[0]
        # A NaN is not the same as itself.
        return 0.5 if math.isnan(found) else float(found)

    def _well_known(self, kind: Descriptor, made: Any) -> None:
        name = kind.name
        if name == "Timestamp":
            made.seconds = self.random.randint(-62_135_596_800, 253_402_300_799)
            made.nanos = self.random.choice((0, 1, 1000, 1_000_000, 999_999_999))
        elif name == "Duration":
            sign = self.random.choice((1, -1))
            made.seconds = sign * self.random.randint(0, 315_576_000_000)
            made.nanos = sign * self.random.choice((0, 1, 1000, 1_000_000, 999_999_999))
        elif name == "FieldMask":
            made.paths.extend(self.random.sample(("a", "b_c", "d.e_f"), self.random.randrange(4)))
        elif name == "Any":
            made.Pack(self.message(Inner.DESCRIPTOR, 3))
        elif name == "Struct":
            made.update({"a": 1.5, "b": [None, True, "x"], "c": {"d": None}})
        elif name == "Value":
            made.string_value = "x"
        elif name == "ListValue":
            made.extend([1.0, "two", None])
        else:
            made.value = self.value(kind.fields_by_name["value"])
