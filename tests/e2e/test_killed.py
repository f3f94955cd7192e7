"""A service that is killed under load, again and again, has lost nothing that it had acknowledged."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from random import Random

import pytest
from sqlalchemy import text

from authy_grpc.phone import Phone
from authy_grpc.store.engine import connect
from authy_grpc.v1.approval_pb2 import ApprovalState, CreateApprovalRequest, GetApprovalRequest
from authy_grpc.v1.authenticator_pb2 import Site as Linked
from authy_grpc.v1.enrollment_pb2 import CreateEnrollmentRequest, EnrollmentState, GetEnrollmentRequest
from authy_grpc.v1.verification_pb2 import CreateBackupCodesRequest
from tests.harness import Service, Site
from tests.ledger import APPROVED, ENROLLED, Code, Ledger, nothing
from tests.mortal import Mortal
from tests.rushing import PATIENCE

PEOPLE, USERS, CALLS = 3, 4, 3
# Codes, backup codes and their making, an enrollment, an approval.
ANSWERS = PEOPLE * (USERS * CALLS + 2 * CALLS + 1 + 4 + 3)
STEP = timedelta(seconds=30)

# Done again, it goes on from where it broke off, and asks what it asked under the same ids.
Story = Callable[[], Awaitable[None]]
User = tuple[str, Linked]


@dataclass
class Person:
    """One with a phone, who is several users of a site."""

    phone: Phone
    users: list[User]


@dataclass
class Town:
    """A site, its people, and what happens in each life of the service.

    Attributes:
        marked: a user to whom nothing happens.
        stories: of the last life.
        codes: that may be offered again, of the last two lives.
    """

    service: Service
    site: Site
    people: list[Person]
    marked: str
    ledger: Ledger
    mortal: Mortal
    lives: int = 0
    stories: list[Story] = field(default_factory=list)
    codes: list[list[Code]] = field(default_factory=lambda: [[], []])

    @classmethod
    @asynccontextmanager
    async def of(cls, service: Service, folder: Path) -> AsyncIterator["Town"]:
        """A town on a service, which is stopped for it, and whose first life has begun."""
        site = await service.site()
        ledger = Ledger(site.client)

        async def user(phone: Phone, name: str) -> User:
            enrollment, linked = await service.enroll(site, phone, name)
            ledger.reached(ENROLLED, enrollment.enrollment_id)
            return enrollment.authy_id, linked

        people = []
        for number in range(PEOPLE):
            phone = await service.phone(f"+4915112345{number:03}")
            people.append(Person(phone, [await user(phone, f"{number} {each}") for each in range(USERS)]))
        marked, _ = await user(people[0].phone, "marked")
        async with Mortal.of(service, folder / "log") as mortal:
            await mortal.start()
            yield cls(service, site, people, marked, ledger, mortal)

    async def live(self, answers: int | None = None) -> int:
        """Let everything happen at once, and die.

        Args:
            answers: after how many it dies; None for all.

        Returns:
            How many stories broke off.
        """
        self.lives += 1
        self.codes = [self.codes[1], []]
        self.stories = [story for person in self.people for story in await self._stories(person)]
        tasks = [asyncio.ensure_future(story()) for story in self.stories]
        left = answers

        def answered() -> None:
            nonlocal left
            left = left and left - 1
            if left == 0:
                self.mortal.kill()
                for task in tasks:
                    task.cancel()

        self.ledger.on_answer = answered
        async with asyncio.timeout(PATIENCE):
            ended = await asyncio.gather(*tasks, return_exceptions=True)
        self.ledger.on_answer = nothing
        self.mortal.kill()
        assert [error for error in ended if isinstance(error, Exception)] == []
        return sum(task.cancelled() for task in tasks)

    async def rise(self) -> None:
        """Live again half a minute later, and compare; finish what broke off, and compare again."""
        self.service.clock.turn(seconds=30)
        await self.mortal.start()
        async with asyncio.timeout(PATIENCE):
            await self.ledger.look()
            again = [code for codes in self.codes for code in codes]
            calls = [self.ledger.offer_again(code, f"{code.name} in {self.lives}") for code in again]
            await asyncio.gather(*calls)
            if not self.ledger.findings:
                await asyncio.gather(*[story() for story in self.stories])
            self.ledger.settle()
            await self.ledger.read(self.marked)
        self.ledger.findings += faults(self.service.url)

    async def _stories(self, person: Person) -> list[Story]:
        name = f"{person.phone.device_id} {self.lives}"
        stories: list[Story] = [
            partial(self._enroll, person, f"{name} enroll"),
            partial(self._approve, person, f"{name} approve"),
            partial(self._back_up, person, f"{name} back up", []),
        ]
        for user in person.users:
            stories += [partial(self._log_in, code) for code in await self._next_code(person, user)]
        return stories

    async def _next_code(self, person: Person, user: User) -> list[Code]:
        """The code of the next step, which is good in two more lives; none where others have its digits."""
        authy_id, linked = user
        now = self.service.clock()
        around = [await person.phone.code(linked, now + STEP * each) for each in range(-1, 4)]
        if around.count(around[2]) > 1:
            return []
        return [Code(authy_id, around[2], f"{authy_id} {self.lives}")]

    async def _log_in(self, code: Code) -> None:
        self.codes[1].append(code)
        await asyncio.gather(*[self.ledger.offer(code, f"{code.name} {call}") for call in range(CALLS)])

    async def _back_up(self, person: Person, name: str, codes: list[Code]) -> None:
        authy_id, _ = person.users[-1]
        if not codes:
            request = CreateBackupCodesRequest(authy_id=authy_id)
            made = await self.site.client.verification.CreateBackupCodes(request)
            codes += [Code(authy_id, each, f"{name} {index}") for index, each in enumerate(made.codes[:2])]
            self.ledger.on_answer()
        for code in codes:
            await self._log_in(code)

    async def _enroll(self, person: Person, name: str) -> None:
        enrollments = self.site.client.enrollments
        request = CreateEnrollmentRequest(custom_user_id=name, request_id=name)
        made = await self.ledger.ask(enrollments.CreateEnrollment, request)
        enrollment_id = made.enrollment.enrollment_id
        self.ledger.reached(ENROLLED[:1], enrollment_id)
        found = await enrollments.GetEnrollment(GetEnrollmentRequest(enrollment_id=enrollment_id))
        if found.enrollment.state != EnrollmentState.ENROLLMENT_STATE_COMPLETED:
            offer = await person.phone.open(made.qr.uri)
            self.ledger.reached(ENROLLED[:2], enrollment_id)
            await person.phone.accept(offer)
        self.ledger.reached(ENROLLED, enrollment_id)

    async def _approve(self, person: Person, name: str) -> None:
        approvals = self.site.client.approvals
        request = CreateApprovalRequest(authy_id=person.users[0][0], message=name, request_id=name)
        made = await self.ledger.ask(approvals.CreateApproval, request)
        approval_id = made.approval.approval_id
        self.ledger.reached(APPROVED[:1], approval_id)
        found = await approvals.GetApproval(GetApprovalRequest(approval_id=approval_id))
        if found.approval.state != ApprovalState.APPROVAL_STATE_APPROVED:
            await person.phone.approve(await person.phone.question(), made.approval.match_number)
        self.ledger.reached(APPROVED, approval_id)


COUNTS = (
    "link",
    "site_key",
    "spent_authy_id",
    "enrollment WHERE state = 'COMPLETED'",
    "event WHERE type = 'enrollment.completed'",
)


def faults(url: str) -> list[str]:
    """What a database says against itself, once nothing is under way."""
    engine = connect(url, writes=False, connections=1)
    try:
        with engine.connect() as connection:
            counts = [connection.execute(text(f"SELECT count(*) FROM {each}")).scalar() for each in COUNTS]
            found = [] if len(set(counts)) == 1 else [f"counts {dict(zip(COUNTS, counts, strict=True))}"]
            if url.startswith("sqlite:"):
                found += [f"damage {row[0]}" for row in connection.execute(text("PRAGMA integrity_check"))]
                found += [f"nowhere {row}" for row in connection.execute(text("PRAGMA foreign_key_check"))]
    finally:
        # One that stays would see to it that nothing has to be recovered.
        engine.dispose()
    return [each for each in found if each != "damage ok"]


async def test_nothing_is_lost_and_no_code_is_accepted_twice(
    service: Service, tmp_path: Path, figure: Callable[[int, int], int]
) -> None:
    chance = Random(2026)
    async with Town.of(service, tmp_path) as town:
        for _ in range(figure(4, 500)):
            assert await town.live(chance.randrange(1, ANSWERS)) > 0
            await town.rise()
            assert town.ledger.findings == []
        await town.ledger.look(at_all=True)
        await town.ledger.read_again()
        assert town.ledger.findings == []
        log = (tmp_path / "log").read_text()
    assert '"method"' in log and '"level":"error"' not in log


BEFORE = {
    "UPDATE site_key SET last_step = -1": "was accepted 2 times",
    "UPDATE approval SET state = 'PENDING'": "was approval.approved, and is approval.pending",
    "UPDATE enrollment SET state = 'SCANNED'": "was enrollment.completed, and is enrollment.scanned",
    "DELETE FROM enrollment WHERE enrollment_id = (SELECT max(enrollment_id) FROM enrollment)": (
        "was enrollment.completed, and is NOT_FOUND"
    ),
}
AFTER = {
    "DELETE FROM answer WHERE method LIKE '%VerifyCode'": "and then result: CODE_RESULT_REPLAYED",
    "DELETE FROM event WHERE type = 'code.accepted'": "('code.accepted', ",
    "DELETE FROM event WHERE type = 'approval.approved'": "('approval.approved', ",
    "DELETE FROM spent_authy_id": "counts {",
}


@pytest.mark.parametrize("losses", [BEFORE, AFTER])
async def test_what_is_lost_is_noticed(service: Service, tmp_path: Path, losses: dict[str, str]) -> None:
    async with Town.of(service, tmp_path) as town:
        assert await town.live() == 0
        engine = connect(service.url, writes=True, connections=1)
        with engine.begin() as connection:
            assert all(connection.execute(text(undo)).rowcount for undo in losses)
        engine.dispose()
        await town.rise()
        for finding in losses.values():
            assert any(finding in each for each in town.ledger.findings)


async def test_damage_is_noticed(sqlite_url: str) -> None:
    assert faults(sqlite_url) == []
    path = sqlite_url.removeprefix("sqlite:///")
    with closing(sqlite3.connect(path)) as connection, connection:
        # Of no device, and of no table's page.
        connection.execute(
            "INSERT INTO session (session_id, device_id, token_hash, create_time, expire_time)"
            " VALUES ('ses_1', 'dev_1', x'00', 0, 0)"
        )
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("UPDATE sqlite_schema SET rootpage = 2 WHERE name = 'answer'")
    found = " ".join(faults(sqlite_url))
    assert "nowhere" in found and "damage" in found
