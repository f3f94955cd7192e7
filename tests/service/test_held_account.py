"""What a site repeats at will takes no lock on a person's account, which other sites share."""

import asyncio
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from sqlmodel import Session

from authy_grpc.domain.verification import Checked, CodeResult
from authy_grpc.service.code_check import Attempt, CodeChecks
from authy_grpc.store import account as accounts
from authy_grpc.store.once import Request
from authy_grpc.store.tables import AccountRow
from authy_grpc.store.verification import AccountBusy
from tests.checking import Booth, wrong
from tests.clock import TurnedClock
from tests.enrolling import Hall
from tests.registering import NUMBER, People


@contextmanager
def _held(url: str) -> Iterator[psycopg.Connection]:
    """All accounts, as somebody holds them who changes them until the end."""
    with psycopg.connect(url) as other:
        other.execute("SELECT FROM account FOR UPDATE")
        yield other


async def test_wrong_codes_are_answered_while_another_holds_the_account(
    postgres_url: str, clock: TurnedClock
) -> None:
    async with Booth.opened(postgres_url, clock) as booth:
        user = await booth.user(await booth.site())
        with _held(postgres_url):
            results = [(await booth.verify(user, code)).result for code in wrong(user, clock(), 3)]
        assert results == [CodeResult.WRONG] * 3


async def test_an_accepted_code_waits_for_who_holds_the_account_and_is_accepted_once(
    postgres_url: str, clock: TurnedClock
) -> None:
    async with Booth.opened(postgres_url, clock) as booth:
        user = await booth.user(await booth.site())
        code = user.tokens[0].code(clock())
        with _held(postgres_url) as other:
            right = [asyncio.create_task(booth.verify(user, code)) for _ in range(20)]
            while not await booth.database.read(_waits):
                pass
            assert not any(each.done() for each in right)
            other.commit()
            results = Counter([(await each).result for each in right])
        assert results == {CodeResult.ACCEPTED: 1, CodeResult.REPLAYED: 19}
        account: AccountRow = await booth.row(AccountRow, user.account_id)
        assert account.activity_revision == 2


async def test_what_is_checked_beside_a_code_that_has_to_wait_is_decided(
    postgres_url: str, clock: TurnedClock
) -> None:
    async with Booth.opened(postgres_url, clock) as booth:
        site = await booth.site()
        users = [await booth.user(site), await booth.generic_user(site)]
        checks = CodeChecks(
            vault=booth.vault, events=booth.events, clock=clock, random=os.urandom, postgres=True
        )
        attempts = [
            Attempt(
                site.application_id,
                each.authy_id,
                each.tokens[0].code(clock()),
                "",
                Request("VerifyCode", each.authy_id, b"x"),
            )
            for each in users
        ]
        with _held(postgres_url):
            busy, decided = await booth.database.write(lambda session: list(checks.check(session, attempts)))
        assert isinstance(busy, AccountBusy)
        assert isinstance(decided, Checked) and decided.result is CodeResult.ACCEPTED
        # Nothing was decided about it, and what was is not decided again.
        first, second = await booth.database.write(lambda session: list(checks.check(session, attempts)))
        assert isinstance(first, Checked) and first.result is CodeResult.ACCEPTED
        assert second == decided
        assert [kind for kind, _, _ in await booth.told(site)] == ["code.accepted"] * 2


def _waits(session: Session) -> bool:
    """Whether somebody waits for a lock."""
    found = session.connection().exec_driver_sql(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    return bool(found.scalar())


async def test_unlocking_is_answered_while_another_holds_the_account(
    postgres_url: str, clock: TurnedClock
) -> None:
    async with Hall.hired(postgres_url, clock) as hall:
        site = await hall.site()
        made, _ = await hall.enroll(site, await hall.phone())
        with _held(postgres_url):
            unlocked = await hall.users.unlock(site, made.authy_id, ())
        assert unlocked.authy_id == made.authy_id


async def test_an_operator_looks_at_an_account_that_another_holds(
    postgres_url: str, clock: TurnedClock
) -> None:
    async with People.opened(postgres_url, clock) as people:
        handset, _ = await people.register()
        await people.link(handset)

        def look(session: Session) -> tuple[str, int]:
            row = accounts.find_by_number(session, people.vault, NUMBER)
            assert row is not None
            return row.account_id, len(accounts.links(session, row.account_id, lock=False))

        with _held(postgres_url) as other:
            other.execute("SELECT FROM link FOR UPDATE")
            assert await people.database.read(look) == (handset.account_id, 1)
