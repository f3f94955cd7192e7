"""A code is sent to a number for whoever asks, and nobody learns whether it has an account."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from authy_grpc.domain.errors import BadField, RateLimited, Violation
from authy_grpc.domain.phone import PhoneChannel, PhonePurpose
from authy_grpc.service.caller import Nobody
from authy_grpc.store.tables import BudgetRow, PhoneVerificationRow, TextRow
from tests.clock import TurnedClock
from tests.registering import NUMBER, People, code_in
from tests.sql import statements

SMS, REGISTER = PhoneChannel.SMS, PhonePurpose.REGISTER_DEVICE


@pytest.fixture
async def people(database_url: str, clock: TurnedClock) -> AsyncIterator[People]:
    async with People.opened(database_url, clock) as opened:
        yield opened


async def test_a_code_is_good_for_five_minutes_and_says_what_it_is_for(people: People) -> None:
    started, code = await people.start()
    assert started.verification_id.startswith("pvn_")
    assert started.expire_time - people.clock() == timedelta(minutes=5)
    assert started.retry_delay == timedelta(seconds=30)
    (text,) = people.carrier.texts
    assert text.number == NUMBER and "add an authenticator" in text.body and code in text.body
    assert "share it with nobody" in text.body and len(text.body) <= 160

    await people.start(purpose=PhonePurpose.CHANGE_NUMBER)
    assert "move your authenticator account" in people.carrier.texts[-1].body
    assert len(people.carrier.texts[-1].body) <= 160


async def test_each_verification_has_a_code_of_its_own(people: People) -> None:
    codes = {(await people.start(f"+49151123456{n}"))[1] for n in range(10, 18)}
    assert len(codes) >= 7


async def test_a_call_goes_as_a_call(people: People) -> None:
    await people.verifications.start(people.nobody(), NUMBER, PhoneChannel.VOICE, REGISTER)
    await people.texts.send_due()
    assert people.carrier.texts[0].channel is PhoneChannel.VOICE


@pytest.mark.parametrize(
    "number",
    [
        "",
        "4915112345678",
        "+1",
        "hello",
        "+19005550006",
        "+4407700900123",
        "+" + "1" * 200,
    ],
)
async def test_what_is_no_number_that_may_be_sent_to_is_a_bad_field(people: People, number: str) -> None:
    with pytest.raises(BadField) as refused:
        await people.verifications.start(people.nobody(), number, SMS, REGISTER)
    assert [each.field for each in refused.value.violations] == ["phone_number"]
    assert await people.rows(TextRow) == [] and await people.rows(BudgetRow) == []


async def test_countries_may_be_limited(database_url: str, clock: TurnedClock) -> None:
    async with People.opened(database_url, clock, countries="de, at") as people:
        await people.start("+4915112345678")
        with pytest.raises(BadField) as refused:
            await people.verifications.start(people.nobody(), "+33612345678", SMS, REGISTER)
        (wrong,) = refused.value.violations
        why = "is not in the countries that this service sends to"
        assert wrong == Violation("phone_number", why, "NOT_SERVED")
        with pytest.raises(BadField) as bad:
            await people.verifications.start(people.nobody(), "+336123", SMS, REGISTER)
        assert bad.value.violations[0].reason == ""


async def test_a_kind_that_is_not_served_is_told_apart(people: People) -> None:
    with pytest.raises(BadField) as refused:
        await people.verifications.start(people.nobody(), "+19005550006", SMS, REGISTER)
    (wrong,) = refused.value.violations
    why = "is of a kind that this service does not send to"
    assert (wrong.description, wrong.reason) == (why, "NOT_SERVED")


@pytest.mark.parametrize(
    "typed", ["+49 151 123-456-78", "\uff0b\uff14\uff19\u3000(151) 12345678", "\u202a+4915112345678\u202c\n"]
)
async def test_a_number_is_one_however_it_is_typed(people: People, typed: str) -> None:
    await people.verifications.start(people.nobody(), typed, SMS, REGISTER)
    await people.texts.send_due()
    assert people.carrier.texts[-1].number == NUMBER
    with pytest.raises(RateLimited):
        await people.verifications.start(people.nobody(), NUMBER, SMS, REGISTER)


async def test_a_number_has_a_budget_whoever_asks(people: People) -> None:
    await people.start()
    with pytest.raises(RateLimited) as refused:
        await people.verifications.start(people.nobody(), NUMBER, SMS, REGISTER)
    assert refused.value.retry_after == timedelta(seconds=30)
    people.clock.turn(seconds=29)
    with pytest.raises(RateLimited):
        await people.verifications.start(people.nobody(), NUMBER, SMS, REGISTER)
    await people.start("+4915112345679")
    people.clock.turn(days=2)
    sent = 0
    for _ in range(300):
        try:
            await people.start()
            sent += 1
        except RateLimited:
            people.clock.turn(seconds=30)
    assert sent == 10
    assert len(people.carrier.texts) == 12


@pytest.mark.parametrize(
    ("peers", "refused"),
    [
        (["198.51.100.7"], True),
        (["2001:db8::1", "2001:db8::ffff:1", "2001:db8:0:0:9::"], True),
        (["198.51.100.7", "198.51.100.8"], False),
        (["2001:db8::1", "2001:db8:1::1"], False),
        (["2001:db8::1", "2001:db8:0:1::1"], False),
        (["unix"], True),
    ],
)
async def test_a_caller_has_a_budget_of_30_an_hour(people: People, peers: list[str], refused: bool) -> None:
    for n in range(30):
        peer = Nobody(peers[n % len(peers)])
        await people.verifications.start(peer, f"+49151123456{n + 10}", SMS, REGISTER)
    last = people.verifications.start(Nobody(peers[0]), "+4915112345699", SMS, REGISTER)
    if not refused:
        await last
        return
    with pytest.raises(RateLimited) as caught:
        await last
    assert caught.value.retry_after == timedelta(hours=1)
    # What was refused has cost the number nothing.
    await people.verifications.start(people.nobody(), "+4915112345699", SMS, REGISTER)


async def test_an_ipv6_48_has_a_budget_of_300_an_hour(people: People) -> None:
    for n in range(300):
        peer = Nobody(f"2001:db8:0:{n:x}::1")
        await people.verifications.start(peer, f"+4915112345{n + 100}", SMS, REGISTER)
    with pytest.raises(RateLimited) as refused:
        await people.verifications.start(Nobody("2001:db8:0:ffff::1"), "+4915112345999", SMS, REGISTER)
    assert refused.value.retry_after == timedelta(hours=1)
    await people.verifications.start(Nobody("2001:db8:1::1"), "+4915112345999", SMS, REGISTER)


async def test_what_a_number_is_refused_costs_the_caller(people: People) -> None:
    caller = Nobody("198.51.100.7")
    await people.verifications.start(caller, NUMBER, SMS, REGISTER)
    waits = set()
    for _ in range(29):
        with pytest.raises(RateLimited) as refused:
            await people.verifications.start(caller, NUMBER, SMS, REGISTER)
        waits.add(refused.value.retry_after)
    assert waits == {timedelta(seconds=30)}
    with pytest.raises(RateLimited) as refused:
        await people.verifications.start(caller, "+4915112345679", SMS, REGISTER)
    assert refused.value.retry_after == timedelta(hours=1)
    # And the number nothing.
    people.clock.turn(seconds=30)
    await people.verifications.start(people.nobody(), NUMBER, SMS, REGISTER)


async def test_all_callers_together_have_a_budget(database_url: str, clock: TurnedClock) -> None:
    async with People.opened(database_url, clock, most=5) as people:
        for n in range(5):
            await people.start(f"+491511234567{n}")
        with pytest.raises(RateLimited) as refused:
            await people.verifications.start(people.nobody(), NUMBER, SMS, REGISTER)
        assert refused.value.retry_after == timedelta(minutes=58)
        assert len(await people.rows(TextRow)) == 0
        # What was refused has cost the number nothing, and the first is an hour old by then.
        people.clock.turn(minutes=58)
        await people.verifications.start(people.nobody(), NUMBER, SMS, REGISTER)
        with pytest.raises(RateLimited):
            await people.verifications.start(people.nobody(), "+4915112345699", SMS, REGISTER)


async def test_a_number_with_an_account_is_answered_by_the_same_statements(people: People) -> None:
    await people.register(NUMBER)
    await people.start("+4915112345679")
    people.clock.turn(days=1)
    with statements() as known:
        await people.verifications.start(people.nobody(), NUMBER, SMS, REGISTER)
    with statements() as unknown:
        await people.verifications.start(people.nobody(), "+4915112345679", SMS, REGISTER)
    assert known == unknown and len(known) > 4
    assert not [each for each in known if "FROM account" in each or "FROM device" in each]


async def test_neither_number_nor_code_nor_address_is_kept_in_the_clear(people: People) -> None:
    _, code = await people.start()
    kept = [*await people.rows(PhoneVerificationRow), *await people.rows(BudgetRow)]
    assert len(kept) == 3
    for row in kept:
        for secret in (NUMBER, NUMBER[1:], code, "192.0.2.1"):
            assert secret not in str(row.model_dump()) and secret not in repr(row)
    assert code_in(people.carrier.texts[0].body) == code
