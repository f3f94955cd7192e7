"""What another server has changed until a lock is had is seen by who waited for the lock."""

import asyncio
from datetime import timedelta

import pytest

from authy_grpc.domain.errors import CodeRejected, FactorUnavailable
from authy_grpc.domain.verification import CodeResult
from authy_grpc.store.tables import DeviceRow, LinkRow
from tests.asking import Desk
from tests.checking import Booth
from tests.clock import TurnedClock
from tests.enrolling import Hall
from tests.holding import held, waiting
from tests.registering import People


@pytest.mark.parametrize(
    ("change", "result"),
    [
        ("UPDATE device SET state = 'REVOKED'", CodeResult.WRONG),
        ("UPDATE site_key SET state = 'REVOKED'", CodeResult.WRONG),
        ("UPDATE device SET state = state", CodeResult.ACCEPTED),
    ],
)
async def test_a_code_is_not_accepted_after_its_device_was_put_out(
    postgres_url: str, clock: TurnedClock, change: str, result: CodeResult
) -> None:
    async with Booth.opened(postgres_url, clock) as booth:
        user = await booth.user(await booth.site())
        # The keys have been read when it comes to sent codes.
        with held(postgres_url, "LOCK TABLE sent_code") as other:
            checking = asyncio.create_task(booth.verify(user, user.tokens[0].code(clock())))
            await waiting(booth.database)
            other.execute("SELECT FROM account FOR UPDATE")
            other.execute(change.encode())
            other.commit()
            assert (await checking).result is result
        link: LinkRow = await booth.row(LinkRow, user.site_id)
        assert link.failures == (result is CodeResult.WRONG)


@pytest.mark.parametrize(("state", "failures"), [("REVOKED", 1), ("ACTIVE", 0)])
async def test_nor_is_a_first_code(postgres_url: str, clock: TurnedClock, state: str, failures: int) -> None:
    async with Hall.hired(postgres_url, clock) as hall:
        site, phone = await hall.site(), await hall.phone()
        made, uri = await hall.begin(site, require_code=True)
        linked = await hall.accept(phone, uri)
        # The device has been read when it comes to its former key.
        with held(postgres_url, "LOCK TABLE site_key") as other:
            code = phone.code(linked.site_id, clock())
            confirming = asyncio.create_task(hall.confirm(site, made, code))
            await waiting(hall.database)
            other.execute("SELECT FROM account FOR UPDATE")
            other.execute("UPDATE device SET state = %s", [state])
            other.commit()
            if failures:
                with pytest.raises(CodeRejected):
                    await confirming
            else:
                await confirming
        assert (await hall.row(LinkRow, linked.site_id)).failures == failures


async def test_no_question_is_put_after_the_site_was_told_of_the_last_device(
    postgres_url: str, clock: TurnedClock
) -> None:
    async with Desk.opened(postgres_url, clock) as desk:
        link, _ = await desk.user(await desk.site())
        await desk.ask(link)
        with held(postgres_url, "SELECT FROM link FOR UPDATE") as other:
            asking = asyncio.create_task(desk.ask(link))
            await waiting(desk.database)
            other.execute("UPDATE site_key SET revoke_time = 0")
            other.commit()
            with pytest.raises(FactorUnavailable):
                await asking


async def test_a_device_is_added_at_the_time_at_which_the_account_was_had(
    postgres_url: str, clock: TurnedClock
) -> None:
    async with People.opened(postgres_url, clock) as people:
        await people.register()
        begun = clock()
        with held(postgres_url) as other:
            registering = asyncio.create_task(people.register())
            await waiting(people.database)
            clock.turn(minutes=1)
            other.commit()
        _, added = await registering
        assert added.device.create_time == begun + timedelta(seconds=90)
        row: DeviceRow = await people.row(DeviceRow, added.device.device_id)
        assert row.create_time == added.device.create_time
