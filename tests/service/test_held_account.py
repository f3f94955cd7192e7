"""What a site repeats at will takes no lock on a person's account, which other sites share."""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from authy_grpc.domain.approval import ApprovalState
from authy_grpc.domain.enrollment import EnrollmentState
from authy_grpc.domain.errors import CodeRejected, WrongState
from authy_grpc.domain.verification import Checked, CodeResult
from authy_grpc.service.code_check import Attempt, CodeChecks
from authy_grpc.store import account as accounts
from authy_grpc.store import link as links
from authy_grpc.store.account import AccountBusy
from authy_grpc.store.once import Request
from authy_grpc.store.tables import AccountRow, LinkRow
from authy_grpc.store.tx import Tx
from tests.asking import Desk
from tests.asking import wrong as another
from tests.checking import Booth, User, wrong
from tests.clock import TurnedClock
from tests.enrolling import Hall
from tests.holding import held, waiting
from tests.registering import NUMBER, People


async def test_wrong_codes_are_answered_while_another_holds_the_account(
    postgres_url: str, clock: TurnedClock
) -> None:
    async with Booth.opened(postgres_url, clock) as booth:
        user = await booth.user(await booth.site())
        with held(postgres_url):
            results = [(await booth.verify(user, code)).result for code in wrong(user, clock(), 3)]
        assert results == [CodeResult.WRONG] * 3


async def test_an_accepted_code_waits_for_who_holds_the_account_and_is_accepted_once(
    postgres_url: str, clock: TurnedClock
) -> None:
    async with Booth.opened(postgres_url, clock) as booth:
        user = await booth.user(await booth.site())
        code = user.tokens[0].code(clock())
        with held(postgres_url) as other:
            right = [asyncio.create_task(booth.verify(user, code)) for _ in range(20)]
            await waiting(booth.database)
            assert not any(each.done() for each in right)
            other.commit()
            results = Counter([(await each).result for each in right])
        assert results == {CodeResult.ACCEPTED: 1, CodeResult.REPLAYED: 19}
        account: AccountRow = await booth.row(AccountRow, user.account_id)
        assert account.activity_revision == 2


def _check(booth: Booth, *typed: tuple[User, str]) -> Callable[[Tx], list[Any]]:
    """The work of a batch."""
    checks = CodeChecks(vault=booth.vault)
    attempts = [
        Attempt(each.site.application_id, each.authy_id, code, "", Request("VerifyCode", each.authy_id, b"x"))
        for each, code in typed
    ]
    return lambda tx: list(checks.check(tx, attempts))


async def test_a_wrong_code_does_not_wait_with_a_right_one_at_another_site_of_the_account(
    postgres_url: str, clock: TurnedClock
) -> None:
    async with Booth.opened(postgres_url, clock) as booth:
        one, other = await booth.user(await booth.site()), await booth.user(await booth.site())
        await booth.change(LinkRow, other.site_id, account_id=one.account_id)
        check = _check(booth, (one, one.tokens[0].code(clock())), (other, wrong(other, clock(), 1)[0]))
        with held(postgres_url):
            busy, decided = await booth.database.write(check)
        assert isinstance(busy, AccountBusy)
        assert isinstance(decided, Checked) and decided.result is CodeResult.WRONG


async def test_what_is_checked_beside_a_code_that_has_to_wait_is_decided(
    postgres_url: str, clock: TurnedClock
) -> None:
    async with Booth.opened(postgres_url, clock) as booth:
        site = await booth.site()
        users = [await booth.user(site), await booth.generic_user(site)]
        check = _check(booth, *[(each, each.tokens[0].code(clock())) for each in users])
        with held(postgres_url):
            busy, decided = await booth.database.write(check)
        assert isinstance(busy, AccountBusy)
        assert isinstance(decided, Checked) and decided.result is CodeResult.ACCEPTED
        # Nothing was decided about it, and what was is not decided again.
        first, second = await booth.database.write(check)
        assert isinstance(first, Checked) and first.result is CodeResult.ACCEPTED
        assert second == decided
        assert [kind for kind, _, _ in await booth.told(site)] == ["code.accepted"] * 2


