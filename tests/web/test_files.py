"""The web authenticator's files: headers, caching, gzip, hashes, and what no file of them may hold."""

import base64
import gzip
import json
import posixpath
import re
from collections.abc import AsyncIterator
from hashlib import sha256

import httpx
import pytest
from typer.testing import CliRunner

from authy_grpc.cli.app import app as commands
from gateway.web.files import FOLDER, File, served, total
from tests.gateway.asking import gateway, settings
from tests.gateway.everything import ROUTES, echo

ORIGIN = "https://auth.example.com"
OWN = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
POLICY = OWN + (
    "manifest-src 'self'; worker-src 'self'; frame-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types app"
)
SCRIPTS = list((FOLDER / "app").rglob("*.js"))


@pytest.fixture
async def asked() -> AsyncIterator[httpx.AsyncClient]:
    async with echo() as channel:
        given = settings(cors_origins="https://shop.example", public_url=ORIGIN)
        async with gateway(channel, given, routes=ROUTES) as running:
            yield running.client


def path(file: File) -> str:
    return f"/app/{file.path}"


async def test_each_file_comes_with_its_type_and_one_policy(asked: httpx.AsyncClient) -> None:
    for file in served():
        answer = await asked.get(path(file), headers={"origin": "https://shop.example"})
        assert (answer.status_code, answer.content) == (200, file.body), file.name
        assert answer.headers["content-type"] == file.type
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["strict-transport-security"] == "max-age=31536000"
        assert answer.headers["cross-origin-embedder-policy"] == "require-corp"
        assert "camera=(self)" in answer.headers["permissions-policy"]
        assert "microphone=()" in answer.headers["permissions-policy"]
        (policy,) = answer.headers.get_list("content-security-policy")
        if file.name.startswith("scan/"):
            assert policy.startswith(f"sandbox allow-scripts; default-src 'none'; script-src {ORIGIN}; ")
            assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
            assert answer.headers["access-control-allow-origin"] == "*"
            assert "max-age=" in answer.headers["cache-control"]
        else:
            assert policy == POLICY
            assert answer.headers["cross-origin-opener-policy"] == "same-origin"
            assert answer.headers["cross-origin-resource-policy"] == "same-origin"
            assert answer.headers["cache-control"] == "no-cache"
            # The gateway's CORS is for its calls.
            assert "access-control-allow-origin" not in answer.headers
        assert answer.headers["vary"] == "Accept-Encoding"
    control = await asked.get("/healthz", headers={"origin": "https://shop.example"})
    assert control.headers["access-control-allow-origin"] == "https://shop.example"


async def test_what_one_has_is_not_sent_again(asked: httpx.AsyncClient) -> None:
    for packs in ("gzip", "identity"):
        first = await asked.get("/app/main.js", headers={"accept-encoding": packs})
        tag = first.headers["etag"]
        for told in (tag, f"W/{tag}", f'"x", {tag}', "*"):
            again = await asked.get("/app/main.js", headers={"accept-encoding": packs, "if-none-match": told})
            assert (again.status_code, again.content) == (304, b""), told
            assert again.headers["etag"] == tag
            assert again.headers["content-security-policy"] == POLICY
        other = await asked.get("/app/main.js", headers={"accept-encoding": packs, "if-none-match": '"x"'})
        assert other.status_code == 200
        head = await asked.head("/app/main.js", headers={"accept-encoding": packs})
        assert (head.content, head.headers["etag"]) == (b"", tag)
        assert head.headers["content-length"] == first.headers["content-length"]


