"""What can be refused, as typed errors. Knows nothing of gRPC: `rpc/errors.py` maps them.

No error carries a value that a caller sent: what is refused may be a secret.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Self


class Refusal(Exception):
    """Base of all that the service refuses. Each subclass is one reason of `errors.proto`."""


@dataclass(frozen=True)
class Violation:
    """One bad field.

    Attributes:
        field: its path in the request, such as `details[2].label`.
        description: what is wrong, without the value.
        reason: a name for it, where a program has to tell it from others of the field.
    """

    field: str
    description: str
    reason: str = ""


class Blames(Refusal):
    """Base of refusals that name fields."""

    def __init__(self, *violations: Violation) -> None:
        super().__init__(", ".join(violation.field for violation in violations))
        self.violations = violations

    @classmethod
    def one(cls, field: str, description: str, reason: str = "") -> Self:
        """A single bad field, by its path and what is wrong with it."""
        return cls(Violation(field, description, reason))


class BadField(Blames):
    """Fields break the limits of the contract; all are named at once."""


class ForbiddenAddress(Blames):
    """A webhook address that must not be called."""


class BadSignature(Refusal):
    """A signature, key or receipt does not verify."""


class BadCredential(Refusal):
    """No credential, or one that is unknown, revoked or expired."""


class ClockSkew(Refusal):
    """The caller's clock is off.

    Attributes:
        server_time: the service's time in milliseconds since 1970.
    """

    def __init__(self, server_time: int) -> None:
        super().__init__()
        self.server_time = server_time


class CodeRejected(Refusal):
    """A wrong or used-up code."""


class MissingScope(Refusal):
    """The credential is good, and not for this call.

    Attributes:
        scope: what it lacks: a scope such as `ENROLL`, or `site`, `device`, `operator`, `gateway`.
    """

    def __init__(self, scope: str) -> None:
        super().__init__(scope)
        self.scope = scope


class NotFound(Refusal):
    """No such thing, or not the caller's: the two look the same."""


class UserExists(Refusal):
    """`custom_user_id` has an active user."""


class RequestIdReused(Refusal):
    """`request_id` was used for another request."""


class WrongState(Refusal):
    """The state does not allow it.

    Attributes:
        state: the state's name without prefix, such as `EXPIRED`.
    """

    def __init__(self, state: str) -> None:
        super().__init__(state)
        self.state = state


class FactorUnavailable(Refusal):
    """The user cannot use this factor."""


class Waits(Refusal):
    """Base of refusals that time may lift.

    Attributes:
        retry_after: how long until it is worth trying again; None where time alone does not lift it.
    """

    def __init__(self, retry_after: timedelta | None = None) -> None:
        super().__init__()
        self.retry_after = retry_after


class PushFrozen(Waits):
    """Too many approvals were refused or ended without an answer."""


class NewDevicesOff(Refusal):
    """The account lets no new device in."""


class DeviceHeld(Refusal):
    """The device waits to be let in, or was let in by time and may not do this yet."""


class UserLocked(Waits):
    """Wrong codes have locked the user."""


class RateLimited(Waits):
    """Asked too often, or too many streams are held."""


class Quota(Refusal):
    """No more of these.

    Attributes:
        limit: how many there may be.
    """

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.limit = limit


class CursorExpired(Refusal):
    """The cursor is older than what is kept."""


class BackendUnavailable(Refusal):
    """The database, the keyset or a carrier is out of reach and nothing was decided."""


class RequestTimeout(Refusal):
    """The message of a call did not come in time."""


class Draining(Refusal):
    """This server is stopping, or the stream has lived long enough."""
