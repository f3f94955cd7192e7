"""What a request may weigh, what comes with an answer, and what is told of it."""

import asyncio
from typing import Any

import httpx
import pytest
from google.rpc import code_pb2

from gateway.body import MOST_ADDRESS, MOST_BODY, MOST_HEADERS
from tests.gateway.asking import JSON, fields, gateway, reason, settings
from tests.gateway.everything import ROUTES, Everything, echo
from tests.harness import Service
from tests.rushing import PATIENCE

SAFE = {"cache-control": "no-store", "x-content-type-options": "nosniff"}


def is_safe(response: httpx.Response) -> bool:
    return all(response.headers.get(name) == value for name, value in SAFE.items())


async def test_addresses_that_lead_nowhere_and_methods_that_are_not_there() -> None:
    async with echo() as channel, gateway(channel, routes=ROUTES) as running:
        missing = await running.client.get("/v1/nothing/SECRET987")
        assert (missing.status_code, missing.json()["code"], reason(missing)) == (404, 5, "NOT_FOUND")
        wrong = await running.client.delete("/v1/everything/SECRET987")
        assert (wrong.status_code, reason(wrong), fields(wrong)) == (405, "BAD_FIELD", ["method"])
        assert wrong.headers["allow"] == "GET, HEAD, OPTIONS, PUT"
        for address in ("/healthz/", "/readyz/x", "/app/x", "/v1/everything/"):
            nothing = await running.client.get(address)
            assert nothing.status_code == 404
            assert "/docs" in nothing.json()["message"] and "/openapi.json" in nothing.json()["message"]
        assert (await running.client.post("/healthz")).status_code == 405
        assert is_safe(missing) and is_safe(wrong)
        assert "SECRET987" not in running.log.getvalue() + missing.text + wrong.text


async def test_head_and_options() -> None:
    async with echo() as channel, gateway(channel, routes=ROUTES) as running:
        got = await running.client.get("/v1/everything/id")
        head = await running.client.head("/v1/everything/id")
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-length"] == str(len(got.content))
        options = await running.client.options("/v1/everything/id")
        assert (options.status_code, options.content) == (204, b"")
        assert options.headers["allow"] == "GET, HEAD, OPTIONS, PUT"
        assert "access-control-allow-origin" not in options.headers
        assert is_safe(got) and is_safe(head) and is_safe(options)
        assert (await running.client.head("/v1/everything")).status_code == 405


def body_of(size: int) -> bytes:
    return b'{"text":"' + b"a" * (size - 11) + b'"}'


@pytest.mark.parametrize(("more", "status"), [(-1, 200), (0, 200), (1, 413), (MOST_BODY * 4, 413)])
@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_has_its_limit(more: int, status: int, chunked: bool) -> None:
    body = body_of(MOST_BODY + more)

    async def chunks() -> Any:
        for start in range(0, len(body), 65_536):
            yield body[start : start + 65_536]

    async with echo() as channel, gateway(channel, routes=ROUTES) as running:
        content = chunks() if chunked else body
        response = await running.client.post("/v1/everything", content=content, headers=JSON)
    assert response.status_code == status
    if status != 200:
        assert (reason(response), fields(response)) == ("BAD_FIELD", ["body"])
        assert response.headers["connection"] == "close"


@pytest.mark.parametrize(("more", "status"), [(-1, 200), (0, 200), (1, 414)])
async def test_an_address_has_its_limit(more: int, status: int) -> None:
    path, query = "/v1/everything/id", "texts="
    query += "a" * (MOST_ADDRESS + more - len(path) - len(query))
    async with echo() as channel, gateway(channel, routes=ROUTES) as running:
        response = await running.client.get(f"{path}?{query}")
    assert response.status_code == status


@pytest.mark.parametrize(("more", "status"), [(-1, 200), (0, 200), (1, 431)])
async def test_headers_have_their_limit(more: int, status: int) -> None:
    async with echo() as channel, gateway(channel, routes=ROUTES) as running:
        request = running.client.build_request("GET", "/v1/everything/id", headers={"x-filler": ""})
        weight = sum(len(name) + len(value) for name, value in request.headers.raw)
        request.headers["x-filler"] = "a" * (MOST_HEADERS + more - weight)
        response = await running.client.send(request)
    assert response.status_code == status


