"""What commands print for people: whole, however narrow the terminal."""

import pytest

from authy_grpc.cli import show

ID, ORIGIN = f"app_{'A' * 26}", f"https://{'shop.' * 20}example"


def test_ids_are_never_cut_off(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(show.console, "width", 80)
    show.table(("application_id", "name", "origin"), [(ID, "Shop [bold]", ORIGIN), ("app_B", "B", "-")])
    show.facts([("origin", ORIGIN)])

    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [ID, "Shop", "[bold]", ORIGIN] in lines
    assert ["origin", ORIGIN] in lines