@pytest.mark.parametrize(
    ("taken", "packed"),
    [("gzip", True), ("br, GZIP;q=0.5", True), ("", False), ("gzip;q=0", False), ("gzip; q=0.0", False),
     ("br", False), ("identity", False)],
)  # fmt: skip
async def test_gzip_goes_to_whoever_takes_it(asked: httpx.AsyncClient, taken: str, packed: bool) -> None:
    answer = await asked.get("/app/main.js", headers={"accept-encoding": taken})
    assert (answer.headers.get("content-encoding") == "gzip") is packed
    plain = await asked.get("/app/main.js", headers={"accept-encoding": "identity"})
    assert answer.content == plain.content
    assert (answer.headers["etag"] == plain.headers["etag"]) is not packed


async def test_nothing_else_is_served_and_nothing_is_posted(asked: httpx.AsyncClient) -> None:
    for wrong in ("core/types.d.ts", "../package.json", "package.json", "%2e%2e/files.py", "nosuch.js"):
        assert (await asked.get(f"/app/{wrong}")).status_code == 404, wrong
    assert (await asked.post("/app/")).status_code == 405
    assert (await asked.options("/app/main.js")).status_code == 405
    slash = await asked.get("/app")
    assert (slash.status_code, slash.headers["location"]) == (308, "app/")


@pytest.mark.parametrize(
    ("host", "named"),
    [("127.0.0.1:8080", "http://127.0.0.1:8080"), ("localhost", "http://localhost"), ("[::1]:80", "http://[::1]:80"),
     ("evil.example", "'none'"), ("localhost:80; script-src *", "'none'"),
     ("localhost.evil.example", "'none'")],
)  # fmt: skip
async def test_without_a_public_url_only_loopback_is_named(host: str, named: str) -> None:
    async with echo() as channel, gateway(channel, settings(public_url=""), routes=ROUTES) as running:
        answer = await running.client.get("/app/scan/frame.html", headers={"host": host})
        assert f"; script-src {named}; " in answer.headers["content-security-policy"]
        assert "strict-transport-security" not in answer.headers


def test_the_worker_begins_with_the_hashes_of_all_that_it_installs() -> None:
    files = {file.path: file for file in served()}
    text = files["sw.js"].body.decode()
    listed = json.loads(re.search(r"^const FILES = ({.*?});$", text, re.MULTILINE | re.DOTALL)[1])  # type: ignore[index]
    apps = {file.path: file for file in served() if file.name.startswith("app/")}
    assert listed == {name: file.sha256 for name, file in apps.items() if name != "sw.js"}
    assert {"", "main.js", "app.css", "text/en.js", "view/start.js"} <= listed.keys()
    assert all(sha256(files[name].body).hexdigest() == told for name, told in listed.items())
    own = (FOLDER / "app" / "sw.js").read_text()
    assert text.endswith(own)


def test_hashes_are_printed_as_sha256sum_does_with_one_over_the_list() -> None:
    told = CliRunner().invoke(commands, ["web", "hashes"])
    assert told.exit_code == 0
    *lines, last = told.stdout.splitlines()
    assert lines == [f"{file.sha256}  {file.name}" for file in served()]
    assert "app/index.html" in told.stdout and "scan/qr/decode.js" in told.stdout
    assert last == f"{total(served())}  all {len(lines)} files"
    assert total(served()) == sha256(("\n".join(lines) + "\n").encode()).hexdigest()


def rebuilt(text: str) -> list[str]:
    """Responses that are made anew: they would come without the policy."""
    return re.findall(
        r"new\s+Response\b|Response\s*\.\s*(?:json|error|redirect)\b|importScripts|\beval\b", text
    )


def test_the_worker_builds_no_response() -> None:
    assert rebuilt((FOLDER / "app" / "sw.js").read_text()) == []
    assert len(rebuilt("return new Response(body)\nResponse.json({})")) == 2