@pytest.mark.parametrize(
    ("headers", "field"),
    [
        ({}, "content-type"),
        ({"content-type": "text/plain"}, "content-type"),
        ({"content-type": "application/x-www-form-urlencoded"}, "content-type"),
        ({"content-type": "application/json; charset=latin-1"}, "content-type"),
        ({"content-type": "application/json; charset=utf-16"}, "content-type"),
        ({"content-type": "application/jsonp"}, "content-type"),
        ({"content-type": "application/+json"}, "content-type"),
        ({"content-type": "json"}, "content-type"),
        ({"content-type": "multipart/form-data; boundary=application/json"}, "content-type"),
        ({"content-type": "application/json", "content-encoding": "gzip"}, "content-encoding"),
        ({"content-type": "application/json", "content-encoding": "identity, br"}, "content-encoding"),
        ({"content-type": "application/json", "content-encoding": "Identity"}, ""),
        ({"content-type": "application/json;charset=utf8"}, ""),
        ({"content-type": "APPLICATION/JSON; CHARSET=UTF8"}, ""),
        ({"content-type": "application/json ; charset='utf-8'"}, "content-type"),
        ({"content-type": "application/json;charset=us-ascii"}, ""),
        ({"content-type": "application/json; odata.metadata=minimal; charset=utf-8"}, ""),
        ({"content-type": "application/json; version=1"}, ""),
        ({"content-type": "application/json;"}, ""),
        ({"content-type": "application/merge-patch+json"}, ""),
        ({"content-type": "application/merge-patch+json; charset=utf-8"}, ""),
        ({"content-type": "application/vnd.api+json"}, ""),
        ({"content-type": "text/json"}, ""),
        ({"content-type": "application/json"}, ""),
        ({"content-type": "application/json; charset=UTF-8"}, ""),
        ({"content-type": 'Application/JSON;charset="utf-8"'}, ""),
    ],
)
async def test_a_body_is_json_by_its_type(headers: dict[str, str], field: str) -> None:
    async with echo() as channel, gateway(channel, routes=ROUTES) as running:
        response = await running.client.post("/v1/everything", content=b"{}", headers=headers)
    if field:
        assert (response.status_code, fields(response)) == (415, [field])
        assert {"accept", "accept-encoding"} & {*response.headers}
    else:
        assert response.status_code == 200


async def test_two_content_types_are_none() -> None:
    headers = [("content-type", "application/json"), ("content-type", "text/plain")]
    async with echo() as channel, gateway(channel, routes=ROUTES) as running:
        response = await running.client.post("/v1/everything", content=b"{}", headers=headers)
    assert (response.status_code, fields(response)) == (415, ["content-type"])


@pytest.mark.parametrize("body", [b"\xef\xbb\xbf{}", b"\xef\xbb\xbf", b"\n", b"", b" {} \r\n"])
async def test_what_editors_and_shells_add_to_a_body_is_passed_over(body: bytes) -> None:
    async with echo() as channel, gateway(channel, routes=ROUTES) as running:
        response = await running.client.post("/v1/everything", content=body, headers=JSON)
        assert response.status_code == 200
        text = b'\xef\xbb\xbf{"text":"' + b"a" * 5000 + b'"}'
        long = await running.client.post("/v1/everything", content=text, headers=JSON)
        assert long.json()["text"] == "a" * 5000
        twice = await running.client.post("/v1/everything", content=b"\xef\xbb\xbf" * 2 + b"{}", headers=JSON)
        assert (twice.status_code, fields(twice)) == (400, ["body"])


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"{}", 501), (b" { } \n", 501), (b"\xef\xbb\xbf{}", 501), (b"", 501), (b'{"a":1}', 400), (b"[]", 400)],
)
@pytest.mark.parametrize("headers", [JSON, {}, {"content-type": "application/json;charset=utf8"}])
async def test_a_delete_takes_an_empty_object(body: bytes, status: int, headers: dict[str, str]) -> None:
    # The server behind has no such call.
    async with echo() as channel, gateway(channel) as running:
        response = await running.client.request("DELETE", "/v1/users/1", content=body, headers=headers)
        assert response.status_code == status
        assert status == 501 or fields(response) == ["body"]
        got = await running.client.request("GET", "/v1/users/1", content=b"{}", headers=headers)
        assert (got.status_code, fields(got)) == (400, ["body"])


