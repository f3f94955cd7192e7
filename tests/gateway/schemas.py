"""How a test holds JSON against the OpenAPI document."""

import copy
from collections.abc import Iterator, Mapping
from typing import Any

from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from gateway.errors import HTTP
from gateway.openapi import openapi
from gateway.routes import Route
from tests.gateway.rest import Told

_NAME = "urn:openapi"


class Document:
    """An OpenAPI document that answers are judged by; an answer with a field that it does not name is wrong.

    Args:
        made: the document; the gateway's own where not given.
    """

    def __init__(self, made: Mapping[str, Any] | None = None) -> None:
        self.made: Any = copy.deepcopy(openapi() if made is None else made)
        for schema in self.made["components"]["schemas"].values():
            if "properties" in schema:
                schema.setdefault("additionalProperties", False)
        self._registry: Any = Registry().with_resource(_NAME, DRAFT202012.create_resource(self.made))
        self._operations = {
            (operation["x-grpc-method"], verb.upper()): operation
            for item in self.made["paths"].values()
            for verb, operation in item.items()
        }

    def wrong(self, pointer: str, value: Any) -> list[str]:
        """What is wrong with a value by a schema; `pointer` leads there from the document's root."""
        validator = Draft202012Validator(
            {"$ref": f"{_NAME}#{pointer}"},
            registry=self._registry,
            format_checker=Draft202012Validator.FORMAT_CHECKER,
        )
        return [f"{each.json_path}: {each.message[:200]}" for each in validator.iter_errors(value)]

    def judge(self, route: Route, told: Told) -> list[str]:
        """What is wrong with an answer: its code, its reason or its body."""
        http = str(HTTP[told.code])
        given = self.operation(route)["responses"].get(http)
        if given is None:
            return [f"{http} is not documented"]
        response = self.resolve(given)
        [schema] = [each["schema"] for each in response["content"].values()]
        wrong = self.wrong(self.resolve(schema.get("contentSchema", schema), follow=False), told.body)
        reasons = [each["reason"] for each in told.body.get("details", ()) if "reason" in each]
        if "x-reasons" in response and told.code and not set(reasons) <= set(response["x-reasons"]):
            wrong.append(f"{http} with {reasons} is not documented")
        return wrong

    def operation(self, route: Route) -> Any:
        """What the document says of a route."""
        return self._operations[route.path[1:], route.verb]

    def resolve(self, given: Any, *, follow: bool = True) -> Any:
        """What a reference leads to; or, not followed, the pointer in it."""
        if "$ref" not in given:
            return given
        pointer = given["$ref"].removeprefix("#")
        if not follow:
            return pointer
        found = self.made
        for key in pointer.split("/")[1:]:
            found = found[key]
        return found


def references(value: Any) -> Iterator[str]:
    """All references in a document."""
    if isinstance(value, dict):
        for key, each in value.items():
            if key == "$ref":
                yield each
            else:
                yield from references(each)
    elif isinstance(value, list):
        for each in value:
            yield from references(each)
