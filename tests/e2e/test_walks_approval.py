"""Questions, walked at random beside a model: states, tries, freezes, inbox and feed agree at each step."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant

from authy_grpc.domain.limits import FOREVER
from authy_grpc.domain.receipts import Decision
from authy_grpc.domain.user import Factor
from authy_grpc.service.approval import Asked
from tests.asking import wrong
from tests.clock import TurnedClock
from tests.enrolling import Hall
from tests.walking import Walk, action, walk

# How far back from the newest: the newest mostly.
BACK = st.sampled_from([0, 0, 0, 0, 1, 2])
MINUTES_FROZEN, MINUTES_AT_MOST = 15, 24 * 60


@dataclass
class Entry:
    """A question as the model has it. Its revision is the number of its states."""

    asked: Asked
    expires: datetime
    states: list[str] = field(default_factory=lambda: ["PENDING"])
    answers: dict[Any, tuple[str, int]] = field(default_factory=dict)
    reason: str | None = None

    @property
    def approval_id(self) -> str:
        return self.asked.approval.approval_id

    @property
    def open(self) -> bool:
        return self.states == ["PENDING"]


@dataclass
class Guard:
    """What questions that came to nothing bring about."""

    misses: int = 0
    until: datetime | None = None

    def missed(self, at: datetime, counts: int) -> "Guard":
        misses, until = self.misses + counts, self.until
        if misses >= 6:
            minutes = min(MINUTES_FROZEN * 2 ** ((misses - 6) // 2), MINUTES_AT_MOST)
            until = max(at + timedelta(minutes=minutes), until or at)
        return Guard(misses, until)


class ApprovalWalk(Walk):
    """A site that asks, and two devices of one user that answer."""

    world: Hall

    def __init__(self, world: Any, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(world, loop)
        self.all: list[Entry] = []
        self.guard = Guard()
        self.told: dict[str, list[str]] = {}
        self.touched: list[Entry] = []
        self.steps = 0

    @initialize()
    def begin(self) -> None:
        self.run(self._begin())
        self.ask(90)

    async def _begin(self) -> None:
        self.site = await self.world.site()
        account_id = await self.world.account()
        self.devices = [await self.world.device(account_id, name) for name in ("Pocket", "Tablet")]
        self.link = await self.world.link(self.site, account_id, *self.devices)

    @property
    def now(self) -> datetime:
        return self.clock.now

    @property
    def standing(self) -> Entry | None:
        """The one that was not seen to end: it may be past its time."""
        return next((entry for entry in self.all if entry.open), None)

    def state(self, entry: Entry) -> str:
        return "EXPIRED" if entry.open and self.now >= entry.expires else entry.states[-1]

    def entry(self, back: int) -> Entry:
        """The newest, or one of those before it."""
        return self.all[-1 - back % len(self.all)]

    def end(self, entry: Entry, state: str, reason: str | None = None) -> None:
        self.reached[reason or state] += 1
        entry.states.append(state)
        entry.reason = reason
        at = entry.expires if state == "EXPIRED" else self.now
        self.guard = Guard() if state == "APPROVED" else self.guard.missed(at, 2 if state == "DENIED" else 1)
        if reason == "FRAUD":
            self.guard = Guard(self.guard.misses, FOREVER)
        self.touched.append(entry)

    @action(3, seconds=st.sampled_from([15, 90, 3600]))
    def ask(self, seconds: int) -> None:
        before = self.standing
        guard = self.guard
        if before is not None and self.state(before) == "EXPIRED":
            guard = guard.missed(before.expires, 1)
        made: list[Asked] = []

        async def create() -> None:
            made.append(await self.world.ask(self.link, ttl=timedelta(seconds=seconds)))

        frozen = guard.until is not None and self.now < guard.until
        assert self.became(create()) == ("PushFrozen" if frozen else "OK")
        if frozen:
            return
        if before is not None:
            self.end(before, "EXPIRED" if self.state(before) == "EXPIRED" else "CANCELED")
        entry = Entry(made[0], self.now + timedelta(seconds=seconds))
        self.all.append(entry)
        self.touched.append(entry)

    @action(
        8,
        back=BACK,
        holder=st.sampled_from([0, 1]),
        decision=st.sampled_from([Decision.APPROVE, *Decision]),
        off=st.sampled_from([0, 1, 2, 3]),
    )
    def answer(self, back: int, holder: int, decision: Decision, off: int) -> None:
        entry = self.entry(back)
        right = entry.asked.match_number
        number = (wrong(right, off) if off else right) if decision is Decision.APPROVE else ""
        key = (holder, decision, number)
        expected = entry.answers.get(key)
        if expected is None and self.state(entry) != "PENDING":
            expected = f"WrongState {self.state(entry)}", 0
        elif expected is None:
            expected = entry.answers[key] = self.decided(entry, decision, off)
        assert self.answered(entry, holder, decision, number) == expected

    def decided(self, entry: Entry, decision: Decision, off: int) -> tuple[str, int]:
        if decision is not Decision.APPROVE:
            self.end(entry, "DENIED", "FRAUD" if decision is Decision.REPORT_FRAUD else "CANCELED_BY_USER")
        elif not off:
            self.end(entry, "APPROVED")
        elif len(entry.answers) < 2:
            return "PENDING", 2 - len(entry.answers)
        else:
            self.end(entry, "DENIED", "MATCH_NUMBER")
        return entry.states[-1], 0

    def answered(self, entry: Entry, holder: int, decision: Decision, number: str) -> tuple[str, int]:
        got: list[tuple[str, int]] = []

        async def respond() -> None:
            device = self.devices[holder]
            answered = await self.world.respond(self.link, device, entry.asked, decision, number or None)
            got.append((answered.state.value, answered.attempts_remaining))

        became = self.became(respond())
        return got[0] if became == "OK" else (became, 0)

    @action(back=BACK)
    def cancel(self, back: int) -> None:
        entry = self.entry(back)
        state = self.state(entry)
        expected = "OK" if state in ("PENDING", "CANCELED") else f"WrongState {state}"
        assert self.became(self.world.approvals.cancel(self.site, entry.approval_id)) == expected
        if state == "PENDING":
            self.end(entry, "CANCELED")

    @action()
    def unlock(self) -> None:
        self.run(self.world.users.unlock(self.site, self.link.authy_id, [Factor.PUSH]))
        self.guard = Guard()

    @action(seconds=st.sampled_from([1, 14.999, 15, 90, 900, 3600]))
    def turn(self, seconds: float) -> None:
        self.clock.turn(seconds=seconds)

    @action(back=BACK)
    def look(self, back: int) -> None:
        self.touched.append(self.entry(back))

    @action()
    def expire(self) -> None:
        while self.run(self.world.approvals.expire_due()):
            pass
        standing = self.standing
        if standing is not None and self.state(standing) == "EXPIRED":
            self.end(standing, "EXPIRED")

    @invariant()
    def the_service_says_the_same(self) -> None:
        if not hasattr(self, "link"):
            return
        touched, self.touched = self.touched, []
        for entry in {entry.approval_id: entry for entry in touched}.values():
            self.run(self.check(entry))
        self.the_feed_says_the_same()
        if self.steps % 3 == 0:
            user = self.run(self.world.users.get(self.site, self.link.authy_id))
            assert user.push_frozen_until == self.guard.until
        else:
            standing = self.standing
            waits = [standing.approval_id] if standing and self.state(standing) == "PENDING" else []
            seen = self.run(self.world.sees(self.devices[self.steps % 3 - 1]))
            assert [each.approval_id for each in seen.approvals] == waits
        self.steps += 1

    async def check(self, entry: Entry) -> None:
        asked = await self.world.approvals.get(self.site, entry.approval_id)
        approval, state = asked.approval, self.state(entry)
        if entry.open and state == "EXPIRED":
            # Whoever asks for one that is past its time has its end written.
            self.end(entry, state)
        assert (approval.state, approval.revision) == (state, len(entry.states))
        assert asked.match_number == entry.asked.match_number
        assert approval.deny_reason == entry.reason
        own_choice = state == "APPROVED" or entry.reason in ("FRAUD", "CANCELED_BY_USER")
        assert bool(approval.receipt) == own_choice
        assert (approval.respond_time is not None) == (state in ("APPROVED", "DENIED"))

    def the_feed_says_the_same(self) -> None:
        for row in self.happened(self.site.application_id):
            if row.type.startswith("approval."):
                states = self.told.setdefault(row.subject_id, [])
                states.append(row.type.removeprefix("approval.").upper())
                assert row.revision == len(states)
        for entry in self.all:
            assert self.told[entry.approval_id] == entry.states
            assert len(entry.states) <= 2 and entry.states[0] == "PENDING"

    def teardown(self) -> None:
        """All that has ended stands as it ended; nothing is left open for the walks that come after."""
        for entry in self.all:
            self.run(self.check(entry))
        self.clock.turn(hours=1)
        self.expire()


def test_approvals(database_url: str, clock: TurnedClock, figure: Callable[[int, int], int]) -> None:
    reached = walk(ApprovalWalk, lambda: Hall.hired(database_url, clock), figure(8, 1_700))
    # The walks went somewhere; many of them went everywhere.
    assert {"APPROVED", "CANCELED", "EXPIRED", "CANCELED_BY_USER", "FRAUD"} <= set(reached), reached
    assert reached["MATCH_NUMBER"] or not figure(0, 1), reached
