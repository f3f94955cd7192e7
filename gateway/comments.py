"""Reads the comments of the contract: the build keeps them beside the stubs, which have none at run time."""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from google.protobuf import descriptor_pb2

import authy_grpc.v1

# By the numbers of descriptor.proto: the lists of a file, and those of a message, an enum and a service.
_LISTS: dict[str, dict[int, str]] = {
    "FileDescriptorProto": {4: "message_type", 5: "enum_type", 6: "service"},
    "DescriptorProto": {2: "field", 3: "nested_type", 4: "enum_type"},
    "EnumDescriptorProto": {2: "value"},
    "ServiceDescriptorProto": {2: "method"},
}


@cache
def comments() -> Mapping[str, str]:
    """The comment before each message, field, enum, value, service and method, by its full name.

    A value's is `package.Enum.VALUE`. Lines are joined; between paragraphs is an empty line.
    """
    raw = files(authy_grpc.v1).joinpath("descriptors.binpb").read_bytes()
    return {
        name: text
        for file in descriptor_pb2.FileDescriptorSet.FromString(raw).file
        for name, text in _of(file)
    }


def _of(file: Any) -> Iterator[tuple[str, str]]:
    for place in file.source_code_info.location:
        name = _name(file, list(place.path)) if place.leading_comments else ""
        if name:
            yield f"{file.package}.{name}", _paragraphs(place.leading_comments)


def _name(owner: Any, path: list[int]) -> str:
    """The name of what a path leads to; empty where that has none."""
    names: list[str] = []
    while path:
        held = _LISTS.get(owner.DESCRIPTOR.name, {}).get(path[0])
        if held is None or len(path) < 2:
            return ""
        owner = getattr(owner, held)[path[1]]
        names.append(owner.name)
        path = path[2:]
    return ".".join(names)


def _paragraphs(text: str) -> str:
    return "\n\n".join(" ".join(each.split()) for each in re.split(r"\n[ \t]*\n", text.strip()))
