"""Checks the contract with buf: lint, format, and no change that breaks those who use it already.

`python scripts/contract.py` prints what buf finds, and exits with the first status that is not 0:
100 for findings, another where the check itself could not be done.
"""

import shutil
import subprocess
import sys
import sysconfig
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parents[1]
THIRD_PARTY = ("google/api/annotations.proto", "google/api/http.proto", "google/rpc/status.proto")


class NoBaseline(Exception):
    """The history that is here does not say what the contract was. The text says what to do."""


def main() -> int:
    """Runs the three checks on `protos/`.

    Returns:
        the exit status: 0 where all is well.
    """
    with TemporaryDirectory(prefix="contract-") as folder:
        now, base = Path(folder, "now"), Path(folder, "base")
        lay_out(ROOT / "protos", now)
        try:
            revision = baseline(ROOT)
        except NoBaseline as error:
            print(f"buf breaking: {error}", file=sys.stderr)
            return 2
        take_out(ROOT, revision, Path(folder, "old"))
        lay_out(Path(folder, "old", "protos"), base)
        print(f"Checking the contract, against that of {revision} too", flush=True)
        return lint(now) or check_format(now) or breaking(now, base)


def lay_out(protos: Path, workspace: Path) -> None:
    """Makes a workspace of buf: the contract in `protos`, what it imports, and our `buf.yaml`."""
    shutil.copytree(protos, workspace / "protos")
    shutil.copy(ROOT / "buf.yaml", workspace)
    spec = find_spec("google.api.annotations_pb2")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("google.api.annotations_pb2: install googleapis-common-protos")
    for name in THIRD_PARTY:
        target = workspace / "third_party" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(Path(spec.origin).parents[2] / name, target)


def baseline(repository: Path) -> str:
    """Finds what the contract must stay compatible with.

    Returns:
        the tag of the last release, else the first commit that has a contract.

    Raises:
        NoBaseline: neither is known here, or the history is cut off before it.
    """
    tags = _git(repository, "tag", "--merged", "HEAD", "--sort=-version:refname", "--list", "v[0-9]*")
    if tags:
        return tags.split()[0]
    if _git(repository, "rev-parse", "--is-shallow-repository") == "true":
        raise NoBaseline("this clone has no release and no full history: run `git fetch --unshallow --tags`")
    commits = _git(repository, "rev-list", "--topo-order", "HEAD", "--", "protos/*.proto")
    if not commits:
        raise NoBaseline("no commit has a contract yet: commit protos/ first")
    return commits.split()[-1]


def take_out(repository: Path, revision: str, folder: Path) -> None:
    """Writes `protos/` as it was at the revision to `folder/protos`."""
    for name in _git(repository, "ls-tree", "-r", "--name-only", revision, "protos/").splitlines():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(_git(repository, "show", f"{revision}:{name}") + "\n")


def lint(workspace: Path) -> int:
    """Runs `buf lint`, and returns its exit status."""
    return _buf(workspace, "lint")


def check_format(workspace: Path) -> int:
    """Shows how `buf format` would write the contract, and returns its exit status."""
    return _buf(workspace, "format", "protos", "--diff", "--exit-code")


def breaking(workspace: Path, base: Path) -> int:
    """Compares two workspaces by `buf breaking`, and returns its exit status: 100 for a break."""
    return _buf(workspace, "breaking", "--against", str(base))


def _buf(workspace: Path, *arguments: str) -> int:
    buf = Path(sysconfig.get_path("scripts"), "buf")
    return subprocess.run([buf, *arguments], cwd=workspace, check=False).returncode


def _git(repository: Path, *arguments: str) -> str:
    command = ["git", "-C", str(repository), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
