from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from pydantic import TypeAdapter

from authy_grpc.domain import approval as rules
from authy_grpc.domain.approval import ANSWERS, MOVES, TERMINAL, Approval, ApprovalState, DenyReason, Detail
from authy_grpc.domain.errors import WrongState

S = ApprovalState
START = datetime(2026, 1, 1, tzinfo=UTC)
TTL = timedelta(seconds=90)
MILLISECOND = timedelta(milliseconds=1)
LEGAL = {(S.PENDING, S.APPROVED), (S.PENDING, S.DENIED), (S.PENDING, S.CANCELED)}


def an_approval(state: ApprovalState = S.PENDING) -> Approval:
    return Approval(
        approval_id="apr_1",
        authy_id="1234567",
        state=state,
        message="canary-message",
        details=(Detail("canary-label", "canary-value"),),
        hidden_details={"canary-name": "canary-hidden"},
        receipt="canary-receipt",
        create_time=START,
        expire_time=START + TTL,
    )


@pytest.mark.parametrize("to", S)
@pytest.mark.parametrize("state", S)
def test_every_move_against_the_table(state: ApprovalState, to: ApprovalState) -> None:
    before = replace(an_approval(state), receipt="")
    now = START + timedelta(seconds=1)

    if (state, to) in LEGAL:
        answered = now if to in ANSWERS else None
        assert rules.move(before, to, now) == replace(before, state=to, respond_time=answered, revision=2)
    else:
        with pytest.raises(WrongState) as refusal:
            rules.move(before, to, now)
        assert refusal.value.state == state.name


def test_the_table_names_every_state_and_the_way_to_expire() -> None:
    assert set(MOVES) == set(S)
    assert {(state, to) for state in S for to in MOVES[state]} == LEGAL | {(S.PENDING, S.EXPIRED)}
    assert set(S) - {S.PENDING} == TERMINAL


@pytest.mark.parametrize("state", S)
def test_it_expires_on_the_millisecond(state: ApprovalState) -> None:
    before = an_approval(state)
    expired = replace(before, state=S.EXPIRED, revision=2) if state is S.PENDING else before

    assert rules.at(before, START + TTL - MILLISECOND) == before
    assert rules.at(before, START + TTL) == expired
    assert rules.at(before, START + 100 * TTL) == expired


@pytest.mark.parametrize("to", S)
def test_nothing_answers_what_is_past_its_time(to: ApprovalState) -> None:
    with pytest.raises(WrongState) as refusal:
        rules.move(an_approval(), to, START + TTL)

    assert refusal.value.state == "EXPIRED"


def test_an_answer_brings_its_reason_and_its_receipt() -> None:
    now = START + MILLISECOND
    denied = rules.move(an_approval(), S.DENIED, now, deny_reason=DenyReason.FRAUD, receipt="jws")

    assert (denied.deny_reason, denied.receipt, denied.respond_time) == (DenyReason.FRAUD, "jws", now)


@pytest.mark.parametrize(("digits", "allowed"), [(0, 1), (2, 1), (5, 1), (6, 3), (8, 3)])
def test_short_numbers_are_tried_once(digits: int, allowed: int) -> None:
    assert rules.attempts_allowed(digits) == allowed


def test_an_approval_survives_json() -> None:
    adapter = TypeAdapter(Approval)
    approval = replace(an_approval(S.DENIED), deny_reason=DenyReason.MATCH_NUMBER, respond_time=START)

    assert adapter.validate_json(adapter.dump_json(approval)) == approval


def test_nothing_that_the_user_reads_is_printed() -> None:
    assert "canary" not in repr(an_approval())
    assert "canary" not in repr(an_approval().details)
    assert "apr_1" in repr(an_approval())


def test_the_match_number_is_no_part_of_what_events_carry() -> None:
    names = {one.name for one in fields(Approval)}

    assert not {name for name in names if "match" in name}
    assert "receipt" in names


class ApprovalMachine(RuleBasedStateMachine):
    """Any calls at any times, some of which write the expiry down and some of which do not."""

    @initialize()
    def begin(self) -> None:
        self.now = START
        self.written = an_approval()
        self.seen = [self.written]

    @rule(milliseconds=st.integers(0, 30_000))
    def wait(self, milliseconds: int) -> None:
        self.now += timedelta(milliseconds=milliseconds)
        self.see(rules.at(self.written, self.now))

    @rule(to=st.sampled_from(ApprovalState))
    def move(self, to: ApprovalState) -> None:
        try:
            self.written = rules.move(self.written, to, self.now)
        except WrongState:
            assert to not in MOVES[rules.at(self.written, self.now).state] - {S.EXPIRED}
        else:
            self.see(self.written)

    @rule()
    def work(self) -> None:
        self.written = rules.at(self.written, self.now)

    def see(self, approval: Approval) -> None:
        if approval == self.seen[-1]:
            return
        assert approval.revision == self.seen[-1].revision + 1
        assert self.seen[-1].state not in TERMINAL
        self.seen.append(approval)

    @invariant()
    def a_read_before_the_worker_and_one_after_it_agree(self) -> None:
        assert rules.at(rules.at(self.written, self.now), self.now) == self.seen[-1]

    @invariant()
    def it_was_answered_in_time_or_not_at_all(self) -> None:
        answered = self.written.respond_time
        assert (answered is not None) == (self.written.state in ANSWERS)
        assert answered is None or answered < self.written.expire_time


TestApprovalMachine = ApprovalMachine.TestCase
