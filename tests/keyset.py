"""Makes one keyset and its vault for all tests of a process: to make them takes longer than most tests do."""

from functools import cache

from authy_grpc.store.vault import Vault, new_keyset


@cache
def shared_keyset() -> str:
    """The keyset's text."""
    return new_keyset()


@cache
def shared_vault() -> Vault:
    """What seals by it."""
    return Vault(shared_keyset())
