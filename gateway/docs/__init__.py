"""Serves what people and tools read of the gateway: `/openapi.json`, and the page at `/docs` of it."""

from functools import cache, partial
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from gateway.encode import dump
from gateway.openapi import openapi

# Nothing is loaded from elsewhere, and nothing that stands in a comment could run.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none';"
    " form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "cache-control": "no-cache",
    "content-security-policy": _POLICY,
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
_FILES = {
    "/docs": ("index.html", "text/html; charset=utf-8"),
    "/docs/docs.css": ("docs.css", "text/css; charset=utf-8"),
    "/docs/docs.js": ("docs.js", "text/javascript; charset=utf-8"),
}


def pages() -> list[Route]:
    """The routes of the documentation."""
    static = [Route(path, partial(_file, *file)) for path, file in _FILES.items()]
    return [Route("/", _home), Route("/openapi.json", _document), *static]


async def _home(_: Request) -> Response:
    # Relative, as the page's own links: a proxy may serve all of it under a path.
    return RedirectResponse("docs", headers=_HEADERS)


async def _document(_: Request) -> Response:
    return Response(_dumped(), media_type="application/json", headers=_HEADERS)


async def _file(name: str, kind: str, _: Request) -> Response:
    return Response(_read(name), media_type=kind, headers=_HEADERS)


@cache
def _dumped() -> bytes:
    return dump(openapi())


@cache
def _read(name: str) -> bytes:
    return files(__name__).joinpath(name).read_bytes()
