"""A secret is made once, for its owner alone, and a spoilt one is no secret."""

import os
from pathlib import Path

import pytest
from pydantic import SecretStr

from authy_grpc.cli import checks
from authy_grpc.domain.ids import new_secret
from authy_grpc.home import HomeError, make_secrets, read_gateway_key, read_operator_key, read_secrets
from authy_grpc.settings import Settings
from authy_grpc.store.vault import Vault

NAMES = ["keyset", "operator_key", "gateway_key"]
FILES = ["keyset.json", "operator.key", "gateway.key"]
PREFIXES = {"operator_key": "op", "gateway_key": "gw"}
READERS = {"operator_key": read_operator_key, "gateway_key": read_gateway_key}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home")


def test_secrets_are_made_once_and_read(settings: Settings) -> None:
    folder = make_secrets(settings, os.urandom)
    secrets = read_secrets(settings)
    Vault(secrets.keyset)
    assert secrets.operator_key.startswith("op_") and secrets.gateway_key.startswith("gw_")
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {(folder / name).stat().st_mode & 0o777 for name in FILES} == {0o600}
    make_secrets(settings, os.urandom)
    assert read_secrets(settings) == secrets
    assert secrets.operator_key not in repr(secrets)


@pytest.mark.parametrize(("setting", "file"), list(zip(NAMES, FILES, strict=True)))
def test_what_a_setting_gives_is_not_made(tmp_path: Path, setting: str, file: str) -> None:
    given = "{}" if setting == "keyset" else new_secret(PREFIXES[setting], os.urandom)
    settings = Settings.model_validate({"home": tmp_path, setting: SecretStr(given)})
    folder = make_secrets(settings, os.urandom)
    assert {each.name for each in folder.iterdir()} == set(FILES) - {file}
    assert getattr(read_secrets(settings), setting) == given


@pytest.mark.parametrize("name", FILES)
def test_what_is_missing_empty_or_open_is_refused(settings: Settings, name: str) -> None:
    path = make_secrets(settings, os.urandom) / name
    text = path.read_text()
    path.write_text("\n")
    # An empty one would let in whoever says nothing.
    with pytest.raises(HomeError, match="is empty"):
        read_secrets(settings)
    path.write_text(text)
    path.chmod(0o640)
    with pytest.raises(HomeError, match="by others"):
        read_secrets(settings)
    path.unlink()
    with pytest.raises(HomeError, match="is missing"):
        read_secrets(settings)


@pytest.mark.parametrize("name", ["operator_key", "gateway_key"])
def test_a_key_that_could_be_guessed_is_refused_wherever_it_is_read(
    settings: Settings, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, prefix = make_secrets(settings, os.urandom), PREFIXES[name]
    good = new_secret(prefix, os.urandom)
    bad = [
        "1",
        "changeme",
        prefix,
        good[:-1],
        good + "A",
        good[3:],
        new_secret("ak", os.urandom),
        new_secret("gw" if prefix == "op" else "op", os.urandom),
        f"{prefix}_" + "U" * 52,
        f"{prefix}_" + "\u0661" * 52,
    ]
    for key in bad:
        (folder / FILES[NAMES.index(name)]).write_text(key)
        given = Settings.model_validate({"home": settings.home, name: SecretStr(key)})
        (settings.home / "given").write_text(key)
        with monkeypatch.context() as there:
            there.setenv(f"AUTHY_{name.upper()}_FILE", str(settings.home / "given"))
            in_file = Settings(home=settings.home)
        for each in (settings, given, in_file):
            for read in (read_secrets, READERS[name]):
                with pytest.raises(HomeError, match=rf"`{prefix}_` and 52 characters") as refused:
                    read(each)
                assert len(key) < 3 or key not in str(refused.value)
    assert READERS[name](Settings.model_validate({"home": settings.home, name: SecretStr(good)})) == good


@pytest.mark.parametrize("mode", [0o777, 0o755, 0o710, 0o701])
@pytest.mark.parametrize("folder", ["secrets", "data"])
def test_folders_that_are_open_to_others_are_refused(settings: Settings, folder: str, mode: int) -> None:
    make_secrets(settings, os.urandom)
    (settings.home / "data").mkdir(mode=0o700)
    read_secrets(settings)
    assert not found_by_doctor(settings)
    (settings.home / folder).chmod(mode)
    for use in (
        read_secrets,
        read_operator_key,
        read_gateway_key,
        lambda _: make_secrets(settings, os.urandom),
    ):
        with pytest.raises(HomeError, match=f"chmod 700 .*/{folder}"):
            use(settings)
    assert found_by_doctor(settings) == [f"chmod 700 {settings.home / folder}"]


def test_a_home_that_everybody_may_write_to_is_refused(settings: Settings) -> None:
    make_secrets(settings, os.urandom)
    settings.home.chmod(0o1777)
    read_secrets(settings)
    settings.home.chmod(0o777)
    with pytest.raises(HomeError, match="chmod o-w"):
        read_secrets(settings)
    assert found_by_doctor(settings) == [f"chmod o-w {settings.home}"]


def found_by_doctor(settings: Settings) -> list[str]:
    found = checks._store(settings)
    return [each.mend for each in found if (each.name, each.level) == ("permissions", "fail")]
