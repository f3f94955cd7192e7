"""What becomes of the user that a custom_user_id has: the same account keeps it, another one ends it."""

from collections.abc import AsyncIterator
from typing import Any

import pyotp
import pytest

from authy_grpc.domain.enrollment import EnrollmentMethod, EnrollmentState
from authy_grpc.domain.errors import CodeRejected, NotFound
from authy_grpc.domain.event import UserEvent
from authy_grpc.domain.keys import thumbprint
from authy_grpc.domain.user import Factor, User
from authy_grpc.domain.verification import CodeResult
from authy_grpc.service.caller import Site
from authy_grpc.store.tables import (
    AccountRow,
    BackupCodeRow,
    LinkRow,
    SentCodeRow,
    SiteKeyRow,
    SpentAuthyIdRow,
    SpentKeyRow,
    TellingRow,
)
from tests.asking import wrong
from tests.clock import TurnedClock
from tests.enrolling import Hall, Handset, token_of

_S = EnrollmentState
_GENERIC = EnrollmentMethod.GENERIC_TOTP


@pytest.fixture
async def hall(database_url: str, clock: TurnedClock) -> AsyncIterator[Hall]:
    async with Hall.hired(database_url, clock) as hired:
        yield hired


async def _with_traces(hall: Hall, site: Site, phone: Handset) -> tuple[User, str]:
    """A user with a backup code, a sent code, and two wrong codes counted."""
    made, linked = await hall.enroll(site, phone)
    now = hall.clock()
    await hall.add(BackupCodeRow(site_id=linked.site_id, code_hash=b"1" * 32))
    await hall.add(
        SentCodeRow(
            site_id=linked.site_id,
            action="pay",
            channel="SMS",
            sealed_code=b"",
            create_time=now,
            expire_time=now.replace(year=2100),
        )
    )
    code = wrong(phone.code(linked.site_id, now))
    for _ in range(2):
        assert await hall.verify(site, made.authy_id, code) is CodeResult.WRONG
    return await hall.user_of(site), linked.site_id


@pytest.mark.parametrize("asks_for_code", [False, True])
async def test_the_same_device_keeps_its_user_and_brings_a_new_key(hall: Hall, asks_for_code: bool) -> None:
    site, phone = await hall.site(), await hall.phone()
    before, site_id = await _with_traces(hall, site, phone)
    login = phone.code(site_id, hall.clock())
    assert await hall.verify(site, before.authy_id, login) is CodeResult.ACCEPTED
    await hall.verify(site, before.authy_id, wrong(login))
    hall.clock.turn(seconds=30)

    made, uri = await hall.begin(site, replace_existing=True, require_code=asks_for_code)
    linked = await hall.accept(phone, uri)
    if asks_for_code:
        assert await hall.user_of(site) == await hall.users.get(site, before.authy_id)
        await hall.confirm(site, made, phone.code(site_id, hall.clock()))
    completed = await hall.enrollments.get(site, made.enrollment_id)

    after = await hall.user_of(site)
    old, new = after.keys
    assert (completed.authy_id, linked.site_id) == (before.authy_id, site_id)
    assert (after.authy_id, after.create_time) == (before.authy_id, before.create_time)
    assert (old.kid, old.revoke_time) == (before.keys[0].kid, hall.clock())
    assert (completed.keys, new.revoke_time) == ((new,), None)
    assert after.backup_codes_left == 1
    assert (await hall.row(LinkRow, site_id)).failures == (0 if asks_for_code else 1)
    assert (await hall.types(site))[-2:] == ["user.device_removed", "enrollment.completed"]
    told: Any = (await hall.feed(site))[-2].body
    assert told == UserEvent(authy_id=before.authy_id, custom_user_id="ada", key=old)
    assert await hall.verify(site, before.authy_id, login) is CodeResult.REPLAYED
    hall.clock.turn(seconds=60)
    fresh = phone.code(site_id, hall.clock())
    assert await hall.verify(site, before.authy_id, fresh) is CodeResult.ACCEPTED
    (own,) = await hall.sites.list_sites(phone.caller)
    assert (own.site_id, own.has_key) == (site_id, True)


async def test_other_devices_keep_their_keys(hall: Hall) -> None:
    site, phone = await hall.site(), await hall.phone()
    tablet = await hall.phone(phone.caller.account_id)
    before, linked = await hall.enroll(site, phone)
    await hall.enroll(site, tablet, replace_existing=True)
    assert "user.device_removed" not in await hall.types(site)
    first, second = (await hall.user_of(site)).keys
    assert (first.revoke_time, second.revoke_time) == (None, None)
    for device in (phone, tablet):
        code = device.code(linked.site_id, hall.clock())
        assert await hall.verify(site, before.authy_id, code) is CodeResult.ACCEPTED


async def test_another_account_gets_a_new_user_and_the_old_one_ends(hall: Hall) -> None:
    site, phone, another = await hall.site(), await hall.phone(), await hall.phone()
    before, site_id = await _with_traces(hall, site, phone)
    await hall.ask_user(site, before)

    completed, linked = await hall.enroll(site, another, replace_existing=True)

    after = await hall.user_of(site)
    assert completed.authy_id == after.authy_id != before.authy_id
    assert linked.site_id != site_id
    assert (after.backup_codes_left, len(after.keys)) == (0, 1)
    assert (await hall.types(site))[-3:] == ["approval.canceled", "user.deleted", "enrollment.completed"]
    told: Any = (await hall.feed(site))[-2].body
    assert (told.authy_id, told.custom_user_id) == (before.authy_id, "ada")
    with pytest.raises(NotFound):
        await hall.users.get(site, before.authy_id)
    with pytest.raises(NotFound):
        await hall.verify(site, before.authy_id, phone.code(site_id, hall.clock()))
    assert await hall.sites.list_sites(phone.caller) == []
    await _nothing_left(hall, site_id)


