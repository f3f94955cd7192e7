"""Path, query and body become the request: asked over HTTP of a server that answers with what it got."""

import math
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from gateway.decode import decoder
from gateway.encode import encoder
from tests.gateway.asking import JSON, fields, gateway, reason
from tests.gateway.everything import ROUTES, Everything, Inner, Patch, echo

SECRET = "SECRET987"


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with echo() as channel, gateway(channel, routes=ROUTES) as running:
        yield running.client


def everything(**values: Any) -> dict[str, Any]:
    """What is answered for a message."""
    found: dict[str, Any] = encoder(Everything.DESCRIPTOR)(Everything(**values))
    return found


async def got(client: httpx.AsyncClient, address: str, **more: Any) -> Any:
    response = await client.request(more.pop("verb", "GET"), address, **more)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/json"
    return response.json()


@pytest.mark.parametrize(
    ("query", "values"),
    [
        ("small=7&long=-8&truth=true&raw=-_8", {"small": 7, "long": -8, "truth": True, "raw": b"\xfb\xff"}),
        ("texts=a&texts=b&texts=", {"texts": ["a", "b", ""]}),
        ("longs=1&longs=2&colors=COLOR_RED&colors=-1", {"longs": [1, 2], "colors": [1, -1]}),
        ("inner.text=a%20b+c&inner.smallNumber=1", {"inner": {"text": "a b c", "small_number": 1}}),
        ("inner.many_texts=a&inner.manyTexts=b", {"inner": {"many_texts": ["a", "b"]}}),
        ("inner.deeper.deeper.text=x", {"inner": {"deeper": {"deeper": {"text": "x"}}}}),
        ("maybeText=&maybe_small=0", {"maybe_text": "", "maybe_small": 0}),
        ("mask=smallNumber,text", {"mask": {"paths": ["small_number", "text"]}}),
        ("span=1.5s", {"span": {"seconds": 1, "nanos": 500_000_000}}),
        ("time=1970-01-01T00:00:01Z", {"time": {"seconds": 1}}),
        ("times=1970-01-01T00:00:01Z", {"times": [{"seconds": 1}]}),
        ("wrappedText=x&wrapped_long=9&wrappedTruth=false", {
            "wrapped_text": {"value": "x"}, "wrapped_long": {"value": 9}, "wrapped_truth": {"value": False},
        }),
        ("oneLong=5&doubleFloat=1e3", {"one_long": 5, "double_float": 1e3}),
        ("doubles=Infinity&doubles=-1", {"doubles": [math.inf, -1.0]}),
        ("byText=", None),
    ],
)  # fmt: skip
async def test_a_query_sets_fields(client: httpx.AsyncClient, query: str, values: Any) -> None:
    response = await client.get(f"/v1/everything/id?{query}")
    if values is None:
        assert (response.status_code, fields(response)) == (400, ["byText"])
    else:
        assert response.json() == everything(text="id", **values)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        (f"unknown={SECRET}", "unknown"),
        (f"{SECRET}-1=1", "?"),
        (f"inner={SECRET}", "inner"),
        (f"inner.unknown={SECRET}", "inner.unknown"),
        (f"text.inner={SECRET}", "text.inner"),
        (f"inners.text={SECRET}", "inners.text"),
        (f"object={SECRET}", "object"),
        (f"small={SECRET}", "small"),
        ("small=", "small"),
        ("small=1&small=1", "small"),
        ("maybeText=a&maybe_text=a", "maybe_text"),
        ("truth=1", "truth"),
        (f"color={SECRET}", "color"),
        ("color=--1", "color"),
        (f"oneText={SECRET}&one_long=1", "one_long"),
        (f"text={SECRET}", "text"),
        (f"texts=%{SECRET}", "query"),
        ("texts=%ff", "query"),
        ("&".join(["texts=a"] * 201), "query"),
    ],
)
async def test_a_query_that_is_wrong_names_its_field(
    client: httpx.AsyncClient, query: str, field: str
) -> None:
    response = await client.get(f"/v1/everything/id?{query}")
    assert (response.status_code, reason(response), fields(response)) == (400, "BAD_FIELD", [field])
    assert SECRET not in response.text


async def test_a_path_is_decoded_once_it_has_been_cut(client: httpx.AsyncClient) -> None:
    assert (await got(client, "/v1/everything/a%2Fb%3Ac%2520+"))["text"] == "a/b:c%20+"
    assert (await got(client, "/v1/everything/%F0%9F%98%80"))["text"] == "\U0001f600"
    assert (await got(client, "/v1/files/a/b%2Fc/d%20e"))["text"] == "a/b%2Fc/d e"
    assert (await got(client, "/v1/files/a/b:read"))["text"] == "a/b"
    assert (await got(client, "/v1/shelves/shelves/1/books/2"))["text"] == "shelves/1/books/2"
    assert (await got(client, "/v1/any/x/y"))["text"] == "y"
    assert (await got(client, "/v1/enums/COLOR_RED/true/-_8")) == everything(
        color=1, truth=True, raw=b"\xfb\xff"
    )


