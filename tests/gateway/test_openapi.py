"""What the OpenAPI document says, and that the gateway keeps to it."""

import io
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor
from google.rpc import code_pb2
from openapi_spec_validator import OpenAPIV31SpecValidator

from authy_grpc import logs
from authy_grpc.rpc.auth import NEEDS
from authy_grpc.service.caller import Device, Nobody, Operator, Site
from authy_grpc.v1 import account_pb2
from gateway.app import build
from gateway.comments import comments
from gateway.decode import decoder
from gateway.encode import encoder
from gateway.errors import HTTP
from gateway.openapi import main, openapi, text
from gateway.refusals import DEVICE, OPERATOR, SITE, security
from gateway.routes import Route, contract
from gateway.schemas import Schemas
from gateway.sse import Pace
from tests.e2e.methods import path as call_path
from tests.e2e.rehearsing import kinds
from tests.gateway.asking import gateway, serving, settings
from tests.gateway.everything import Chance, Everything, Patch, echo
from tests.gateway.rest import Told, routes_of
from tests.gateway.schemas import Document, references
from tests.gateway.test_same_answers import ENDS, Both, apart, callers, requests, staged
from tests.harness import Service
from tests.rushing import PATIENCE

ROOT = Path(__file__).parents[2]
DOCUMENT: Any = openapi()
SCHEMES = {Site: SITE, Device: DEVICE, Operator: OPERATOR}


def test_the_document_is_valid() -> None:
    OpenAPIV31SpecValidator(DOCUMENT).validate()


def test_each_reference_leads_somewhere_and_nothing_is_spare() -> None:
    document, found = Document(), set(references(DOCUMENT))
    for each in found:
        assert document.resolve({"$ref": each}) is not None
    components = {
        f"#/components/{kind}/{name}"
        for kind, held in DOCUMENT["components"].items()
        for name in held
        if kind != "securitySchemes"
    }
    assert components == found


def test_every_route_is_there_with_its_variables() -> None:
    documented = {
        (verb.upper(), re.sub(r"\{\w+\}", "{}", path))
        for path, item in DOCUMENT["paths"].items()
        for verb in item
    }
    routes = {(route.verb, re.sub(r"\{[\w.]+\}", "{}", route.template)) for route in contract()}
    assert documented == routes and len(routes) == len(contract())
    for path, item in DOCUMENT["paths"].items():
        for operation in item.values():
            names = [each["name"] for each in operation["parameters"] if each.get("in") == "path"]
            assert names == re.findall(r"\{(\w+)\}", path)


@pytest.mark.parametrize("route", contract(), ids=str)
def test_an_operation_says_who_may_call_as_the_service_does(route: Route) -> None:
    need = NEEDS[route.path]
    if need.kind is Nobody:
        assert security(route) == []
    else:
        assert need.kind is not None
        scheme = SCHEMES[need.kind]
        scopes = [{scheme: [scope.value.upper()]} for scope in need.scopes]
        assert security(route) == (scopes or [{scheme: []}])
    assert Document().operation(route)["security"] == security(route)


def test_comments_are_there() -> None:
    found = comments()
    assert found["authy_grpc.v1.CodeResult.CODE_RESULT_REPLAYED"].endswith("wrong code.")
    assert found["authy_grpc.v1.VerifyCodeRequest.code"].startswith("As typed: white space of any kind")
    assert "\n\nErrors: NOT_FOUND" in found["authy_grpc.v1.VerificationService.VerifyCode"]
    for route in contract():
        assert Document().operation(route)["description"].startswith(found[route.rpc.full_name] + "\n\n")


def test_every_code_that_an_error_can_have_is_documented() -> None:
    documented = {
        code for item in DOCUMENT["paths"].values() for each in item.values() for code in each["responses"]
    }
    assert {str(code) for code in HTTP.values()} <= documented


def test_the_reasons_of_an_operation_are_those_that_the_contract_names() -> None:
    [create] = [route for route in contract() if route.rpc.name == "CreateApproval"]
    responses = Document().operation(create)["responses"]
    assert responses["400"]["x-reasons"] == ["BAD_FIELD", "FACTOR_UNAVAILABLE", "PUSH_FROZEN"]
    assert responses["409"]["x-reasons"] == ["REQUEST_ID_REUSED"]
    [revoke] = [route for route in contract() if route.rpc.name == "RevokeDevice"]
    assert "CLOCK_SKEW" in Document().operation(revoke)["responses"]["401"]["x-reasons"]
    [accept] = [route for route in contract() if route.rpc.name == "AcceptEnrollment"]
    assert "NOT_FOUND" in Document().operation(accept)["responses"]["404"]["x-reasons"]


