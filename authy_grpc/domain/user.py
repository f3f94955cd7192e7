"""What a relying site may know of its user."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class Factor(StrEnum):
    """What can prove that it is the user."""

    SOFT_TOKEN = "SOFT_TOKEN"
    SMS = "SMS"
    VOICE = "VOICE"
    PUSH = "PUSH"
    BACKUP_CODE = "BACKUP_CODE"


# These need a carrier.
CARRIED = frozenset({Factor.SMS, Factor.VOICE})


@dataclass(frozen=True, slots=True)
class SiteKey:
    """The public half of a key that one device holds for one site.

    Attributes:
        kid: RFC 7638 thumbprint.
        jwk: a JSON Web Key (RFC 7517), EC P-256.
        revoke_time: None while the key is good.
    """

    kid: str
    jwk: str
    create_time: datetime
    revoke_time: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A link as its site sees it.

    Attributes:
        factors: what can be used now.
        locked_until: `limits.FOREVER` where time alone does not lift it.
        push_frozen_until: `limits.FOREVER` where time alone does not lift it.
        keys: of the devices that can answer approvals, the revoked ones too.
    """

    authy_id: str
    custom_user_id: str = field(repr=False)
    factors: tuple[Factor, ...]
    create_time: datetime
    last_verify_time: datetime | None = None
    locked_until: datetime | None = None
    push_frozen_until: datetime | None = None
    keys: tuple[SiteKey, ...] = ()
    backup_codes_left: int = 0