async def _nothing_left(hall: Hall, site_id: str) -> None:
    for table in (LinkRow, SiteKeyRow, BackupCodeRow, SentCodeRow, TellingRow):
        assert await hall.count(table, site_id=site_id) == 0


async def test_generic_totp_replaces_always(hall: Hall) -> None:
    site, phone = await hall.site(), await hall.phone()
    first, _ = await hall.enroll(site, phone)
    authy_ids = [first.authy_id]
    for _ in range(2):
        made, uri = await hall.begin(site, method=_GENERIC, replace_existing=True)
        assert (await hall.user_of(site)).authy_id == authy_ids[-1]
        app = pyotp.parse_uri(uri)
        assert isinstance(app, pyotp.TOTP)
        authy_ids.append((await hall.confirm(site, made, app.at(hall.clock()))).authy_id)
        assert (await hall.types(site))[-2:] == ["user.deleted", "enrollment.completed"]
    assert await hall.sites.list_sites(phone.caller) == []
    completed, _ = await hall.enroll(site, phone, replace_existing=True)
    assert len({*authy_ids, completed.authy_id}) == 4
    assert Factor.PUSH in (await hall.user_of(site)).factors


async def test_a_user_that_has_ended_is_replaced_by_whoever_scans(hall: Hall) -> None:
    """Its account is gone: nothing of it is kept, and its site is told by the replacement."""
    site, phone = await hall.site(), await hall.phone()
    before, linked = await hall.enroll(site, phone)
    now = hall.clock()
    await hall.change(LinkRow, linked.site_id, state="ENDED")
    await hall.add(TellingRow(telling_id="tel_1", site_id=linked.site_id, kind="user.deleted", due_time=now))
    completed, renewed = await hall.enroll(site, phone, replace_existing=True)
    assert completed.authy_id != before.authy_id
    assert renewed.site_id != linked.site_id
    await _nothing_left(hall, linked.site_id)


async def test_replacing_nobody_is_an_ordinary_enrollment(hall: Hall) -> None:
    site, phone = await hall.site(), await hall.phone()
    made, _ = await hall.enroll(site, phone, replace_existing=True)
    assert made.state is _S.COMPLETED
    assert await hall.types(site) == ["enrollment.pending", "enrollment.scanned", "enrollment.completed"]


async def test_until_the_code_is_there_the_user_stays_as_it_was(hall: Hall) -> None:
    site, phone, another = await hall.site(), await hall.phone(), await hall.phone()
    before, linked = await hall.enroll(site, phone)
    made, uri = await hall.begin(site, replace_existing=True, require_code=True)
    waiting = await hall.accept(another, uri)
    assert (await hall.user_of(site)).authy_id == before.authy_id
    with pytest.raises(CodeRejected):
        await hall.confirm(site, made, phone.code(linked.site_id, hall.clock()))
    await hall.scans.reject(another.caller, uri)
    assert (await hall.user_of(site)).authy_id == before.authy_id
    assert await hall.sites.list_sites(another.caller) == []
    assert waiting.site_id != linked.site_id


@pytest.mark.parametrize("ends", ["the site", "the owner"])
async def test_a_user_that_ends_takes_its_renewal_along(hall: Hall, ends: str) -> None:
    site, phone = await hall.site(), await hall.phone()
    before, linked = await hall.enroll(site, phone)
    made, uri = await hall.begin(site, replace_existing=True, require_code=True)
    await hall.accept(phone, uri)
    if ends == "the site":
        await hall.users.delete(site, before.authy_id)
    else:
        proof = phone.proof(hall.REMOVE, hall.clock(), linked.site_id)
        await hall.sites.remove(phone.caller, linked.site_id, proof)
    state = (await hall.enrollments.get(site, made.enrollment_id)).state
    assert state is (_S.CANCELED if ends == "the site" else _S.REJECTED)
    assert await hall.sites.list_sites(phone.caller) == []


async def test_numbers_and_keys_stay_spent(hall: Hall) -> None:
    site, phone = await hall.site(), await hall.phone()
    _, uri = await hall.begin(site)
    key = phone.key(token_of(uri))
    await hall.scans.accept(phone.caller, uri, key)
    user = await hall.user_of(site)
    await hall.users.delete(site, user.authy_id)
    assert await hall.count(SpentKeyRow, thumbprint=thumbprint(key.point)) == 1
    assert await hall.count(SpentAuthyIdRow, authy_id=user.authy_id) == 1


async def test_whether_codes_can_be_sent_is_as_the_account_has_it(hall: Hall) -> None:
    site, phone = await hall.site(), await hall.phone()
    await hall.enroll(site, phone)
    assert Factor.SMS in (await hall.user_of(site)).factors
    await hall.change(AccountRow, phone.caller.account_id, phone_codes=False)
    await hall.enroll(site, phone, "bob")
    assert Factor.SMS not in (await hall.user_of(site, "bob")).factors
