"""Serves the web authenticator at `/app/`, and its QR decoder at `/app/scan/`: files and their headers."""

import re
from functools import partial

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from gateway.web.files import File, served

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self';"
    " manifest-src 'self'; worker-src 'self'; frame-src 'self'; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types app"
)
# WebKit does not match 'self' in a frame of opaque origin: the origin is named.
_SCAN_POLICY = (
    "sandbox allow-scripts; default-src 'none'; script-src {origin}; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'self'; require-trusted-types-for 'script'; trusted-types 'none'"
)
_OWN = (
    "camera",
    "clipboard-read",
    "clipboard-write",
    "publickey-credentials-create",
    "publickey-credentials-get",
)
_NEVER = (
    "accelerometer",
    "autoplay",
    "display-capture",
    "encrypted-media",
    "fullscreen",
    "geolocation",
    "gyroscope",
    "hid",
    "idle-detection",
    "magnetometer",
    "microphone",
    "midi",
    "payment",
    "picture-in-picture",
    "screen-wake-lock",
    "serial",
    "usb",
    "xr-spatial-tracking",
)
_PERMISSIONS = ", ".join([*(f"{each}=(self)" for each in _OWN), *(f"{each}=()" for each in _NEVER)])
_COMMON = {
    "cross-origin-embedder-policy": "require-corp",
    "permissions-policy": _PERMISSIONS,
    "referrer-policy": "no-referrer",
    "vary": "Accept-Encoding",
    "x-content-type-options": "nosniff",
}
# Of every answer at /app/, but those of the decoder.
APP_HEADERS = {
    **_COMMON,
    "cache-control": "no-cache",
    "content-security-policy": _POLICY,
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
# Module scripts of an opaque origin are asked for by CORS, without credentials. An opaque frame has no
# worker: what it loads is kept by the browser's cache.
_SCAN = {
    **_COMMON,
    "access-control-allow-origin": "*",
    "cache-control": "max-age=3600",
    "cross-origin-resource-policy": "cross-origin",
}
_HSTS = "max-age=31536000"
_LOOPBACK = re.compile(r"(?:127\.0\.0\.1|localhost|\[::1\])(?::[0-9]{1,5})?")


def pages(public_url: str) -> list[BaseRoute]:
    """The routes of the web authenticator. Its files are read, hashed and packed here, once.

    Args:
        public_url: the origin that people open, without a slash at its end; empty on a machine of one's own,
            where the pages are opened by a loopback address.
    """
    site = _Site(public_url)
    files = (Route(f"/app/{each.path}", partial(site.answer, each), methods=["GET"]) for each in served())
    return [Route("/app", _with_slash, methods=["GET"]), *files]


async def _with_slash(_: Request) -> Response:
    # Relative: a proxy may serve all of it under a path.
    return RedirectResponse("app/", 308, headers=APP_HEADERS)


class _Site:
    """What the answers for all files have in common."""

    def __init__(self, public_url: str) -> None:
        self._public_url = public_url
        self._hsts = {"strict-transport-security": _HSTS} if public_url.startswith("https://") else {}

    async def answer(self, file: File, request: Request) -> Response:
        """The file, packed for whoever takes that; 304 for whoever has it."""
        packed = file.packed if file.packed and _takes_gzip(request.headers) else None
        # Other bytes are another representation, which a strong tag tells apart.
        tag = f'"{file.sha256[:32]}{".gz" if packed else ""}"'
        headers = {**self._headers(file, request), "etag": tag}
        if _has(request.headers.get("if-none-match", ""), tag):
            return Response(status_code=304, headers=headers)
        if packed:
            headers["content-encoding"] = "gzip"
        return Response(packed or file.body, media_type=file.type, headers=headers)

    def _headers(self, file: File, request: Request) -> dict[str, str]:
        if not file.name.startswith("scan/"):
            return {**APP_HEADERS, **self._hsts}
        policy = _SCAN_POLICY.format(origin=self._origin(request))
        return {**_SCAN, "content-security-policy": policy, **self._hsts}

    def _origin(self, request: Request) -> str:
        """The origin that the decoder's scripts come from: never what a caller says, but on loopback."""
        if self._public_url:
            return self._public_url
        host = request.headers.get("host", "")
        return f"{request.url.scheme}://{host}" if _LOOPBACK.fullmatch(host) else "'none'"


def _takes_gzip(headers: Headers) -> bool:
    """Whether gzip is among the codings that are taken, and not at weight 0 (RFC 9110, 12.5.3)."""
    for each in headers.get("accept-encoding", "").lower().split(","):
        name, _, weight = each.replace(" ", "").partition(";q=")
        if name == "gzip":
            return not re.fullmatch(r"0(\.0*)?", weight)
    return False


def _has(told: str, tag: str) -> bool:
    """Whether If-None-Match names the tag (RFC 9110, 13.1.2: weakly compared)."""
    return told.strip() == "*" or tag in (each.strip().removeprefix("W/") for each in told.split(","))
