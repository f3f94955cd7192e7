"""How a gRPC request is asked over REST, and what of two answers must be the same."""

import json
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

import httpx
from google.protobuf import json_format
from google.protobuf.message import Message
from google.rpc import code_pb2, status_pb2

from gateway.routes import Route, contract
from tests.e2e.rehearsing import kinds
from tests.e2e.wire import Exchange
from tests.gateway.asking import events

# Ids, secrets, cursors, keys, times, spans, numbers to type: what is new in each call.
_NEW = re.compile(
    r"[A-Za-z0-9+/=_\-.]{16,}|\d{4}-\d\d-\d\dT[\d:.]+Z|[\d.]+s|otpauth:.*|https?:.*|[+]?[0-9]{4,}"
)
_ENUM = re.compile(r"[A-Z]+(_[A-Z0-9]+)+")
_DETAILS = "grpc-status-details-bin"

ROUTES: dict[str, list[Route]] = {}
for each in contract():
    ROUTES.setdefault(each.path, []).append(each)


@dataclass
class Told:
    """An answer, whichever way it came: its code, and the message or the status as JSON.

    Attributes:
        own: whether gRPC made the status by itself, so that it says nothing but the code.
    """

    code: int
    body: Any
    own: bool = False

    def differs(self, other: "Told") -> bool:
        """Whether the two say different things."""
        if self.code != other.code:
            return True
        return not (self.own or other.own) and _form(self.body) != _form(other.body)


def over_grpc(exchange: Exchange) -> Told:
    """What came back over gRPC: of a stream, the first message."""
    if exchange.messages:
        message = kinds(exchange.method)[1].FromString(exchange.messages[0])
        return Told(0, json_format.MessageToDict(message, always_print_fields_with_no_presence=True))
    details = next((value for key, value in exchange.metadata if key == _DETAILS), None)
    if details is None:
        return Told(_number(exchange.code), {}, own=True)
    status = status_pb2.Status.FromString(details if isinstance(details, bytes) else details.encode())
    body = json_format.MessageToDict(status, always_print_fields_with_no_presence=True)
    return Told(status.code, body)


async def over_rest(client: httpx.AsyncClient, route: Route, request: Message, credential: str) -> Told:
    """What comes back over REST: of a stream, the first message."""
    response = await ask(client, route, request, credential)
    try:
        if response.status_code == 200 and route.streams:
            async for event in events(response):
                if event.data is not None:
                    return Told(event.data["code"] if event.kind == "error" else 0, event.data)
        await response.aread()
        return Told(response.json()["code"] if response.status_code != 200 else 0, response.json())
    finally:
        await response.aclose()


async def ask(
    client: httpx.AsyncClient,
    route: Route,
    request: Message,
    credential: str,
    more: dict[str, bytes] | None = None,
) -> httpx.Response:
    """Sends a request over REST. Its answer has not been read, and is to be closed.

    Args:
        client: to the gateway.
        route: by which it is asked.
        request: the message.
        credential: whose; empty for nobody's.
        more: what else stands in the query.
    """
    headers = {"authorization": f"Bearer {credential}"} if credential else {}
    address, body = _address(route, request)
    if more:
        address += ("&" if "?" in address else "?") + urlencode(more)
    if body is not None:
        headers["content-type"] = "application/json"
    content = json.dumps(body).encode() if body is not None else None
    url = httpx.URL(str(client.base_url), raw_path=address.encode())
    asked = client.build_request(route.verb, url, content=content, headers=headers)
    return await client.send(asked, stream=True)


def routes_of(path: str, request: Message | None = None) -> list[Route]:
    """The routes of a method, or those by which a request can be asked: each part of the path has a value."""
    return [
        route
        for route in ROUTES.get(path, [])
        if request is None or all(value_of(request, variable.field) for variable in route.variables)
    ]


def value_of(message: Any, path: str) -> Any:
    """A field within a message, such as `api_key.name`."""
    for name in path.split("."):
        message = getattr(message, name)
    return message


def _address(route: Route, request: Message) -> tuple[str, Any]:
    """The address with its query, and the body."""
    values: Any = json_format.MessageToDict(request, preserving_proto_field_name=True)
    path = route.template
    for variable in route.variables:
        *outer, last = variable.field.split(".")
        owner = values
        for name in outer:
            owner = owner.get(name, {})
        path = path.replace(f"{{{variable.field}}}", quote(str(owner.pop(last, "")), safe=""))
    if route.body == "*":
        return path, values
    body = values.pop(route.body, {}) if route.body else None
    query = urlencode(list(_flat("", values)))
    return f"{path}?{query}" if query else path, body


def _flat(prefix: str, values: Any) -> Any:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(f"{prefix}{name}.", value)
        else:
            for each in value if isinstance(value, list) else [value]:
                yield prefix + name, json.dumps(each) if not isinstance(each, str) else each


def _form(value: Any) -> Any:
    """A body without what is new in each call."""
    if isinstance(value, dict):
        return {key: _form(each) for key, each in value.items() if each != {} or key != "metadata"}
    if isinstance(value, list):
        return [_form(each) for each in value]
    is_new = isinstance(value, str) and _NEW.fullmatch(value) and not _ENUM.fullmatch(value)
    return "*" if is_new else value


def _number(name: str) -> int:
    return int(code_pb2.Code.Value(name))
