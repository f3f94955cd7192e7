"""Limits what a request may weigh: its address, its headers, its body, and the time that a body takes."""

import asyncio
import codecs
import re
from email.message import Message

from starlette.datastructures import Headers
from starlette.types import Receive, Scope

from gateway.errors import Failure, bad

# The largest CreateApproval, with every character escaped, has 210 KiB.
MOST_BODY = 256 * 1024
MOST_HEADERS = 16 * 1024
_MOST_HEADERS_BY_NUMBER = 100
MOST_ADDRESS = 8 * 1024
# Less than the core waits for a message, which would answer 504.
BODY_SECONDS = 9.0
_SPACE = b" \t\n\r"
_EMPTY = re.compile(rb"\{[ \t\n\r]*\}")
_JSON = re.compile(r"(application|text)/json|[^/]+/[^/]+\+json")
_UTF_8 = ("utf-8", "utf8", "us-ascii")
# RFC 9110 section 15.5.16: what would be taken.
_ACCEPTS = (b"accept", b"application/json")
_UNCODED = (b"accept-encoding", b"identity")
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
    if len(scope["headers"]) > _MOST_HEADERS_BY_NUMBER:
        raise bad([("headers", f"must be at most {_MOST_HEADERS_BY_NUMBER}")], 431, _CLOSE)


async def read_body(
    headers: Headers,
    receive: Receive,
    *,
    takes: bool,
    spare: bool = False,
    seconds: float = BODY_SECONDS,
) -> bytes:
    """The whole body; empty where there is none.

    Args:
        headers: of the request.
        receive: of the request.
        takes: whether the call has a body.
        spare: whether one that has none may get an empty object, as many clients send with every DELETE.
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
    said = body.removeprefix(codecs.BOM_UTF8).strip(_SPACE)
    if not takes:
        if said and not (spare and _EMPTY.fullmatch(said)):
            raise bad([("body", "must be empty: this call takes none")])
        return b""
    if said:
        _check_type(headers)
    return said


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
    """Take what the WHATWG calls a JSON MIME type: no page of another origin can send one unasked.

    Of its parameters the charset alone counts: others, such as a version, change nothing in JSON.
    """
    types = headers.getlist("content-type")
    told = Message()
    told["content-type"] = types[0] if len(types) == 1 else ""
    media, charset = told.get_content_type(), told.get_content_charset("utf-8")
    if not types or _JSON.fullmatch(media) is None:
        raise bad([("content-type", "must be application/json")], 415, _ACCEPTS)
    if charset not in _UTF_8:
        raise bad([("content-type", "must have the charset utf-8")], 415, _ACCEPTS)
    encodings = ",".join(headers.getlist("content-encoding")).lower()
    if any(each.strip() not in ("", "identity") for each in encodings.split(",")):
        raise bad([("content-encoding", "must be identity")], 415, _UNCODED)
