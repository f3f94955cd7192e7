"""Who calls: the first argument of every use case."""

from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from ipaddress import ip_address

from authy_grpc.domain.application import Scope
from authy_grpc.domain.networks import subscriber

# All who have no credential share one turn: whoever has many addresses has no more of them.
_STRANGERS = "strangers"


@dataclass(frozen=True, slots=True)
class Site:
    """A relying site, by one of its API keys.

    Attributes:
        scopes: what the key may be used for.
        expire_time: when the key ends by itself; None for never.
    """

    application_id: str
    api_key_id: str
    scopes: frozenset[Scope]
    expire_time: datetime | None


@dataclass(frozen=True, slots=True)
class Device:
    """An authenticator, by the session of one device token.

    Attributes:
        held: whether the device still waits to be let in.
        expire_time: when the token ends by itself.
    """

    account_id: str
    device_id: str
    session_id: str
    held: bool
    expire_time: datetime


@dataclass(frozen=True, slots=True)
class Operator:
    """Whoever runs the service, by one of the operator keys.

    Attributes:
        operator_key_id: of a key in the database; empty for the one of the installation's secrets.
        name: what the key is called.
        expire_time: None: it ends by being revoked alone.
    """

    operator_key_id: str = ""
    name: str = "home"
    expire_time: None = None


@dataclass(frozen=True, slots=True)
class Gateway:
    """The REST gateway, on its own behalf."""


@dataclass(frozen=True, slots=True)
class Nobody:
    """A caller without a credential.

    Attributes:
        peer: the address that it calls from, without the port: for limits, never for a log.
    """

    peer: str = field(repr=False)

    @property
    def turn(self) -> str:
        """Whose turn it takes (`store/fair.py`): within that of all strangers its network's."""
        with suppress(ValueError):
            return f"{_STRANGERS}/{subscriber(ip_address(self.peer))}"
        return f"{_STRANGERS}/{self.peer}"


Caller = Site | Device | Operator | Gateway | Nobody
