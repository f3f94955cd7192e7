"""What an error is over HTTP: its code, its body, its headers."""

from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from gateway.errors import HTTP, make
from tests.gateway.asking import gateway, reason
from tests.gateway.everything import ROUTES, echo
from tests.strangers import nobody

INFO = "type.googleapis.com/google.rpc.ErrorInfo"


def refusing(status: status_pb2.Status) -> Callable[[bytes, Any], Awaitable[bytes]]:
    async def answer(_: bytes, context: Any) -> bytes:
        whole = rpc_status.to_status(status)
        trailing = (*whole.trailing_metadata, ("x-request-id", "fedcba9876543210"))
        await context.abort(whole.code, whole.details, trailing)
        return b""

    return answer


@pytest.mark.parametrize("code", [code for code in code_pb2.Code.values() if code != code_pb2.OK])
async def test_each_code_has_its_own_over_http(code: int) -> None:
    status = make(code, "What to do.", "A_REASON", limit="5")
    async with echo(refusing(status)) as channel, gateway(channel, routes=ROUTES) as running:
        response = await running.client.get("/v1/everything/id")
    assert response.status_code == HTTP[code] >= 400
    assert response.headers["x-request-id"] == "fedcba9876543210"
    assert response.json() == {
        "code": code,
        "message": "What to do.",
        "details": [
            {"@type": INFO, "reason": "A_REASON", "domain": "authy_grpc", "metadata": {"limit": "5"}}
        ],
    }
    assert ("www-authenticate" in response.headers) == (code == code_pb2.UNAUTHENTICATED)
    assert "retry-after" not in response.headers
    assert running.lines[-1]["reason"] == "A_REASON"
    assert running.lines[-1]["request_id"] == "fedcba9876543210"


@pytest.mark.parametrize(
    ("delay", "seconds"),
    [
        (Duration(seconds=30), "30"),
        (Duration(seconds=29, nanos=1_000_000), "30"),
        (Duration(nanos=1_000_000), "1"),
        (Duration(), "0"),
        (Duration(seconds=-5), "0"),
    ],
)
async def test_a_wait_is_told_in_whole_seconds(delay: Duration, seconds: str) -> None:
    retry: Message = error_details_pb2.RetryInfo(retry_delay=delay)
    status = make(code_pb2.RESOURCE_EXHAUSTED, "Wait.", "RATE_LIMITED", retry)
    async with echo(refusing(status)) as channel, gateway(channel, routes=ROUTES) as running:
        response = await running.client.get("/v1/everything/id")
    assert (response.status_code, response.headers["retry-after"]) == (429, seconds)


async def test_what_the_core_refused_unseen_is_asked_again() -> None:
    asked = []

    async def answer(body: bytes, context: Any) -> bytes:
        asked.append(body)
        if len(asked) < 3:
            refused = "Stream removed (RST_STREAM (Received RST_STREAM with error code 7))"
            await context.abort(grpc.StatusCode.UNAVAILABLE, refused)
        return b""

    async with echo(answer) as channel, gateway(channel, routes=ROUTES) as running:
        response = await running.client.get("/v1/everything/id")
    assert (response.status_code, len(asked)) == (200, 3)


async def test_what_grpc_says_by_itself_is_told_in_our_words() -> None:
    async def answer(_: bytes, context: Any) -> bytes:
        await context.abort(grpc.StatusCode.UNAVAILABLE, "connect to ipv4:10.1.2.3:50051 failed")
        return b""

    async with echo(answer) as channel, gateway(channel, routes=ROUTES) as running:
        response = await running.client.get("/v1/everything/id")
    assert response.status_code == 503
    assert "10.1.2.3" not in response.text
    assert response.json()["code"] == code_pb2.UNAVAILABLE


async def test_a_core_that_is_gone_is_unavailable() -> None:
    with nobody() as port:
        channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}")
        async with channel, gateway(channel) as running:
            response = await running.client.get("/v1/users")
            assert (response.status_code, reason(response)) == (503, "")
            assert (await running.client.get("/readyz")).status_code == 503
            assert (await running.client.get("/healthz")).status_code == 200
    async with gateway(channel) as closed:
        # A closed channel breaks in its own way: that is a fault, and told as one.
        response = await closed.client.get("/v1/users")
        assert response.status_code >= 500
        assert "Traceback" not in response.text


async def test_what_nobody_expected_is_told_by_an_id() -> None:
    async def answer(request: bytes, _: Any) -> bytes:
        return request

    async with echo(answer) as channel:
        broken = Broken(channel)
        async with gateway(broken, routes=ROUTES) as running:
            response = await running.client.get("/v1/everything/SECRET987")
    assert (response.status_code, reason(response)) == (500, "INTERNAL")
    request_id = response.headers["x-request-id"]
    assert response.json()["details"][0]["metadata"] == {"request_id": request_id}
    [fault] = [line for line in running.lines if line["level"] == "error"]
    assert fault["request_id"] == request_id
    assert fault["errors"][0]["class"] == "builtins.ZeroDivisionError"
    assert "SECRET987" not in response.text + running.log.getvalue()


class Broken:
    """A channel whose calls break."""

    def __init__(self, inner: grpc.aio.Channel) -> None:
        self._inner = inner
        self.unary_stream = inner.unary_stream

    def unary_unary(self, path: str, **_: Any) -> Callable[..., Any]:
        def call(request: Any, **_: Any) -> Any:
            return 1 / 0

        return call