async def test_a_slash_at_the_end_is_told() -> None:
    async with echo() as channel, gateway(channel, routes=ROUTES) as running:
        told = await running.client.get("/v1/everything/id/")
        assert (told.status_code, reason(told)) == (404, "NOT_FOUND")
        assert "slash at its end" in told.json()["message"]
        assert "slash" not in (await running.client.get("/v1/nothing/")).json()["message"]


@pytest.mark.parametrize(
    ("told", "status"),
    [
        ("5S", 200),
        ("9000m", 200),
        ("99999999H", 200),
        ("5", 400),
        ("-1S", 400),
        ("999999999S", 400),
        ("", 400),
    ],
)
async def test_a_deadline_passes_through(told: str, status: int) -> None:
    left: list[float] = []

    async def answer(request: bytes, context: Any) -> bytes:
        left.append(context.time_remaining())
        return request

    async with echo(answer) as channel, gateway(channel, routes=ROUTES) as running:
        response = await running.client.get("/v1/everything/id", headers={"grpc-timeout": told})
        assert response.status_code == status
        assert len(left) == (status == 200)
        assert (await running.client.get("/v1/everything/id")).status_code == 200
    # grpc itself adds a little, and what has gone by on the way is taken off.
    assert left[-1] < 10.5
    if status == 200:
        assert left[0] < {"5S": 5.5, "9000m": 9.5}.get(told, 60.5)
    if told == "5S":
        assert left[0] < left[-1]
    if told == "99999999H":
        assert left[0] > left[-1]


async def test_a_call_that_takes_too_long_is_ended() -> None:
    ended = asyncio.Event()

    async def answer(request: bytes, context: Any) -> bytes:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return request

    async with echo(answer) as channel, gateway(channel, routes=ROUTES) as running:
        # The call has begun by then.
        response = await running.client.get("/v1/everything/id", headers={"grpc-timeout": "2S"})
        assert response.status_code == 504
        assert response.json()["code"] == code_pb2.DEADLINE_EXCEEDED
        async with asyncio.timeout(PATIENCE):
            await ended.wait()


async def told_by(headers: dict[str, str] | list[tuple[str, str]], **given: Any) -> dict[str, str]:
    """The metadata that the core gets."""
    seen: dict[str, str] = {}

    async def answer(request: bytes, context: Any) -> bytes:
        seen.update({key: value for key, value in context.invocation_metadata() if key != "user-agent"})
        return request

    async with echo(answer) as channel, gateway(channel, settings(**given), routes=ROUTES) as running:
        assert (await running.client.get("/v1/everything/id", headers=headers)).status_code == 200
    return seen


async def test_a_credential_passes_and_nothing_else_that_the_core_would_believe() -> None:
    forged = {
        "authorization": "Bearer ak_1",
        "x-authy-peer": "1.1.1.1",
        "x-authy-gateway": "gw_forged",
        "x-forwarded-for": "2.2.2.2",
        "x-request-id": "mine",
        "cookie": "a=b",
    }
    assert await told_by(forged) == {"authorization": "Bearer ak_1"}
    assert await told_by(forged, gateway_key="gw_1") == {
        "authorization": "Bearer ak_1",
        "x-authy-peer": "203.0.113.7",
        "x-authy-gateway": "gw_1",
    }
    assert await told_by({"authorization": "Bearer \t"}) == {}
    assert await told_by({"authorization": "Bearer " + "a" * 5000}) == {}


@pytest.mark.parametrize(
    ("proxies", "forwarded", "peer"),
    [
        ("203.0.113.7", "198.51.100.1", "198.51.100.1"),
        ("203.0.113.0/24", "1.2.3.4, 198.51.100.1", "198.51.100.1"),
        ("203.0.113.0/24,198.51.100.0/24", "1.2.3.4, 198.51.100.1", "1.2.3.4"),
        ("203.0.113.0/24,198.51.100.0/24", "198.51.100.2, 198.51.100.1", "198.51.100.2"),
        ("203.0.113.7", "::ffff:198.51.100.1", "198.51.100.1"),
        ("203.0.113.7", "2001:DB8::1", "2001:db8::1"),
        ("203.0.113.7", "198.51.100.1, unknown", "unreadable"),
        ("203.0.113.7", "[2001:DB8::1]:443", "2001:db8::1"),
        ("203.0.113.7", "", "203.0.113.7"),
        ("10.0.0.0/8", "198.51.100.1", "203.0.113.7"),
    ],
)
async def test_a_proxy_of_ours_is_believed(proxies: str, forwarded: str, peer: str) -> None:
    headers = {"x-forwarded-for": forwarded}
    told = await told_by(headers, gateway_key="gw_1", trusted_proxies=proxies)
    assert told["x-authy-peer"] == peer


