from datetime import UTC, datetime, timedelta

import pytest

from authy_grpc.domain.device import (
    MOVES,
    DeviceState,
    NewDevicePolicy,
    admit,
    check_proof_time,
    move,
    release_time,
    state_at,
)
from authy_grpc.domain.errors import ClockSkew, NewDevicesOff, Quota, WrongState

ADDED = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
MILLISECOND = timedelta(milliseconds=1)
A, H, R = DeviceState.ACTIVE, DeviceState.HELD, DeviceState.REVOKED
ALLOW, HOLD, DENY = NewDevicePolicy.ALLOW, NewDevicePolicy.HOLD, NewDevicePolicy.DENY


@pytest.mark.parametrize("to", DeviceState)
@pytest.mark.parametrize("state", DeviceState)
def test_every_move_against_the_table(state: DeviceState, to: DeviceState) -> None:
    if (state, to) in {(H, A), (H, R), (A, R)}:
        assert move(state, to) is to
    else:
        with pytest.raises(WrongState) as refusal:
            move(state, to)
        assert refusal.value.state == state.name


def test_the_table_names_every_state() -> None:
    assert set(MOVES) == set(DeviceState)


@pytest.mark.parametrize("policy", NewDevicePolicy)
def test_the_first_device_of_an_empty_account_is_let_in(policy: NewDevicePolicy) -> None:
    assert admit(policy, active=0, held=0, has_links=False, recovery=False) is A


@pytest.mark.parametrize(
    ("active", "held", "has_links"), [(1, 0, False), (0, 1, False), (0, 0, True), (9, 2, True)]
)
def test_an_account_with_something_to_guard_goes_by_its_policy(
    active: int, held: int, has_links: bool
) -> None:
    assert admit(ALLOW, active=active, held=held, has_links=has_links, recovery=False) is A
    assert admit(HOLD, active=active, held=held, has_links=has_links, recovery=False) is H
    with pytest.raises(NewDevicesOff):
        admit(DENY, active=active, held=held, has_links=has_links, recovery=False)


@pytest.mark.parametrize("policy", NewDevicePolicy)
def test_the_recovery_code_lets_in_whatever_the_policy(policy: NewDevicePolicy) -> None:
    assert admit(policy, active=1, held=3, has_links=True, recovery=True) is A


def test_devices_of_each_state_have_a_quota_of_their_own() -> None:
    assert admit(ALLOW, active=9, held=3, has_links=True, recovery=False) is A
    assert admit(HOLD, active=10, held=2, has_links=True, recovery=False) is H
    with pytest.raises(Quota) as active:
        admit(ALLOW, active=10, held=0, has_links=True, recovery=False)
    with pytest.raises(Quota) as recovered:
        admit(DENY, active=10, held=0, has_links=True, recovery=True)
    with pytest.raises(Quota) as held:
        admit(HOLD, active=1, held=3, has_links=True, recovery=False)
    assert (active.value.limit, recovered.value.limit, held.value.limit) == (10, 10, 3)


def test_those_that_time_lets_in_past_the_quota_are_never_more_than_may_wait() -> None:
    assert admit(HOLD, active=12, held=0, has_links=True, recovery=False) is H
    for active, waiting in ((13, 0), (12, 1), (11, 2)):
        with pytest.raises(Quota) as refused:
            admit(HOLD, active=active, held=waiting, has_links=True, recovery=False)
        assert refused.value.limit == 13


def test_where_no_device_is_let_in_the_quota_is_not_told() -> None:
    with pytest.raises(NewDevicesOff):
        admit(DENY, active=10, held=3, has_links=True, recovery=False)


@pytest.mark.parametrize(
    ("shown", "blocked", "released"),
    [
        (None, None, 7 * DAY),
        (timedelta(0), None, DAY),
        (3 * HOUR, None, DAY + 3 * HOUR),
        (7 * DAY - MILLISECOND, None, 8 * DAY - MILLISECOND),
        (7 * DAY, None, 7 * DAY),
        (8 * DAY, None, 7 * DAY),
        (None, 7 * DAY - MILLISECOND, 7 * DAY),
        (None, 30 * DAY, 30 * DAY),
        (HOUR, 30 * DAY, 30 * DAY),
        (HOUR, 2 * HOUR, DAY + HOUR),
        (30 * DAY - HOUR, 30 * DAY, 31 * DAY - HOUR),
        (31 * DAY, 30 * DAY, 30 * DAY),
        (HOUR, -DAY, DAY + HOUR),
    ],
)
def test_a_held_device_waits_for_its_time(
    shown: timedelta | None, blocked: timedelta | None, released: timedelta
) -> None:
    shown_time = None if shown is None else ADDED + shown
    blocked_until = None if blocked is None else ADDED + blocked

    assert release_time(ADDED, shown_time, blocked_until) == ADDED + released


@pytest.mark.parametrize("offset", [-60_000, -59_999, 0, 59_999, 60_000])
def test_a_proof_within_a_minute_is_of_now(offset: int) -> None:
    check_proof_time(1_767_225_600_000 + offset, 0, ADDED)


@pytest.mark.parametrize("offset", [-60_001, 60_001, -(1 << 62), 1 << 62])
def test_a_proof_a_millisecond_further_off_is_refused(offset: int) -> None:
    with pytest.raises(ClockSkew) as refusal:
        check_proof_time(1_767_225_600_000 + offset, 0, ADDED + timedelta(microseconds=999))

    assert refusal.value.server_time == 1_767_225_600_000


@pytest.mark.parametrize(("later", "taken"), [(-1, False), (0, False), (1, True)])
def test_a_proof_is_later_than_the_last(later: int, taken: bool) -> None:
    last = 1_767_225_600_000 + 59_000

    if taken:
        check_proof_time(last + later, last, ADDED)
    else:
        with pytest.raises(ClockSkew):
            check_proof_time(last + later, last, ADDED)


@pytest.mark.parametrize(
    ("state", "left", "expected"),
    [
        (H, 1, H),
        (H, 0, A),
        (H, None, H),
        (R, 0, R),
        (A, 1, A),
    ],
)
def test_a_device_that_has_waited_long_enough_is_in(
    state: DeviceState, left: int | None, expected: DeviceState
) -> None:
    release = None if left is None else ADDED + timedelta(milliseconds=left)
    assert state_at(state, release, ADDED) is expected
