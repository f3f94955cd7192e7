"""What is built and shipped, and the guard that keeps the contract whole."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import venv
from importlib.metadata import version
from pathlib import Path
from zipfile import ZipFile

import pytest
from packaging.requirements import Requirement

from gateway.web.files import served
from scripts import contract

ROOT = Path(__file__).resolve().parents[1]
PROTOS = ROOT / "protos" / "authy_grpc" / "v1"
FINDINGS = 100


def edited(tmp_path: Path, old: str, new: str) -> Path:
    """A workspace whose enrollment.proto is not as ours."""
    workspace = tmp_path / "edited"
    contract.lay_out(ROOT / "protos", workspace)
    proto = workspace / "protos" / "authy_grpc" / "v1" / "enrollment.proto"
    text = proto.read_text()
    assert old in text
    proto.write_text(text.replace(old, new))
    return workspace


@pytest.fixture
def ours(tmp_path: Path) -> Path:
    """A workspace with the contract as it is."""
    workspace = tmp_path / "ours"
    contract.lay_out(ROOT / "protos", workspace)
    return workspace


def test_the_contract_is_clean_and_breaks_nothing(ours: Path) -> None:
    assert contract.lint(ours) == 0
    assert contract.check_format(ours) == 0
    assert contract.breaking(ours, ours) == 0


def test_a_renamed_field_is_caught(ours: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    renamed = edited(tmp_path, "string custom_user_id = ", "string your_user_id = ")
    assert contract.breaking(renamed, ours) == FINDINGS
    assert "your_user_id" in capfd.readouterr().out


def test_lint_and_format_see_what_is_wrong(tmp_path: Path) -> None:
    wrong = edited(tmp_path, "string custom_user_id = ", "string  customUserId = ")
    assert contract.lint(wrong) == FINDINGS
    assert contract.check_format(wrong) == FINDINGS


class Repository:
    """A git repository with a contract of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.git("init", "--quiet", "--initial-branch=main")

    def git(self, *arguments: str) -> str:
        identity = ["-c", "user.name=A", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false"]
        command = ["git", *identity, *arguments]
        return subprocess.run(
            command, cwd=self.folder, check=True, capture_output=True, text=True
        ).stdout.strip()

    def commit(self, name: str, text: str) -> str:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        self.git("add", name)
        self.git("commit", "--quiet", "--message", name)
        return self.git("rev-parse", "HEAD")


def test_the_baseline_is_the_first_contract_until_there_is_a_release(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "repository")
    repository.commit("README.md", "Nothing yet.\n")
    with pytest.raises(contract.NoBaseline, match="commit protos/ first"):
        contract.baseline(repository.folder)

    first = repository.commit("protos/a.proto", "first\n")
    repository.commit("protos/a.proto", "second\n")
    assert contract.baseline(repository.folder) == first
    contract.take_out(repository.folder, first, tmp_path / "old")
    assert (tmp_path / "old" / "protos" / "a.proto").read_text() == "first\n"

    repository.git("tag", "v0.9.0")
    repository.commit("protos/a.proto", "third\n")
    repository.git("tag", "v0.10.0")
    repository.commit("protos/a.proto", "fourth\n")
    assert contract.baseline(repository.folder) == "v0.10.0"


def test_a_shallow_clone_says_what_to_fetch(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "repository")
    repository.commit("protos/a.proto", "first\n")
    repository.commit("protos/a.proto", "second\n")
    repository.git("clone", "--quiet", "--depth=1", repository.folder.as_uri(), str(tmp_path / "shallow"))
    with pytest.raises(contract.NoBaseline, match="git fetch --unshallow --tags"):
        contract.baseline(tmp_path / "shallow")


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """An sdist of the project without its stubs, and a wheel built from that sdist."""
    source = tmp_path_factory.mktemp("source")
    for path in ROOT.iterdir():
        if path.is_file():
            shutil.copy(path, source)
    for package in ("authy_grpc", "gateway"):
        shutil.copytree(
            ROOT / package,
            source / package,
            ignore=shutil.ignore_patterns("v1", "qr", "node_modules", "__pycache__"),
        )
    shutil.copytree(ROOT / "protos", source / "protos")
    run("hatchling", "build", "-t", "sdist", cwd=source)
    sdist = next((source / "dist").iterdir())
    run("pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", str(sdist), cwd=source)
    return sdist, next(source.glob("*.whl"))


@pytest.mark.slow
def test_the_decoder_is_brought_without_npm_too(tmp_path: Path) -> None:
    """By the node of a wheel, as the lock says: the same bytes."""
    shutil.copy(ROOT / "hatch_build.py", tmp_path)
    shutil.copytree(ROOT / "protos", tmp_path / "protos")
    web = tmp_path / "gateway" / "web"
    (web / "scan").mkdir(parents=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(ROOT / "gateway" / "web" / name, web)
    environment = {**os.environ, "PATH": str(tmp_path)}
    subprocess.run([sys.executable, "hatch_build.py"], cwd=tmp_path, env=environment, check=True)
    for name in ("decode.js", "index.js", "LICENSE"):
        brought = ROOT / "gateway" / "web" / "scan" / "qr" / name
        assert (web / "scan" / "qr" / name).read_bytes() == brought.read_bytes()


def run(module: str, *arguments: str, cwd: Path, python: str = sys.executable) -> None:
    """Runs a module. What builds is what is pinned here, not something new from the network."""
    subprocess.run([python, "-m", module, *arguments], cwd=cwd, check=True)


def shipped(prefix: str) -> set[str]:
    """What the build makes or ships: stubs of every .proto file, descriptors, and all that pages load."""
    stubs = ("_pb2.py", "_pb2.pyi", "_pb2_grpc.py", "_pb2_grpc.pyi")
    made = {f"{proto.stem}{stub}" for proto in PROTOS.glob("*.proto") for stub in stubs}
    stubs_too = {f"{prefix}authy_grpc/v1/{name}" for name in made | {"descriptors.binpb"}}
    pages = {f"{prefix}gateway/web/{each.name}" for each in served()}
    return stubs_too | pages | {f"{prefix}gateway/web/scan/qr/LICENSE"}


@pytest.mark.slow
def test_sdist_and_wheel_hold_stubs_and_protos(archives: tuple[Path, Path]) -> None:
    protos = {f"protos/authy_grpc/v1/{proto.name}" for proto in PROTOS.glob("*.proto")}
    sdist, wheel = archives
    with tarfile.open(sdist) as files:
        names = {name.partition("/")[2] for name in files.getnames()}
    embedded = {f"authy_grpc/client/browser/static/authy-site.{kind}" for kind in ("js", "css")}
    assert shipped("") | protos | embedded | {"hatch_build.py", "pyproject.toml", "LICENSE"} <= names

    with ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert shipped("") | embedded | {f"authy_grpc/{name}" for name in protos} <= names
    assert {"authy_grpc/py.typed", "authy_grpc/v1/__init__.py", "gateway/py.typed", "gateway/app.py"} <= names
    assert {f"gateway/docs/{name}" for name in ("index.html", "docs.css", "docs.js")} <= names
    assert not any("node_modules" in name for name in names)
    assert {name.split("/")[0] for name in names} == {"authy_grpc", "authy_grpc-0.1.0.dist-info", "gateway"}


@pytest.mark.slow
def test_a_plain_install_has_contract_and_client(archives: tuple[Path, Path], tmp_path: Path) -> None:
    clean = tmp_path / "clean"
    venv.create(clean, with_pip=True, symlinks=True)
    constraints = tmp_path / "constraints.txt"
    constraints.write_text("".join(f"{name}=={version(name)}\n" for name in pinned()))
    python = str(clean / "bin" / "python")
    options = ["--quiet", "--only-binary=:all:", "--constraint", str(constraints)]
    run("pip", "install", *options, str(archives[1]), cwd=tmp_path, python=python)
    modules = "authy_grpc.v1.enrollment_pb2, authy_grpc.v1.enrollment_pb2_grpc, authy_grpc.client"
    subprocess.run([python, "-I", "-W", "error", "-c", f"import {modules}"], cwd=tmp_path, check=True)


def test_what_is_pinned_is_within_what_is_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = pinned()
    lists = [project["dependencies"], *project["optional-dependencies"].values()]
    for each in (Requirement(line) for lines in lists for line in lines):
        if each.name != "authy-grpc" and (each.marker is None or each.marker.evaluate()):
            assert each.name in names
            assert each.specifier.contains(version(each.name)), f"{each}: run `make requirements`"


def pinned() -> list[str]:
    """The names in requirements/dev.txt that are meant for this machine."""
    lines = re.findall(r"^([a-z].*?) \\$", (ROOT / "requirements" / "dev.txt").read_text(), re.MULTILINE)
    requirements = [Requirement(line) for line in lines]
    return [each.name for each in requirements if each.marker is None or each.marker.evaluate()]
