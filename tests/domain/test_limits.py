from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from authy_grpc.domain.errors import PushFrozen, RateLimited, UserLocked, Waits
from authy_grpc.domain.limits import (
    FOREVER,
    NETWORK_RULES,
    PEER_RULES,
    SEND_RULES,
    Guesses,
    PushGuard,
    Rule,
    after_denial,
    after_fraud,
    after_no_answer,
    after_wrong,
    attempts_remaining,
    check_guesses,
    check_push,
    retry_delay,
    spend,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)
SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


def refused(check: Callable[..., None], *values: object) -> bool:
    try:
        check(*values)
    except Waits:
        return True
    return False


locked = partial(refused, check_guesses)
frozen = partial(refused, check_push)

LOCKS = {5: 30, 6: 60, 7: 120, 8: 240, 9: 480, 10: 960, 11: 1920}


@pytest.mark.parametrize("failures", range(1, 50))
def test_each_wrong_code_locks_as_long_as_the_table_says(failures: int) -> None:
    guesses = after_wrong(Guesses(failures - 1), NOW)

    if failures < 5:
        assert guesses == Guesses(failures)
        assert not locked(guesses, NOW)
        return
    lock = timedelta(seconds=LOCKS.get(failures, 3600))
    assert guesses == Guesses(failures, NOW + lock)
    assert locked(guesses, NOW)
    assert locked(guesses, NOW + lock - MILLISECOND)
    assert not locked(guesses, NOW + lock)


@pytest.mark.parametrize("failures", [50, 51, 1_000_000])
def test_from_fifty_on_time_does_not_unlock(failures: int) -> None:
    guesses = after_wrong(Guesses(failures - 1), NOW)

    assert guesses == Guesses(failures, FOREVER)
    with pytest.raises(UserLocked) as refusal:
        check_guesses(guesses, NOW + timedelta(days=100_000))
    assert refusal.value.retry_after is None


def test_a_lock_and_a_freeze_say_how_long_they_last() -> None:
    with pytest.raises(UserLocked) as lock:
        check_guesses(after_wrong(Guesses(4), NOW), NOW + MILLISECOND)
    with pytest.raises(PushFrozen) as freeze:
        check_push(after_denial(PushGuard(4), NOW), NOW + MILLISECOND)

    assert lock.value.retry_after == 30 * SECOND - MILLISECOND
    assert freeze.value.retry_after == 15 * MINUTE - MILLISECOND


def test_forever_is_as_the_contract_writes_it() -> None:
    assert FOREVER.isoformat() == "9999-12-31T23:59:59+00:00"


@pytest.mark.parametrize(("failures", "left"), [(0, 5), (1, 4), (4, 1), (5, 1), (49, 1)])
def test_what_is_left_counts_the_one_that_locks(failures: int, left: int) -> None:
    assert attempts_remaining(Guesses(failures, NOW), NOW) == left


@pytest.mark.parametrize("failures", [5, 49, 50])
def test_nothing_is_left_while_locked(failures: int) -> None:
    assert attempts_remaining(after_wrong(Guesses(failures - 1), NOW), NOW) == 0


class GuessesMachine(RuleBasedStateMachine):
    """Guesses at any times: no more are looked at than the limits allow."""

    @initialize()
    def begin(self) -> None:
        self.now = NOW
        self.guesses = Guesses()
        self.wrong: list[datetime] = []

    @rule(wait=st.one_of(st.integers(0, 60), st.integers(0, 90_000)))
    def wait(self, wait: int) -> None:
        self.now += wait * SECOND

    @rule(calls=st.integers(1, 100))
    def guess_at_once(self, calls: int) -> None:
        left = attempts_remaining(self.guesses, self.now)
        evaluated = 0
        for _ in range(calls):
            if not locked(self.guesses, self.now):
                self.guesses = after_wrong(self.guesses, self.now)
                self.wrong.append(self.now)
                evaluated += 1
        assert evaluated == min(calls, left)

    @rule()
    def succeed(self) -> None:
        if not locked(self.guesses, self.now):
            self.guesses = Guesses()
            self.wrong = []

    @invariant()
    def no_overshoot(self) -> None:
        assert self.guesses.failures == len(self.wrong) <= 50
        for position in range(5, len(self.wrong)):
            pause = self.wrong[position] - self.wrong[position - 1]
            assert pause >= min(30 * SECOND * 2 ** (position - 5), HOUR)


