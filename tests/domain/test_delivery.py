"""When a post is tried again and given up, and when a webhook is spared, at each edge."""

from datetime import UTC, datetime, timedelta

import pytest

from authy_grpc.domain.delivery import (
    BREAKS_AT,
    SCHEDULE,
    Health,
    after_failure,
    delivery_id,
    is_dead,
    is_gone,
    is_success,
    retry_delay,
    tail,
)

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
SECOND, MINUTE, HOUR, DAY = (timedelta(**{each: 1}) for each in ("seconds", "minutes", "hours", "days"))


def test_the_schedule_is_that_of_the_design() -> None:
    assert [delay.total_seconds() for delay in SCHEDULE] == [
        5, 30, 120, 600, 3600, 3 * 3600, 6 * 3600, 12 * 3600, 24 * 3600, 24 * 3600,
    ]  # fmt: skip


@pytest.mark.parametrize("failures", range(1, len(SCHEDULE) + 1))
def test_the_jitter_is_a_fifth_to_either_side(failures: int) -> None:
    planned = SCHEDULE[failures - 1]
    assert retry_delay(failures, 0.5, None) == planned
    assert retry_delay(failures, 0, None) == planned * 0.8
    assert retry_delay(failures, 1, None) == planned * 1.2


def test_the_eleventh_failure_is_the_last() -> None:
    assert retry_delay(10, 0.5, None) == DAY
    assert retry_delay(11, 0.5, None) is None
    assert retry_delay(11, 0.5, HOUR) is None


@pytest.mark.parametrize(
    ("asked", "delay"),
    [
        (timedelta(seconds=-9), 5 * SECOND),
        (timedelta(0), 5 * SECOND),
        (4 * SECOND, 5 * SECOND),
        (6 * SECOND, 6 * SECOND),
        (HOUR - SECOND, HOUR - SECOND),
        (HOUR, HOUR),
        (HOUR + SECOND, HOUR),
        (timedelta.max, HOUR),
    ],
)
def test_what_a_receiver_asks_for_is_honoured_up_to_an_hour(asked: timedelta, delay: timedelta) -> None:
    assert retry_delay(1, 0.5, asked) == delay


def failed(times: int) -> Health:
    health = Health()
    for number in range(times):
        health = after_failure(health, NOON + number * SECOND)
    return health


def test_four_failures_spare_nobody_and_the_fifth_does() -> None:
    assert failed(BREAKS_AT - 1) == Health(4, NOON, None)
    assert failed(BREAKS_AT) == Health(5, NOON, NOON + 4 * SECOND + MINUTE)


def test_what_was_in_flight_when_it_broke_puts_no_probe_off() -> None:
    assert failed(9) == Health(9, NOON, NOON + 4 * SECOND + MINUTE)


def test_a_probe_waits_for_what_the_receiver_asks_for() -> None:
    now = NOON + HOUR
    assert after_failure(failed(5), now, 10 * MINUTE).next_probe_time == now + 10 * MINUTE
    assert after_failure(failed(5), now, 10 * HOUR).next_probe_time == now + HOUR
    assert after_failure(failed(4), now, SECOND).next_probe_time == now + MINUTE
    assert after_failure(failed(1), now, 10 * MINUTE).next_probe_time is None


def test_five_days_count_from_the_first_failure_in_a_row() -> None:
    assert not is_dead(Health(), NOON + 100 * DAY)
    assert not is_dead(failed(9), NOON + 5 * DAY - timedelta(milliseconds=1))
    assert is_dead(failed(9), NOON + 5 * DAY)
    assert is_dead(failed(1), NOON + 5 * DAY)


@pytest.mark.parametrize("status", [0, 199, 200, 204, 299, 300, 302, 409, 410, 411, 500])
def test_what_has_arrived(status: int) -> None:
    assert is_success(status) is (status in (200, 204, 299))
    assert is_gone(status) is (status == 410)


def test_posts_of_one_event_are_named_by_the_tails_of_webhooks() -> None:
    event_id, one, two = f"evt_{'A' * 22}BCDE", f"whk_{'0' * 22}WXYZ", f"whk_{'0' * 22}WXY0"
    assert delivery_id(event_id, one) == f"dlv_{'A' * 22}WXYZ" != delivery_id(event_id, two)
    assert (tail(one), tail(two)) == ("WXYZ", "WXY0")
