"""Routes: each `google.api.http` rule of the contract, and how a request finds its own.

A colon that stands undecoded in the last segment begins a verb: an id that holds one is sent as `%3A`.
"""

import importlib
import pkgutil
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from google.api import annotations_pb2
from google.protobuf.descriptor import FileDescriptor, MethodDescriptor

import authy_grpc.v1

_ONE, _MANY = "*", "**"
_VARIABLE = re.compile(r"\{([A-Za-z0-9_.]+)(?:=([^}]*))?\}")
_RESUMES = ("cursor", "after_revision")


@dataclass(frozen=True)
class Variable:
    """A field that stands in a path.

    Attributes:
        field: its path in the request, such as `webhook.webhook_id`.
        begin: its first segment.
        end: behind its last; None where it reaches to the end.
        many: whether it may hold slashes.
    """

    field: str
    begin: int
    end: int | None
    many: bool


@dataclass(frozen=True)
class Route:
    """One way to one RPC.

    Attributes:
        rpc: the method.
        verb: the HTTP method, such as `GET`.
        template: the path as the contract has it: also what logs and metrics say.
        variables: the fields in the path.
        body: the field that the body is; `*` for all that the path has not, empty for none.
        response_body: the field of the answer that is sent; empty for all of it.
        segments: the path's, `*` and `**` in place of variables.
        suffix: what follows the colon.
    """

    rpc: MethodDescriptor = field(repr=False)
    verb: str
    template: str
    body: str
    response_body: str
    segments: tuple[str, ...]
    variables: tuple[Variable, ...]
    suffix: str

    @property
    def path(self) -> str:
        """The RPC's path in gRPC."""
        return f"/{self.rpc.containing_service.full_name}/{self.rpc.name}"

    @property
    def streams(self) -> bool:
        """Whether the answer is a stream."""
        return bool(self.rpc.server_streaming)

    @property
    def resume(self) -> str:
        """The request's field that says where a stream goes on from; empty where there is none."""
        fields = self.rpc.input_type.fields_by_name
        return next((name for name in _RESUMES if self.streams and name in fields), "")

    @property
    def position(self) -> tuple[str, ...]:
        """Where a message has what `resume` takes: `("cursor",)`, or such as `("approval", "revision")`."""
        kind = self.rpc.output_type
        if self.resume == "cursor":
            return ("cursor",) if "cursor" in kind.fields_by_name else ()
        for each in kind.fields if self.resume else ():
            if each.message_type is not None and "revision" in each.message_type.fields_by_name:
                return each.name, "revision"
        return ()


@cache
def contract() -> tuple[Route, ...]:
    """The routes of the whole contract, in its order."""
    package = authy_grpc.v1
    modules = sorted(
        each.name for each in pkgutil.iter_modules(package.__path__) if each.name.endswith("_pb2")
    )
    files = (importlib.import_module(f"{package.__name__}.{name}").DESCRIPTOR for name in modules)
    return tuple(routes(files))


def routes(files: Iterable[FileDescriptor]) -> Iterator[Route]:
    """The routes of some proto files."""
    for file in files:
        for service in file.services_by_name.values():
            for method in service.methods:
                yield from _of(method)


def _of(method: MethodDescriptor) -> Iterator[Route]:
    options: Any = method.GetOptions()
    if not options.HasExtension(annotations_pb2.http):
        return
    first = options.Extensions[annotations_pb2.http]
    for rule in (first, *first.additional_bindings):
        kind = rule.WhichOneof("pattern")
        custom = kind == "custom"
        verb = rule.custom.kind if custom else kind.upper()
        template = rule.custom.path if custom else getattr(rule, kind)
        path, suffix = _split(template)
        segments, variables = _parse(path)
        yield Route(method, verb, template, rule.body, rule.response_body, segments, variables, suffix)


def _split(template: str) -> tuple[str, str]:
    head, colon, suffix = template.rpartition(":")
    return (head, suffix) if colon and "/" not in suffix and "}" not in suffix else (template, "")


def _parse(path: str) -> tuple[tuple[str, ...], tuple[Variable, ...]]:
    # A variable's own pattern holds slashes: it is taken out before the path is cut.
    names: list[tuple[str, str]] = []

    def keep(found: re.Match[str]) -> str:
        names.append((found[1], found[2] or _ONE))
        return f"{{{len(names) - 1}}}"

    segments: list[str] = []
    variables: list[Variable] = []
    for part in _VARIABLE.sub(keep, path).split("/")[1:]:
        if not part.startswith("{"):
            segments.append(part)
            continue
        name, pattern = names[int(part[1:-1])]
        inner = pattern.split("/")
        begin, many = len(segments), _MANY in inner
        segments += inner
        variables.append(Variable(name, begin, None if many else len(segments), many or len(inner) > 1))
    if _MANY in segments[:-1]:
        raise ValueError(f"{path}: ** must be the last segment")
    return tuple(segments), tuple(variables)


@dataclass
class _Shape:
    """Paths that look alike, whatever their variables are called."""

    segments: tuple[str, ...]
    by_verb: dict[str, Route] = field(default_factory=dict)

    @property
    def rank(self) -> tuple[int, ...]:
        """Sorts what is more exact first: literals, then one segment, then any number."""
        return tuple({_ONE: 1, _MANY: 2}.get(each, 0) for each in self.segments)

    def fits(self, parts: list[str]) -> bool:
        return all(
            (part != "" if mine == _ONE else mine == part)
            for mine, part in zip(self.segments, parts, strict=False)
            if mine != _MANY
        )


class Table:
    """Finds routes.

    Args:
        found: all routes.
    """

    def __init__(self, found: Iterable[Route]) -> None:
        shapes: dict[tuple[str, tuple[str, ...]], _Shape] = {}
        for route in found:
            shape = shapes.setdefault((route.suffix, route.segments), _Shape(route.segments))
            if shape.by_verb.setdefault(route.verb, route) is not route:
                raise ValueError(f"{route.verb} {route.template} is in the contract twice")
        self._exact: dict[tuple[str, int], list[_Shape]] = {}
        self._long: dict[str, list[_Shape]] = {}
        for (suffix, segments), shape in sorted(shapes.items(), key=lambda item: item[1].rank):
            if _MANY in segments:
                self._long.setdefault(suffix, []).append(shape)
            else:
                self._exact.setdefault((suffix, len(segments)), []).append(shape)

    def find(self, path: str) -> tuple[Mapping[str, Route], list[str]]:
        """What a path leads to.

        Args:
            path: undecoded.

        Returns:
            routes by HTTP method, none where nothing has this path; and the path's segments, undecoded.
        """
        head, slash, last = path.rpartition("/")
        last, _, suffix = last.partition(":")
        parts = (head + slash + last).split("/")[1:]
        found = [each for each in self._exact.get((suffix, len(parts)), ()) if each.fits(parts)]
        found += [
            each
            for each in self._long.get(suffix, ())
            if len(parts) >= len(each.segments) - 1 and each.fits(parts)
        ]
        if len(found) == 1:
            return found[0].by_verb, parts
        merged: dict[str, Route] = {}
        for shape in found:
            for verb, route in shape.by_verb.items():
                merged.setdefault(verb, route)
        return merged, parts
