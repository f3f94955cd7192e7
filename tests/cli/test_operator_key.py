"""Operator keys as an operator types them, and the audit trail of commands."""

import json
import os
import pwd
import re
from collections.abc import Callable
from pathlib import Path
from time import monotonic

import pytest

from authy_grpc import audit
from tests.cli.conftest import TIMEOUT, Running, Shell

pytestmark = pytest.mark.slow
USER = f"system:{pwd.getpwuid(os.getuid()).pw_name}"


def test_a_key_from_its_making_to_its_end(shell: Shell, serve: Callable[[], Running]) -> None:
    log = shell.home / "audit.log"
    shell.exported["AUTHY_AUDIT_LOG"] = str(log)
    serve()
    out = shell.out("operator-key", "create", "deploy")
    secret = re.findall(r"op_\w{52}", out)
    assert len(secret) == 1, "shown once"
    assert "Another operator key" in shell.run("operator-key", "create", "deploy").stderr
    assert "no name of a key" in shell.run("operator-key", "create", "De ploy").stderr
    assert "key among the secrets" in shell.run("operator-key", "create", "home").stderr, "told apart"
    assert "read -rs AUTHY_OPERATOR_KEY" in out and "<" not in out, "may be pasted"
    assert "deploy" in shell.out("operator-key", "list")

    with_key = {"AUTHY_OPERATOR_KEY": secret[0]}
    shell.exported |= with_key
    shell.out("application", "create", "Shop", "https://shop.example")
    del shell.exported["AUTHY_OPERATOR_KEY"]
    assert "Revoked opk_" in shell.out("operator-key", "revoke", "deploy")
    assert "No operator key is named" in shell.run("operator-key", "revoke", "deploy").stderr
    shell.exported |= with_key
    # The server remembers a key for a second.
    began = monotonic()
    while not (refused := shell.run("application", "list").stderr):
        assert monotonic() - began < TIMEOUT
    assert "operator key" in refused

    told = [json.loads(line) for line in log.read_text().splitlines()]
    assert [(line["event"], line["actor"]) for line in told if line["event"] != "ListApplications"] == [
        ("Start", USER),
        ("CreateOperatorKey", USER),
        ("ListOperatorKeys", USER),
        ("CreateApplication", "operator:deploy"),
        ("RevokeOperatorKey", USER),
    ]
    assert secret[0] not in log.read_text()


def test_where_there_is_no_systems_log_an_act_is_told_on_stderr(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """syslog(3) drops it without a word, as in a container."""
    shell.install()
    monkeypatch.setattr(audit, "SYSTEM_LOGS", ())
    told = [
        shell.run(*words).stderr
        for words in (("operator-key", "create", "deploy"), ("operator-key", "list"), ("keys", "add"))
    ]
    assert [json.loads(text)["event"] for text in told] == [
        "CreateOperatorKey",
        "ListOperatorKeys",
        "AddKeys",
    ]


def test_nothing_is_done_that_the_audit_trail_could_not_tell(shell: Shell, tmp_path: Path) -> None:
    shell.install()
    secrets = shell.home / "authy-home" / "secrets"
    before = {each.name: each.read_bytes() for each in secrets.glob("*")}
    shell.exported["AUTHY_AUDIT_LOG"] = str(tmp_path / "none" / "audit.log")
    for words in (("keys", "add"), ("operator-key", "create", "deploy"), ("db", "upgrade")):
        done = shell.run(*words)
        assert done.returncode == 1 and "op_" not in done.stdout, words
    assert {each.name: each.read_bytes() for each in secrets.glob("*")} == before
    del shell.exported["AUTHY_AUDIT_LOG"]
    assert json.loads(shell.out("operator-key", "list", "--json")) == []
    assert "New keys were added" in shell.out("keys", "add"), "the control"
