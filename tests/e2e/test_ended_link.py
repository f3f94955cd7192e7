"""A site cannot tell a link whose account was erased from one whose was not, until it is told."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from itertools import chain
from math import exp, sqrt
from time import perf_counter
from typing import Any

import pytest
from sqlmodel import select

from authy_grpc.client import AuthyError
from authy_grpc.store.tables import ActivityRow, LinkRow
from authy_grpc.store.tx import Tx
from authy_grpc.v1 import approval_pb2 as approval
from authy_grpc.v1 import enrollment_pb2 as enrollment
from authy_grpc.v1 import user_pb2 as user
from authy_grpc.v1 import verification_pb2 as verification
from tests import rows
from tests.harness import Service, Site
from tests.sql import statements

Ask = Callable[["Someone"], Awaitable[Any]]


@dataclass
class Someone:
    """A user of the site."""

    site: Site
    name: str
    authy_id: str
    backup: list[str]
    approval_id: str = ""

    async def verify(self, code: str, action: str = "") -> str:
        request = verification.VerifyCodeRequest(authy_id=self.authy_id, code=code, action=action)
        answer = await self.site.client.verification.VerifyCode(request)
        return verification.CodeResult.Name(answer.result)

    async def send(self, action: str) -> Any:
        request = verification.SendCodeRequest(authy_id=self.authy_id, action=action, force=True)
        answer = await self.site.client.verification.SendCode(request)
        return answer.sent, answer.expire_time.ToJsonString(), answer.retry_delay.ToJsonString()

    async def ask(self) -> str:
        request = approval.CreateApprovalRequest(authy_id=self.authy_id, message="Log in?")
        self.approval_id = (await self.site.client.approvals.CreateApproval(request)).approval.approval_id
        return await self.asked()

    async def asked(self) -> str:
        request = approval.GetApprovalRequest(approval_id=self.approval_id)
        found = (await self.site.client.approvals.GetApproval(request)).approval
        return approval.ApprovalState.Name(found.state)

    async def seen(self) -> Any:
        found = (await self.site.client.users.GetUser(user.GetUserRequest(authy_id=self.authy_id))).user
        return list(found.factors), found.backup_codes_left, len(found.keys)

    async def unlock(self) -> None:
        await self.site.client.users.UnlockUser(user.UnlockUserRequest(authy_id=self.authy_id))

    async def new_codes(self) -> int:
        request = verification.CreateBackupCodesRequest(authy_id=self.authy_id)
        self.backup = list((await self.site.client.verification.CreateBackupCodes(request)).codes)
        return len(self.backup)

    async def enroll(self) -> str:
        request = enrollment.CreateEnrollmentRequest(custom_user_id=self.name)
        try:
            await self.site.client.enrollments.CreateEnrollment(request)
        except AuthyError as error:
            return error.reason
        return "OK"

    async def delete(self) -> None:
        await self.site.client.users.DeleteUser(user.DeleteUserRequest(authy_id=self.authy_id))


@pytest.fixture
async def site(service: Service) -> Site:
    return await service.site()


async def pair(service: Service, site: Site, number: int = 0) -> tuple[Someone, Someone]:
    """Two users of a site, each with a phone: the account of the first is erased, and nobody was told."""
    users = []
    for which in range(2):
        service.clock.turn(minutes=1)
        phone = await service.phone(f"+49151{20_000_000 + 2 * number + which}")
        name = f"user {number} {which}"
        made, _ = await service.enroll(site, phone, name)
        someone = Someone(site, name, made.authy_id, [])
        await someone.new_codes()
        users.append((someone, phone))
    service.clock.turn(minutes=1)
    for someone, _ in users:
        await someone.send("guessed")
    await service.due()
    # What is measured and compared is what calls do.
    await service.core.workers.stop()
    (erased, phone), (control, _) = users
    await phone.delete_account()
    return erased, control


# In an order in which each leaves the next possible.
CALLS: dict[str, Ask] = {
    "seen": lambda one: one.seen(),
    "a wrong code": lambda one: one.verify("000000"),
    "a wrong sent code": lambda one: one.verify("000000", "guessed"),
    "a wrong backup code": lambda one: one.verify("0" * 16),
    "a backup code": lambda one: one.verify(one.backup.pop()),
    "a used backup code": lambda one: one.verify(one.backup[0]),
    "another": lambda one: one.verify(one.backup.pop()),
    "a code is sent": lambda one: one.send("later"),
    "a question": lambda one: one.ask(),
    "another question": lambda one: one.ask(),
    "a question is looked at": lambda one: one.asked(),
    "a wrong code again": lambda one: one.verify("000000"),
    "unlocked": lambda one: one.unlock(),
    "new backup codes": lambda one: one.new_codes(),
    "enrolled again": lambda one: one.enroll(),
    "seen again": lambda one: one.seen(),
}


# What runs beside a call, whoever it is about: credentials, the reader of the feed.
BESIDE = re.compile(r"BEGIN|COMMIT|(FROM|JOIN|UPDATE) (api_key|session)|FROM event|pg_|FROM meta")


async def took(one: Someone, call: Ask) -> tuple[Any, list[str]]:
    with statements(BESIDE) as seen:
        answer = await call(one)
    return answer, seen


async def test_both_are_answered_alike_by_the_same_statements(service: Service, site: Site) -> None:
    erased, control = await pair(service, site)
    for name, call in CALLS.items():
        service.clock.turn(seconds=31)
        # What is looked up once a second is looked up before.
        await control.seen()
        one, other = await took(erased, call), await took(control, call)
        assert one[0] == other[0], name
        assert "\n".join(one[1]) == "\n".join(other[1]), name
    service.clock.turn(minutes=10)
    await control.seen()
    assert await took(erased, Someone.asked) == await took(control, Someone.asked) and erased.approval_id
    # One that nothing is left of is taken off alike, too.
    await control.seen()
    one, other = await took(erased, Someone.delete), await took(control, Someone.delete)
    assert "\n".join(one[1]) == "\n".join(other[1])
    # The control: that it can be seen at all.
    third, _ = await pair(service, site, 1)
    alike = [await took(third, call) for call in (CALLS["a wrong code"], CALLS["a wrong sent code"])]
    assert alike[0][1] != alike[1][1]


async def test_a_sent_code_that_is_voided_by_guesses_is_replaced_for_both(
    service: Service, site: Site
) -> None:
    erased, control = await pair(service, site)
    service.clock.turn(seconds=31)
    for one in (erased, control):
        await one.send("late")
        for _ in range(4):
            assert await one.verify("000000", "late") == "CODE_RESULT_WRONG"
        await one.unlock()
        assert await one.verify("000000", "late") == "CODE_RESULT_WRONG"
        await one.unlock()
    service.clock.turn(seconds=31)
    (_, before, _), (_, after, _) = await erased.send("late"), await control.send("late")
    assert before == after


async def test_what_is_left_of_the_owner_names_nobody_and_goes_when_it_is_told(
    service: Service, site: Site
) -> None:
    erased, _ = await pair(service, site)
    assert await erased.verify(erased.backup[0]) == "CODE_RESULT_ACCEPTED"

    async def left() -> tuple[int, int]:
        def work(tx: Tx) -> tuple[int, int]:
            links = rows.found(tx, select(LinkRow).where(LinkRow.authy_id == erased.authy_id))
            [account_id] = {link.account_id for link in links} or {""}
            of_account = select(ActivityRow).where(ActivityRow.account_id == account_id)
            return len(links), len(rows.found(tx, of_account))

        return await service.core.database.read(work)

    assert await left() == (1, 1)
    service.clock.turn(days=8)
    await service.due()
    assert await left() == (0, 0)


def chance(one: list[float], other: list[float]) -> float:
    """How likely two samples of one distribution differ as much (Kolmogorov and Smirnov, two sided)."""
    ordered = sorted(chain(((each, 0) for each in one), ((each, 1) for each in other)))
    counts, apart = [0, 0], 0.0
    for _, which in ordered:
        counts[which] += 1
        apart = max(apart, abs(counts[0] / len(one) - counts[1] / len(other)))
    size = sqrt(len(one) * len(other) / (len(one) + len(other)))
    scale: float = (size + 0.12 + 0.11 / size) * apart
    terms = [exp(-2 * (k * scale) ** 2) * (1 if k % 2 else -1) for k in range(1, 101)]
    return min(1.0, 2 * sum(terms))


async def test_both_take_the_same_time(
    service: Service, site: Site, figure: Callable[[int, int], int]
) -> None:
    erased, control = await pair(service, site)
    await erased.unlock()

    async def run(pairs: int) -> float:
        times: dict[str, list[float]] = {erased.name: [], control.name: []}
        for index in range(pairs):
            if index % 4 == 0:
                # As nothing else: what is seen is what a wrong code takes, not a locked one.
                service.clock.turn(seconds=1)
                for one in (erased, control):
                    await one.unlock()
            for one in (erased, control) if index % 2 else (control, erased):
                begun = perf_counter()
                await one.verify("000000", "guessed")
                times[one.name].append(perf_counter() - begun)
        return chance(*times.values())

    pairs = figure(4, 2_000)
    likely = [await run(pairs) for _ in range(3)]
    # What the machine does besides is noise: of so few pairs it says nothing.
    assert pairs < 1_000 or sum(each > 0.01 for each in likely) >= 2, likely


def test_a_difference_of_times_would_be_seen() -> None:
    times = [float(each) for each in range(2_000)]
    assert chance(times, [each + 0.5 for each in times]) > 0.9
    assert chance(times, [each + 120 for each in times]) < 0.01
