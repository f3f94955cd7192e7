"""The commands of a rotation, as an operator types them."""

import json
import stat
from collections.abc import Callable

import pytest

from authy_grpc.store.rotation import Stage, stage
from tests.cli.conftest import Running, Shell

pytestmark = pytest.mark.slow

NUMBER = "+15005550006"


def keyset(shell: Shell) -> str:
    path = shell.home / "authy-home" / "secrets" / "keyset.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert {each.name for each in path.parent.iterdir()} == {"keyset.json", "operator.key", "gateway.key"}
    return path.read_text()


def shows(shell: Shell) -> bool:
    """Whether the account of the number opens."""
    return bool(json.loads(shell.out("account", "show", NUMBER, "--json"))["activeDevices"] == 1)


def test_a_rotation_step_by_step(shell: Shell, serve: Callable[[], Running]) -> None:
    running = serve()
    process = shell.start("phone", "register", NUMBER)
    out, _ = process.communicate(f"{running.code()}\n", timeout=60)
    assert process.returncode == 0, out

    before = keyset(shell)
    assert "keys promote" in shell.out("keys", "add")
    assert stage(keyset(shell)) is Stage.ADDED and shows(shell)
    assert "not promoted" in shell.run("keys", "reencrypt").stderr
    assert "restart" in shell.out("keys", "promote")
    assert stage(keyset(shell)) is Stage.PROMOTED and shows(shell)
    assert "--drop-old" in shell.out("keys", "reencrypt")
    assert shows(shell)
    promoted = keyset(shell)
    assert shell.run("keys", "reencrypt", "--drop-old", stdin="n\n").returncode == 1
    assert keyset(shell) == promoted
    done = json.loads(shell.out("keys", "reencrypt", "--drop-old", "--yes", "--json"))
    assert done["droppedOldKeys"] and done["rows"]["account"] == 0
    assert stage(keyset(shell)) is Stage.SETTLED and keyset(shell) != before
    assert shows(shell)
    assert json.loads(shell.out("keys", "reencrypt", "--json"))["rows"]["account"] == 1
    assert shows(shell)

    (shell.home / "authy-home" / "secrets" / "keyset.json").write_text(before)
    assert "not the database's own" in shell.run("account", "show", NUMBER).stderr


def test_steps_out_of_order_change_nothing(shell: Shell) -> None:
    shell.install()
    before = keyset(shell)
    for step in (["promote"], ["reencrypt", "--drop-old"]):
        assert "keys add" in shell.run("keys", *step).stderr
    assert keyset(shell) == before
    shell.out("keys", "add")
    added = keyset(shell)
    assert "keys promote" in shell.run("keys", "add").stderr
    assert shell.run("keys", "reencrypt", "--drop-old", "--yes").returncode == 1
    assert keyset(shell) == added


def test_the_check_up_says_what_comes_next(shell: Shell) -> None:
    shell.install()
    said = []
    for step in ("add", "promote"):
        shell.out("keys", step)
        found = {each["name"]: each for each in json.loads(shell.run("doctor", "--json").stdout)}
        said.append(found["keyset"]["text"].rpartition("`authy-grpc ")[2])
        assert found["keyset"]["level"] == "ok"
    assert said == ["keys promote`", "keys reencrypt`"]


@pytest.mark.parametrize("way", ["AUTHY_KEYSET", "AUTHY_KEYSET_FILE"])
def test_a_keyset_that_is_given_is_not_changed(shell: Shell, way: str) -> None:
    shell.install()
    path = shell.home / "authy-home" / "secrets" / "keyset.json"
    before, elsewhere = keyset(shell), shell.home / "given"
    elsewhere.write_text(before)
    shell.exported[way] = before if way == "AUTHY_KEYSET" else str(elsewhere)

    for step in (["add"], ["promote"]):
        done = shell.run("keys", *step)
        assert done.returncode == 1 and str(path) in done.stderr and way in done.stderr
        assert before[:40] not in done.stderr
    assert path.read_text() == elsewhere.read_text() == before
    # What it says to do is done.
    del shell.exported[way]
    shell.out("keys", "add")
