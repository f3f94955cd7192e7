"""Writes the OpenAPI 3.1 document: each route of the contract, its comments, its errors, who may call it.

`python -m gateway.openapi FILE` writes it; with `--check` it says whether the file is stale.
"""

import argparse
import json
import re
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.rpc import error_details_pb2

from authy_grpc.v1 import event_pb2
from gateway.comments import comments
from gateway.openapi_common import HEADERS, INFO, PARAMETERS, REFUSED, RESPONSES, SECURITY, webhooks
from gateway.refusals import Refusals, security, who
from gateway.routes import Route, contract
from gateway.schemas import Schema, Schemas

_DETAILS: tuple[Any, ...] = (
    error_details_pb2.ErrorInfo,
    error_details_pb2.BadRequest,
    error_details_pb2.RetryInfo,
)
_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])")
_STREAM = (
    "Server-sent events. `data` of each is a `{kind}`{id}. A comment every 15 s says that the stream is"
    " alive. `event: end` is its end; `event: error` carries a `Status`."
)
_NOT_BUILT = "The service does not have this call yet, or what the request asks of it: see above."
_ID = ", and `id` is where it stands: send it back as `Last-Event-ID`, and the stream goes on after it"


@cache
def openapi() -> Mapping[str, Any]:
    """The document of the whole contract."""
    return _Document().made


def text() -> str:
    """The document as it is written to a file."""
    return json.dumps(openapi(), indent=1, sort_keys=True, ensure_ascii=False) + "\n"


class _Document:
    """The document, and what its parts share."""

    def __init__(self) -> None:
        self._comments = comments()
        self._schemas = Schemas(self._comments)
        self._refusals = Refusals(self._comments)
        self._first: dict[str, Route] = {}
        paths: dict[str, dict[str, Any]] = {}
        for route in contract():
            paths.setdefault(_template(route), {})[route.verb.lower()] = self._operation(route)
        services = {route.rpc.containing_service.full_name: route for route in contract()}
        event = self._schemas.answer(event_pb2.Event.DESCRIPTOR)
        self._schemas.made |= self._status()
        self.made = {
            "openapi": "3.1.0",
            "info": INFO,
            "tags": [
                {"name": name.rpartition(".")[2], "description": self._comments.get(name, "")}
                for name in services
            ],
            "paths": paths,
            "webhooks": webhooks(event),
            "components": {
                "schemas": self._schemas.made,
                "responses": RESPONSES,
                "parameters": PARAMETERS,
                "headers": HEADERS,
                "securitySchemes": SECURITY,
            },
        }

    def _operation(self, route: Route) -> dict[str, Any]:
        name = route.rpc.name
        summary = _HUMP.sub(" ", name).capitalize().replace(" api ", " API ")
        first = self._first.setdefault(name, route)
        if first is not route:
            name += route.suffix[:1].upper() + route.suffix[1:]
            summary += f", by {_apart(route, first)}"
        made: dict[str, Any] = {
            "operationId": name,
            "tags": [route.rpc.containing_service.name],
            "summary": summary,
            "security": security(route),
            "parameters": list(self._parameters(route)),
            "responses": {"200": self._answer(route), **REFUSED, **self._errors(route)},
            "x-grpc-method": route.path[1:],
        }
        told = self._comments.get(route.rpc.full_name, "")
        made["description"] = f"{told}\n\n{who(route)}".strip()
        if route.body:
            made["requestBody"] = self._body(route)
        return made

    def _parameters(self, route: Route) -> Iterator[dict[str, Any]]:
        bound = {each.field for each in route.variables}
        for path in (each.field for each in route.variables):
            schema = self._schemas.field(_field(route.rpc.input_type, path), asked=True)
            yield _parameter("path", _leaf(path), schema | {"minLength": 1}) | {"required": True}
        if route.body != "*":
            for name, path, field in _queried(route.rpc.input_type):
                if path not in bound and path.partition(".")[0] != route.body:
                    yield _parameter("query", name, self._schemas.field(field, asked=True))
        if route.resume:
            yield {"$ref": "#/components/parameters/LastEventId"}
        yield {"$ref": "#/components/parameters/GrpcTimeout"}

    def _body(self, route: Route) -> dict[str, Any]:
        kind, prefix = route.rpc.input_type, ""
        if route.body != "*":
            field = kind.fields_by_name[route.body]
            if field.message_type is None or field.is_repeated:
                schema = self._schemas.field(field, asked=True)
                return {"required": True, "content": {"application/json": {"schema": schema}}}
            kind, prefix = field.message_type, f"{route.body}."
        bound = {each.field.removeprefix(prefix) for each in route.variables if each.field.startswith(prefix)}
        without = frozenset(name for name in bound if "." not in name)
        needed = any(field.name not in without for field in kind.fields)
        schema = self._schemas.body(kind, without)
        return {"required": needed, "content": {"application/json": {"schema": schema}}}

    def _answer(self, route: Route) -> dict[str, Any]:
        kind = route.rpc.output_type
        schema = self._schemas.answer(kind)
        if route.response_body:
            schema = self._schemas.field(kind.fields_by_name[route.response_body], asked=False)
        if not route.streams:
            return {
                "description": "Done.",
                "headers": {"X-Request-Id": {"$ref": "#/components/headers/RequestId"}},
                "content": {"application/json": {"schema": schema}},
            }
        events: Schema = {"type": "string", "contentMediaType": "application/json", "contentSchema": schema}
        told = _STREAM.format(kind=kind.name, id=_ID if route.position else "")
        return {"description": told, "content": {"text/event-stream": {"schema": events}}}

    def _errors(self, route: Route) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for http, reasons in self._refusals.of(route).items():
            headers = {"X-Request-Id": {"$ref": "#/components/headers/RequestId"}}
            if http == 401:
                headers["WWW-Authenticate"] = {"$ref": "#/components/headers/Authenticate"}
            if http == 429 or "PUSH_FROZEN" in reasons:
                headers["Retry-After"] = {"$ref": "#/components/headers/RetryAfter"}
            told = ", ".join(f"`{reason}`" for reason in reasons)
            found[str(http)] = {
                "description": f"Refused: {told}." if reasons else _NOT_BUILT,
                "headers": headers,
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Status"}}},
                "x-reasons": reasons,
            }
        return found

    def _status(self) -> dict[str, Schema]:
        meanings = self._refusals.meanings
        made: dict[str, Schema] = {}
        details = Schemas({})
        for kind in _DETAILS:
            details.answer(kind.DESCRIPTOR)
        for name, schema in details.made.items():
            made[name] = schema
        for kind in _DETAILS:
            own = made[kind.DESCRIPTOR.name]
            tag = {"@type": {"const": f"type.googleapis.com/{kind.DESCRIPTOR.full_name}"}}
            own["properties"] = tag | own["properties"]
            own["required"] = ["@type", *own.get("required", ())]
        made["ErrorInfo"]["properties"]["reason"] = {"$ref": "#/components/schemas/Reason"}
        made["ErrorInfo"]["properties"]["domain"] = {"const": "authy_grpc"}
        made["Reason"] = {
            "type": "string",
            "enum": list(meanings),
            "description": "\n".join(f"- `{reason}`: {meaning}" for reason, meaning in meanings.items()),
        }
        refs = [{"$ref": f"#/components/schemas/{kind.DESCRIPTOR.name}"} for kind in _DETAILS]
        made["Status"] = {
            "type": "object",
            "description": "A `google.rpc.Status`. Switch on the `reason` of its ErrorInfo. One without"
            " details comes from the way to the service: the call may have been done.",
            "properties": {
                "code": {"type": "integer", "format": "int32", "description": "The gRPC code."},
                "message": {"type": "string", "description": "For people: it may change."},
                "details": {"type": "array", "items": {"anyOf": refs}},
            },
            "required": ["code", "message", "details"],
        }
        return made


