"""The commands as a user types them, one after another, against a service that `serve` runs."""

import json
import re
import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from threading import Thread
from time import monotonic

import pytest
from google.protobuf.json_format import ParseDict

from authy_grpc.client import Client
from authy_grpc.v1.application_pb2 import Application
from authy_grpc.v1.approval_pb2 import CreateApprovalRequest
from authy_grpc.v1.enrollment_pb2 import QR_CODE_FORMAT_PNG, CreateEnrollmentRequest, QrCodeOptions
from authy_grpc.v1.verification_pb2 import CODE_RESULT_ACCEPTED, VerifyCodeRequest
from tests.cli.conftest import TIMEOUT, Running, Shell
from tests.threads import Event

pytestmark = pytest.mark.slow

NUMBER = "+15005550006"


@pytest.fixture
def running(serve: Callable[[], Running]) -> Running:
    return serve()


def made_site(shell: Shell, name: str = "Shop") -> tuple[str, str]:
    """Adds a site; answers its id and an API key."""
    made = json.loads(shell.out("application", "create", name, "https://shop.example", "--json"))
    key = json.loads(shell.out("api-key", "create", made["applicationId"], "--json"))
    return made["applicationId"], key["secret"]


def test_ids_are_whole_and_a_key_is_told_once_on_a_narrow_terminal(
    shell: Shell, serve: Callable[[], Running]
) -> None:
    serve()
    shell.exported["COLUMNS"] = "40"
    application_id, _ = made_site(shell, "A shop with a name that is longer than the terminal")
    told = shell.out("api-key", "create", application_id, "backend")
    (secret,) = re.findall(r"ak_\w{52}", told)
    assert "$AUTHY_API_KEY" in told.replace("\n", "")
    (key_id,) = re.findall(r"key_\w+", told)

    assert application_id in shell.out("application", "list")
    assert application_id in shell.out("application", "show", application_id)
    assert key_id in shell.out("api-key", "list", application_id)
    database = str(shell.home / "authy-home" / "secrets")
    assert database in shell.run("doctor").stdout
    for command in (["api-key", "list", application_id], ["application", "list"], ["doctor"]):
        assert secret not in shell.run(*command).stdout


def test_what_is_no_api_key_is_refused_without_it(shell: Shell) -> None:
    for key in ("hunter2", "ak_h\u00fcnter2", "ak_hunter2 x"):
        done = shell.run("webhook", "listen", "--key", key, "--listen", "127.0.0.1:0")
        assert done.returncode == 1 and "AUTHY_API_KEY" in done.stderr and "nter2" not in done.stderr


def test_arguments_that_nobody_expects_end_in_a_sentence(shell: Shell) -> None:
    shell.exported["AUTHY_OPERATOR_KEY"] = "op_" + "0" * 52
    done = shell.run("application", "create", "a\udcffb", "https://shop.example")
    assert (done.returncode, "no text in UTF-8" in done.stderr) == (1, True)
    assert shell.run("api-key", "create", "Shop", "--days", "99999999").returncode == 2


def test_a_reader_that_leaves_is_no_error(shell: Shell) -> None:
    with shell.start("doctor", "--json") as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(TIMEOUT) == 1
    assert (shell.home / "log").read_text() == ""


def test_the_version_is_told(shell: Shell) -> None:
    assert re.fullmatch(r"authy-grpc \d+\.\d+\.\d+\S*\n", shell.out("--version"))


def registered(shell: Shell, running: Running) -> None:
    """Registers the phone of the shell's home."""
    process = shell.start("phone", "register", NUMBER)
    assert process.stdout is not None
    assert "on its way" in process.stdout.readline()
    out, _ = process.communicate(f"{running.code()}\n", timeout=60)
    assert process.returncode == 0, out
    assert "Recovery code" in out


def test_sites_and_keys(shell: Shell, running: Running) -> None:
    application_id, _ = made_site(shell)
    assert application_id in shell.out("application", "list")
    changed = shell.out("application", "update", "Shop", "--name", "Store", "--match-digits", "0", "--json")
    assert ParseDict(json.loads(changed), Application()).match_digits == 0
    shown = json.loads(shell.out("application", "show", "Store", "--json"))
    assert (shown["applicationId"], shown["name"], shown["matchDigits"]) == (application_id, "Store", 0)

    ends = shell.out("api-key", "create", "Store", "feed", "--scope", "events", "--days", "3", "--json")
    assert json.loads(ends)["apiKey"]["scopes"] == ["API_KEY_SCOPE_EVENTS"]
    assert json.loads(ends)["apiKey"]["expireTime"]
    keys = json.loads(shell.out("api-key", "list", "Store", "--json"))
    assert [key["name"] for key in keys] == ["backend", "feed"]
    assert "secret" not in json.dumps(keys)
    shell.out("api-key", "revoke", keys[0]["apiKeyId"])
    assert "feed" in shell.out("api-key", "list", "Store")
    assert "backend" not in shell.out("api-key", "list", "Store")

    assert shell.run("application", "delete", "Store", stdin="n\n").returncode == 1
    shell.out("application", "delete", "Store", "--yes")
    assert json.loads(shell.out("application", "list", "--json")) == []

    shell.exported["AUTHY_OPERATOR_KEY"] = "op_" + "0" * 52
    refused = shell.run("application", "list")
    assert "another operator key than AUTHY_OPERATOR_KEY" in refused.stderr


