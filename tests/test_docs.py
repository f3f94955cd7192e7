"""What the documents promise: links that lead somewhere, settings that exist, and code that runs."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from authy_grpc.rpc.access import of_contract
from authy_grpc.rpc.contract import methods
from authy_grpc.service.caller import Site
from authy_grpc.settings import Settings
from gateway.settings import GatewaySettings
from tests.cli.conftest import ROOT, Running, Shell, serve, shell
from tests.cli.test_commands import made_site, registered

__all__ = ["serve", "shell"]
_GLOBS = ("*.md", "docs/**/*.md", "protos/*.md", "examples/*.md", "examples/*/*.md")
DOCUMENTS = sorted(path for pattern in _GLOBS for path in ROOT.glob(pattern))
# As prometheus_client is called, or its arguments are listed.
_METRIC = re.compile(r'(?:(?:Counter|Gauge|Histogram)|tally\.\w+: )\(\s*"([a-z_]+)"')
_CODE = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_PATH = re.compile(
    r"`((?:authy_grpc|benchmarks|deploy|docs|examples|gateway|protos|scripts|tests)/[\w/.-]+)`"
)


def links(document: Path) -> list[tuple[Path, str]]:
    """Where a document leads to on this side of the net: files, and headings in them."""
    found = _LINK.findall(_CODE.sub("", document.read_text()))
    return [(document.parent / link if link else document, heading) for link, heading in found]


def headings(document: Path) -> set[str]:
    """As GitHub names them in addresses."""
    found = _HEADING.findall(_CODE.sub("", document.read_text()))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in found}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_a_document_names_is_there(document: Path) -> None:
    missing = [str(file) for file, _ in links(document) if not file.exists()]
    missing += [f"{file}#{name}" for file, name in links(document) if name and name not in headings(file)]
    missing += [path for path in _PATH.findall(document.read_text()) if not (ROOT / path).exists()]
    assert not missing


def test_every_target_of_make_that_is_named_is_there() -> None:
    named = re.compile(r"(?:`|^|\s{2})make ([a-z][a-z-]*)", re.MULTILINE)
    files = [*DOCUMENTS, ROOT / ".pre-commit-config.yaml"]
    found = {target for path in files for target in named.findall(path.read_text().replace("entry: ", "  "))}
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {"demo", "up", "fix", "check"} <= found
    assert found - targets == set()


def test_every_document_is_found_from_the_readme() -> None:
    found, todo = set[Path](), [ROOT / "README.md"]
    while todo:
        file = todo.pop().resolve()
        file = file / "README.md" if file.is_dir() else file
        if file not in found and file in DOCUMENTS:
            found.add(file)
            todo += [path for path, _ in links(file)]
    assert set(DOCUMENTS) - found == set()


def test_every_setting_stands_in_the_table() -> None:
    text = (ROOT / "docs" / "operations.md").read_text()
    settings = {f"AUTHY_{name.upper()}" for kind in (Settings, GatewaySettings) for name in kind.model_fields}
    assert settings >= {"AUTHY_LISTEN", "AUTHY_HTTP_TLS_CERT", "AUTHY_CORS_ORIGINS"}
    rows = "".join(line for line in text.splitlines() if line.startswith("| `AUTHY_"))
    assert {name for name in settings if f"`{name}`" not in rows} == set()


def test_every_decision_stands_in_the_list() -> None:
    folder = ROOT / "docs" / "decisions"
    listed = re.findall(r"^(\d+)\. \[.+\]\((.+)\)$", (folder / "README.md").read_text(), re.MULTILINE)
    made = sorted(path.name for path in folder.glob("0*.md"))
    assert [name for _, name in listed] == made
    assert [int(number) for number, _ in listed] == [int(name[:4]) for name in made]


def test_every_metric_stands_in_the_table() -> None:
    text = (ROOT / "docs" / "operations.md").read_text()
    made = {
        name
        for folder in ("authy_grpc", "gateway")
        for path in (ROOT / folder).rglob("*.py")
        for name in _METRIC.findall(path.read_text())
    }
    assert made >= {"grpc_server_handled", "authy_codes", "authy_writer_queue"}
    rows = "".join(line for line in text.splitlines() if line.startswith("| `"))
    assert {name for name in made if not re.search(rf"`{name}(?:_total)?`", rows)} == set()


def test_the_guide_names_the_scopes_of_each_call() -> None:
    scopes = {
        path.rpartition("/")[2]: " or ".join(scope.lower() for scope in need.scopes) or "any"
        for path, need in of_contract().items()
        if need.kind is Site
    }
    rows = re.findall(
        r"^\| `\w+` \| ((?:`[A-Z]\w+`(?:, )?)+) \| ([a-z ]+) \|$",
        (ROOT / "docs" / "integrating.md").read_text(),
        re.MULTILINE,
    )
    told = {call: scope for calls, scope in rows for call in re.findall(r"\w+", calls)}
    assert told == scopes


def test_every_call_stands_in_the_tour() -> None:
    calls = {method.name for method in methods()}
    table = set(re.findall(r"\w+", (ROOT / "docs" / "architecture.md").read_text()))
    assert calls >= {"VerifyCode", "WatchInbox"}
    assert calls - table == set()


@pytest.mark.slow
def test_the_code_in_the_readme_runs(shell: Shell, serve: Callable[[], Running]) -> None:
    running = serve()
    _, key = made_site(shell)
    registered(shell, running)
    [code] = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    code = code.replace("127.0.0.1:50051", shell.exported["AUTHY_SERVER"]).replace("ak_…", key)
    site = subprocess.Popen([sys.executable, "-u", "-c", code], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert site.stdout is not None
    try:
        shell.out("phone", "scan", site.stdout.readline().strip(), "--yes")
        number = site.stdout.readline().strip()
        assert "APPROVED" in shell.out("phone", "approve", "--number", number)
        out, _ = site.communicate(timeout=60)
    finally:
        site.kill()
    assert out.strip() == "approve"
