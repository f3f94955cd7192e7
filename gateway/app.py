"""The gateway's web application (ASGI): how a request finds its call, what is told of it, and health."""

import asyncio
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import quote

import grpc
import structlog
from grpc_health.v1 import health_pb2
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match
from starlette.routing import Route as Page
from starlette.types import Receive, Scope, Send
from structlog.typing import FilteringBoundLogger

from gateway import docs, web
from gateway.body import Gone, check_size, read_body
from gateway.credentials import Credentials
from gateway.errors import JSON, Failure, Header, internal, no_method, no_path
from gateway.exchange import SAFE, Exchange, allowed
from gateway.observe import Ended, Observe
from gateway.routes import Route, Table, contract
from gateway.settings import GatewaySettings
from gateway.sse import Pace, Stream
from gateway.strangers import has_body
from gateway.transcode import LAST_EVENT_ID, Transcoder
from gateway.upstream import Caller, Callers, Entry, Streaming, Unary, deadline, raise_if_ended

_FOUND = "authy.found"
_READY_SECONDS = 2.0
_CORS_HEADERS = ("Authorization", "Content-Type", "Grpc-Timeout", "Last-Event-ID")
_CORS_EXPOSED = ("Retry-After", "WWW-Authenticate", "X-Request-Id")


def build(
    channel: Any,
    settings: GatewaySettings,
    *,
    log: FilteringBoundLogger | None = None,
    registry: CollectorRegistry | None = None,
    routes: Iterable[Route] | None = None,
    pace: Pace | None = None,
    pages: Sequence[BaseRoute] = (),
) -> Starlette:
    """The gateway over a channel.

    Args:
        channel: to the core: `grpc.aio.Channel`, or another with its `unary_unary` and `unary_stream`.
        settings: of this gateway.
        log: one line a request at `info`: its route, never its address.
        registry: where the metrics are registered.
        routes: those of the contract, where not given.
        pace: how long streams wait.
        pages: what else is served, beside the documentation.

    Returns:
        the application, whose `state.drain` has all streams end: for when its server stops.
    """
    registry = registry or CollectorRegistry()
    key = settings.gateway_key.get_secret_value()
    observe = Observe(log or structlog.get_logger(), registry)
    callers = Callers(key, settings.forwarding, observe.unreadable)
    entry = Entry(Credentials(channel, key))
    found = contract() if routes is None else tuple(routes)
    rest = _Rest(channel, found, callers, entry, observe, pace or Pace())
    app = Starlette(
        routes=[
            *web.pages(settings.public_url),
            rest,
            Page("/healthz", _alive),
            Page("/readyz", partial(_ready, rest, _health(channel))),
            *docs.pages(),
            *pages,
        ],
        middleware=_cors(settings.origins),
        exception_handlers={404: _refused, 405: _refused},
    )
    # What is elsewhere is not here: a redirect would have the credential sent twice.
    app.router.redirect_slashes = False
    app.router.default = rest.nowhere
    app.state.drain = rest.drain
    return app


def _cors(origins: Sequence[str]) -> list[Middleware]:
    made = Middleware(
        _Cors,
        allow_origins=origins,
        allow_methods=("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"),
        allow_headers=_CORS_HEADERS,
        expose_headers=_CORS_EXPOSED,
    )
    return [made] if origins else []