# What a file of the pages may not hold, and a line that would.
FORBIDDEN = {
    r"\b(?:inner|outer)HTML\s*[=(]|insertAdjacentHTML|document\s*\.\s*write": "a.innerHTML = x",
    r"DOMParser|createContextualFragment|setHTML": "new DOMParser()",
    r"\bconsole\s*\.|\balert\s*\(|\bdebugger\b": "console.log(x)",
    r"setAttribute\(\s*['\"]style|\bcssText\b|[{,]\s*style:": "h('p', {style: x})",
    r"\beval\s*\(|new\s+Function\b|setTimeout\(\s*['\"]": "eval(x)",
    r"https?://(?!www\.w3\.org/2000/svg)": "fetch('https://x')",
    r"from\s+['\"][^.'\"]": "import a from 'lit'",
    r"localStorage|document\s*\.\s*cookie": "localStorage.a = 1",
}  # fmt: skip


def forbidden(text: str) -> list[str]:
    # Comments may say so.
    code = re.sub(r"(?m)(^|\s)//.*$|/\*.*?\*/", "", text, flags=re.DOTALL if "/*" in text else re.NOFLAG)
    return [found[0] for pattern in FORBIDDEN for found in re.finditer(pattern, code)]


def test_no_file_has_what_the_policy_forbids_or_says_anything_to_the_console() -> None:
    found = {str(each.relative_to(FOLDER)): forbidden(each.read_text()) for each in SCRIPTS}
    assert {name: what for name, what in found.items() if what} == {}
    for line in FORBIDDEN.values():
        assert forbidden(line) != [], line
    page = (FOLDER / "app" / "index.html").read_text()
    assert not re.search(r"\son\w+=|\sstyle=|<style|<script(?![^>]*\ssrc=)", page)


def test_no_two_sides_are_named_in_styles() -> None:
    """Logical properties only, so that the layout turns with the language's direction."""
    physical = re.compile(
        r"[\s;{](?:margin|padding|border|inset)-(?:left|right)|[\s;{](?:left|right|width|height)\s*:|text-align:\s*(?:left|right)|float:"
    )
    css = (FOLDER / "app" / "app.css").read_text()
    assert physical.findall(css) == []
    assert physical.findall("a { margin-left: 1px; width: 2px }") != []


def test_the_page_names_each_module_that_its_scripts_import() -> None:
    """Or a phone asks for a module only when it has read the one that imports it."""
    files = {file.path: file for file in served()}
    named = re.findall(r'rel="modulepreload" href="([^"]+)"', files[""].body.decode())
    scripts = re.findall(r'<script type="module" src="([^"]+)"', files[""].body.decode())
    asked, imports = {*named, *scripts}, set[str]()
    for name in asked:
        for told in re.findall(r"from '(\.[^']+)'", files[name].body.decode()):
            imports.add(posixpath.normpath(posixpath.join(posixpath.dirname(name), told)))
    assert scripts == ["early.js", "main.js"]
    assert imports <= asked and set(named) <= imports
    assert {"core/api.js", "base/policy.js"} <= imports and "core/backup.js" not in asked


def test_the_whole_app_in_one_language_is_small_as_sent() -> None:
    sizes = {file.name: len(file.packed or file.body) for file in served() if file.name.startswith("app/")}
    # The longest of the languages; drawings are loaded by who installs it.
    other = "app/text/en.js"
    pages = {name: size for name, size in sizes.items() if not name.endswith(".png") and name != other}
    assert sum(pages.values()) <= 150_000, sorted(pages.items(), key=lambda each: -each[1])[:10]
    assert all(gzip.decompress(file.packed) == file.body for file in served() if file.packed)


def test_the_lock_names_no_registry_and_has_hashes() -> None:
    lock = json.loads((FOLDER / "package-lock.json").read_text())
    packages = {name: each for name, each in lock["packages"].items() if name}
    assert {"node_modules/qr", "node_modules/axe-core", "node_modules/typescript"} <= packages.keys()
    for each in packages.values():
        assert "resolved" not in each
        assert len(base64.b64decode(each["integrity"].removeprefix("sha512-"))) == 64
    assert not any(each.get("hasInstallScript") for each in packages.values())
    assert [name for name, each in packages.items() if not each.get("dev")] == ["node_modules/qr"]