def test_a_name_that_two_have_is_no_name_and_none_is_markup(shell: Shell, running: Running) -> None:
    first, _ = made_site(shell)
    second, _ = made_site(shell)

    done = shell.run("application", "show", "Shop")

    assert done.returncode == 1
    assert first in done.stderr
    assert second in done.stderr
    assert first in shell.out("application", "show", first)
    assert "application list" in shell.run("application", "show", "Nobody").stderr

    made_site(shell, "[red]Shop[/red]")
    assert "[red]Shop[/red]" in shell.out("application", "list")


def test_a_phone_from_registration_to_its_erasure(shell: Shell, running: Running) -> None:
    _, key = made_site(shell)
    registered(shell, running)
    assert stat.S_IMODE(shell.state.stat().st_mode) == 0o600

    with Client(shell.exported["AUTHY_SERVER"], key) as site:
        authy_id = _scan(shell, site)
        linked = json.loads(shell.out("phone", "sites", "--json"))
        assert [each["name"] for each in linked] == ["Shop"]
        code = json.loads(shell.out("phone", "code", "Shop", "--json"))["code"]
        answer = site.verification.VerifyCode(VerifyCodeRequest(authy_id=authy_id, code=code))
        assert answer.result == CODE_RESULT_ACCEPTED

        assert "Nothing waits" in shell.out("phone", "inbox")
        asked = site.approvals.CreateApproval(_question(authy_id)).approval
        assert "Log in?" in shell.out("phone", "inbox")
        [pending] = json.loads(shell.out("phone", "inbox", "--json"))
        assert pending["approvalId"] == asked.approval_id
        assert asked.match_number not in json.dumps(pending)
        assert "APPROVED" in shell.out("phone", "approve", stdin=f"{asked.match_number}\n")
        assert shell.run("phone", "approve").returncode == 1

        site.approvals.CreateApproval(_question(authy_id))
        assert "DENIED" in shell.out("phone", "deny", "--yes")
    assert "approval.denied" in shell.out("phone", "activity")
    assert "ACTIVE" in shell.out("phone", "devices")

    account = json.loads(shell.out("account", "show", NUMBER, "--json"))
    assert (account["activeDevices"], account["sites"]) == (1, 1)
    assert NUMBER not in json.dumps(account)
    assert account["accountId"] in shell.out("account", "erase", NUMBER, "--yes")
    assert "No account has this number" in shell.run("account", "show", NUMBER).stderr
    out = shell.run("phone", "sites")
    assert out.returncode == 1
    assert "register anew" in out.stderr
    log = (shell.home / "log").read_text()
    assert NUMBER.removeprefix("+") not in log


def _scan(shell: Shell, site: Client) -> str:
    request = CreateEnrollmentRequest(custom_user_id="user-1", qr=QrCodeOptions(format=QR_CODE_FORMAT_PNG))
    made = site.enrollments.CreateEnrollment(request)
    picture = shell.home / "code.png"
    picture.write_bytes(made.qr.image)
    declined = shell.run("phone", "scan", str(picture), stdin="n\n")
    assert "Link Shop (https://shop.example)?" in declined.stdout
    assert "Not linked." in declined.stderr
    linked = shell.out("phone", "scan", str(picture), "--yes")
    assert "Ask the site for a new one" in shell.run("phone", "scan", str(picture), "--yes").stderr
    assert re.search("sit_[0-9A-Z]{26}", linked)
    *_, last = site.watch_enrollment(made.enrollment.enrollment_id)
    return last.authy_id


def _question(authy_id: str) -> CreateApprovalRequest:
    return CreateApprovalRequest(authy_id=authy_id, message="Log in?")


def test_an_erasure_empties_the_log_though_somebody_reads_it(shell: Shell, running: Running) -> None:
    """A server beside it does not know of what a command has deleted."""
    registered(shell, running)
    data = shell.home / "authy-home" / "data"

    def content() -> bytes:
        return b"".join(each.read_bytes() for each in sorted(data.glob("authy.db*")))

    reader = sqlite3.connect(data / "authy.db", isolation_level=None, check_same_thread=False)
    reader.execute("BEGIN")
    (sealed,) = reader.execute("SELECT sealed_number FROM account").fetchone()
    assert sealed in content(), "the control"

    def read_on() -> None:
        """For longer than a first try waits."""
        with closing(sqlite3.connect(data / "authy.db", isolation_level=None)) as other:
            began = monotonic()
            while other.execute("SELECT sealed_number FROM account").fetchone() != (None,):
                assert monotonic() - began < TIMEOUT
        Event().wait(1.5)
        reader.execute("ROLLBACK")

    thread = Thread(target=read_on)
    thread.start()
    done = shell.run("account", "erase", NUMBER, "--yes")
    thread.join()
    assert done.returncode == 0 and "earlier state" not in done.stderr
    assert sealed not in content()
    reader.close()
