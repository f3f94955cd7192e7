"""Shows text messages of a development service at `/dev/messages`: at this machine alone, with a token."""

import hmac
import re
from base64 import urlsafe_b64encode
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache, partial
from importlib.resources import files
from ipaddress import ip_address

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from authy_grpc.domain.forwarded import canonical

_MOST = 100
_TOKEN_BYTES = 16
_LOOPBACK = re.compile(r"(?:127(?:\.[0-9]{1,3}){3}|localhost|\[::1\])(?::[0-9]{1,5})?", re.IGNORECASE)
# What proxies and tunnels add: then the caller may sit anywhere.
_FORWARDED = re.compile(r"forwarded|x-forwarded-.*|x-real-ip|via|cf-.*|true-client-ip")
_HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none';"
        " form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script';"
        " trusted-types 'none'"
    ),
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
_FILES = {
    "/dev/messages.css": ("messages.css", "text/css; charset=utf-8"),
    "/dev/messages.js": ("messages.js", "text/javascript; charset=utf-8"),
}


@dataclass(frozen=True, slots=True)
class Shown:
    """One message that was sent.

    Attributes:
        position: counts from 1 in this process.
        time: when it was sent.
        number: E.164.
        channel: how it went: `SMS`, `VOICE`.
        body: what it says.
    """

    position: int
    time: datetime
    number: str = field(repr=False)
    channel: str
    body: str = field(repr=False)


class Messages:
    """The last 100 messages, in memory alone.

    Args:
        clock: the time.
        random: random bytes.

    Attributes:
        token: who has it may read them.
    """

    def __init__(self, clock: Callable[[], datetime], random: Callable[[int], bytes]) -> None:
        self._clock = clock
        self._kept: deque[Shown] = deque(maxlen=_MOST)
        self._position = 0
        self.token = urlsafe_b64encode(random(_TOKEN_BYTES)).decode().rstrip("=")

    def keep(self, number: str, channel: str, body: str) -> None:
        """Keep one, and forget the oldest where there are too many."""
        self._position += 1
        self._kept.append(Shown(self._position, self._clock(), number, channel, body))

    def since(self, position: int) -> list[Shown]:
        """Those after a position, the newest first."""
        return [each for each in reversed(self._kept) if each.position > position]


def pages(messages: Messages) -> list[Route]:
    """The routes of the page. Whoever comes from elsewhere, or by a proxy, finds nothing at them."""
    static = [Route(path, partial(_file, *file), methods=["GET"]) for path, file in _FILES.items()]
    return [
        Route("/dev/messages", partial(_page, messages), methods=["GET"]),
        Route("/dev/messages/list", partial(_list, messages), methods=["GET"]),
        *static,
    ]


async def _page(messages: Messages, request: Request) -> Response:
    _check_place(request)
    return _without_token(messages, request) or await _file("index.html", "text/html; charset=utf-8", request)


async def _list(messages: Messages, request: Request) -> Response:
    _check_place(request)
    if refused := _without_token(messages, request):
        return refused
    given = request.query_params.get("after", "0")
    found = messages.since(int(given) if re.fullmatch(r"[0-9]{1,9}", given) else 0)
    told = [
        {"position": each.position, "time": each.time.isoformat(), "to": each.number}
        | {"channel": each.channel, "body": each.body}
        for each in found
    ]
    return JSONResponse({"messages": told}, headers=_HEADERS)


async def _file(name: str, kind: str, request: Request) -> Response:
    _check_place(request)
    return Response(_read(name), media_type=kind, headers=_HEADERS)


def _check_place(request: Request) -> None:
    """Let in who is at this machine.

    Raises:
        HTTPException: 404: another name, an address elsewhere, or something between.
    """
    # What is no address, such as a socket's file, may be anybody's.
    address = canonical(request.client.host) if request.client is not None else ""
    here = address != "" and ip_address(address).is_loopback
    named = _LOOPBACK.fullmatch(request.headers.get("host", ""))
    between = any(_FORWARDED.fullmatch(name.lower()) for name in request.headers)
    if not here or not named or between:
        raise HTTPException(404)


def _without_token(messages: Messages, request: Request) -> Response | None:
    """The refusal of a link without the token; None where it is there."""
    given = request.query_params.get("token", "")
    if hmac.compare_digest(given.encode(), messages.token.encode()):
        return None
    told = "This page opens by the link that `make up` prints: it has a token.\n"
    return PlainTextResponse(told, 403, headers=_HEADERS)


@cache
def _read(name: str) -> bytes:
    return (files("gateway.messages") / name).read_bytes()
