"""Finds programs that a test needs: it skips where one is missing, or fails where all must run."""

import os
import shutil
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
