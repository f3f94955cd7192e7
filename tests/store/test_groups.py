"""How long the writer waits for a group: told by numbers, on a clock that is turned."""

import pytest

from authy_grpc.store.groups import QUIET_SECONDS, Groups

MOST = 64
# What a group takes here: so long that it bounds no wait.
LONG = 1.0


class Turned:
    """A queue, a clock and the rule, driven by hand."""

    def __init__(self) -> None:
        self.groups = Groups(MOST)
        self.now = 100.0
        self.waiting = 0

    def come(self, count: int = 1, *, every: float = 0.0) -> None:
        """Works are put in the queue, one after the other."""
        for _ in range(count):
            self.now += every
            self.waiting += 1
            self.groups.came(self.now)

    @property
    def pause(self) -> float:
        """How long the writer would wait now."""
        return self.groups.pause(self.waiting, self.now)

    def run(self, *, behind: int = 0, took: float = LONG) -> int:
        """A group of all that wait; others come while it runs. Answers how many it had."""
        size = min(MOST, self.waiting)
        self.waiting -= size
        self.groups.begins(size, self.now)
        self.now += took
        self.come(behind)
        self.groups.ends(self.waiting, self.now)
        return size


@pytest.fixture
def turned() -> Turned:
    return Turned()


@pytest.mark.parametrize("apart", [0.0, 0.0005, 0.0019, 0.1])
def test_a_lone_caller_is_never_waited_for(turned: Turned, apart: float) -> None:
    for _ in range(5):
        turned.come(every=apart)
        assert turned.pause == 0
        turned.run()


@pytest.mark.parametrize("callers", [2, 8, MOST])
def test_who_was_answered_is_waited_for_until_all_are_back(turned: Turned, callers: int) -> None:
    turned.come(callers)
    turned.run()
    turned.come(callers - 1, every=QUIET_SECONDS * 0.9)
    assert turned.pause == pytest.approx(QUIET_SECONDS)
    turned.come(every=QUIET_SECONDS * 0.9)
    assert turned.pause == 0
    assert turned.run() == callers


def test_who_came_while_a_group_ran_is_expected_with_those_of_the_group(turned: Turned) -> None:
    turned.come()
    turned.run(behind=1)
    # One waits, and the other has just been answered: together they are a group of two from now on.
    assert turned.pause > 0
    turned.come(every=0.001)
    assert turned.pause == 0
    assert turned.run() == 2


def test_nobody_is_waited_for_once_it_is_quiet(turned: Turned) -> None:
    turned.come(8)
    turned.run()
    turned.come(3, every=0.001)
    assert turned.pause == pytest.approx(QUIET_SECONDS)
    turned.now += QUIET_SECONDS / 2
    assert turned.pause == pytest.approx(QUIET_SECONDS / 2)
    turned.now += turned.pause
    assert turned.pause == 0
    assert turned.run() == 3
    # Who stayed away is not expected again.
    turned.come(3)
    assert turned.pause == 0


def test_a_wait_is_no_longer_than_two_of_the_last_group(turned: Turned) -> None:
    took = QUIET_SECONDS
    turned.come(MOST)
    turned.run(took=took)
    turned.come()
    began = turned.now
    while turned.pause:
        turned.come(every=QUIET_SECONDS / 4)
    assert turned.waiting < MOST
    assert turned.now - began == pytest.approx(2 * took)


def test_no_more_are_expected_than_a_group_may_have(turned: Turned) -> None:
    turned.come(3 * MOST)
    turned.run(behind=MOST)
    turned.run()
    turned.run()
    assert turned.waiting == MOST
    assert turned.pause == 0


def test_all_that_were_taken_back_leave_a_rule_that_goes_on(turned: Turned) -> None:
    turned.come(2)
    turned.run()
    turned.come()
    turned.waiting = 0
    assert turned.pause > 0
    assert turned.run() == 0
    turned.come()
    assert turned.pause == 0