def test_two_ways_to_a_call_are_told_apart() -> None:
    operations = [each for item in DOCUMENT["paths"].values() for each in item.values()]
    summaries = [each["summary"] for each in operations]
    assert len(set(summaries)) == len(summaries)
    assert {"Get user", "Get user, by custom user id"} <= set(summaries)


def test_the_introduction_says_how_to_call() -> None:
    told = DOCUMENT["info"]["description"]
    for each in ("Authorization: Bearer", "ak_", "dt_", "op_", "Last-Event-ID", "google.rpc.Status"):
        assert each in told


@pytest.mark.parametrize(
    ("name", "who"),
    [
        ("GetUser", "an API key with the scope ENROLL or VERIFY."),
        ("GetCurrentApplication", "any API key."),
        ("CreateApiKey", "the operator's key."),
        ("CreateSession", "anybody, without a credential."),
        ("UpdateAccount", "the token of a device."),
        ("ListDevices", "the token of a device. One that is HELD or limited may call, too."),
        ("UpdateDevice", "the token of a device. One that is limited may call, too, for itself alone."),
    ],
)
def test_an_operation_says_in_words_who_may_call(name: str, who: str) -> None:
    for route in contract():
        if route.rpc.name == name:
            assert Document().operation(route)["description"].endswith(f"\n\nCaller: {who}")


def test_streams_tell_of_their_events() -> None:
    for route in contract():
        # The introduction says so.
        assert route.streams == (route.verb == "GET" and route.suffix == "watch")
        operation = Document().operation(route)
        headers = [each.get("$ref", "") for each in operation["parameters"]]
        assert any("LastEventId" in each for each in headers) == bool(route.resume)
        assert ("text/event-stream" in operation["responses"]["200"]["content"]) == route.streams


class Known(Chance):
    """Makes random messages without values of enums that are not known."""

    def value(self, field: FieldDescriptor) -> Any:
        if field.enum_type is not None:
            return self.random.choice(list(field.enum_type.values_by_number))
        return super().value(field)


def everything() -> Document:
    schemas = Schemas({})
    answer, asked = schemas.answer(Everything.DESCRIPTOR), schemas.body(Everything.DESCRIPTOR, frozenset())
    assert answer != asked
    return Document({"paths": {}, "components": {"schemas": schemas.made}})


@pytest.mark.parametrize("seed", range(60))
def test_a_schema_fits_what_is_written_and_what_is_taken(seed: int) -> None:
    document, message = everything(), Known(seed).message(Everything.DESCRIPTOR)
    assert document.wrong("/components/schemas/Everything", encoder(message.DESCRIPTOR)(message)) == []
    asked = json_format.MessageToDict(message)
    assert document.wrong("/components/schemas/EverythingInput", asked) == []
    found: list[tuple[str, str]] = []
    decoder(message.DESCRIPTOR)(asked, Everything(), "", found)
    assert found == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"small": "5"}, {"small": 2**31}, {"long": "x"}, {"long": 1.5}, {"color": "COLOR_BLUE"},
        {"texts": "x"}, {"inner": {"nothing": 1}}, {"unknown": 1}, {"time": "yesterday"}, {"span": "1h"},
        {"truth": "true"}, {"byLong": {"1": 2}}, {"oneText": "x", "oneLong": "1"}, {"any": {}},
        {"wrappedLong": "x"}, 5,
    ],
    ids=str,
)  # fmt: skip
def test_a_schema_does_not_fit_what_is_wrong(wrong: Any) -> None:
    assert everything().wrong("/components/schemas/EverythingInput", wrong)