TestGuessesMachine = GuessesMachine.TestCase


def test_the_budgets_are_those_of_the_contract() -> None:
    assert list(SEND_RULES) == [Rule(1, 30 * SECOND), Rule(3, 10 * MINUTE), Rule(10, 24 * HOUR)]
    assert list(PEER_RULES) == [Rule(30, HOUR)]
    assert list(NETWORK_RULES) == [Rule(300, HOUR)]


@pytest.mark.parametrize(
    ("before", "delay"),
    [
        ((), timedelta(0)),
        ((0 * SECOND,), 30 * SECOND),
        ((30 * SECOND - MILLISECOND,), MILLISECOND),
        ((30 * SECOND,), timedelta(0)),
        ((10 * MINUTE - MILLISECOND, 5 * MINUTE, MINUTE), MILLISECOND),
        ((10 * MINUTE, 5 * MINUTE, MINUTE), timedelta(0)),
        ((10 * MINUTE - SECOND, 5 * MINUTE, 10 * SECOND), 20 * SECOND),
        (tuple(24 * HOUR - MILLISECOND - n * HOUR for n in range(10)), MILLISECOND),
        (tuple(24 * HOUR - n * HOUR for n in range(10)), timedelta(0)),
    ],
)
def test_a_send_waits_exactly_as_long_as_it_must(before: tuple[timedelta, ...], delay: timedelta) -> None:
    times = [NOW - ago for ago in before]

    assert retry_delay(times, NOW, SEND_RULES) == delay
    if delay:
        with pytest.raises(RateLimited) as refusal:
            spend(times, NOW, SEND_RULES)
        assert refusal.value.retry_after == delay
        with pytest.raises(RateLimited):
            spend(times, NOW + delay - timedelta(microseconds=1), SEND_RULES)
    assert spend(times, NOW + delay, SEND_RULES)[-1] == NOW + delay


def test_what_no_rule_looks_at_is_dropped() -> None:
    day = timedelta(days=1)

    assert spend([NOW - day, NOW - day + MILLISECOND], NOW, SEND_RULES) == (NOW - day + MILLISECOND, NOW)


def test_a_peer_may_ask_thirty_times_an_hour() -> None:
    times: tuple[datetime, ...] = ()
    for _ in range(30):
        times = spend(times, NOW, PEER_RULES)

    with pytest.raises(RateLimited) as refusal:
        spend(times, NOW + HOUR - MILLISECOND, PEER_RULES)
    assert refusal.value.retry_after == MILLISECOND
    assert spend(times, NOW + HOUR, PEER_RULES) == (NOW + HOUR,)


@given(waits=st.lists(st.integers(0, 100_000), max_size=200), rules=st.sampled_from([SEND_RULES, PEER_RULES]))
def test_no_span_of_time_ever_holds_more_than_a_rule_allows(
    waits: list[int], rules: tuple[Rule, ...]
) -> None:
    kept: tuple[datetime, ...] = ()
    sent: list[datetime] = []
    now = NOW
    for wait in waits:
        now += timedelta(milliseconds=wait)
        delay = retry_delay(kept, now, rules)
        assert delay == retry_delay(sent, now, rules)
        if not delay:
            kept = spend(kept, now, rules)
            sent.append(now)

    assert len(kept) <= max(rule.count for rule in rules)
    for one in rules:
        for first, last in zip(sent, sent[one.count :], strict=False):
            assert last - first >= one.window


