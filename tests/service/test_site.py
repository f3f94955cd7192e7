"""The owner's view of links: listed, named, given keys of more devices, and ended."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from authy_grpc.domain import keys
from authy_grpc.domain.device import Proof
from authy_grpc.domain.enrollment import EnrollmentState
from authy_grpc.domain.errors import BadCredential, BadSignature, ClockSkew, NotFound, WrongState
from authy_grpc.domain.verification import CodeResult
from authy_grpc.store.tables import ActivityRow, ApplicationRow, LinkRow
from tests.clock import TurnedClock
from tests.enrolling import Hall, Handset

_S = EnrollmentState


@pytest.fixture
async def hall(database_url: str, clock: TurnedClock) -> AsyncIterator[Hall]:
    async with Hall.hired(database_url, clock) as hired:
        yield hired


async def test_a_site_stands_as_often_as_its_owner_has_users_there(hall: Hall) -> None:
    site, other, phone = await hall.site(), await hall.site("Other"), await hall.phone()
    await hall.enroll(site, phone)
    hall.clock.turn(seconds=1)
    await hall.enroll(other, phone)
    hall.clock.turn(seconds=1)
    await hall.enroll(site, phone, "bob")
    listed = await hall.sites.list_sites(phone.caller)
    assert [each.name for each in listed] == ["Example", "Other", "Example"]
    assert len({each.site_id for each in listed}) == 3
    assert all(each.has_key for each in listed)
    assert await hall.sites.list_sites((await hall.phone()).caller) == []


async def test_a_link_that_has_ended_is_not_seen(hall: Hall) -> None:
    site, phone = await hall.site(), await hall.phone()
    _, linked = await hall.enroll(site, phone)
    await hall.change(LinkRow, linked.site_id, state="ENDED")
    assert await hall.sites.list_sites(phone.caller) == []
    with pytest.raises(NotFound):
        await hall.rename(phone, linked.site_id, "mine")
    assert (await hall.user_of(site)).custom_user_id == "ada"


async def test_an_owner_names_a_link(hall: Hall) -> None:
    site, phone = await hall.site(), await hall.phone()
    tablet = await hall.phone(phone.caller.account_id)
    _, linked = await hall.enroll(site, phone)
    revision = (await hall.sees(phone.caller)).sites_revision
    named = await hall.rename(tablet, linked.site_id, "work")
    assert (named.label, named.has_key) == ("work", False)
    assert (await hall.sites.list_sites(phone.caller))[0].label == "work"
    assert (await hall.sees(phone.caller)).sites_revision == revision + 1
    assert b"work" not in (await hall.row(LinkRow, linked.site_id)).sealed_label
    assert (await hall.rename(phone, linked.site_id, "")).label == ""


async def test_another_device_brings_a_key_of_its_own(hall: Hall) -> None:
    site, phone = await hall.site(), await hall.phone()
    tablet = await hall.phone(phone.caller.account_id)
    made, linked = await hall.enroll(site, phone)
    (seen,) = await hall.sites.list_sites(tablet.caller)
    assert not seen.has_key
    code = tablet.code(linked.site_id, hall.clock())
    assert await hall.verify(site, made.authy_id, code) is CodeResult.WRONG

    hall.clock.turn(seconds=1)
    key = tablet.key(linked.site_id)
    added = await hall.sites.add_key(tablet.caller, linked.site_id, key)
    assert added.has_key
    assert await hall.sites.add_key(tablet.caller, linked.site_id, key) == added
    assert (await hall.types(site)).count("user.device_added") == 1
    body: Any = (await hall.feed(site))[-1].body
    assert body.key.kid == keys.thumbprint(key.point)
    assert (await hall.user_of(site)).keys[1] == body.key
    assert await hall.verify(site, made.authy_id, code) is CodeResult.ACCEPTED
    with pytest.raises(WrongState):
        await hall.sites.add_key(tablet.caller, linked.site_id, tablet.key(linked.site_id))


async def test_a_key_must_be_new_and_proven_for_the_link(hall: Hall) -> None:
    site, phone = await hall.site(), await hall.phone()
    tablet = await hall.phone(phone.caller.account_id)
    _, linked = await hall.enroll(site, phone)
    _, second = await hall.enroll(site, phone, "bob")
    used = keys.new_private_key(lambda size: b"\x05" * size)
    await hall.sites.add_key(tablet.caller, second.site_id, tablet.key(second.site_id, used))
    bad = [
        tablet.key(second.site_id),
        phone.key(linked.site_id),
        tablet.key(linked.site_id, used),
        tablet.key(linked.site_id, tablet.signing),
    ]
    for key in bad:
        with pytest.raises(BadSignature):
            await hall.sites.add_key(tablet.caller, linked.site_id, key)
    assert (await hall.types(site)).count("user.device_added") == 1


async def test_a_link_that_waits_takes_no_further_key(hall: Hall) -> None:
    site, phone = await hall.site(), await hall.phone()
    tablet = await hall.phone(phone.caller.account_id)
    _, uri = await hall.begin(site, require_code=True)
    linked = await hall.accept(phone, uri)
    (seen,) = await hall.sites.list_sites(tablet.caller)
    assert (seen.awaiting_code, seen.has_key) == (True, False)
    with pytest.raises(WrongState) as refused:
        await hall.sites.add_key(tablet.caller, linked.site_id, tablet.key(linked.site_id))
    assert refused.value.state == "AWAITING_CODE"


async def test_an_owner_ends_a_link(hall: Hall) -> None:
    site, other, phone = await hall.site(), await hall.site("Other"), await hall.phone()
    made, linked = await hall.enroll(site, phone)
    await hall.enroll(site, phone, "bob")
    await hall.enroll(other, phone)
    await hall.ask_user(site, await hall.user_of(site))
    revision = (await hall.sees(phone.caller)).sites_revision

    await hall.sites.remove(
        phone.caller, linked.site_id, phone.proof(hall.REMOVE, hall.clock(), linked.site_id)
    )

    assert (await hall.types(site))[-2:] == ["approval.canceled", "user.deleted"]
    assert "user.deleted" not in await hall.types(other)
    with pytest.raises(NotFound):
        await hall.users.get(site, made.authy_id)
    assert len(await hall.sites.list_sites(phone.caller)) == 2
    assert (await hall.user_of(site, "bob")).custom_user_id == "bob"
    assert (await hall.sees(phone.caller)).sites_revision == revision + 1
    assert await hall.count(ActivityRow, type="site.removed") == 1


async def test_ending_one_that_waits_rejects_it(hall: Hall) -> None:
    site, phone = await hall.site(), await hall.phone()
    made, uri = await hall.begin(site, require_code=True)
    linked = await hall.accept(phone, uri)
    await hall.sites.remove(
        phone.caller, linked.site_id, phone.proof(hall.REMOVE, hall.clock(), linked.site_id)
    )
    assert (await hall.enrollments.get(site, made.enrollment_id)).state is _S.REJECTED
    assert await hall.sites.list_sites(phone.caller) == []
    assert "user.deleted" not in await hall.types(site)


async def test_a_link_is_ended_by_a_proof_of_now_alone(hall: Hall) -> None:
    site, phone, another = await hall.site(), await hall.phone(), await hall.phone()
    _, linked = await hall.enroll(site, phone)
    now, site_id = hall.clock(), linked.site_id
    bad: list[tuple[Proof, type[Exception]]] = [
        (Proof(int(now.timestamp() * 1000), b""), BadCredential),
        (another.proof(hall.REMOVE, now, site_id), BadCredential),
        (phone.proof(hall.REMOVE, now, "sit_other"), BadCredential),
        (phone.proof("authy_grpc.v1.AccountService/RevokeDevice", now, site_id), BadCredential),
        (phone.proof(hall.REMOVE, now + timedelta(seconds=61), site_id), ClockSkew),
        (phone.proof(hall.REMOVE, now - timedelta(seconds=61), site_id), ClockSkew),
    ]
    for proof, refusal in bad:
        with pytest.raises(refusal):
            await hall.sites.remove(phone.caller, site_id, proof)
    used = phone.proof(hall.REMOVE, now, "sit_unknown")
    for refusal in (NotFound, ClockSkew):
        with pytest.raises(refusal):
            await hall.sites.remove(phone.caller, "sit_unknown", used)
    assert len(await hall.sites.list_sites(phone.caller)) == 1
    hall.clock.turn(seconds=1)
    await hall.sites.remove(phone.caller, site_id, phone.proof(hall.REMOVE, hall.clock(), site_id))


async def test_another_account_s_link_is_not_found(hall: Hall) -> None:
    site, phone, another = await hall.site(), await hall.phone(), await hall.phone()
    _, linked = await hall.enroll(site, phone)

    def removal(caller: Handset, site_id: str) -> Awaitable[object]:
        hall.clock.turn(seconds=1)
        return hall.sites.remove(caller.caller, site_id, caller.proof(hall.REMOVE, hall.clock(), site_id))

    calls: list[Callable[[str], Awaitable[object]]] = [
        lambda own: hall.rename(another, own, "mine"),
        lambda own: hall.sites.add_key(another.caller, own, another.key(own)),
        lambda own: removal(another, own),
    ]
    for call in calls:
        for site_id in (linked.site_id, "sit_unknown"):
            with pytest.raises(NotFound) as refused:
                await call(site_id)
            assert str(refused.value) == ""
    assert await hall.sites.list_sites(phone.caller) == [linked]


async def test_a_logo_is_found_by_its_id(hall: Hall) -> None:
    site, phone = await hall.site(), await hall.phone()
    await hall.site("Without")
    await hall.change(ApplicationRow, site.application_id, logo_id="lgo_1", logo=b"png")
    assert await hall.sites.get_logo(phone.caller, "lgo_1") == b"png"
    for logo_id in ("lgo_2", ""):
        with pytest.raises(NotFound):
            await hall.sites.get_logo(phone.caller, logo_id)
