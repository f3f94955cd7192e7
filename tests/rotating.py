"""The keysets of a rotation, from the old keys to the new ones, and servers that read different ones."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

from authy_grpc.domain.ids import new_secret
from authy_grpc.home import Secrets
from authy_grpc.store import rotation
from authy_grpc.store.vault import Vault, new_keyset
from tests.clock import TurnedClock
from tests.harness import Service


@dataclass(frozen=True)
class Keysets:
    """The texts of one keyset, step by step."""

    old: str
    added: str
    promoted: str
    settled: str

    def vaults(self) -> dict[str, Vault]:
        """A vault of each, by its step."""
        return {name: Vault(text) for name, text in vars(self).items()}


@cache
def keysets(old: str = "") -> Keysets:
    """A rotation, of a keyset that is given or new."""
    old = old or new_keyset()
    added = rotation.add_keys(old)
    promoted = rotation.promote(added)
    return Keysets(old, added, promoted, rotation.drop_old(promoted))


def servers(url: str, clock: TurnedClock, random: Callable[[int], bytes], *texts: str) -> list[Service]:
    """Services on one database, each with a keyset of its own, to be entered."""
    secrets = Secrets(keyset="", operator_key=new_secret("op", random), gateway_key=new_secret("gw", random))
    return [Service(url, clock, random, replace(secrets, keyset=text)) for text in texts]