@pytest.mark.parametrize("path", ["/v1/everything/%ff", "/v1/everything/%zz", "/v1/everything/%"])
async def test_a_path_that_is_no_text_names_its_field(client: httpx.AsyncClient, path: str) -> None:
    response = await client.get(httpx.URL("http://gateway", raw_path=path.encode()))
    assert (response.status_code, fields(response)) == (400, ["text"])


async def test_a_field_in_a_path_may_be_inside_another_and_is_read_by_its_type(
    client: httpx.AsyncClient,
) -> None:
    assert await got(client, "/v1/everything/a/inner/b") == everything(text="a", inner={"text": "b"})
    assert (await client.get("/v1/echoes/x:echo")).status_code == 400


async def test_a_body_is_all_that_the_path_has_not(client: httpx.AsyncClient) -> None:
    body = {"small": 1, "inner": {"manyTexts": ["a"]}, "byLong": {"-5": {"text": "x"}}}
    expected = everything(small=1, inner={"many_texts": ["a"]}, by_long={-5: {"text": "x"}})
    assert await got(client, "/v1/everything", verb="POST", json=body) == expected
    assert await got(client, "/v1/everything", verb="REPORT", json=body) == expected
    assert await got(client, "/v1/everything", verb="POST") == everything()
    response = await client.post("/v1/everything?small=1", json={})
    assert (response.status_code, fields(response)) == (400, ["small"])


async def test_a_body_may_be_one_field_and_the_query_the_rest(client: httpx.AsyncClient) -> None:
    address = "/v1/everything/id?small=3&texts=a"
    expected = everything(text="id", small=3, texts=["a"], inner={"text": "x"})
    assert await got(client, address, verb="PUT", json={"text": "x"}) == expected
    expected = everything(text="id", texts=["a", "b"])
    assert await got(client, "/v1/everything/id/texts", verb="PUT", json=["a", "b"]) == expected
    response = await client.put("/v1/everything/id?inner.text=a", json={"text": "x"})
    assert (response.status_code, fields(response)) == (400, ["inner.text"])
    response = await client.put("/v1/everything/id", json={"unknown": SECRET})
    assert (response.status_code, fields(response)) == (400, ["inner.unknown"])
    response = await client.put("/v1/everything/id", json=SECRET)
    assert (response.status_code, fields(response), SECRET in response.text) == (400, ["inner"], False)


async def test_an_answer_may_be_one_field(client: httpx.AsyncClient) -> None:
    assert await got(client, "/v1/echoes/5:echo?inner.text=x") == encoder(Inner.DESCRIPTOR)(Inner(text="x"))
    assert await got(client, "/v1/echoes/5:echo") == {}
    assert await got(client, "/v1/echoes/5:texts?texts=a") == ["a"]


@pytest.mark.parametrize(
    ("body", "query", "mask"),
    [
        ({"smallNumber": 1}, "", ["small_number"]),
        ({"small_number": 1, "manyTexts": []}, "", ["small_number", "many_texts"]),
        ({"text": "id", "smallNumber": 1}, "", ["small_number"]),
        ({"smallNumber": None, "time": None}, "", ["small_number", "time"]),
        ({"smallNumber": 1}, "?updateMask=text", ["text"]),
        ({"smallNumber": 1}, "?update_mask=many_texts,smallNumber", ["many_texts", "small_number"]),
        ({"smallNumber": 1}, "?updateMask=", []),
        ({}, "", []),
    ],
)
async def test_a_patch_changes_what_its_body_names(
    client: httpx.AsyncClient, body: dict[str, Any], query: str, mask: list[str]
) -> None:
    answer = await got(client, f"/v1/patches/id{query}", verb="PATCH", json=body)
    expected = Patch()
    decoder(Inner.DESCRIPTOR)({**body, "text": "id"}, expected.inner, "", [])
    expected.update_mask.paths.extend(mask)
    expected.update_mask.SetInParent()
    answer.setdefault("updateMask", "")
    assert answer == encoder(Patch.DESCRIPTOR)(expected)


@pytest.mark.parametrize(
    ("verb", "address", "body", "field"),
    [
        ("PATCH", "/v1/patches/id", {"text": SECRET}, "inner.text"),
        ("GET", "/v1/everything/id/inner/a?inner.text=b", None, "inner.text"),
        ("GET", "/v1/everything/id?text=other", None, "text"),
    ],
)
async def test_an_id_may_not_differ_from_the_address(
    client: httpx.AsyncClient, verb: str, address: str, body: Any, field: str
) -> None:
    response = await client.request(verb, address, json=body) if body else await client.request(verb, address)
    assert (response.status_code, fields(response)) == (400, [field])
    assert SECRET not in response.text


async def test_an_id_may_be_said_twice(client: httpx.AsyncClient) -> None:
    assert (await got(client, "/v1/everything/id?text=id"))["text"] == "id"
    assert (await got(client, "/v1/patches/id", verb="PATCH", json={"text": "id"}))["inner"]["text"] == "id"


async def test_a_body_where_none_is_taken_is_refused(client: httpx.AsyncClient) -> None:
    response = await client.request("GET", "/v1/everything/id", content=b"{}", headers=JSON)
    assert (response.status_code, fields(response)) == (400, ["body"])
