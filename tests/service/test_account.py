"""An account is shown, changed and erased by its own devices; sites are told later, each at its own time."""

from collections.abc import AsyncIterator

import pytest

from authy_grpc.domain.device import DeviceState, NewDevicePolicy, Proof
from authy_grpc.domain.errors import BadCredential, ClockSkew
from authy_grpc.service.account import POLICY_NUMBERS
from authy_grpc.store import credential
from authy_grpc.store.tables import AccountRow, ActivityRow, DeviceRow, LinkRow, SessionRow, TellingRow
from authy_grpc.v1 import account_pb2
from tests.clock import TurnedClock
from tests.registering import NUMBER, People

DENY = NewDevicePolicy.DENY


@pytest.fixture
async def people(database_url: str, clock: TurnedClock) -> AsyncIterator[People]:
    async with People.opened(database_url, clock) as opened:
        yield opened


def test_policies_are_numbered_as_the_contract_does() -> None:
    numbers = account_pb2.NewDevicePolicy
    assert {each: numbers.Value(f"NEW_DEVICE_POLICY_{each}") for each in NewDevicePolicy} == POLICY_NUMBERS


async def test_what_is_named_changes_and_the_rest_stays(people: People) -> None:
    handset, _ = await people.register()
    changed = await people.update(handset, new_device_policy=NewDevicePolicy.ALLOW)
    assert (changed.new_device_policy, changed.phone_codes) == (NewDevicePolicy.ALLOW, True)
    changed = await people.update(handset, phone_codes=False)
    assert (changed.new_device_policy, changed.phone_codes) == (NewDevicePolicy.ALLOW, False)
    assert await people.account.get(handset.caller) == changed
    changed = await people.update(handset, new_device_policy=NewDevicePolicy.HOLD, phone_codes=True)
    assert (changed.new_device_policy, changed.phone_codes) == (NewDevicePolicy.HOLD, True)
    types = [each.type for each in await people.rows(ActivityRow)]
    assert types == ["device.added", *["account.updated"] * 3]


async def test_a_proof_for_another_change_is_refused(people: People) -> None:
    handset, _ = await people.register()
    for names in (("1", "-"), ("3", "1"), ("-", "-"), ("3",), ()):
        with pytest.raises(BadCredential):
            await people.account.update(
                handset.caller, people.proof(handset, "UpdateAccount", *names), new_device_policy=DENY
            )
    proof = people.proof(handset, "UpdateAccount", "3", "-")
    await people.account.update(handset.caller, proof, new_device_policy=DENY)
    with pytest.raises(ClockSkew):
        await people.account.update(handset.caller, proof, new_device_policy=DENY)
    with pytest.raises(BadCredential):
        await people.account.delete(handset.caller, Proof(proof.time_millis + 1, b""))


async def test_turning_to_deny_refuses_those_who_wait(people: People) -> None:
    handset, _ = await people.register()
    held = [(await people.register())[0] for _ in range(2)]
    await people.update(handset, new_device_policy=DENY)
    states = [each.state for each in await people.devices.list_all(handset.caller)]
    assert states == [DeviceState.ACTIVE, DeviceState.REVOKED, DeviceState.REVOKED]
    ended = {each.subject_id for each in await people.recorded(credential.ENDED)}
    assert ended == {each.device_id for each in held}
    assert (await people.row(AccountRow, handset.account_id)).release_blocked_until is not None


async def test_phone_codes_go_off_at_once_and_each_site_is_told_later(people: People) -> None:
    handset, _ = await people.register()
    one, two = await people.link(handset), await people.link(handset, "Other")
    await people.link(handset, "Waiting", state="AWAITING")
    await people.update(handset, phone_codes=False)
    planned = await people.rows(TellingRow)
    assert {each.site_id for each in planned} == {one.site_id, two.site_id}
    assert {each.kind for each in planned} == {"user.factors_changed"}
    assert len({each.due_time for each in planned}) == 2
    assert (await people.row(LinkRow, one.site_id)).phone_codes
    await people.update(handset, phone_codes=False)
    assert len(await people.rows(TellingRow)) == 2
    await people.tell_all()
    assert not (await people.row(LinkRow, one.site_id)).phone_codes
    assert len(await people.recorded("user.factors_changed")) == 2


async def test_an_erased_account_is_gone_at_once_for_its_owner(people: People) -> None:
    handset, _ = await people.register(name="Ada's pocket")
    held, _ = await people.register(name="Ada's tablet")
    await people.session(handset)
    await people.account.delete(handset.caller, people.proof(handset, "DeleteAccount"))

    assert await people.rows(SessionRow) == [] and await people.rows(ActivityRow) == []
    ended = {each.subject_id for each in await people.recorded(credential.ENDED)}
    assert ended == {handset.device_id, held.device_id}
    row = await people.row(AccountRow, handset.account_id)
    kept = (row.sealed_number, row.number_digest, row.number_digest_odd, row.recovery_hash)
    assert kept == (None,) * 4
    for device in await people.rows(DeviceRow):
        assert device.state == "REVOKED"
        assert people.vault.open("device.name", device.device_id, device.sealed_name) == b""
    for call in (
        people.session(handset),
        people.account.get(handset.caller),
        people.devices.list_all(held.caller),
        people.account.delete(handset.caller, people.proof(handset, "DeleteAccount")),
    ):
        with pytest.raises(BadCredential):
            await call


async def test_its_number_opens_another_account_at_once(people: People) -> None:
    handset, _ = await people.register()
    await people.link(handset)
    await people.account.delete(handset.caller, people.proof(handset, "DeleteAccount"))
    again, added = await people.register(NUMBER)
    assert added.device.state is DeviceState.ACTIVE and again.account_id != handset.account_id
    assert added.recovery_code and added.other_devices == 0


async def test_its_sites_are_told_later_and_see_nothing_before(people: People) -> None:
    handset, _ = await people.register()
    links = [await people.link(handset, name) for name in ("One", "Two")]
    waiting = await people.link(handset, "Three", state="AWAITING")
    await people.account.delete(handset.caller, people.proof(handset, "DeleteAccount"))
    assert [(await people.row(LinkRow, each.site_id)).state for each in links] == ["ENDED", "ENDED"]
    assert (await people.row(LinkRow, waiting.site_id)).state == "AWAITING"
    planned = await people.rows(TellingRow)
    assert {(each.site_id, each.kind) for each in planned} == {
        (each.site_id, "user.deleted") for each in links
    }
    assert await people.recorded("user.deleted") == []
    await people.tell_all()
    assert len(await people.recorded("user.deleted")) == 2
    assert [await people.row(LinkRow, each.site_id) for each in links] == [None, None]
