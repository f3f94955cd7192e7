"""Operator keys as an operator types them, and the audit trail of commands."""

import getpass
import json
import re
from collections.abc import Callable
from time import monotonic

import pytest

from tests.cli.conftest import TIMEOUT, Running, Shell

pytestmark = pytest.mark.slow


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
        ("Start", f"system:{getpass.getuser()}"),
        ("CreateOperatorKey", f"system:{getpass.getuser()}"),
        ("CreateApplication", "operator:deploy"),
        ("RevokeOperatorKey", f"system:{getpass.getuser()}"),
    ]
    assert secret[0] not in log.read_text()
