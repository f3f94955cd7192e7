"""The state of a phone: what is written, who may read it, what two processes do to it."""

import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    generate_private_key,
)

from authy_grpc.domain import keys
from authy_grpc.domain.encoding import base64url
from authy_grpc.phone import PhoneError
from authy_grpc.phone.state import Keeper, State


def key() -> EllipticCurvePrivateKey:
    return generate_private_key(SECP256R1())


def state() -> State:
    return State("dev_1", key(), key(), keys.public_point(key()), {"sit_1": key()}, {"token": key()}, 7)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_what_is_written_is_read_again() -> None:
    written = state()
    assert State.from_json(written.to_json()).to_json() == written.to_json()


def test_repr_shows_no_secret() -> None:
    kept = state()
    secrets = [kept.signing_key, kept.agreement_key, kept.site_keys["sit_1"], kept.new_keys["token"]]
    numbers = [secret.private_numbers().private_value for secret in secrets]
    texts = [base64url(number.to_bytes(32, "big")) for number in numbers]
    control = kept.to_json()
    assert all(text in control for text in texts) and "token" in control
    shown = repr(kept)
    assert "dev_1" in shown
    assert not any(text in shown for text in [*texts, *map(str, numbers), *map(hex, numbers), "token"])


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", "null", '{"version": 1}', '{"version": 2}', "\N{REPLACEMENT CHARACTER}"]
)
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(PhoneError):
        State.from_json(text)


def test_a_broken_key_is_refused_and_not_repeated() -> None:
    text = state().to_json().replace('"signing_key": "', '"signing_key": "====')
    with pytest.raises(PhoneError) as caught:
        State.from_json(text)
    assert "====" not in str(caught.value) and caught.value.__cause__ is None


def test_the_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "phones" / "one.json"
    before = os.umask(0)
    try:
        Keeper(path).create(state())
    finally:
        os.umask(before)
    assert mode(path) == 0o600
    assert mode(path.parent) == 0o700
    assert os.listdir(path.parent) == ["one.json"]


@pytest.mark.parametrize("others", [0o640, 0o620, 0o604, 0o602, 0o644])
def test_a_file_that_others_may_use_is_refused(tmp_path: Path, others: int) -> None:
    path = tmp_path / "one.json"
    Keeper(path).create(state())
    path.chmod(others)
    with pytest.raises(PhoneError, match="chmod 600"):
        Keeper(path)
    path.chmod(0o600)
    assert Keeper(path).state.device_id == "dev_1"


def test_two_processes_lose_nothing_of_each_other(tmp_path: Path) -> None:
    path = tmp_path / "one.json"
    first = Keeper(path)
    first.create(state())
    second = Keeper(path)
    second.change(lambda now: now.with_new_key("sit_2", key()))
    first.change(lambda now: replace(now, last_proof=99))
    assert "sit_2" in first.state.new_keys
    assert Keeper(path).state.to_json() == first.state.to_json()
    with pytest.raises(PhoneError, match="already"):
        Keeper(path).create(state())


def test_a_key_moves_from_its_token_to_its_site_and_is_made_once() -> None:
    new, other = key(), key()
    kept = state().with_new_key("scanned", new)
    assert kept.with_new_key("scanned", other).new_keys["scanned"] is new
    linked = kept.with_site("scanned", "sit_2")
    assert linked.site_keys["sit_2"] is new and "scanned" not in linked.new_keys
    assert linked.with_site("scanned", "sit_2") is linked
    assert "sit_2" not in linked.without("sit_2").site_keys


def test_erasing_removes_the_file(tmp_path: Path) -> None:
    keeper = Keeper(tmp_path / "one.json")
    keeper.create(state())
    keeper.erase()
    assert os.listdir(tmp_path) == [] and not keeper.registered
    with pytest.raises(PhoneError, match="not registered"):
        keeper.change(lambda now: now)


def test_without_a_path_all_stays_in_memory() -> None:
    keeper = Keeper()
    with pytest.raises(PhoneError, match="not registered"):
        _ = keeper.state
    keeper.create(state())
    assert keeper.change(lambda now: replace(now, last_proof=8)).last_proof == keeper.state.last_proof == 8
