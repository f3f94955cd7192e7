"""A database knows its keyset, at each step of a rotation, and takes no other."""

import pytest

from authy_grpc.store import keyset, rotation
from authy_grpc.store.database import Database
from authy_grpc.store.vault import KeysetError, Vault, new_keyset
from tests.rotating import keysets


async def _check(database: Database, vault: Vault) -> None:
    await database.write(lambda tx: keyset.check(tx, vault))


async def _refuses(database: Database, vault: Vault) -> str:
    with pytest.raises(KeysetError) as caught:
        await _check(database, vault)
    return str(caught.value)


async def test_every_step_of_a_rotation_is_the_databases_own(database: Database) -> None:
    vaults = keysets().vaults()
    for name in ("old", "added", "old", "promoted", "added", "old"):
        await _check(database, vaults[name])
    await database.write(lambda tx: keyset.seal_anew(tx, vaults["promoted"]))
    for name in ("added", "promoted", "settled", "added"):
        await _check(database, vaults[name])
    assert "not the database's own" in await _refuses(database, vaults["old"])


async def test_another_keyset_is_refused_at_each_step(database: Database) -> None:
    vaults, stranger = keysets().vaults(), Vault(new_keyset())
    await _check(database, vaults["old"])
    await _refuses(database, stranger)
    await database.write(lambda tx: keyset.seal_anew(tx, vaults["promoted"]))
    await _refuses(database, stranger)
    with pytest.raises(KeysetError):
        await database.write(lambda tx: keyset.seal_anew(tx, stranger))
    await _check(database, vaults["settled"])


async def test_keys_that_were_added_in_two_places_are_found_before_they_are_used(database: Database) -> None:
    here, there = keysets(), rotation.add_keys(keysets().old)
    await _check(database, Vault(here.added))
    assert "runs once" in await _refuses(database, Vault(there))
    assert "runs once" in await _refuses(database, Vault(rotation.promote(there)))
    await _check(database, Vault(here.promoted))
