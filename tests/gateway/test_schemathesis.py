"""The gateway is asked what its OpenAPI document makes up, good and bad: it answers as documented."""

import asyncio
import copy
import io
from collections import Counter
from collections.abc import AsyncIterator, Callable
from random import Random
from typing import Any

import hypothesis
import pytest
import requests
import schemathesis
from schemathesis import GenerationMode, checks
from schemathesis.core.failures import FailureGroup

from authy_grpc import logs
from authy_grpc.rpc.auth import NEEDS
from authy_grpc.service.caller import Device, Nobody, Operator, Site
from gateway.app import build
from gateway.openapi import openapi
from gateway.sse import Pace
from tests.e2e.methods import UNBUILT
from tests.e2e.staging import LAST, Stage
from tests.gateway.asking import serving, settings
from tests.gateway.test_same_answers import staged
from tests.harness import Service
from tests.rushing import PATIENCE

pytestmark = pytest.mark.slow
CHECKS = [
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]
ENDS = frozenset(f"authy_grpc.v1.{name}" for name in LAST)


def cases(operation: Any, mode: GenerationMode, count: int) -> list[Any]:
    """Cases of an operation, made before they are asked: hypothesis knows no loop."""
    found: list[Any] = []

    @hypothesis.settings(
        max_examples=count,
        database=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(operation.as_strategy(generation_mode=mode))
    def gather(case: Any) -> None:
        found.append(case)

    gather()
    return found


def _checks(method: str, streams: bool, status: int) -> list[Any]:
    """The checks that fit an answer: an open stream is no JSON, and what is not built yet says so."""
    if streams and status == 200:
        return CHECKS[:-1]
    # Its time may be over before it opens.
    expected = streams and status == 504
    unbuilt = status == 501 and method.removeprefix("authy_grpc.v1.") in UNBUILT
    return CHECKS[1:] if expected or unbuilt else CHECKS


class Asking:
    """One who asks a gateway.

    Args:
        base: its address.
        stage: whose ids and credentials are used.
    """

    def __init__(self, base: str, service: Service, stage: Stage) -> None:
        self._base = base
        self._values = stage.values
        self._random = Random(7)
        self._session = requests.Session()
        self._credentials = {
            Operator: service.secrets.operator_key,
            Site: stage.site.credential,
            Device: stage.device_token,
            Nobody: "",
        }
        self.codes: Counter[int] = Counter()

    def close(self) -> None:
        self._session.close()

    async def ask(self, case: Any) -> list[str]:
        """What is wrong with the answer to a case."""
        method = case.operation.definition.raw["x-grpc-method"]
        needed = NEEDS[f"/{method}"].kind
        assert needed is not None
        if method not in ENDS:
            self._fill(case)
        # What ends that by which others are asked is asked by those alone who may not.
        kinds = [each for each in self._credentials if each is not needed or method not in ENDS]
        kind = (
            self._random.choice([*kinds, *[needed] * 4]) if method not in ENDS else self._random.choice(kinds)
        )
        streams = "text/event-stream" in case.operation.definition.raw["responses"]["200"]["content"]
        case.headers = dict(case.headers or {})
        for name in ("Authorization", "Grpc-Timeout"):
            case.headers.pop(name, None)
        if self._credentials[kind]:
            case.headers["Authorization"] = f"Bearer {self._credentials[kind]}"
        if streams:
            case.headers["Grpc-Timeout"] = "60m"
        response = await asyncio.to_thread(
            case.call, base_url=self._base, session=self._session, timeout=PATIENCE
        )
        self.codes[response.status_code] += 1
        if response.status_code == 200 and kind is not needed and needed is not Nobody:
            return [f"{method} answers {kind.__name__}"]
        try:
            case.validate_response(response, checks=_checks(method, streams, response.status_code))
        except FailureGroup as wrong:
            return [f"{method} {response.status_code}: {each}"[:600] for each in wrong.exceptions]
        return []

    def _fill(self, case: Any) -> None:
        """Put what is there into the path and the body of half of the cases."""
        body = case.body if isinstance(case.body, dict) else {}
        for held in (case.path_parameters or {}, body):
            for name in list(held):
                known = self._values.get(
                    "".join(f"_{each.lower()}" if each.isupper() else each for each in name)
                )
                if known and self._random.random() < 0.5:
                    held[name] = self._random.choice(known).decode("latin-1")


@pytest.fixture
async def asking(service: Service) -> AsyncIterator[Asking]:
    stage = await staged(service, 1)
    log = logs.build(io.StringIO(), service.clock)
    app = build(service.core.server.local(), settings(), log=log, pace=Pace(settle=0.03))
    async with serving(app) as port:
        made = Asking(f"http://127.0.0.1:{port}", service, stage)
        yield made
        made.close()


def operations(document: Any) -> list[Any]:
    schema: Any = schemathesis.openapi.from_dict(dict(document))
    return [each.ok() for each in schema.get_all_operations()]


async def test_the_gateway_answers_as_documented(asking: Asking, figure: Callable[[int, int], int]) -> None:
    found: list[str] = []
    for operation in operations(openapi()):
        for mode, count in (
            (GenerationMode.POSITIVE, figure(3, 600)),
            (GenerationMode.NEGATIVE, figure(1, 250)),
        ):
            for case in cases(operation, mode, count):
                found += await asking.ask(case)
    assert not found, "\n".join(found)
    assert sum(asking.codes.values()) >= figure(200, 50_000)
    assert {200, 400, 401, 403, 404} <= set(asking.codes)


async def test_what_is_not_documented_would_be_seen(asking: Asking) -> None:
    broken: Any = copy.deepcopy(openapi())
    broken["components"]["schemas"]["Status"]["properties"]["code"]["type"] = "string"
    for item in broken["paths"].values():
        for operation in item.values():
            operation["responses"].pop("401", None)
    for operation in operations(broken)[::6]:
        [case] = cases(operation, GenerationMode.POSITIVE, 1)[:1]
        asking._credentials = dict.fromkeys(asking._credentials, "")
        wrong = await asking.ask(case)
        assert any("Undocumented status code" in each or "not of type" in each for each in wrong), wrong
