"""Nothing that is secret gets into a log."""

import io
import json
import logging
from datetime import UTC, datetime

import pytest

from authy_grpc import logs

NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)
SECRET = "+15005550006"


def test_a_line_keeps_what_is_allowed_alone() -> None:
    output = io.StringIO()
    logs.build(output, lambda: NOON).info("sent", number=SECRET, count=1, method="/a/B")
    assert json.loads(output.getvalue()) == {
        "time": "2026-11-02T12:00:00.000+00:00",
        "level": "info",
        "event": "sent",
        "count": 1,
        "method": "/a/B",
    }


def test_the_line_of_a_call_is_as_a_logger_would_write_it() -> None:
    line = logs.CallLine("/a.B/C", "OK", 'odd "reason"\n', 1.25, "key_ä", "00ff")
    ours, theirs = io.StringIO(), io.StringIO()
    logs.CallLines(logs.output(ours), lambda: NOON).write("info", line)
    logs.build(theirs, lambda: NOON).info("call", **line._asdict())
    assert json.loads(ours.getvalue()) == json.loads(theirs.getvalue())
    assert ours.getvalue().count("\n") == 1


@pytest.mark.parametrize(("least", "written"), [("debug", 2), ("info", 1), ("warning", 0)])
def test_levels_of_calls(least: str, written: int) -> None:
    output = io.StringIO()
    lines = logs.CallLines(logs.output(output), lambda: NOON, least)
    for level in ("debug", "info"):
        lines.write(level, logs.CallLine("/a.B/C", "OK", "", 1.0, "", ""))
    assert output.getvalue().count("\n") == written


def test_levels() -> None:
    output = io.StringIO()
    log = logs.build(output, lambda: NOON, "warning")
    log.info("quiet")
    log.warning("loud")
    assert [json.loads(line)["event"] for line in output.getvalue().splitlines()] == ["loud"]


def test_libraries_tell_who_and_what_but_no_text() -> None:
    output, raw = io.StringIO(), io.StringIO()
    library = logging.getLogger("some.library")
    library.propagate = False
    handlers = [logs.Library(logs.build(output, lambda: NOON)), logging.StreamHandler(raw)]
    for handler in handlers:
        library.addHandler(handler)
    try:
        raise ValueError(SECRET)
    except ValueError:
        library.exception("no account of %s", SECRET)
    finally:
        for handler in handlers:
            library.removeHandler(handler)
    [line] = [json.loads(line) for line in output.getvalue().splitlines()]
    assert (line["level"], line["library"], line["errors"][0]["class"]) == (
        "error",
        "some.library",
        "builtins.ValueError",
    )
    assert SECRET not in output.getvalue()
    assert raw.getvalue().count(SECRET) == 2  # the search would have found it


def test_the_id_of_the_call_is_on_every_line_of_it() -> None:
    output = io.StringIO()
    token = logs.request_id.set("0123456789abcdef")
    logs.build(output, lambda: NOON).info("inside")
    logs.request_id.reset(token)
    assert json.loads(output.getvalue())["request_id"] == "0123456789abcdef"
