"""Texts go out once, are tried again where a carrier is out of reach, and sites learn what became of them."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from authy_grpc.domain.event import UserEvent
from authy_grpc.domain.phone import PhoneChannel
from authy_grpc.domain.user import Factor
from authy_grpc.outbound.sms.sender import Message, Refused, Unreachable
from authy_grpc.store import text as texts
from authy_grpc.store.tables import LinkRow, TextRow
from authy_grpc.store.tx import Tx
from tests.clock import TurnedClock
from tests.registering import NUMBER, Handset, People

BODY = "123456 is your code."


@pytest.fixture
async def people(database_url: str, clock: TurnedClock) -> AsyncIterator[People]:
    async with People.opened(database_url, clock) as opened:
        yield opened


async def linked(people: People) -> tuple[Handset, LinkRow]:
    handset, _ = await people.register()
    link = await people.link(handset)
    people.carrier.texts.clear()
    return handset, link


async def queue(people: People, link: LinkRow, factor: Factor = Factor.SMS, minutes: int = 5) -> None:
    def work(tx: Tx) -> None:
        now = people.clock()
        expire_time = now + timedelta(minutes=minutes)
        texts.add_for_link(tx, link.site_id, BODY, factor, expire_time)

    await people.database.write(work)


async def refused(people: People) -> None:
    """Try to send what may not be sent, for as long as a carrier takes to refuse it."""
    await people.texts.send_due()
    people.clock.turn(seconds=3)
    await people.texts.send_due()


async def told(people: People) -> list[tuple[str, str]]:
    rows = await people.recorded("code.delivered", "code.undelivered")
    return [(each.type, getattr(each.body, "reason", "")) for each in rows]


async def test_a_links_text_goes_to_its_owner_and_the_site_learns_that_it_did(people: People) -> None:
    _, link = await linked(people)
    await queue(people, link)
    (row,) = await people.rows(TextRow)
    assert BODY.encode() not in row.sealed_message and "123456" not in str(row.model_dump())
    assert await people.texts.send_due() == 1
    assert people.carrier.texts == [Message(NUMBER, BODY, PhoneChannel.SMS)]
    assert await people.rows(TextRow) == [] and await people.texts.send_due() == 0
    (row,) = await people.recorded("code.delivered")
    assert row.application_id == link.application_id and row.subject_id == link.site_id
    assert isinstance(row.body, UserEvent)
    assert row.body.factor is Factor.SMS and row.body.custom_user_id == "ada"
    await queue(people, link, Factor.VOICE)
    await people.texts.send_due()
    assert people.carrier.texts[-1].channel is PhoneChannel.VOICE


async def test_a_text_to_an_unknown_caller_is_told_to_nobody(people: People) -> None:
    await people.start()
    assert await told(people) == [] and await people.rows(TextRow) == []


async def test_a_refused_text_is_not_tried_again(people: People) -> None:
    _, link = await linked(people)
    people.carrier.failures = [Refused()]
    await queue(people, link)
    await people.texts.send_due()
    assert await told(people) == [("code.undelivered", "refused")]
    assert await people.rows(TextRow) == [] and people.carrier.texts == []


@pytest.mark.parametrize(
    ("failure", "reason"), [(Unreachable(), "unreachable"), (RuntimeError(NUMBER), "unknown")]
)
async def test_an_unreachable_carrier_is_tried_three_times_more(
    people: People, failure: Exception, reason: str
) -> None:
    _, link = await linked(people)
    people.carrier.failures = [failure] * 4
    await queue(people, link)
    for pause in (0, 5, 20, 60):
        people.clock.turn(seconds=pause - 1)
        assert pause == 0 or await people.texts.send_due() == 0
        people.clock.turn(seconds=1)
        assert await told(people) == []
        assert await people.texts.send_due() == 1
    assert await told(people) == [("code.undelivered", reason)]
    assert await people.rows(TextRow) == []
    assert "carrier" in people.log.getvalue() and NUMBER not in people.log.getvalue()


async def test_what_may_not_be_sent_is_refused_after_a_carriers_time(people: People) -> None:
    handset, link = await linked(people)
    await people.update(handset, phone_codes=False)
    for _ in range(5):
        await queue(people, link)
    await people.texts.send_due()
    delays = {row.due_time - people.clock() for row in await people.rows(TextRow)}
    assert len(delays) > 1
    assert all(timedelta(seconds=0.5) <= each <= timedelta(seconds=3) for each in delays)


async def test_it_goes_when_the_carrier_is_back(people: People) -> None:
    _, link = await linked(people)
    people.carrier.failures = [Unreachable(), Unreachable()]
    await queue(people, link)
    for _ in range(3):
        await people.texts.send_due()
        people.clock.turn(seconds=20)
    assert len(people.carrier.texts) == 1 and await told(people) == [("code.delivered", "")]


async def test_nothing_goes_after_its_time(people: People) -> None:
    _, link = await linked(people)
    await queue(people, link)
    people.clock.turn(minutes=5)
    await people.texts.send_due()
    assert people.carrier.texts == [] and await told(people) == [("code.undelivered", "unreachable")]


async def test_codes_that_are_switched_off_stop_at_once_and_go_on_when_the_site_is_told(
    people: People,
) -> None:
    handset, link = await linked(people)
    await queue(people, link)
    await people.update(handset, phone_codes=False)
    # A carrier would not refuse it at once.
    await people.texts.send_due()
    assert people.carrier.texts == [] and await told(people) == []
    await refused(people)
    assert people.carrier.texts == [] and await told(people) == [("code.undelivered", "refused")]

    await people.update(handset, phone_codes=True)
    await queue(people, link)
    await refused(people)
    assert people.carrier.texts == []
    await people.tell_all()
    await queue(people, link)
    await people.texts.send_due()
    assert len(people.carrier.texts) == 1
    assert (await told(people))[1:] == [("code.undelivered", "refused"), ("code.delivered", "")]


async def test_an_erased_account_gets_no_texts(people: People) -> None:
    handset, link = await linked(people)
    await people.account.delete(handset.caller, people.proof(handset, "DeleteAccount"))
    await queue(people, link)
    await refused(people)
    assert people.carrier.texts == [] and await told(people) == [("code.undelivered", "refused")]


async def test_a_text_of_a_link_that_is_gone_is_dropped(people: People) -> None:
    handset, link = await linked(people)
    await queue(people, link)
    await people.account.delete(handset.caller, people.proof(handset, "DeleteAccount"))
    await people.tell_all()
    await people.texts.send_due()
    assert people.carrier.texts == [] and await people.rows(TextRow) == []


async def test_two_servers_send_each_text_once(people: People) -> None:
    _, link = await linked(people)
    for _ in range(20):
        await queue(people, link)
    tried = await asyncio.gather(*[people.texts.send_due() for _ in range(4)])
    assert sum(tried) == 20 and len(people.carrier.texts) == 20


async def test_what_a_dead_server_had_taken_falls_due_again(people: People) -> None:
    _, link = await linked(people)
    await queue(people, link)
    started = asyncio.Event()

    async def hang(message: Message) -> None:
        started.set()
        await asyncio.Event().wait()

    working, people.carrier.send = people.carrier.send, hang  # type: ignore[method-assign]
    dying = asyncio.create_task(people.texts.send_due())
    await started.wait()
    dying.cancel()
    with pytest.raises(asyncio.CancelledError):
        await dying
    people.carrier.send = working  # type: ignore[method-assign]
    people.clock.turn(seconds=59)
    assert await people.texts.send_due() == 0
    people.clock.turn(seconds=1)
    assert await people.texts.send_due() == 1 and len(people.carrier.texts) == 1