async def test_only_the_header_that_is_named_is_believed() -> None:
    headers = [("x-forwarded-for", "1.1.1.1"), ("forwarded", "for=2.2.2.2"), ("forwarded", "for=3.3.3.3")]
    named = {"gateway_key": "gw_1", "trusted_proxies": "203.0.113.7", "proxy_header": "Forwarded"}
    assert (await told_by(headers, **named))["x-authy-peer"] == "3.3.3.3"


def test_a_proxy_that_is_none_is_an_error_at_start() -> None:
    with pytest.raises(ValueError, match="AUTHY_TRUSTED_PROXIES"):
        settings(trusted_proxies="10.0.0.0/8, proxy.example")


async def test_pages_of_named_origins_may_call() -> None:
    asked = {
        "origin": "https://app.example",
        "access-control-request-method": "GET",
        "access-control-request-headers": "authorization,last-event-id,content-type",
    }
    given = settings(cors_origins="https://app.example, https://b.example")
    async with echo() as channel, gateway(channel, given, routes=ROUTES) as running:
        preflight = await running.client.options("/v1/everything/id", headers=asked)
        assert preflight.status_code == 200
        assert preflight.headers["access-control-allow-origin"] == "https://app.example"
        assert "last-event-id" in preflight.headers["access-control-allow-headers"].lower()
        assert "access-control-allow-credentials" not in preflight.headers
        got = await running.client.get("/v1/everything/id", headers={"origin": "https://app.example"})
        exposed = got.headers["access-control-expose-headers"].lower()
        assert {"x-request-id", "retry-after"} <= set(exposed.split(", "))
        other = await running.client.get("/v1/everything/id", headers={"origin": "https://evil.example"})
        assert "access-control-allow-origin" not in other.headers
    async with echo() as channel, gateway(channel, routes=ROUTES) as running:
        got = await running.client.get("/v1/everything/id", headers={"origin": "https://app.example"})
        assert "access-control-allow-origin" not in got.headers


async def test_logs_and_metrics_have_the_route_and_never_the_address() -> None:
    async with echo() as channel, gateway(channel, routes=ROUTES) as running:
        await running.client.get("/v1/everything/SECRET987?texts=SECRET987")
        await running.client.post("/v1/everything", json={"text": "SECRET987", "small": "SECRET987"})
        metrics = running.metrics
        # They tell what phones do, and when: strangers see none.
        assert (await running.client.get("/metrics")).status_code == 404
        first, second, _ = running.lines
    assert first | {"milliseconds": 0, "time": ""} == {
        "time": "",
        "level": "info",
        "event": "request",
        "path": "GET /v1/everything/{text}",
        "method": "/authy_test.everything.EverythingService/Echo",
        "state": 200,
        "code": "OK",
        "reason": "",
        "milliseconds": 0,
        "request_id": "0123456789abcdef",
    }
    assert (second["state"], second["code"], second["reason"]) == (400, "INVALID_ARGUMENT", "BAD_FIELD")
    assert 'gateway_http_handled_total{route="/v1/everything/{text}",status="200",verb="GET"} 1.0' in metrics
    assert 'gateway_http_handled_total{route="/v1/everything",status="400",verb="POST"} 1.0' in metrics
    assert "SECRET987" not in running.log.getvalue() + metrics


async def test_an_answer_has_the_id_of_its_call() -> None:
    async with echo() as channel, gateway(channel, routes=ROUTES) as running:
        response = await running.client.post("/v1/everything", content=body_of(20), headers=JSON)
    assert response.headers["x-request-id"] == "0123456789abcdef"
    assert response.json()["text"] == Everything(text="a" * 9).text


async def test_it_is_ready_while_the_core_serves(service: Service) -> None:
    async with gateway(service.channel()) as running:
        async with asyncio.timeout(PATIENCE):
            # A core that is slow to answer is out of reach.
            while (ready := await running.client.get("/readyz")).status_code != 200:
                assert ready.json() == {"status": "UNREACHABLE"}
        assert ready.json() == {"status": "SERVING"}
        await service.core.stop(now=True)
        assert (await running.client.get("/readyz")).status_code == 503
        assert (await running.client.get("/healthz")).status_code == 200