def good(name: str) -> Any:
    """A request in JSON, with all that is limited, at the limit."""
    return {
        "CreateApprovalRequest": {
            "message": "é" * 200,
            "details": [{"label": "a" * 40, "value": "b" * 400}] * 20,
            "hiddenDetails": {"a" * 40: "b" * 400},
            "matchDigits": 0,
        },
        "ApplicationInput": {
            "name": "a" * 60,
            "logo": "A" * 43_692,
            "codeDigits": 8,
            "codePeriodSeconds": 0,
            "matchDigits": 2,
        },
        "RegisterDeviceRequest": {
            "verificationId": "a", "code": "1", "name": "a", "platform": 1, "signingKey": "A" * 88,
            "agreementKey": "A" * 87, "signature": "A" * 88,
        },
        "SendCodeRequest": {"action": "log_in_2", "requestId": "a" * 64},
        "WebhookInput": {"url": "a", "types": ["a"] * 100},
    }[name]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("CreateApprovalRequest", {"message": ""}),
        ("CreateApprovalRequest", {"message": "é" * 201}),
        ("CreateApprovalRequest", {"message": None}),
        ("CreateApprovalRequest", {"details": [{"label": "a" * 41}]}),
        ("CreateApprovalRequest", {"details": [{"label": "a"}] * 21}),
        ("CreateApprovalRequest", {"hiddenDetails": {"a" * 41: ""}}),
        ("CreateApprovalRequest", {"hiddenDetails": {"a": "b" * 401}}),
        ("CreateApprovalRequest", {"hiddenDetails": {str(each): "" for each in range(21)}}),
        ("CreateApprovalRequest", {"matchDigits": 1}),
        ("CreateApprovalRequest", {"matchDigits": 9}),
        ("ApplicationInput", {"logo": "A" * 43_696}),
        ("ApplicationInput", {"codeDigits": 5}),
        ("ApplicationInput", {"codePeriodSeconds": 61}),
        ("RegisterDeviceRequest", {"signingKey": "A" * 92}),
        ("RegisterDeviceRequest", {"signingKey": "A" * 84}),
        ("RegisterDeviceRequest", {"code": None}),
        ("SendCodeRequest", {"action": "Log in"}),
        ("SendCodeRequest", {"action": "a" * 33}),
        ("WebhookInput", {"types": [""]}),
        ("WebhookInput", {"types": ["a"] * 101}),
    ],
    ids=lambda each: str(each)[:40],
)
def test_a_schema_has_the_limits_of_the_contract(name: str, wrong: dict[str, Any]) -> None:
    document, where = Document(), f"/components/schemas/{name}"
    assert document.wrong(where, good(name)) == []
    changed = {key: value for key, value in (good(name) | wrong).items() if value is not None}
    assert document.wrong(where, changed)


def test_limits_that_have_no_keyword_are_said_in_words() -> None:
    schemas = DOCUMENT["components"]["schemas"]

    def told(name: str, field: str) -> str:
        return str(schemas[name]["properties"][field]["description"])

    assert told("CreateEnrollmentRequest", "ttl").endswith("10 min where unset. From 30s to 86400s.")
    assert told("RegisterDeviceRequest", "name") == "Nothing in it that cannot be seen."
    assert told("RegisterDeviceRequest", "freshAccount").endswith("Not served yet: leave it unset.")
    assert told("RegisterDeviceRequest", "signingKey").endswith("65 bytes.")
    assert told("ApplicationInput", "logo").endswith("At most 32768 bytes. A PNG image.")
    [update] = [route for route in contract() if route.rpc.name == "UpdateWebhook"]
    [mask] = [each for each in Document().operation(update)["parameters"] if each.get("name") == "updateMask"]
    assert mask["description"] == "It may name `url`, `types`, `state`."
    # Answers are as they are, and have no limits.
    assert "maxLength" not in schemas["Application"]["properties"]["name"]
    assert "description" not in schemas["Device"]["properties"]["name"]


def test_a_body_has_no_field_of_the_path() -> None:
    schemas = Schemas({})
    schemas.body(Patch.DESCRIPTOR, frozenset())
    one = schemas.body(Patch.DESCRIPTOR, frozenset({"inner"}))
    other = schemas.body(Patch.DESCRIPTOR, frozenset({"update_mask"}))
    assert one["$ref"] != other["$ref"] and one == schemas.body(Patch.DESCRIPTOR, frozenset({"inner"}))
    assert set(schemas.made[other["$ref"].rpartition("/")[2]]["properties"]) == {"inner"}


