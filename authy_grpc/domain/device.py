"""Decides which devices are let in, when, and whether a device's proof is of now."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from authy_grpc.domain.clock import WELL_BEYOND_NOW
from authy_grpc.domain.errors import ClockSkew, NewDevicesOff, Quota, WrongState

MAX_ACTIVE = 10
MAX_HELD = 3

# From the first AcknowledgeDevice; the other from when it was added.
SHOWN_WAIT = timedelta(hours=24)
UNSEEN_WAIT = timedelta(days=7)
# From the refusal of a held device: no device is let in by time.
BLOCKED = timedelta(days=30)
# From when a device was let in by time: what it may not do yet, see NewDevicePolicy of the contract.
LIMITED = timedelta(days=7)

# Wrong `check`s that ApproveDevice looks at, of one waiting device.
CHECK_GUESSES = 5
CHECK_DIGITS = 6
# How long a revoked device is still listed.
LISTED = timedelta(days=30)

MAX_SKEW_MILLIS = 60_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class DevicePlatform(StrEnum):
    """What the device runs on, as it says itself."""

    UNSPECIFIED = "UNSPECIFIED"
    ANDROID = "ANDROID"
    IOS = "IOS"
    WEB = "WEB"
    DESKTOP = "DESKTOP"


class NewDevicePolicy(StrEnum):
    """What happens when somebody with the phone number's codes adds a device."""

    ALLOW = "ALLOW"
    HOLD = "HOLD"
    DENY = "DENY"


class DeviceState(StrEnum):
    """Whether a device may act for the account."""

    ACTIVE = "ACTIVE"
    HELD = "HELD"
    REVOKED = "REVOKED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A device, as the account's devices see it.

    Attributes:
        release_time: where HELD, when it is let in by itself, as far as is known.
        current: whether it is the one that asks.
        check: where HELD, and only to itself, the digits by which its owner recognises it.
        limited_until: where it was let in by time, until when it may not do all.
    """

    device_id: str
    name: str = field(repr=False)
    platform: DevicePlatform
    state: DeviceState
    create_time: datetime
    last_seen_time: datetime | None = None
    release_time: datetime | None = None
    current: bool = False
    check: str = field(default="", repr=False)
    limited_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Proof:
    """A DeviceProof as it came.

    Attributes:
        time_millis: milliseconds since 1970.
        signature: over `keys.proof_message`; empty where there was none.
    """

    time_millis: int
    signature: bytes = field(repr=False)


MOVES: dict[DeviceState, frozenset[DeviceState]] = {
    DeviceState.HELD: frozenset({DeviceState.ACTIVE, DeviceState.REVOKED}),
    DeviceState.ACTIVE: frozenset({DeviceState.REVOKED}),
    DeviceState.REVOKED: frozenset(),
}


def move(state: DeviceState, to: DeviceState) -> DeviceState:
    """Returns `to`.

    Raises:
        WrongState: a device in `state` does not get there.
    """
    if to not in MOVES[state]:
        raise WrongState(state.value)
    return to


def admit(policy: NewDevicePolicy, *, active: int, held: int, has_links: bool, recovery: bool) -> DeviceState:
    """Returns how a new device of a verified number begins.

    An account without devices and links has nothing to guard: whatever its policy, the device is let in.

    Args:
        policy: the account's.
        active: its ACTIVE devices, without the new one.
        held: its HELD devices, without the new one.
        has_links: whether it is linked to a site.
        recovery: whether the device brings the account's recovery code.

    Raises:
        NewDevicesOff: the account lets none in.
        Quota: it has as many as it may.
    """
    if recovery or not (active or held or has_links):
        state = DeviceState.ACTIVE
    elif policy is NewDevicePolicy.DENY:
        raise NewDevicesOff
    else:
        state = DeviceState.HELD if policy is NewDevicePolicy.HOLD else DeviceState.ACTIVE
    if state is DeviceState.ACTIVE:
        check_active(active)
    elif held >= MAX_HELD:
        raise Quota(MAX_HELD)
    elif active + held >= MAX_ACTIVE + MAX_HELD:
        raise Quota(MAX_ACTIVE + MAX_HELD)
    return state


def check_active(active: int) -> None:
    """Asks whether an account may have one more ACTIVE device.

    Time lets devices in past that, or who has lost ten could never get in again: `admit` sees to it that
    those are never more than may wait.

    Args:
        active: its ACTIVE devices.

    Raises:
        Quota: it has as many as it may.
    """
    if active >= MAX_ACTIVE:
        raise Quota(MAX_ACTIVE)


def release_time(
    create_time: datetime, shown_time: datetime | None, blocked_until: datetime | None
) -> datetime:
    """Returns when a HELD device is let in by itself, as far as is known.

    Args:
        create_time: when it was added.
        shown_time: when another device first acknowledged that its owner was shown it.
        blocked_until: before when no device of the account is let in by time.
    """
    unseen = max(create_time + UNSEEN_WAIT, blocked_until or create_time)
    if shown_time is None or shown_time >= unseen:
        return unseen
    return max(shown_time + SHOWN_WAIT, blocked_until or shown_time)


def state_at(state: DeviceState, release_time: datetime | None, now: datetime) -> DeviceState:
    """Returns the state of a device at `now`: a HELD one is ACTIVE from its release time on."""
    if state is DeviceState.HELD and release_time is not None and release_time <= now:
        return DeviceState.ACTIVE
    return state


def check_proof_time(time_millis: int, last_millis: int, now: datetime) -> None:
    """Asks whether a DeviceProof is of now, and not one that was seen.

    Args:
        time_millis: the proof's, in milliseconds since 1970.
        last_millis: of the device's last proof; 0 where there was none.
        now: by the service's clock.

    Raises:
        ClockSkew: more than 60 s off, or not later than the last.
    """
    now_millis = (now - _EPOCH) // timedelta(milliseconds=1)
    if last_millis > now_millis + WELL_BEYOND_NOW // timedelta(milliseconds=1):
        # Kept by a clock that ran ahead: the device could prove nothing until then.
        last_millis = 0
    if abs(time_millis - now_millis) > MAX_SKEW_MILLIS or time_millis <= last_millis:
        raise ClockSkew(now_millis)