async def test_unlocking_is_answered_while_another_holds_the_account(
    postgres_url: str, clock: TurnedClock
) -> None:
    async with Hall.hired(postgres_url, clock) as hall:
        site = await hall.site()
        made, _ = await hall.enroll(site, await hall.phone())
        with held(postgres_url):
            unlocked = await hall.users.unlock(site, made.authy_id, ())
        assert unlocked.authy_id == made.authy_id


async def test_an_operator_looks_at_an_account_that_another_holds(
    postgres_url: str, clock: TurnedClock
) -> None:
    async with People.opened(postgres_url, clock) as people:
        handset, _ = await people.register()
        await people.link(handset)

        def look(tx: Tx) -> tuple[str, int]:
            row = accounts.find_by_number(tx, NUMBER)
            assert row is not None
            return row.account_id, len(links.of_account(tx, row.account_id, lock=False))

        with held(postgres_url) as other:
            other.execute("SELECT FROM link FOR UPDATE")
            assert await people.database.read(look) == (handset.account_id, 1)


async def test_a_first_code_that_comes_to_nothing_is_answered_while_another_holds_the_account(
    postgres_url: str, clock: TurnedClock
) -> None:
    async with Hall.hired(postgres_url, clock) as hall:
        site, phone = await hall.site(), await hall.phone()
        made, uri = await hall.begin(site, require_code=True)
        linked = await hall.accept(phone, uri)
        code = phone.code(linked.site_id, clock())
        with held(postgres_url) as other:
            other.execute("SELECT FROM device FOR UPDATE")
            for _ in range(3):
                with pytest.raises(CodeRejected):
                    await hall.confirm(site, made, another(code))
        completed = await hall.confirm(site, made, code)
        renewal, uri = await hall.begin(site, require_code=True, replace_existing=True)
        await hall.accept(phone, uri)
        with held(postgres_url) as other:
            other.execute("SELECT FROM device FOR UPDATE")
            # Done already, as before, too late, and used up.
            assert await hall.confirm(site, made, code) == completed
            with pytest.raises(WrongState):
                await hall.confirm(site, made, another(code))
            with pytest.raises(CodeRejected):
                await hall.confirm(site, renewal, code)


async def test_a_right_first_code_waits_for_who_holds_the_account_and_completes_once(
    postgres_url: str, clock: TurnedClock
) -> None:
    async with Hall.hired(postgres_url, clock) as hall:
        site, phone = await hall.site(), await hall.phone()
        made, uri = await hall.begin(site, require_code=True)
        linked = await hall.accept(phone, uri)
        code = phone.code(linked.site_id, clock())
        with held(postgres_url) as other:
            right = [asyncio.create_task(hall.confirm(site, made, code)) for _ in range(20)]
            await waiting(hall.database)
            assert not any(each.done() for each in right)
            # Nor does it hold what the other may come to wait for.
            other.execute("SELECT FROM link FOR UPDATE NOWAIT")
            other.execute("SELECT FROM enrollment FOR UPDATE NOWAIT")
            other.commit()
            answers = [await each for each in right]
        assert {each.state for each in answers} == {EnrollmentState.COMPLETED}
        assert (await hall.types(site)).count("enrollment.completed") == 1


async def test_a_question_in_the_place_of_one_that_has_run_out_holds_no_link_while_it_waits(
    postgres_url: str, clock: TurnedClock
) -> None:
    async with Desk.opened(postgres_url, clock) as desk:
        site = await desk.site()
        link, _ = await desk.user(site)
        before = await desk.ask(link)
        with held(postgres_url) as other:
            # One that is still open is taken back without the account.
            again = await desk.ask(link)
            clock.turn(seconds=90)
            asking = asyncio.create_task(desk.ask(link))
            await waiting(desk.database)
            other.execute("SELECT FROM link FOR UPDATE NOWAIT")
            assert not asking.done()
            other.commit()
        asked = await asking
        found = [
            (await desk.approvals.get(site, each.approval.approval_id)) for each in (before, again, asked)
        ]
        assert [each.approval.state for each in found] == [
            ApprovalState.CANCELED,
            ApprovalState.EXPIRED,
            ApprovalState.PENDING,
        ]
