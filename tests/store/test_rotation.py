"""A keyset's keys come and go, and what they made stays readable for as long as it should."""

import json
from itertools import pairwise

import pytest

from authy_grpc.store import rotation
from authy_grpc.store.rotation import KEPT, Stage
from authy_grpc.store.vault import PURPOSES, KeysetError, Vault, new_keyset
from tests.rotating import keysets

VALUE = b"+4915112345678"


def test_each_step_has_its_name_and_no_other_may_follow() -> None:
    steps = keysets()
    stages = [rotation.stage(text) for text in vars(steps).values()]
    assert stages == [Stage.SETTLED, Stage.ADDED, Stage.PROMOTED, Stage.SETTLED]
    allowed = {
        rotation.add_keys: {"old", "settled"},
        rotation.promote: {"added"},
        rotation.drop_old: {"promoted"},
    }
    for step, texts in allowed.items():
        for name, text in vars(steps).items():
            if name in texts:
                step(text)
            else:
                with pytest.raises(KeysetError):
                    step(text)


def test_what_is_no_keyset_is_not_repeated() -> None:
    with pytest.raises(KeysetError) as caught:
        rotation.add_keys('{"secret": "hunter2"}')
    assert "hunter2" not in str(caught.value)


def test_neighbours_open_what_each_other_sealed_and_strangers_do_not() -> None:
    vaults = keysets().vaults()
    for before, after in pairwise(vaults.values()):
        assert after.open("place", "row", before.seal("place", "row", VALUE)) == VALUE
    for readers, writer in (("added", "promoted"), ("promoted", "settled")):
        assert vaults[readers].open("place", "row", vaults[writer].seal("place", "row", VALUE)) == VALUE
    for reader, writer in (("old", "promoted"), ("old", "settled"), ("settled", "added")):
        with pytest.raises(KeysetError):
            vaults[reader].open("place", "row", vaults[writer].seal("place", "row", VALUE))


def test_what_the_primary_key_sealed_is_known_by_its_first_bytes() -> None:
    vaults = keysets().vaults()
    current = {
        (reader, writer)
        for reader in vaults
        for writer in vaults
        if vaults[reader].is_current(vaults[writer].seal("place", "row", VALUE))
    }
    before, after = ("old", "added"), ("promoted", "settled")
    assert current == {(one, two) for group in (before, after) for one in group for two in group}


def test_a_key_has_one_column_for_life() -> None:
    """Whoever knows a key writes its digest where the others look for it, whatever is primary."""
    vaults = keysets().vaults()
    pairs = {name: vault.pair("number", VALUE) for name, vault in vaults.items()}
    (old, nothing), (also_nothing, new) = pairs["old"], pairs["settled"]
    assert (nothing, also_nothing) == (None, None) and old and new
    assert pairs["added"] == pairs["promoted"] == (old, new)
    # The next rotation begins in the other column, and the one after it in the first one.
    second = keysets(keysets().settled)
    assert Vault(second.added).pair("number", VALUE)[1] == new
    (third, nothing) = Vault(second.settled).pair("number", VALUE)
    assert nothing is None and third not in (None, old, new)
    assert {*Vault(second.promoted).by_age("number", VALUE)} == {1, 2}


def test_new_digests_are_by_the_primary_key_and_all_are_tried() -> None:
    vaults = keysets().vaults()
    old, new = vaults["old"].digest("request", VALUE), vaults["settled"].digest("request", VALUE)
    assert vaults["added"].digests("request", VALUE) == (old, new)
    assert vaults["promoted"].digests("request", VALUE) == (new, old)


def test_keys_of_digests_that_cannot_be_made_anew_stay() -> None:
    twice = keysets(keysets().settled).vaults()["settled"]
    counts = {purpose: len(twice.digests(purpose, VALUE)) for purpose in PURPOSES}
    assert counts == {purpose: 3 if purpose in KEPT else 1 for purpose in PURPOSES}
    for purpose in KEPT:
        assert Vault(keysets().old).digest(purpose, VALUE) in twice.digests(purpose, VALUE)


def test_old_keys_are_gone_from_the_text() -> None:
    steps = keysets()
    old = {each["keyData"]["value"] for each in json.loads(steps.old)["keysets"]["aead"]["key"]}
    assert all(value in steps.promoted for value in old)
    assert not any(value in steps.settled for value in old)
    assert new_keyset() != new_keyset()
