"""The demo is a promise of the README: it runs here as a user runs it, and what it tells is looked at."""

import json
import re
import signal
import subprocess
from pathlib import Path

import pytest

from tests.cli.conftest import TIMEOUT, Shell
from tests.programs import program

pytestmark = pytest.mark.slow
_KEY = re.compile(r"ak_[0-9A-Z]{52}")


def test_the_demo_tells_nine_steps_and_ends_well(shell: Shell) -> None:
    done = shell.run_apart("demo")

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert re.findall(r"^ (\d)  ", done.stdout, re.MULTILINE) == list("123456789")
    for word in ("PENDING", "SCANNED", "COMPLETED", "ACCEPTED", "REPLAYED", "WRONG", "APPROVED", "▀", "curl"):
        assert word in done.stdout
    assert "The whole story" in done.stdout


def test_for_machines_it_is_one_document(shell: Shell) -> None:
    # Settings of another installation are none of the demo's.
    shell.exported["AUTHY_DATABASE_URL"] = "sqlite:////nowhere/authy.db"

    document = json.loads(shell.run_apart("demo", "--json").stdout)

    assert document["ok"] is True
    assert document["failure"] == ""
    steps = document["steps"]
    assert [step["number"] for step in steps] == list(range(1, 10))
    assert all(step["ok"] and step["checks"] and step["milliseconds"] > 0 for step in steps)
    assert [each["state"] for each in steps[2]["facts"]["watched"]] == ["PENDING", "SCANNED", "COMPLETED"]
    assert min(steps[5]["facts"]["values"]) > 50
    assert steps[5]["facts"]["control"] == {"planted": 2, "found": 2}
    events = steps[6]["facts"]["events"]
    assert events["before"] > 0
    assert events["after"] > 0


def test_kept_running_its_lines_work_when_pasted(shell: Shell) -> None:
    program("grpcurl")
    process = shell.start("demo", "--json", "--keep")
    try:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if line == "}\n":
                break
        pasted = [line for line in json.loads("".join(lines))["try"] if "grpcurl" in line]
        assert len(pasted) > 5
        assert not _KEY.search("".join(lines))
        # Control: where they say that it is, it would have been found.
        assert _KEY.search(Path(pasted[2].split("$(cat ")[1].split(")")[0]).read_text())
        answers = [_paste(shell, line) for line in pasted if "Watch" not in line]
        assert "authy_grpc.v1.EnrollmentService" in answers[0]
        assert "SERVING" in answers[1]
        assert "customer-20417" in answers[2]
        assert "/app/#/e/" in answers[3]
        assert "APPROVAL_STATE_PENDING" in answers[4]
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=TIMEOUT)
    assert process.returncode == 0


def _paste(shell: Shell, line: str) -> str:
    done = subprocess.run(
        ["sh", "-c", line], capture_output=True, text=True, timeout=TIMEOUT, cwd=shell.home, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