def _template(route: Route) -> str:
    """The path as OpenAPI has it. What looks alike is one: a variable has the name of its last field."""
    return re.sub(r"\{([^}=]+)\}", lambda found: f"{{{_leaf(found[1])}}}", route.template)


def _apart(route: Route, first: Route) -> str:
    """What tells one more way to a call from the first: the fields that name what is asked for."""
    known = {each.field for each in first.variables}
    own = [each.field for each in route.variables]
    asked = own or [path for _, path, _ in _queried(route.rpc.input_type)]
    told = [re.sub("[._]", " ", path) for path in asked if path not in known]
    return " or ".join(told) or route.template


def _leaf(path: str) -> str:
    head, *rest = path.rpartition(".")[2].split("_")
    return head + "".join(each.capitalize() for each in rest)


def _field(kind: Descriptor, path: str) -> FieldDescriptor:
    *outer, last = path.split(".")
    for name in outer:
        inner = kind.fields_by_name[name].message_type
        if inner is None:
            raise ValueError(f"{path}: {name} holds no fields")
        kind = inner
    return kind.fields_by_name[last]


def _queried(kind: Descriptor) -> Iterator[tuple[str, str, FieldDescriptor]]:
    """What a query can say: name in JSON, path, field."""
    for field in kind.fields:
        inner = field.message_type
        if inner is None or inner.file.package == "google.protobuf":
            yield field.json_name, field.name, field
        elif not field.is_repeated and not inner.GetOptions().map_entry:
            for name, path, each in _queried(inner):
                yield f"{field.json_name}.{name}", f"{field.name}.{path}", each


def _parameter(place: str, name: str, schema: Schema) -> dict[str, Any]:
    told = schema.pop("description", "")
    found = {"in": place, "name": name, "schema": schema}
    return found | {"description": told} if told else found


def main(arguments: list[str] | None = None) -> int:
    """Write the document, or check it. Returns the exit status: 1 for a stale file."""
    parser = argparse.ArgumentParser(prog="python -m gateway.openapi", description="Writes the document.")
    parser.add_argument("file", type=Path)
    parser.add_argument("--check", action="store_true", help="only say whether the file is stale")
    given = parser.parse_args(arguments)
    if not given.check:
        given.file.write_text(text(), encoding="utf-8")
        return 0
    if given.file.is_file() and given.file.read_text(encoding="utf-8") == text():
        return 0
    sys.stderr.write(f"{given.file} is stale: run `make openapi`\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
