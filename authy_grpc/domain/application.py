"""What a relying site is, and what its API keys may be used for."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class Scope(StrEnum):
    """What an API key may be used for."""

    ENROLL = "ENROLL"
    VERIFY = "VERIFY"
    EVENTS = "EVENTS"
    MANAGE = "MANAGE"


DEFAULT_SCOPES = (Scope.ENROLL, Scope.VERIFY, Scope.EVENTS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """A relying site as the operator knows it.

    Attributes:
        origin: the https origin of the site.
        logo: PNG; empty where there is none, and where it was not asked for.
        code_digits: digits of a soft token, 6 to 8.
        code_period_seconds: seconds for which a soft token stands, 10 to 60.
        match_digits: digits that a user types to approve: 0 for none, 2 to 8.
        phone_codes: whether codes may go out by text message and voice call.
        require_code: whether an enrollment asks for a first code.
    """

    application_id: str
    name: str
    origin: str
    logo: bytes = field(default=b"", repr=False)
    code_digits: int = 6
    code_period_seconds: int = 30
    match_digits: int = 6
    phone_codes: bool = True
    require_code: bool = False
    create_time: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """A key of a relying site, without its secret."""

    api_key_id: str
    application_id: str
    name: str
    scopes: tuple[Scope, ...]
    create_time: datetime
    last_use_time: datetime | None = None
    expire_time: datetime | None = None
