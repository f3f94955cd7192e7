"""Sends the answer of one HTTP request: its status, headers and body, or an error."""

from collections.abc import Iterable, Mapping
from typing import Any

from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from gateway.errors import JSON, Failure, Header, no_method
from gateway.observe import Ended
from gateway.routes import Route

SAFE: tuple[Header, ...] = ((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"))


class Exchange:
    """One request and its answer.

    Attributes:
        begun: whether some of the answer has been sent.
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        self.headers = Headers(scope=scope)
        self.receive = receive
        self.begun = False
        self._send = send

    def route(self, by_verb: Mapping[str, Route]) -> Route | None:
        """The route that is asked for; None for OPTIONS.

        Raises:
            Failure: the address has no such method.
        """
        verb = self.scope["method"]
        found = by_verb.get("GET" if verb == "HEAD" else verb)
        if found is None and verb != "OPTIONS":
            raise no_method(_verbs(by_verb))
        return found

    async def emit(self, message: Any) -> None:
        """Send a part of the answer."""
        self.begun = True
        await self._send(message)

    async def send(self, status: int, headers: Iterable[Header], body: bytes, ended: Ended) -> None:
        """Send the whole answer."""
        ended.status = status
        told = [*SAFE, *headers]
        if status != 204:
            told.append((b"content-length", str(len(body)).encode()))
        if self.scope["method"] == "HEAD":
            body = b""
        await self.emit({"type": "http.response.start", "status": status, "headers": told})
        await self.emit({"type": "http.response.body", "body": body})

    async def fail(self, failure: Failure, ended: Ended) -> None:
        """Send an error."""
        ended.failed(failure)
        headers = ((b"content-type", JSON), *failure.all_headers())
        await self.send(failure.http, headers, failure.body, ended)


def _verbs(by_verb: Mapping[str, Route]) -> list[str]:
    found = {*by_verb, "OPTIONS"}
    return sorted(found | {"HEAD"} if "GET" in found else found)


def allowed(by_verb: Mapping[str, Route]) -> bytes:
    """What a header `allow` says of an address."""
    return ", ".join(_verbs(by_verb)).encode()