class _Cors(CORSMiddleware):
    """CORS of the calls: the web authenticator's files are read by no other origin."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        within = scope["type"] == "http" and scope["path"].startswith("/app/")
        await (self.app(scope, receive, send) if within else super().__call__(scope, receive, send))


@dataclass(frozen=True)
class _Endpoint:
    """One route, ready to be called."""

    transcoder: Transcoder
    unary: Unary | None
    streaming: Streaming | None

    @classmethod
    def of(cls, channel: Any, route: Route, entry: Entry, log: FilteringBoundLogger) -> "_Endpoint":
        transcoder = Transcoder(route)
        if route.streams:
            return cls(transcoder, None, Streaming(channel, transcoder, log, os.urandom))
        return cls(transcoder, Unary(channel, transcoder, entry), None)


class _Rest(BaseRoute):
    """All routes of the contract."""

    def __init__(
        self,
        channel: Any,
        routes: tuple[Route, ...],
        callers: Callers,
        entry: Entry,
        observe: Observe,
        pace: Pace,
    ) -> None:
        self._table = Table(routes)
        self._endpoints = {id(route): _Endpoint.of(channel, route, entry, observe.log) for route in routes}
        # The routes' ids are theirs as long as they are kept.
        self._routes = routes
        self._callers = callers
        self._entry = entry
        self._observe = observe
        self._pace = pace
        self._streams: set[Stream] = set()
        self.draining = False

    def drain(self) -> None:
        """End all streams, and each one that begins from now on."""
        self.draining = True
        for stream in self._streams:
            stream.end()

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if scope["type"] != "http":
            return Match.NONE, {}
        raw = scope.get("raw_path") or quote(scope["path"]).encode()
        found = self._table.find(raw.partition(b"?")[0].decode("latin-1"))
        return (Match.FULL, {_FOUND: found}) if found[0] else (Match.NONE, {})

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        by_verb, parts = scope[_FOUND]
        template = next(iter(by_verb.values())).template
        with self._observe(scope["method"], template) as ended:
            await self._answer(Exchange(scope, receive, send), by_verb, parts, ended)

    async def nowhere(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer for an address that leads nowhere."""
        if scope["type"] == "http":
            with self._observe(scope["method"], "") as ended:
                path = scope["path"].rstrip("/")
                slash = path != scope["path"] and bool(self._table.find(quote(path))[0])
                await Exchange(scope, receive, send).fail(no_path(slash=slash), ended)

    async def _answer(
        self, exchange: Exchange, by_verb: Mapping[str, Route], parts: list[str], ended: Ended
    ) -> None:
        try:
            route = exchange.route(by_verb)
            if route is None:
                await exchange.send(204, ((b"allow", allowed(by_verb)),), b"", ended)
            else:
                ended.method, ended.route = route.path, route.template
                await self._call(exchange, self._endpoints[id(route)], parts, ended)
        except Gone:
            ended.code = "CANCELLED"
        except Failure as failure:
            await exchange.fail(failure, ended)
        except Exception as error:
            fault = internal(os.urandom(8).hex())
            ended.fault(error, fault.request_id)
            if exchange.begun:
                raise
            await exchange.fail(fault, ended)

    async def _call(self, exchange: Exchange, endpoint: _Endpoint, parts: list[str], ended: Ended) -> None:
        scope, headers = exchange.scope, exchange.headers
        transcoder = endpoint.transcoder
        check_size(scope)
        seconds = deadline(headers)
        query = scope["query_string"].decode("latin-1")

        async def request() -> Any:
            spare = scope["method"] == "DELETE"
            body = await read_body(headers, exchange.receive, takes=transcoder.takes_body, spare=spare)
            return transcoder.request(parts, query, body, headers.get(LAST_EVENT_ID, ""))

        socket = scope["client"][0] if scope.get("client") else ""
        caller = Caller(self._callers.address(headers, socket), has_body(headers))
        metadata = self._callers.metadata(headers, caller.address)
        if endpoint.unary is not None:
            answer, request_id = await endpoint.unary(request, metadata, seconds, caller)
            ended.request_id = request_id
            told: tuple[Header, ...] = (
                ((b"content-type", JSON), (b"x-request-id", request_id.encode()))
                if request_id
                else ((b"content-type", JSON),)
            )
            await exchange.send(200, told, transcoder.write(answer), ended)
        elif endpoint.streaming is not None:
            if caller.has_body:
                made = await self._entry.read(transcoder.route, request, metadata, caller)
            else:
                made = await request()
            call = endpoint.streaming(made, metadata, seconds)
            stream = Stream(transcoder, call, exchange.receive, exchange.emit, [*SAFE], self._pace)
            ended.begin_stream()
            self._streams.add(stream)
            if self.draining:
                stream.end()
            try:
                ended.failed(await stream.run(head=scope["method"] == "HEAD"))
            finally:
                self._streams.discard(stream)
            ended.status = 200


def _plain(body: bytes, status: int = 200, media_type: str = "application/json") -> Response:
    response = Response(body, status, media_type=media_type)
    response.raw_headers.extend(SAFE)
    return response


async def _alive(_: Request) -> Response:
    return _plain(b'{"status":"ALIVE"}')


def _health(channel: Any) -> Any:
    return channel.unary_unary(
        "/grpc.health.v1.Health/Check",
        request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
        response_deserializer=health_pb2.HealthCheckResponse.FromString,
    )


async def _ready(rest: _Rest, check: Any, _: Request) -> Response:
    """Whether the core says that it serves, and this gateway goes on."""
    if rest.draining:
        return _plain(b'{"status":"NOT_SERVING"}', 503)
    try:
        answer = await check(health_pb2.HealthCheckRequest(), timeout=_READY_SECONDS)
    except grpc.RpcError:
        return _plain(b'{"status":"UNREACHABLE"}', 503)
    except asyncio.CancelledError:
        raise_if_ended()
        return _plain(b'{"status":"UNREACHABLE"}', 503)
    serves = answer.status == health_pb2.HealthCheckResponse.SERVING
    return _plain(b'{"status":"SERVING"}') if serves else _plain(b'{"status":"NOT_SERVING"}', 503)


async def _refused(_: Request, error: Any) -> Response:
    allowed = (error.headers or {}).get("Allow", "")
    failure = no_method(allowed.split(", ")) if error.status_code == 405 else no_path()
    response = _plain(failure.body, failure.http)
    response.raw_headers.extend(failure.all_headers())
    return response
