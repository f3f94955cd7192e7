"""What docstrings of modules and classes may not begin with: words that nobody searches for."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
_FOLDERS = ("authy_grpc", "benchmarks", "examples", "gateway", "scripts", "tests")
_PRIVATE = re.compile(r"Owns\b|The concern that\b")


def private(source: str) -> list[str]:
    """First lines of docstrings, of a module and of its classes, that begin with a private word."""
    nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Module | ast.ClassDef)]
    lines = [(ast.get_docstring(node) or "").partition("\n")[0] for node in nodes]
    return [line for line in lines if _PRIVATE.match(line)]


def sources() -> list[Path]:
    found = [path for folder in _FOLDERS for path in (ROOT / folder).rglob("*.py")]
    return [path for path in found if "node_modules" not in path.parts]


def test_no_docstring_begins_with_a_private_word() -> None:
    paths = sources()
    assert ROOT / "authy_grpc/bootstrap.py" in paths
    found = {str(path.relative_to(ROOT)): lines for path in paths if (lines := private(path.read_text()))}
    assert not found


@pytest.mark.parametrize(
    "source",
    ['"""Owns the time."""\n', 'class Clock:\n    """The concern that tells the time."""\n'],
    ids=["module", "class"],
)
def test_a_private_word_is_found(source: str) -> None:
    assert private(source)
