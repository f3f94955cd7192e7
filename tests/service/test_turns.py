"""Whoever calls takes a turn of its own: in queues of reads and in the writer's, one holds up no other."""

import ast
from pathlib import Path

SERVICE = Path(__file__).resolve().parents[2] / "authy_grpc" / "service"
# The service's own: what its gateways report.
OWN = {"Gateway"}
# What every call needs to be let in.
LETS_IN = "credentials.py"


def without_a_turn(source: str) -> list[str]:
    """The functions of a caller that ask the database in the name of nobody."""
    found = []
    for function in ast.walk(ast.parse(source)):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        callers = [each.annotation for each in function.args.args if each.arg == "caller"]
        if not callers or {ast.unparse(each) for each in callers if each} & OWN:
            continue
        calls = [each for each in ast.walk(function) if isinstance(each, ast.Call)]
        found += [function.name for call in calls if _asks(call) and not _by(call)]
    return found


def _asks(call: ast.Call) -> bool:
    return ast.unparse(call.func) in {
        f"self._database.{name}" for name in ("read", "write", "write_batched", "page")
    }


def _by(call: ast.Call) -> bool:
    return any(each.arg == "by" for each in call.keywords)


def test_each_caller_takes_its_own_turn() -> None:
    found = {
        path.name: without_a_turn(path.read_text()) for path in SERVICE.glob("*.py") if path.name != LETS_IN
    }
    assert {name: functions for name, functions in found.items() if functions} == {}


def test_one_without_a_turn_is_seen() -> None:
    source = """
async def open(self, caller: Device):
    await self._database.write(work)
async def open_in_turn(self, caller: Device):
    await self._database.write(work, by=caller.account_id)
async def report(self, caller: Gateway):
    await self._database.write(work)
"""
    assert without_a_turn(source) == ["open"]