class Judged(Both):
    """Asks over REST alone, and keeps what was answered."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        super().__init__(None, client)
        self.answers: list[tuple[Route, Told]] = []

    async def rest(self, route: Route, request: Any, credential: str) -> Told:
        told = await super().rest(route, request, credential)
        self.answers.append((route, told))
        return told

    def wrong(self, document: Document) -> set[str]:
        return {
            f"{route.rpc.name}: {each}"
            for route, told in self.answers
            for each in document.judge(route, told)
        }


@pytest.fixture
async def judged(service: Service) -> AsyncIterator[Judged]:
    app = build(
        service.core.server.local(),
        settings(),
        log=logs.build(io.StringIO(), service.clock),
        pace=Pace(settle=0.3),
    )
    async with (
        serving(app) as port,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE) as client,
    ):
        yield Judged(client)


async def test_every_answer_is_as_documented(service: Service, judged: Judged) -> None:
    stage = await staged(service, 1)
    for made in [*stage.made, *stage.ready]:
        request = kinds(made.path)[0].FromString(made.request)
        for route in routes_of(made.path, request):
            await judged.rest(route, request, made.credential)
    known = await callers(service)
    for number, route in enumerate(contract()):
        for request in requests(route):
            for credential in ("",) if route.path in ENDS else (known[NEEDS[route.path].kind], ""):
                await judged.rest(route, apart(request, f"+49151100{number:05d}"), credential)
    change = account_pb2.StartPhoneVerificationRequest(
        phone_number="+4915110099999", purpose=account_pb2.PHONE_PURPOSE_CHANGE_NUMBER
    )
    for route in routes_of(call_path("AccountService/StartPhoneVerification"), change):
        await judged.rest(route, change, "")
    assert judged.wrong(Document()) == set()
    assert {route for route, _ in judged.answers} == set(contract())
    assert len({route.path for route, told in judged.answers if told.code == 0}) > 40
    missing = {route for route, told in judged.answers if told.code == code_pb2.UNIMPLEMENTED}
    assert missing == {
        route for route in contract() if "x-reasons" in Document().operation(route)["responses"]["501"]
    }

    broken: Any = Document()
    broken.made["components"]["schemas"]["User"]["properties"]["authyId"]["type"] = "integer"
    del broken.made["components"]["schemas"]["Approval"]["properties"]["state"]
    for item in broken.made["paths"].values():
        for operation in item.values():
            operation["responses"].pop("403" if "siteKey" in str(operation["security"]) else "404", None)
            operation["responses"].get("400", {})["x-reasons"] = []
    found = " ".join(judged.wrong(broken))
    assert "$.user.authyId" in found and "'state' was unexpected" in found
    assert "404 is not documented" in found and "400 with ['BAD_FIELD'] is not documented" in found


def test_the_file_is_not_stale(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check", str(ROOT / "docs" / "openapi.json")]) == 0
    other = tmp_path / "openapi.json"
    assert main(["--check", str(other)]) == 1
    assert main([str(other)]) == 0 and main(["--check", str(other)]) == 0
    other.write_text(text().replace("GetUser", "GetUsers"))
    assert main(["--check", str(other)]) == 1
    assert "make openapi" in capsys.readouterr().err


async def test_the_document_and_the_page_are_served() -> None:
    async with echo() as channel, gateway(channel) as running:
        told = await running.client.get("/openapi.json")
        assert (told.status_code, told.headers["content-type"]) == (200, "application/json")
        assert told.json() == DOCUMENT
        page = await running.client.get("/docs")
        names = re.findall(r'(?:href|src)="([^"]+)"', page.text)
        assert set(names) == {"docs/docs.css", "docs/docs.js", "openapi.json"}
        for name in names:
            found = await running.client.get(f"/{name}")
            assert found.status_code == 200
            policy = found.headers["content-security-policy"]
            assert "default-src 'none'" in policy and "unsafe" not in policy
            assert name == "openapi.json" or "//" not in re.sub(
                r"^\s*// .*$", "", found.text, flags=re.MULTILINE
            )
        # The policy would stop what stands in the page itself.
        assert not re.search(r"<script(?! src)|<style|\son\w+=|style=", page.text)
        home = await running.client.get("/")
        assert (home.status_code, home.next_request and home.next_request.url.path) == (307, "/docs")
        assert (await running.client.post("/docs")).status_code == 405
        assert (await running.client.get("/docs/../app.py")).status_code == 404
