"""`authy-grpc protos` writes what compiles as it stands, with nothing but what protoc brings itself."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2

ROOT = Path(__file__).resolve().parents[2]
# grpc_tools has the well-known types, and nothing else.
WELL_KNOWN = Path(*find_spec("grpc_tools").submodule_search_locations, "_proto")  # type: ignore[misc, union-attr]


def _compile(folder: Path, output: Path) -> subprocess.CompletedProcess[str]:
    names = sorted(str(path.relative_to(folder)) for path in folder.glob("authy_grpc/v1/*.proto"))
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{folder}", f"-I{WELL_KNOWN}"]
    command += [f"--python_out={output}", f"--grpc_python_out={output}", "--include_imports"]
    command += [f"--descriptor_set_out={output / 'all.binpb'}", *names]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_what_is_written_compiles_alone(shell: Any, tmp_path: Path) -> None:
    folder, output = tmp_path / "deep" / "protos", tmp_path / "out"
    output.mkdir()
    for _ in range(2):  # into a folder that has them, too
        done = shell.run("protos", str(folder))
        assert done.returncode == 0, done.stderr
    # A control: the contract by itself lacks what it imports.
    assert "google/api/annotations.proto" in _compile(ROOT / "protos", output).stderr
    # Whoever reads the file that it names reads what to do.
    for path in (ROOT / "protos").rglob("*.proto"):
        above = path.read_text().partition('import "google/api')
        assert not above[1] or "`authy-grpc protos DIR`" in above[0]
    compiled = _compile(folder, output)
    assert compiled.returncode == 0, compiled.stderr
    files = descriptor_pb2.FileDescriptorSet.FromString((output / "all.binpb").read_bytes())
    services = {service.name for file in files.file for service in file.service}
    assert "authy_grpc/v1/options.proto" in {file.name for file in files.file}
    assert {"EnrollmentService", "ApprovalService", "AuthenticatorService"} <= services
    written = {str(path.relative_to(folder)) for path in folder.rglob("*.proto")}
    assert {"google/api/http.proto", "google/rpc/error_details.proto"} <= written
    for path in (ROOT / "protos").rglob("*.proto"):
        assert (folder / path.relative_to(ROOT / "protos")).read_text() == path.read_text()


def test_a_folder_that_cannot_be_made_is_told_in_a_sentence(shell: Any, tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    taken.write_text("")
    done = shell.run("protos", str(taken))
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert str(taken) in done.stderr
