"""Owns what an authenticator may know of a site."""

from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A site that asks to be linked.

    Attributes:
        logo_id: empty where the site has no logo.
        origin: the site's own web origin.
        expire_time: until when it can be accepted.
    """

    site_name: str
    logo_id: str
    origin: str
    expire_time: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A link as its owner sees it on one device.

    Attributes:
        logo_id: empty where the site has no logo.
        has_key: whether this device has a key for the site.
        label: the owner's own name for it; empty for none.
        awaiting_code: whether the link waits for its first code.
    """

    site_id: str
    name: str
    logo_id: str
    code_digits: int
    code_period_seconds: int
    create_time: datetime
    last_use_time: datetime | None = None
    has_key: bool
    label: str = field(default="", repr=False)
    awaiting_code: bool
