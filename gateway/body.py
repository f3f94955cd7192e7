"""Owns what a request may weigh: its address, its headers, its body, and the time that a body takes."""

import asyncio

from starlette.datastructures import Headers
from starlette.types import Receive, Scope

from gateway.errors import Failure, bad

# The largest CreateApproval, with every character escaped, has 210 KiB.
MOST_BODY = 256 * 1024
MOST_HEADERS = 16 * 1024
MOST_ADDRESS = 8 * 1024
# Less than the core waits for a message, which would answer 504.
BODY_SECONDS = 9.0
# What is left of a body is not read: the connection ends.
_CLOSE = (b"connection", b"close")


class Gone(Exception):
    """The caller has hung up."""


def check_size(scope: Scope) -> None:
    """Refuse a request whose address or headers are too long.

    Raises:
        Failure: 414 or 431.
    """
    if len(scope["query_string"]) + len(scope.get("raw_path") or scope["path"]) > MOST_ADDRESS:
        raise bad([("address", f"must have at most {MOST_ADDRESS} bytes")], 414, _CLOSE)
    if sum(len(name) + len(value) for name, value in scope["headers"]) > MOST_HEADERS:
        raise bad([("headers", f"must have at most {MOST_HEADERS} bytes in all")], 431, _CLOSE)


async def read_body(
    headers: Headers, receive: Receive, *, takes: bool, seconds: float = BODY_SECONDS
) -> bytes:
    """The whole body; empty where there is none.

    Args:
        headers: of the request.
        receive: of the request.
        takes: whether the call has a body.
        seconds: how long it may take.

    Raises:
        Failure: it is too large (413), no JSON by its type (415), too slow (408), or not asked for.
        Gone: it did not come to its end.
    """
    length = headers.get("content-length", "")
    if length.isascii() and length.isdecimal() and int(length[:20]) > MOST_BODY:
        raise _too_large()
    try:
        async with asyncio.timeout(seconds):
            body = await _whole(receive)
    except TimeoutError:
        raise bad([("body", f"must come within {seconds:g} s")], 408, _CLOSE) from None
    if body and not takes:
        raise bad([("body", "must be empty: this call takes none")])
    if body:
        _check_type(headers)
    return body


async def _whole(receive: Receive) -> bytes:
    pieces: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Gone
        piece = message.get("body", b"")
        size += len(piece)
        if size > MOST_BODY:
            raise _too_large()
        pieces.append(piece)
        if not message.get("more_body", False):
            return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _too_large() -> Failure:
    return bad([("body", f"must have at most {MOST_BODY} bytes")], 413, _CLOSE)


def _check_type(headers: Headers) -> None:
    media, _, parameters = headers.get("content-type", "").lower().partition(";")
    charset = parameters.replace(" ", "").replace('"', "")
    if media.strip() != "application/json" or charset not in ("", "charset=utf-8"):
        raise bad([("content-type", "must be application/json, in UTF-8")], 415)
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise bad([("content-encoding", "must be identity")], 415)
