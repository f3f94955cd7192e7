"""What a stranger's request can cost before it is refused: a bounded number of steps, whatever is in it."""

import json
import sys
import time
from collections.abc import Callable
from typing import Any

from google.protobuf import json_format

from gateway.body import MOST_BODY
from gateway.errors import Failure
from gateway.routes import contract
from gateway.transcode import Transcoder
from tests.gateway.worst import bodies, queries

TRANSCODERS = [Transcoder(route) for route in contract()]
# Calls of functions, those written in C too. A millisecond has some 20,000.
MOST_STEPS = 20_000
MOST_SECONDS = 0.005


def steps(work: Callable[[], Any]) -> int:
    """How many functions are called by it."""
    count = 0

    def note(_: Any, event: str, __: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


def seconds(work: Callable[[], Any]) -> float:
    """The least that it took of three runs: what else runs on this machine is not its cost."""
    found = []
    for _ in range(3):
        begin = time.process_time()
        work()
        found.append(time.process_time() - begin)
    return min(found)


def asking(transcoder: Transcoder, query: str, body: bytes) -> Callable[[], Failure | None]:
    parts = ["a" if each in ("*", "**") else each for each in transcoder.route.segments]

    def ask() -> Failure | None:
        try:
            transcoder.request(parts, query, body)
        except Failure as failure:
            # To write it is a part of the cost.
            return failure if failure.body else None
        return None

    return ask


def test_no_body_of_any_route_costs_more_than_a_few_steps(figure: Callable[[int, int], int]) -> None:
    size, seen, refused = figure(16 * 1024, MOST_BODY), 0, 0
    for transcoder in TRANSCODERS:
        for name, body in bodies(transcoder.route, size) if transcoder.takes_body else ():
            ask = asking(transcoder, "", body)
            failure = ask()
            refused += failure is not None
            assert len(body) <= size
            assert failure is None or (failure.http == 400 and failure.reason == "BAD_FIELD"), name
            found = steps(ask)
            assert found <= MOST_STEPS, (transcoder.route.template, name, found)
            if size == MOST_BODY:
                assert seconds(ask) < MOST_SECONDS, (transcoder.route.template, name)
            seen += 1
    assert seen > 1_000 and refused > seen / 2


def test_no_query_of_any_route_costs_more_than_a_few_steps(figure: Callable[[int, int], int]) -> None:
    timed = figure(0, 1)
    for transcoder in TRANSCODERS:
        for name, query in queries(transcoder.route):
            ask = asking(transcoder, query, b"")
            found = steps(ask)
            assert found <= MOST_STEPS, (transcoder.route.template, name, found)
            if timed:
                assert seconds(ask) < MOST_SECONDS, (transcoder.route.template, name)


def test_the_count_would_see_a_decoder_without_limits() -> None:
    [transcoder] = [each for each in TRANSCODERS if each.route.rpc.name == "CreateApproval"]
    costly = dict(bodies(transcoder.route))['empty objects at {"details": "HERE"}']
    value = json.loads(costly)
    message = transcoder.request_class()
    assert steps(lambda: json_format.ParseDict(value, message)) > 10 * MOST_STEPS
    assert steps(asking(transcoder, "", costly)) < MOST_STEPS / 4


def test_what_is_too_long_is_told_by_its_field() -> None:
    [transcoder] = [each for each in TRANSCODERS if each.route.rpc.name == "CreateApproval"]
    told = {}
    for name, body in bodies(transcoder.route):
        failure = asking(transcoder, "", body)()
        if failure is not None and name.startswith(("empty objects", "one name", "spaces", "many names")):
            told[name] = [
                each["field"]
                for part in json.loads(failure.body)["details"]
                for each in part.get("fieldViolations", ())
            ]
    assert told['empty objects at {"details": "HERE"}'] == ["details"]
    assert told['many names at {"hiddenDetails": "HERE"}'] == ["hidden_details"]
    assert told['one name at {"hiddenDetails": "HERE"}'] == ["hidden_details"]
    assert told['empty objects at "HERE"'] == ["body"]


def test_the_fullest_request_is_taken() -> None:
    [transcoder] = [each for each in TRANSCODERS if each.route.rpc.name == "CreateApproval"]
    wide = "\U0001f600"
    fullest = {
        "message": wide * 200,
        "details": [{"label": wide * 40, "value": wide * 400}] * 20,
        "hiddenDetails": {f"{number:02}" + wide * 38: wide * 400 for number in range(20)},
        "authyId": "1",
        "requestId": "r" * 64,
    }
    body = json.dumps(fullest).encode()
    assert MOST_BODY * 0.8 < len(body) <= MOST_BODY
    request = transcoder.request(["v1", "users", "1"], "", body)
    assert len(request.details) == len(request.hidden_details) == 20
