"""A phone becomes a device of its number's account: once, with keys of its own, after few guesses."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from authy_grpc.domain import keys
from authy_grpc.domain.device import DeviceState, NewDevicePolicy
from authy_grpc.domain.errors import BadSignature, CodeRejected, NewDevicesOff, Quota, RateLimited
from authy_grpc.domain.phone import PhoneChannel, PhonePurpose
from authy_grpc.service.caller import Nobody
from authy_grpc.store import device as devices
from authy_grpc.store.device import DEVICE_SECRET
from authy_grpc.store.tables import AccountRow, ActivityRow, DeviceRow, PhoneVerificationRow, SpentKeyRow
from tests.clock import TurnedClock
from tests.registering import NUMBER, Handset, People, wrong
from tests.threads import Event


@pytest.fixture
async def people(database_url: str, clock: TurnedClock) -> AsyncIterator[People]:
    async with People.opened(database_url, clock) as opened:
        yield opened


async def test_the_first_device_opens_an_account_and_gets_its_recovery_code(people: People) -> None:
    handset, added = await people.register()
    assert added.device.state is DeviceState.ACTIVE and added.device.current and added.device.name == "Pocket"
    assert added.other_devices == 0 and added.account_create_time == people.clock()
    assert len(added.recovery_code) == 16 and added.device.check == ""
    account = await people.row(AccountRow, handset.account_id)
    assert account.new_device_policy == "HOLD" and account.phone_codes
    assert account.recovery_hash is not None and added.recovery_code.encode() not in account.recovery_hash
    assert (await people.account.get(handset.caller)).phone_number == NUMBER


async def test_service_and_phone_agree_on_the_root_of_the_codes(people: People) -> None:
    handset, added = await people.register()
    row = await people.row(DeviceRow, handset.device_id)
    ours = people.vault.open(DEVICE_SECRET, row.device_id, row.sealed_secret)
    assert ours == keys.agree(handset.agreement, added.server_agreement_key)
    assert row.server_agreement_key == added.server_agreement_key


async def test_a_second_device_waits_and_the_first_is_told(people: People) -> None:
    first, opened = await people.register()
    _, added = await people.register(name="Tablet")
    assert added.device.state is DeviceState.HELD and added.recovery_code == ""
    assert added.device.release_time == people.clock() + timedelta(days=7)
    assert added.other_devices == 1 and added.account_create_time == opened.account_create_time
    assert len(added.device.check) == 6
    account = await people.row(AccountRow, first.account_id)
    assert account.devices_revision == 3
    activities = await people.rows(ActivityRow)
    assert [each.type for each in activities] == ["device.added", "device.added"]
    assert len(await people.recorded("account.changed")) == 2


async def test_an_account_without_devices_and_links_has_nothing_to_guard(people: People) -> None:
    first, _ = await people.register()
    await people.revoke(first, first.device_id)
    again, added = await people.register()
    assert added.device.state is DeviceState.ACTIVE and again.account_id == first.account_id
    assert added.recovery_code == ""

    await people.link(again)
    await people.revoke(again, again.device_id)
    _, added = await people.register()
    assert added.device.state is DeviceState.HELD and added.other_devices == 0


async def test_the_policy_decides(people: People) -> None:
    first, _ = await people.register()
    await people.update(first, new_device_policy=NewDevicePolicy.ALLOW)
    second, added = await people.register()
    assert added.device.state is DeviceState.ACTIVE

    await people.update(second, new_device_policy=NewDevicePolicy.DENY)
    started, code = await people.start()
    asked = Handset.new().asks(started.verification_id, code)
    with pytest.raises(NewDevicesOff):
        await people.registrations.register(people.nobody(), asked)
    with pytest.raises(CodeRejected):
        await people.registrations.register(people.nobody(), replace(asked, code=wrong(code)))
    await people.update(first, new_device_policy=NewDevicePolicy.ALLOW)
    added = await people.registrations.register(people.nobody(), asked)
    assert added.device.state is DeviceState.ACTIVE


async def test_three_may_wait_and_ten_be_in(people: People) -> None:
    first, _ = await people.register()
    for _ in range(3):
        await people.register()
        people.clock.turn(hours=3)
    with pytest.raises(Quota) as refused:
        await people.register()
    assert refused.value.limit == 3
    await people.update(first, new_device_policy=NewDevicePolicy.ALLOW)
    for _ in range(9):
        people.clock.turn(hours=3)
        await people.register()
    people.clock.turn(hours=3)
    with pytest.raises(Quota) as refused:
        await people.register()
    assert refused.value.limit == 10


async def test_a_code_is_good_once_for_one_purpose_and_for_five_minutes(people: People) -> None:
    started, code = await people.start()
    people.clock.turn(minutes=5)
    with pytest.raises(CodeRejected):
        await people.registrations.register(
            people.nobody(), Handset.new().asks(started.verification_id, code)
        )
    started, code = await people.start(purpose=PhonePurpose.CHANGE_NUMBER)
    with pytest.raises(CodeRejected):
        await people.registrations.register(
            people.nobody(), Handset.new().asks(started.verification_id, code)
        )
    started, code = await people.start()
    other, _ = await people.start("+4915112345679")
    for verification_id in (other.verification_id, "pvn_" + "0" * 26):
        with pytest.raises(CodeRejected):
            await people.registrations.register(people.nobody(), Handset.new().asks(verification_id, code))
    await people.registrations.register(people.nobody(), Handset.new().asks(started.verification_id, code))
    with pytest.raises(CodeRejected):
        await people.registrations.register(
            people.nobody(), Handset.new().asks(started.verification_id, code)
        )
    assert len(await people.rows(DeviceRow)) == 1


async def test_what_cannot_be_a_code_is_no_guess_and_counts_for_the_peer(people: People) -> None:
    started, code = await people.start()
    asked, peer = Handset.new().asks(started.verification_id, "12345"), people.nobody()
    for _ in range(30):
        with pytest.raises(CodeRejected):
            await people.registrations.register(peer, asked)
    with pytest.raises(RateLimited) as refused:
        await people.registrations.register(peer, asked)
    assert refused.value.retry_after == timedelta(hours=1)
    with pytest.raises(RateLimited):
        await people.verifications.start(peer, NUMBER, PhoneChannel.SMS, PhonePurpose.REGISTER_DEVICE)
    await people.registrations.register(peer, replace(asked, code=" \u200e".join(code)))
    with pytest.raises(CodeRejected):
        await people.registrations.register(people.nobody(), asked)


async def test_spaces_and_dashes_in_a_code_are_passed_over(people: People) -> None:
    started, code = await people.start()
    typed = f" {code[:3]}-{code[3:]} "
    await people.registrations.register(people.nobody(), Handset.new().asks(started.verification_id, typed))


async def test_of_many_guesses_at_once_five_are_looked_at(
    people: People, figure: Callable[[int, int], int]
) -> None:
    started, code = await people.start()
    handset = Handset.new()
    guesses = [code] * 2 + [wrong(code)] * 5 + [code] * figure(193, 993)
    asked = [handset.asks(started.verification_id, wrong(code)) for _ in range(5)]
    asked += [handset.asks(started.verification_id, guess) for guess in guesses[7:]]
    outcomes = await asyncio.gather(
        *[people.registrations.register(people.nobody(), each) for each in asked], return_exceptions=True
    )
    assert [type(each) for each in outcomes] == [CodeRejected] * len(asked)
    row = await people.row(PhoneVerificationRow, started.verification_id)
    assert row.failures == 5 and row.use_time is None
    assert await people.rows(DeviceRow) == []

    # The control: one guess less, and the right code is taken.
    started, code = await people.start()
    asked = [handset.asks(started.verification_id, wrong(code)) for _ in range(4)]
    await asyncio.gather(
        *[people.registrations.register(people.nobody(), each) for each in asked], return_exceptions=True
    )
    await people.registrations.register(people.nobody(), handset.asks(started.verification_id, code))


async def test_200_at_once_with_the_right_code_add_one_device(people: People) -> None:
    started, code = await people.start()
    asked = [Handset.new().asks(started.verification_id, code) for _ in range(200)]
    outcomes = await asyncio.gather(
        *[people.registrations.register(people.nobody(), each) for each in asked], return_exceptions=True
    )
    assert sum(not isinstance(each, Exception) for each in outcomes) == 1
    assert {type(each) for each in outcomes if isinstance(each, Exception)} == {CodeRejected}
    assert len(await people.rows(DeviceRow)) == 1


async def test_two_devices_at_once_open_one_account(people: People) -> None:
    asked = []
    for _ in range(2):
        started, code = await people.start()
        asked.append(Handset.new().asks(started.verification_id, code))
    added = await asyncio.gather(*[people.registrations.register(people.nobody(), each) for each in asked])
    assert sorted(each.device.state for each in added) == ["ACTIVE", "HELD"]
    assert len(await people.rows(AccountRow)) == 1


async def test_the_same_call_again_answers_the_same_for_ten_minutes(people: People) -> None:
    started, code = await people.start()
    handset = Handset.new()
    asked = handset.asks(started.verification_id, code)
    added = await people.registrations.register(people.nobody(), asked)
    people.clock.turn(minutes=9, seconds=59)
    again = await people.registrations.register(people.nobody(), replace(asked, name="Another name"))
    assert again == added and again.recovery_code != ""
    assert len(await people.rows(DeviceRow)) == 1
    people.clock.turn(seconds=1)
    with pytest.raises(CodeRejected):
        await people.registrations.register(people.nobody(), asked)


async def test_an_answer_is_forgotten_when_it_is_not_given_again(people: People) -> None:
    started, code = await people.start()
    await people.registrations.register(people.nobody(), Handset.new().asks(started.verification_id, code))
    people.clock.turn(minutes=10)
    assert await people.verifications.forget_answers() == 0
    people.clock.turn(seconds=1)
    assert await people.verifications.forget_answers() == 1
    assert (await people.row(PhoneVerificationRow, started.verification_id)).sealed_answer is None
    assert await people.verifications.forget_answers() == 0


async def test_nobody_else_gets_the_answer(people: People) -> None:
    started, code = await people.start()
    handset, other = Handset.new(), Handset.new()
    asked = handset.asks(started.verification_id, code)
    await people.registrations.register(people.nobody(), asked)
    with pytest.raises(CodeRejected):
        await people.registrations.register(people.nobody(), other.asks(started.verification_id, code))
    # Whoever has the keys and tries codes runs out of guesses too, and then the right one is of no use.
    for _ in range(5):
        with pytest.raises(CodeRejected):
            await people.registrations.register(people.nobody(), replace(asked, code=wrong(code)))
    with pytest.raises(CodeRejected):
        await people.registrations.register(people.nobody(), asked)


async def test_bad_keys_and_signatures_cost_no_guess(people: People) -> None:
    started, code = await people.start()
    handset, other = Handset.new(), Handset.new()
    good = handset.asks(started.verification_id, code)
    elsewhere = other.asks(started.verification_id, code)
    point = keys.public_point(handset.signing)
    message = keys.registration_message(started.verification_id, point, point)
    bad = [
        replace(good, signature=bytes(64)),
        replace(good, signature=elsewhere.signature),
        replace(good, agreement_key=elsewhere.agreement_key),
        replace(good, verification_id="pvn_" + "0" * 26),
        replace(good, signing_key=b"\x04" + bytes(64)),
        replace(good, agreement_key=b"\x04" + bytes(64)),
        replace(good, agreement_key=point, signature=keys.sign(handset.signing, message)),
    ]
    for asked in bad:
        for tried in (code, wrong(code)):
            with pytest.raises(BadSignature):
                await people.registrations.register(people.nobody(), replace(asked, code=tried))
    assert (await people.row(PhoneVerificationRow, started.verification_id)).failures == 0
    await people.registrations.register(people.nobody(), good)


async def test_a_key_that_was_seen_before_is_refused(people: People) -> None:
    first, added = await people.register()
    started, code = await people.start("+4915112345679")
    fresh = ec.generate_private_key(ec.SECP256R1())
    for signing, agreement in (
        (first.signing, fresh),
        (fresh, first.agreement),
        (fresh, first.signing),
        (first.agreement, fresh),
    ):
        asked = Handset(signing, agreement).asks(started.verification_id, code)
        with pytest.raises(BadSignature):
            await people.registrations.register(people.nobody(), asked)
    assert await people.row(SpentKeyRow, keys.thumbprint(added.server_agreement_key)) is not None
    assert (await people.row(PhoneVerificationRow, started.verification_id)).failures == 0


async def test_names_numbers_and_codes_are_sealed(people: People) -> None:
    handset, added = await people.register(name="Ada's pocket")
    rows = [
        await people.row(AccountRow, handset.account_id),
        await people.row(DeviceRow, handset.device_id),
        *await people.rows(PhoneVerificationRow),
        *await people.rows(ActivityRow),
    ]
    kept = "".join(str(row.model_dump()) for row in rows)
    for secret in (NUMBER, NUMBER[1:], "Ada's", added.recovery_code):
        assert secret not in kept
    assert handset.device_id in kept
    row = await people.row(DeviceRow, handset.device_id)
    assert devices.name(people.vault, row) == "Ada's pocket"
    assert added.recovery_code not in repr(added) and "Ada's" not in repr(added)


async def test_nobody_waits_for_a_flood_from_another_address(people: People) -> None:
    asked = Handset.new().asks("pvn_" + "0" * 26, "123456")
    order: list[str] = []

    async def ask(peer: str) -> None:
        with pytest.raises(CodeRejected):
            await people.registrations.register(Nobody(peer), asked)
        order.append(peer)

    hold = Event()
    flood = [asyncio.create_task(people.database.write(lambda tx: hold.wait() and None))]
    flood += [asyncio.create_task(ask("198.51.100.1")) for _ in range(300)]
    last = asyncio.create_task(ask("198.51.100.2"))
    await asyncio.sleep(0)
    hold.set()
    await last
    # What stood in the group that was held, and in its own.
    assert len(order) <= 2 * 64
    await asyncio.gather(*flood)
    assert len(order) == 301
