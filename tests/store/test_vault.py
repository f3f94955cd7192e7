"""What is sealed opens at its own place alone, and a digest says nothing of another."""

import json
from collections.abc import Callable

import pytest

from authy_grpc.store.vault import PURPOSES, KeysetError, Vault, new_keyset, read_keyset

PLAIN = b"+4915112345678"


def test_what_was_sealed_opens_at_its_place(vault: Vault, keyset_text: str) -> None:
    sealed = vault.seal("account.number", "acc_1", PLAIN)
    assert vault.open("account.number", "acc_1", sealed) == PLAIN
    assert Vault(keyset_text).open("account.number", "acc_1", sealed) == PLAIN
    assert vault.open("account.number", "", vault.seal("account.number", "", b"")) == b""


def test_it_is_never_sealed_the_same_way_twice(vault: Vault) -> None:
    one, two = (vault.seal("account.number", "acc_1", PLAIN) for _ in range(2))
    assert one != two
    assert PLAIN not in one


@pytest.mark.parametrize(
    ("place", "row"),
    [
        ("account.name", "acc_1"),
        ("account.number", "acc_2"),
        ("account.number", ""),
        ("account.number", "acc_1\n"),
        ("account", "number\nacc_1"),
        ("account.number\nacc_1", ""),
        ("", "account.number\nacc_1"),
    ],
)
def test_at_another_place_it_does_not_open(vault: Vault, place: str, row: str) -> None:
    sealed = vault.seal("account.number", "acc_1", PLAIN)
    with pytest.raises(KeysetError) as refused:
        vault.open(place, row, sealed)
    assert "4915" not in str(refused.value)


def test_what_was_changed_or_cut_does_not_open(vault: Vault) -> None:
    sealed = vault.seal("account.number", "acc_1", PLAIN)
    for index in range(len(sealed)):
        flipped = sealed[:index] + bytes([sealed[index] ^ 1]) + sealed[index + 1 :]
        for broken in (flipped, sealed[:index], sealed + b"\x00"):
            with pytest.raises(KeysetError):
                vault.open("account.number", "acc_1", broken)
    assert vault.open("account.number", "acc_1", sealed) == PLAIN


def test_another_keyset_opens_and_digests_nothing_of_this_one(vault: Vault) -> None:
    other = Vault(new_keyset())
    with pytest.raises(KeysetError):
        other.open("account.number", "acc_1", vault.seal("account.number", "acc_1", PLAIN))
    for purpose in PURPOSES:
        assert vault.digest(purpose, PLAIN) != other.digest(purpose, PLAIN)


def test_a_digest_is_the_same_again_and_another_for_each_purpose(vault: Vault, keyset_text: str) -> None:
    digests = [vault.digest(purpose, PLAIN) for purpose in PURPOSES]
    assert digests == [Vault(keyset_text).digest(purpose, PLAIN) for purpose in PURPOSES]
    assert len(set(digests)) == len(PURPOSES)
    assert {len(digest) for digest in digests} == {32}
    assert vault.digest("number", PLAIN + b"0") not in digests
    assert vault.digests("number", PLAIN) == (vault.digest("number", PLAIN),)


def test_look_ups_try_every_key_the_primary_first(keyset_text: str) -> None:
    """As while a new key is brought in: two keysets' keys for one purpose."""
    document, other = json.loads(keyset_text), json.loads(new_keyset())
    keys = document["keysets"]["number"]["key"] + other["keysets"]["number"]["key"]
    new_id = other["keysets"]["number"]["primaryKeyId"]
    document["keysets"]["number"] |= {"key": keys, "primaryKeyId": new_id}
    rotated = Vault(json.dumps(document))
    old, new = Vault(keyset_text), Vault(json.dumps(other))
    assert rotated.digest("number", PLAIN) == new.digest("number", PLAIN)
    assert rotated.digests("number", PLAIN) == (new.digest("number", PLAIN), old.digest("number", PLAIN))


def without(name: str) -> Callable[[str], str]:
    def spoil(text: str) -> str:
        document = json.loads(text)
        del document["keysets"][name]
        return json.dumps(document)

    return spoil


def emptied(text: str) -> str:
    document = json.loads(text)
    document["keysets"]["aead"]["key"] = []
    return json.dumps(document)


@pytest.mark.parametrize(
    "spoil",
    [
        *map(without, ("aead", *PURPOSES)),
        emptied,
        lambda text: "",
        lambda text: "[]",
        lambda text: "null",
        lambda text: "{}",
        lambda text: text[:-1],
        lambda text: text.replace('"typeUrl": "type.googleapis.com', '"typeUrl": "type.example.com'),
        lambda text: text.replace('"version": 1', '"version": 1, "keysets": 7, "old"').replace(
            '"keysets": {', '"x": {'
        ),
    ],
)
def test_what_is_no_keyset_is_refused_without_repeating_it(
    keyset_text: str, spoil: Callable[[str], str]
) -> None:
    with pytest.raises(KeysetError) as refused:
        Vault(spoil(keyset_text))
    secrets = [
        key["keyData"]["value"]
        for keyset in json.loads(keyset_text)["keysets"].values()
        for key in keyset["key"]
    ]
    # What led to it would be printed too.
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__
    assert not any(secret in str(refused.value) for secret in secrets)


def test_nothing_of_it_is_shown(vault: Vault, keyset_text: str) -> None:
    assert repr(vault) == str(vault) == "Vault()"
    secret = json.loads(keyset_text)["keysets"]["aead"]["key"][0]["keyData"]["value"]
    assert secret in keyset_text
    assert secret not in repr(vars(vault)) + repr(read_keyset(keyset_text))
