"""A party that speaks REST: what the generated stubs need, and every byte that the gateway sends it."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio
import httpx
from google.protobuf import json_format
from google.protobuf.message import DecodeError
from google.rpc import code_pb2

from authy_grpc import logs
from gateway.app import build
from gateway.routes import Route
from gateway.sse import Pace
from tests.e2e.rehearsing import kinds
from tests.e2e.wire import Exchange, Party, Speaks
from tests.gateway.asking import Event, events, serving, settings
from tests.gateway.rest import ask, routes_of
from tests.harness import Service
from tests.rushing import PATIENCE

# Of the real clock, and of what is received anyhow: two that are equal say nothing.
_SAYS_NOTHING = frozenset({"date", "content-length"})


class RestParty(Party):
    """Somebody who calls over REST.

    Args:
        client: to the gateway.
        credential: sent with each call.
    """

    def __init__(self, client: httpx.AsyncClient, credential: str = "") -> None:
        self._client = client
        super().__init__(None, credential)  # type: ignore[arg-type]

    def unary_unary(
        self, path: str, request_serializer: Any = None, response_deserializer: Any = None, **_: Any
    ) -> Callable[..., Any]:
        calling = self.unary_stream(path, request_serializer, response_deserializer)

        async def call(request: Any, **options: Any) -> Any:
            return await anext(calling(request, **options))

        return call

    def unary_stream(
        self, path: str, request_serializer: Any = None, response_deserializer: Any = None, **_: Any
    ) -> Callable[..., Any]:
        def call(request: Any, **_: Any) -> Any:
            sent = request if isinstance(request, bytes) else request_serializer(request)
            exchange = self._begin(path, sent)
            return RestStream(self._client, exchange, self.credential, response_deserializer)

        return call


class RestStream:
    """The answers of a call, one or many."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        exchange: Exchange,
        credential: str,
        decode: Callable[[bytes], Any] | None,
    ) -> None:
        self.exchange = exchange
        self._decode = decode or (lambda message: message)
        self._answers = self._ask(client, credential)

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        made = json_format.ParseDict(await anext(self._answers), kinds(self.exchange.method)[1]())
        self.exchange.messages.append(made.SerializeToString())
        return self._decode(self.exchange.messages[-1])

    async def finish(self) -> None:
        """Hang up."""
        await self._answers.aclose()

    def cancel(self) -> None:
        """Hang up, in a while."""
        self._ending = asyncio.ensure_future(self._answers.aclose())

    async def _ask(self, client: httpx.AsyncClient, credential: str) -> Any:
        route, response = await self._sent(client, credential)
        heard = self.exchange.metadata
        heard += [(key, value) for key, value in response.headers.items() if key not in _SAYS_NOTHING]
        try:
            if response.status_code != 200 or not route.streams:
                body = json.loads(await response.aread())
                heard.append(("body", response.text))
                self._refuse(body if response.status_code != 200 else None)
                yield body
                return
            async for event in events(response):
                heard += _heard(event)
                self._refuse(event.data if event.kind == "error" else None)
                if event.kind == "message" and event.data is not None:
                    yield event.data
        finally:
            await response.aclose()

    async def _sent(self, client: httpx.AsyncClient, credential: str) -> tuple[Route, httpx.Response]:
        kind = kinds(self.exchange.method)[0]
        try:
            request = kind.FromString(self.exchange.sent)
        except DecodeError:
            # Over REST no such message can be sent: the bytes stand in the query.
            route = routes_of(self.exchange.method)[0]
            return route, await ask(client, route, kind(), credential, {"junk": self.exchange.sent})
        route = routes_of(self.exchange.method, request)[0]
        return route, await ask(client, route, request, credential)

    def _refuse(self, status: Any) -> None:
        if status is not None:
            self.exchange.code = code_pb2.Code.Name(status["code"])
            self.exchange.details = status["message"]
            code, nothing = grpc.StatusCode[self.exchange.code], grpc.aio.Metadata()
            raise grpc.aio.AioRpcError(code, nothing, nothing, self.exchange.details)


def _heard(event: Event) -> list[tuple[str, str | bytes]]:
    data = json.dumps(event.data, ensure_ascii=False) if event.data is not None else ""
    return [("event", event.kind), ("id", event.id), ("data", data)]


@asynccontextmanager
async def over_rest(service: Service) -> AsyncIterator[Speaks]:
    """Makes parties that speak REST, by their credential: to a gateway that logs where the service does."""
    local = service.url.startswith("sqlite")
    # In the process of the core, as `up` has it, or of its own.
    channel: Any = service.core.server.local() if local else service.channel()
    log, registry = logs.build(service.log, service.clock), service.core.registry
    app = build(channel, settings(), log=log, registry=registry, pace=Pace(settle=0.3))
    async with (
        serving(app) as port,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE) as client,
    ):
        yield lambda credential: RestParty(client, credential)
