from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from pydantic import TypeAdapter

from authy_grpc.domain import enrollment as rules
from authy_grpc.domain.enrollment import (
    INITIAL,
    MOVES,
    TERMINAL,
    Enrollment,
    EnrollmentMethod,
    EnrollmentState,
)
from authy_grpc.domain.errors import WrongState
from authy_grpc.domain.user import SiteKey

S = EnrollmentState
START = datetime(2026, 1, 1, tzinfo=UTC)
TTL = timedelta(minutes=10)
MILLISECOND = timedelta(milliseconds=1)
KEY = SiteKey("kid", "{}", START)

# Written out again, so that a slip in the table is seen.
LEGAL = {
    (S.PENDING, S.SCANNED),
    (S.SCANNED, S.AWAITING_CODE),
    (S.SCANNED, S.COMPLETED),
    (S.SCANNED, S.REJECTED),
    (S.AWAITING_CODE, S.COMPLETED),
    (S.AWAITING_CODE, S.REJECTED),
    (S.PENDING, S.CANCELED),
    (S.SCANNED, S.CANCELED),
    (S.AWAITING_CODE, S.CANCELED),
}
OPEN = {S.PENDING, S.SCANNED, S.AWAITING_CODE}


def an_enrollment(
    state: EnrollmentState = S.PENDING, method: EnrollmentMethod = EnrollmentMethod.AUTHENTICATOR
) -> Enrollment:
    return Enrollment(
        enrollment_id="enr_1",
        custom_user_id="canary",
        method=method,
        state=state,
        create_time=START,
        update_time=START,
        expire_time=START + TTL,
    )


@pytest.mark.parametrize("method", EnrollmentMethod)
@pytest.mark.parametrize("to", S)
@pytest.mark.parametrize("state", S)
def test_every_move_against_the_table(
    state: EnrollmentState, to: EnrollmentState, method: EnrollmentMethod
) -> None:
    before = an_enrollment(state, method)
    now = START + timedelta(seconds=1)
    refused = method is EnrollmentMethod.GENERIC_TOTP and to is S.REJECTED

    if (state, to) in LEGAL and not refused:
        after = rules.move(before, to, now)
        assert after == replace(before, state=to, update_time=now, revision=2)
    else:
        with pytest.raises(WrongState) as refusal:
            rules.move(before, to, now)
        assert refusal.value.state == state.name


def test_the_table_names_every_state_and_every_way_to_expire() -> None:
    assert set(MOVES) == set(S)
    assert {(state, to) for state in S for to in MOVES[state]} == LEGAL | {
        (state, S.EXPIRED) for state in OPEN
    }
    assert set(S) - OPEN == TERMINAL


def test_each_method_begins_where_the_contract_says() -> None:
    assert INITIAL == {
        EnrollmentMethod.AUTHENTICATOR: S.PENDING,
        EnrollmentMethod.GENERIC_TOTP: S.AWAITING_CODE,
    }


@pytest.mark.parametrize("state", S)
def test_it_expires_on_the_millisecond(state: EnrollmentState) -> None:
    before = an_enrollment(state)
    expired = replace(before, state=S.EXPIRED, update_time=START + TTL, revision=2)

    assert rules.at(before, START + TTL - MILLISECOND) == before
    assert rules.at(before, START + TTL) == (expired if state in OPEN else before)
    assert rules.at(before, START + 100 * TTL) == (expired if state in OPEN else before)


@pytest.mark.parametrize("to", S)
@pytest.mark.parametrize("state", sorted(OPEN))
def test_nothing_moves_what_is_past_its_time(state: EnrollmentState, to: EnrollmentState) -> None:
    with pytest.raises(WrongState) as refusal:
        rules.move(an_enrollment(state), to, START + TTL)

    assert refusal.value.state == "EXPIRED"


def test_what_completes_it_comes_with_the_move() -> None:
    scanned = rules.move(an_enrollment(), S.SCANNED, START + MILLISECOND)
    completed = rules.move(scanned, S.COMPLETED, START + 2 * MILLISECOND, authy_id="1234567", keys=(KEY,))

    assert (completed.authy_id, completed.keys, completed.revision) == ("1234567", (KEY,), 3)
    assert (scanned.authy_id, scanned.keys) == ("", ())


def test_an_enrollment_survives_json() -> None:
    adapter = TypeAdapter(Enrollment)
    enrollment = replace(an_enrollment(S.COMPLETED), authy_id="1234567", keys=(KEY,))

    assert adapter.validate_json(adapter.dump_json(enrollment)) == enrollment


def test_the_sites_reference_is_not_printed() -> None:
    assert "canary" not in repr(an_enrollment())
    assert "enr_1" in repr(an_enrollment())


class EnrollmentMachine(RuleBasedStateMachine):
    """Any calls at any times, some of which write the expiry down and some of which do not."""

    @initialize(method=st.sampled_from(EnrollmentMethod))
    def begin(self, method: EnrollmentMethod) -> None:
        self.now = START
        self.written = an_enrollment(INITIAL[method], method)
        self.seen = [self.written]

    @rule(milliseconds=st.integers(0, 200_000))
    def wait(self, milliseconds: int) -> None:
        self.now += timedelta(milliseconds=milliseconds)
        self.see(rules.at(self.written, self.now))

    @rule(to=st.sampled_from(EnrollmentState))
    def move(self, to: EnrollmentState) -> None:
        try:
            self.written = rules.move(self.written, to, self.now)
        except WrongState:
            assert to not in rules.moves(rules.at(self.written, self.now)) - {S.EXPIRED}
        else:
            self.see(self.written)

    @rule()
    def work(self) -> None:
        self.written = rules.at(self.written, self.now)

    def see(self, enrollment: Enrollment) -> None:
        if enrollment == self.seen[-1]:
            return
        assert enrollment.revision == self.seen[-1].revision + 1
        assert self.seen[-1].state not in TERMINAL
        assert enrollment.update_time >= self.seen[-1].update_time
        self.seen.append(enrollment)

    @invariant()
    def a_read_before_the_worker_and_one_after_it_agree(self) -> None:
        assert rules.at(rules.at(self.written, self.now), self.now) == self.seen[-1]

    @invariant()
    def nobody_rejects_a_generic_one(self) -> None:
        generic = self.written.method is EnrollmentMethod.GENERIC_TOTP
        assert not (generic and self.written.state in {S.PENDING, S.SCANNED, S.REJECTED})


TestEnrollmentMachine = EnrollmentMachine.TestCase
