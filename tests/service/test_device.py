"""Devices wait, are let in by another or by time, are refused, and are put out."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from authy_grpc.domain.account import Registration
from authy_grpc.domain.device import DeviceState, NewDevicePolicy, Proof
from authy_grpc.domain.errors import (
    BadCredential,
    ClockSkew,
    CodeRejected,
    DeviceHeld,
    NotFound,
    Quota,
    RateLimited,
    WrongState,
)
from authy_grpc.store import credential
from authy_grpc.store.device import DEVICE_SECRET
from authy_grpc.store.tables import AccountRow, ActivityRow, DeviceRow, EventRow, SessionRow, TellingRow
from authy_grpc.store.tx import Tx
from tests import rows
from tests.clock import TurnedClock
from tests.registering import Handset, People, wrong

ACTIVE, HELD, REVOKED = DeviceState.ACTIVE, DeviceState.HELD, DeviceState.REVOKED


@pytest.fixture
async def people(database_url: str, clock: TurnedClock) -> AsyncIterator[People]:
    async with People.opened(database_url, clock) as opened:
        yield opened


async def states(people: People, handset: Handset) -> list[DeviceState]:
    return [each.state for each in await people.devices.list_all(handset.caller)]


async def test_a_waiting_device_sees_itself_alone_and_is_seen_by_others(people: People) -> None:
    first, _ = await people.register(name="One")
    held, added = await people.register(name="Two")
    (own,) = await people.devices.list_all(held.caller)
    assert (own.state, own.current, own.check) == (HELD, True, added.device.check)
    one, two = await people.devices.list_all(first.caller)
    assert (one.name, one.current, one.state) == ("One", True, ACTIVE)
    assert (two.name, two.current, two.state, two.check) == ("Two", False, HELD, "")


async def test_it_is_let_in_by_its_check(people: People) -> None:
    first, _ = await people.register()
    held, added = await people.register()
    let_in = await people.approve(first, held.device_id, added.device.check)
    assert let_in.state is ACTIVE and let_in.release_time is None and let_in.limited_until is None
    assert await states(people, held) == [ACTIVE, ACTIVE]
    (changed,) = await people.recorded(credential.CHANGED)
    assert changed.subject_id == held.device_id
    assert (await people.row(AccountRow, first.account_id)).devices_revision == 4
    with pytest.raises(WrongState) as refused:
        await people.approve(first, held.device_id, added.device.check)
    assert refused.value.state == "ACTIVE"


async def test_past_ten_active_devices_none_is_approved(people: People) -> None:
    async def register() -> tuple[Handset, Registration]:
        people.clock.turn(hours=3)
        return await people.register()

    first, _ = await register()
    waiting = [await register() for _ in range(2)]
    await people.update(first, new_device_policy=NewDevicePolicy.ALLOW)
    others = [await register() for _ in range(8)]
    (tenth, added), (eleventh, also) = waiting
    await people.approve(first, tenth.device_id, added.device.check)
    with pytest.raises(Quota) as refused:
        await people.approve(first, eleventh.device_id, also.device.check)
    assert refused.value.limit == 10
    await people.revoke(first, others[0][0].device_id)
    assert (await people.approve(first, eleventh.device_id, also.device.check)).state is ACTIVE


async def test_what_cannot_be_a_check_is_no_guess(people: People) -> None:
    first, _ = await people.register()
    held, added = await people.register()
    for _ in range(20):
        with pytest.raises(CodeRejected):
            await people.approve(first, held.device_id, "12345")
    with pytest.raises(RateLimited):
        await people.approve(first, held.device_id, "12345")
    check = "\u00ad".join(chr(0x0966 + int(each)) for each in added.device.check)
    assert (await people.approve(first, held.device_id, check)).state is ACTIVE


async def test_of_wrong_checks_five_are_looked_at(people: People) -> None:
    first, _ = await people.register()
    held, added = await people.register()
    check = added.device.check
    for guess in [wrong(check)] * 5 + [check] * 3:
        with pytest.raises(CodeRejected):
            await people.approve(first, held.device_id, guess)
        people.clock.turn(hours=6)
    assert await states(people, first) == [ACTIVE, HELD]

    other, added = await people.register()
    for _ in range(4):
        with pytest.raises(CodeRejected):
            await people.approve(first, other.device_id, wrong(added.device.check))
    spaced = f"{added.device.check[:3]} {added.device.check[3:]}"
    assert (await people.approve(first, other.device_id, spaced)).state is ACTIVE


async def test_checks_tried_at_once_are_counted_each(people: People) -> None:
    first, _ = await people.register()
    held, added = await people.register()
    check = added.device.check
    calls = [people.approve(first, held.device_id, guess) for guess in [wrong(check)] * 5 + [check] * 15]
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(each) for each in outcomes} <= {CodeRejected, ClockSkew}
    assert (await people.row(DeviceRow, held.device_id)).state == "HELD"


async def test_what_is_refused_uses_the_proof_up(people: People) -> None:
    first, _ = await people.register()
    held, added = await people.register()
    proof = people.proof(first, "ApproveDevice", held.device_id, wrong(added.device.check))
    for error in (CodeRejected, ClockSkew):
        with pytest.raises(error):
            await people.devices.approve(first.caller, held.device_id, wrong(added.device.check), proof)
    proof = people.proof(first, "RevokeDevice", "dev_x")
    for missing in (NotFound, ClockSkew):
        with pytest.raises(missing):
            await people.devices.revoke(first.caller, "dev_x", proof)


async def test_a_proof_names_what_it_is_for(people: People) -> None:
    first, _ = await people.register()
    held, added = await people.register()
    check = added.device.check
    proofs = [
        people.proof(first, "ApproveDevice", held.device_id, wrong(check)),
        people.proof(first, "ApproveDevice", first.device_id, check),
        people.proof(first, "RevokeDevice", held.device_id, check),
        people.proof(held, "ApproveDevice", held.device_id, check),
    ]
    for proof in proofs:
        with pytest.raises(BadCredential):
            await people.devices.approve(first.caller, held.device_id, check, proof)
    assert (await people.approve(first, held.device_id, check)).state is ACTIVE


async def test_unseen_it_is_let_in_after_seven_days(people: People) -> None:
    await people.register()
    held, _ = await people.register()
    people.clock.turn(days=6, hours=23, minutes=59, seconds=59)
    assert await people.admission.release_due() == 0
    assert await states(people, held) == [HELD]
    people.clock.turn(seconds=1)
    # It is let in whether or not a worker has come by.
    assert await states(people, held) == [ACTIVE, ACTIVE]
    before = (await people.devices.list_all(held.caller))[1]
    assert await people.admission.release_due() == 1
    after = (await people.devices.list_all(held.caller))[1]
    assert before == after and after.limited_until == people.clock() + timedelta(days=7)
    assert after.release_time is None
    assert await people.admission.release_due() == 0
    assert len(await people.recorded(credential.CHANGED)) == 1
    types = [each.type for each in await people.rows(ActivityRow)]
    assert types == ["device.added", "device.added", "device.released"]


async def test_acknowledged_it_is_let_in_a_day_after_the_first_time(people: People) -> None:
    first, _ = await people.register()
    held, added = await people.register()
    listed = (await people.devices.list_all(first.caller))[1]
    assert listed.release_time == added.device.release_time == people.clock() + timedelta(days=7)
    people.clock.turn(hours=5)
    shown = await people.acknowledge(first, held.device_id)
    assert shown.release_time == people.clock() + timedelta(hours=24)
    people.clock.turn(hours=23)
    before = await people.row(AccountRow, first.account_id)
    assert (await people.acknowledge(first, held.device_id)).release_time == shown.release_time
    assert (await people.devices.list_all(first.caller))[1].release_time == shown.release_time
    assert await people.row(AccountRow, first.account_id) == before
    people.clock.turn(minutes=59, seconds=59)
    assert await people.admission.release_due() == 0
    people.clock.turn(seconds=1)
    assert await people.admission.release_due() == 1


async def test_what_does_not_wait_is_not_acknowledged(people: People) -> None:
    first, _ = await people.register()
    held, _ = await people.register()
    with pytest.raises(WrongState) as refused:
        await people.acknowledge(first, first.device_id)
    assert refused.value.state == "ACTIVE"
    await people.revoke(held, held.device_id)
    with pytest.raises(WrongState):
        await people.acknowledge(first, held.device_id)


async def test_one_let_in_by_time_acknowledges_nothing(people: People) -> None:
    first, _ = await people.register()
    held, _ = await people.register()
    people.clock.turn(days=7)
    later, added = await people.register()
    with pytest.raises(DeviceHeld):
        await people.acknowledge(held, later.device_id)
    assert (await people.row(DeviceRow, later.device_id)).release_time == added.device.release_time
    assert (await people.acknowledge(first, later.device_id)).release_time < added.device.release_time


async def test_refused_it_is_out_and_for_30_days_none_is_let_in_by_time(people: People) -> None:
    first, _ = await people.register()
    held, _ = await people.register()
    waiting, _ = await people.register()
    for each in (held, waiting):
        await people.acknowledge(first, each.device_id)
    await people.revoke(first, held.device_id)
    refused_at = people.clock()
    with pytest.raises(BadCredential):
        await people.devices.list_all(held.caller)
    assert (await people.devices.list_all(first.caller))[2].release_time == refused_at + timedelta(days=30)
    people.clock.turn(minutes=10)
    later, added = await people.register()
    assert added.device.release_time == refused_at + timedelta(days=30)
    people.clock.turn(days=29)
    assert await people.admission.release_due() == 0
    people.clock.turn(days=1)
    assert await people.admission.release_due() == 2
    assert (await people.row(DeviceRow, waiting.device_id)).state == "ACTIVE"
    assert (await people.row(DeviceRow, later.device_id)).state == "ACTIVE"
    assert "device.refused" in [each.type for each in await people.rows(ActivityRow)]


async def test_one_that_gives_up_by_itself_blocks_nobody(people: People) -> None:
    first, _ = await people.register()
    held, _ = await people.register()
    await people.revoke(held, held.device_id)
    assert (await people.row(AccountRow, first.account_id)).release_blocked_until is None
    assert await states(people, first) == [ACTIVE, REVOKED]


async def test_a_waiting_device_may_revoke_itself_alone(people: People) -> None:
    first, _ = await people.register()
    held, _ = await people.register()
    for device_id in (first.device_id, "dev_x"):
        with pytest.raises(DeviceHeld):
            await people.revoke(held, device_id)
    assert await states(people, first) == [ACTIVE, HELD]


async def test_put_out_a_device_loses_its_sessions_its_secret_and_its_voice(people: People) -> None:
    first, _ = await people.register()
    await people.update(first, new_device_policy=NewDevicePolicy.ALLOW)
    second, _ = await people.register()
    await people.session(second)
    await people.session(first)
    link = await people.link(second)
    secret = await people.row(DeviceRow, second.device_id)
    await people.revoke(first, second.device_id)

    row = await people.row(DeviceRow, second.device_id)
    assert (row.state, row.revoke_time) == ("REVOKED", people.clock())
    opened = [people.vault.open(DEVICE_SECRET, row.device_id, each.sealed_secret) for each in (row, secret)]
    assert opened[0] != opened[1]
    (kept,) = await people.rows(SessionRow)
    assert kept.device_id == first.device_id
    (ended,) = await people.recorded(credential.ENDED)
    assert ended.subject_id == second.device_id
    for call in (people.session(second), people.revoke(second, first.device_id)):
        with pytest.raises(BadCredential):
            await call
    (planned,) = await people.rows(TellingRow)
    assert (planned.site_id, planned.kind) == (link.site_id, "user.device_removed")
    assert await people.recorded("user.device_removed") == []
    await people.tell_all()
    assert len(await people.recorded("user.device_removed")) == 1


async def test_revoking_again_changes_nothing(people: People) -> None:
    first, _ = await people.register()
    held, _ = await people.register()
    await people.revoke(first, held.device_id)
    before = await people.row(AccountRow, first.account_id)
    people.clock.turn(hours=1)
    await people.revoke(first, held.device_id)
    assert (await people.row(AccountRow, first.account_id)) == before


async def test_revoked_devices_are_listed_for_30_days(people: People) -> None:
    first, _ = await people.register()
    held, _ = await people.register()
    await people.revoke(first, held.device_id)
    people.clock.turn(days=29, hours=23)
    assert await states(people, first) == [ACTIVE, REVOKED]
    people.clock.turn(hours=1)
    assert await states(people, first) == [ACTIVE]


async def test_a_device_is_renamed(people: People) -> None:
    first, _ = await people.register()
    held, _ = await people.register()
    none = Proof(0, b"")
    with pytest.raises(BadCredential):
        await people.devices.rename(first.caller, held.device_id, "Stranger", none)
    renamed = await people.rename(first, held.device_id, "Stranger")
    assert (renamed.name, renamed.current) == ("Stranger", False)
    own = await people.devices.rename(first.caller, first.device_id, "Mine", none)
    assert (own.name, own.current) == ("Mine", True)
    assert [each.name for each in await people.devices.list_all(first.caller)] == ["Mine", "Stranger"]


async def test_what_changes_nothing_writes_nothing(people: People) -> None:
    first, _ = await people.register(name="Mine")
    await people.update(first, phone_codes=False)
    none = Proof(0, b"")

    def count(tx: Tx) -> int:
        return sum(len(rows.every(tx, table)) for table in (ActivityRow, EventRow))

    async def seen() -> tuple[object, ...]:
        device: DeviceRow = await people.row(DeviceRow, first.device_id)
        account: AccountRow = await people.row(AccountRow, first.account_id)
        return device.sealed_name, await people.database.read(count), account.activity_revision

    before = await seen()
    for _ in range(40):
        assert (await people.devices.rename(first.caller, first.device_id, "Mine", none)).name == "Mine"
    await people.update(first, phone_codes=False, new_device_policy=NewDevicePolicy.HOLD)
    assert await seen() == before
    # With a control: a change is seen.
    await people.devices.rename(first.caller, first.device_id, "Other", none)
    assert (await seen())[1:] != before[1:]


async def test_names_of_devices_have_a_budget_which_is_the_accounts(people: People) -> None:
    first, _ = await people.register()
    held, added = await people.register()
    await people.approve(first, held.device_id, added.device.check)
    none = Proof(0, b"")
    for number in range(30):
        by = (first, held)[number % 2]
        await people.devices.rename(by.caller, by.device_id, f"Name {number}", none)
    for by in (first, held):
        with pytest.raises(RateLimited) as refused:
            await people.devices.rename(by.caller, by.device_id, "One more", none)
        assert refused.value.retry_after == timedelta(minutes=1)
    # A token that is used up in this way keeps nobody from what takes a proof.
    await people.update(first, new_device_policy=NewDevicePolicy.DENY)
    people.clock.turn(minutes=1)
    assert (await people.devices.rename(first.caller, first.device_id, "Later", none)).name == "Later"


async def test_another_accounts_device_is_not_found(people: People) -> None:
    first, _ = await people.register()
    other, _ = await people.register("+4915112345679")
    held, added = await people.register("+4915112345679")
    with pytest.raises(NotFound):
        await people.rename(first, other.device_id, "Mine now")
    with pytest.raises(NotFound):
        await people.acknowledge(first, held.device_id)
    with pytest.raises(NotFound):
        await people.approve(first, held.device_id, added.device.check)
    with pytest.raises(NotFound):
        await people.revoke(first, other.device_id)
    assert await states(people, other) == [ACTIVE, HELD]
    assert await states(people, first) == [ACTIVE]


async def test_a_device_put_out_while_it_asks_is_refused(people: People) -> None:
    first, _ = await people.register()
    await people.revoke(first, first.device_id)
    calls = [
        people.devices.list_all(first.caller),
        people.devices.rename(first.caller, first.device_id, "Ghost", Proof(0, b"")),
        people.account.get(first.caller),
        people.update(first, phone_codes=False),
        people.account.delete(first.caller, people.proof(first, "DeleteAccount")),
    ]
    for call in calls:
        with pytest.raises(BadCredential):
            await call
