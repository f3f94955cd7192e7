"""A secret is made once, for its owner alone, and a spoilt one is no secret."""

import os
from pathlib import Path

import pytest
from pydantic import SecretStr

from authy_grpc.home import HomeError, make_secrets, read_secrets
from authy_grpc.settings import Settings
from authy_grpc.store.vault import Vault

NAMES = ["keyset", "operator_key", "gateway_key"]
FILES = ["keyset.json", "operator.key", "gateway.key"]


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
    settings = Settings.model_validate({"home": tmp_path, setting: SecretStr("given")})
    folder = make_secrets(settings, os.urandom)
    assert {each.name for each in folder.iterdir()} == set(FILES) - {file}
    assert getattr(read_secrets(settings), setting) == "given"


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