FREEZES = [15, 30, 60, 120, 240, 480, 960, 1440, 1440, 1440]


@pytest.mark.parametrize(
    ("miss", "harmless", "freezes"),
    [
        (after_denial, 2, FREEZES),
        # A question that nobody answered counts half.
        (after_no_answer, 5, [each for each in FREEZES for _ in range(2)]),
    ],
)
def test_at_six_push_freezes_and_each_question_after_that_freezes_it_again(
    miss: Callable[[PushGuard, datetime], PushGuard], harmless: int, freezes: list[int]
) -> None:
    guard = PushGuard()
    for _ in range(harmless):
        guard = miss(guard, NOW)
        assert not frozen(guard, NOW)

    now = NOW
    for minutes in freezes:
        guard = miss(guard, now)
        end = now + minutes * MINUTE
        assert frozen(guard, now)
        assert frozen(guard, end - MILLISECOND)
        assert not frozen(guard, end)
        now = end


@pytest.mark.parametrize("before", [4, 5])
def test_the_first_freeze_is_of_one_length_however_it_came_about(before: int) -> None:
    assert after_denial(PushGuard(before), NOW).frozen_until == NOW + 15 * MINUTE


def test_misses_have_no_end() -> None:
    assert after_denial(PushGuard(1_000_000), NOW) == PushGuard(1_000_002, NOW + 24 * HOUR)


@pytest.mark.parametrize("misses", [0, 1, 2, 9])
def test_fraud_freezes_until_something_else_lifts_it(misses: int) -> None:
    guard = after_fraud(PushGuard(misses))

    for one in (guard, after_denial(guard, NOW), after_no_answer(after_denial(guard, NOW), NOW)):
        with pytest.raises(PushFrozen) as refusal:
            check_push(one, NOW + timedelta(days=100_000))
        assert refusal.value.retry_after is None


class PushGuardMachine(RuleBasedStateMachine):
    """Questions that are asked where they may be, and end in any way at any time."""

    @initialize()
    def begin(self) -> None:
        self.now = NOW
        self.guard = PushGuard()
        self.open = 0
        self.missed: list[datetime] = []
        self.counted = 0
        self.fraud = False

    @rule(minutes=st.integers(0, 2000))
    def wait(self, minutes: int) -> None:
        self.now += minutes * MINUTE

    @rule()
    def ask(self) -> None:
        if frozen(self.guard, self.now):
            return
        assert not self.fraud
        if self.counted >= 6:
            pause = min(15 * MINUTE * 2 ** ((self.counted - 6) // 2), 24 * HOUR)
            assert self.now >= self.missed[-1] + pause
        if self.open:
            self.end(after_no_answer, 1)
        self.open = 1

    @rule()
    def lapse(self) -> None:
        if self.open:
            self.end(after_no_answer, 1)

    @rule()
    def deny(self) -> None:
        if self.open:
            self.end(after_denial, 2)

    @rule()
    def report(self) -> None:
        if self.open:
            self.end(lambda guard, _: after_fraud(guard), 2)
            self.fraud = True

    @rule()
    def succeed(self) -> None:
        self.guard = PushGuard()
        self.missed = []
        self.counted = 0
        self.open = 0
        self.fraud = False

    def end(self, ended: Callable[[PushGuard, datetime], PushGuard], counts: int) -> None:
        before = self.guard.frozen_until
        self.guard = ended(self.guard, self.now)
        self.missed.append(self.now)
        self.counted += counts
        self.open = 0
        assert before is None or (self.guard.frozen_until or NOW) >= before

    @invariant()
    def six_freeze_and_fewer_do_not(self) -> None:
        assert self.guard.misses == self.counted
        if not self.fraud:
            assert (self.guard.frozen_until is not None) == (self.counted >= 6)
        else:
            assert self.guard.frozen_until == FOREVER


TestPushGuardMachine = PushGuardMachine.TestCase
