"""A token is opened, and accepted by one; a key is proven, new, and for one link."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest

from authy_grpc.domain import keys
from authy_grpc.domain.enrollment import EnrollmentState
from authy_grpc.domain.errors import BadCredential, BadField, BadSignature, NotFound, WrongState
from authy_grpc.domain.ids import hash_secret
from authy_grpc.domain.site import NewKey, Site
from authy_grpc.store.tables import ApplicationRow, DeviceRow, EnrollmentRow, LinkRow
from tests.clock import TurnedClock
from tests.enrolling import Hall, Handset, token_of

_S = EnrollmentState


@pytest.fixture
async def hall(database_url: str, clock: TurnedClock) -> AsyncIterator[Hall]:
    async with Hall.hired(database_url, clock) as hired:
        yield hired


async def test_opening_says_who_asks(hall: Hall) -> None:
    site, phone = await hall.site(), await hall.phone()
    await hall.change(ApplicationRow, site.application_id, logo_id="lgo_1", logo=b"png")
    made, uri = await hall.begin(site)
    offer = await hall.scans.open(phone.caller, uri)
    assert (offer.site_name, offer.logo_id, offer.origin) == ("Example", "lgo_1", "https://example.com")
    assert offer.expire_time == made.expire_time and offer.create_time == hall.clock()
    assert not offer.requires_code
    assert await hall.scans.open(phone.caller, token_of(uri)) == offer
    assert await hall.types(site) == ["enrollment.pending", "enrollment.scanned"]


async def test_opening_says_whether_a_first_code_will_be_asked_for(hall: Hall) -> None:
    site, phone = await hall.site(), await hall.phone()
    for required in (True, False):
        _, uri = await hall.begin(site, require_code=required)
        assert (await hall.scans.open(phone.caller, uri)).requires_code is required


async def test_the_first_account_that_opens_it_holds_it(hall: Hall) -> None:
    site, phone, another = await hall.site(), await hall.phone(), await hall.phone()
    sibling = await hall.phone(phone.caller.account_id)
    made, uri = await hall.begin(site)
    await hall.scans.open(phone.caller, uri)
    for call in (
        hall.scans.open(another.caller, uri),
        hall.accept(another, uri),
        hall.scans.reject(another.caller, uri),
    ):
        with pytest.raises(NotFound):
            await call
    await hall.accept(sibling, uri)
    assert (await hall.enrollments.get(site, made.enrollment_id)).state is _S.COMPLETED


@pytest.mark.parametrize("scanned", ["https://other.example/app/#/e/AbCdEfGhIjKlMnOpQr-_12", "hello"])
async def test_what_is_not_of_this_service_is_no_token(hall: Hall, scanned: str) -> None:
    phone = await hall.phone()
    key = phone.key("x")
    for call in (
        hall.scans.open(phone.caller, scanned),
        hall.scans.accept(phone.caller, scanned, key),
        hall.scans.reject(phone.caller, scanned),
    ):
        with pytest.raises(BadField):
            await call


async def test_an_unknown_token_is_not_found(hall: Hall) -> None:
    phone = await hall.phone()
    with pytest.raises(NotFound):
        await hall.scans.open(phone.caller, "AbCdEfGhIjKlMnOpQr-_12")


async def test_accepting_makes_a_user_with_a_key(hall: Hall) -> None:
    site, phone = await hall.site(), await hall.phone()
    made, linked = await hall.enroll(site, phone)
    assert (made.state, made.revision) == (_S.COMPLETED, 3)
    assert 1_000_000 <= int(made.authy_id) < 2**31
    (key,) = made.keys
    assert key.create_time == made.update_time
    assert (linked.name, linked.has_key, linked.awaiting_code) == ("Example", True, False)
    assert await hall.sites.list_sites(phone.caller) == [linked]
    user = await hall.user_of(site)
    assert (user.authy_id, user.keys) == (made.authy_id, (key,))
    assert await hall.types(site) == ["enrollment.pending", "enrollment.scanned", "enrollment.completed"]
    revision = (await hall.sees(phone.caller)).sites_revision
    await hall.enroll(site, phone, "bob")
    assert (await hall.sees(phone.caller)).sites_revision > revision
    assert len(await hall.sites.list_sites(phone.caller)) == 2


async def test_the_winner_s_call_again_answers_the_same(hall: Hall) -> None:
    site, phone = await hall.site(), await hall.phone()
    sibling = await hall.phone(phone.caller.account_id)
    _, uri = await hall.begin(site)
    private = keys.new_private_key(lambda size: b"\x07" * size)
    key = phone.key(token_of(uri), private)
    linked = await hall.scans.accept(phone.caller, uri, key)
    assert await hall.scans.accept(phone.caller, uri, key) == linked
    resigned = phone.key(token_of(uri), private)
    assert resigned != key
    assert await hall.scans.accept(phone.caller, uri, resigned) == linked
    with pytest.raises(NotFound):
        await hall.accept(phone, uri)
    with pytest.raises(NotFound):
        await hall.scans.accept(sibling.caller, uri, sibling.key(token_of(uri), private))
    await hall.users.delete(site, (await hall.user_of(site)).authy_id)
    with pytest.raises(NotFound):
        await hall.scans.accept(phone.caller, uri, key)


async def test_of_many_phones_one_wins(hall: Hall, figure: Callable[[int, int], int]) -> None:
    site = await hall.site()
    phones = [await hall.phone() for _ in range(100)]
    for number in range(figure(1, 10)):
        made, uri = await hall.begin(site, f"user {number}", require_code=number % 2 == 1)
        answers = await asyncio.gather(*[hall.accept(phone, uri) for phone in phones], return_exceptions=True)
        winners = [each for each in answers if isinstance(each, Site)]
        assert len(winners) == 1
        assert all(isinstance(each, NotFound | Site) for each in answers)
        state = (await hall.enrollments.get(site, made.enrollment_id)).state
        assert state is (_S.AWAITING_CODE if number % 2 else _S.COMPLETED)
    listed = [each for phone in phones for each in await hall.sites.list_sites(phone.caller)]
    assert len(listed) == figure(1, 10)


def _spoiled(phone: Handset, other: Handset, token: str) -> dict[str, NewKey]:
    good, elsewhere = phone.key(token), phone.key("AbCdEfGhIjKlMnOpQr-_12")
    theirs = other.key(token)
    compressed = b"\x02" + good.point[1:33]
    return {
        "no proof": replace(good, proof=b""),
        "no signature": replace(good, signature=b""),
        "of another token": elsewhere,
        "signed by another device": theirs,
        "another device's signature": replace(good, signature=theirs.signature),
        "swapped": replace(good, proof=good.signature, signature=good.proof),
        "another point": replace(good, point=theirs.point),
        "off the curve": replace(good, point=good.point[:-1] + bytes([good.point[-1] ^ 1])),
        "compressed": replace(good, point=compressed),
        "its signing key": phone.key(token, phone.signing),
        "its agreement key": phone.key(token, phone.agreement),
        "another device's signing key": phone.key(token, other.signing),
    }


_FAULTS = (
    "no proof",
    "no signature",
    "of another token",
    "signed by another device",
    "another device's signature",
    "swapped",
    "another point",
    "off the curve",
    "compressed",
    "its signing key",
    "its agreement key",
    "another device's signing key",
)


@pytest.mark.parametrize("fault", _FAULTS)
async def test_a_key_that_is_not_the_device_s_own_new_one_is_refused(hall: Hall, fault: str) -> None:
    site, phone, other = await hall.site(), await hall.phone(), await hall.phone()
    made, uri = await hall.begin(site)
    with pytest.raises(BadSignature):
        await hall.scans.accept(phone.caller, uri, _spoiled(phone, other, token_of(uri))[fault])
    assert (await hall.enrollments.get(site, made.enrollment_id)).state is _S.PENDING
    await hall.accept(phone, uri)


async def test_a_key_is_good_for_one_link_ever(hall: Hall) -> None:
    site, phone, other = await hall.site(), await hall.phone(), await hall.phone()
    private = keys.new_private_key(lambda size: b"\x07" * size)
    _, uri = await hall.begin(site, require_code=True)
    await hall.scans.accept(phone.caller, uri, phone.key(token_of(uri), private))
    await hall.scans.reject(phone.caller, uri)
    for again in (phone, other):
        _, uri = await hall.begin(site)
        with pytest.raises(BadSignature):
            await hall.scans.accept(again.caller, uri, again.key(token_of(uri), private))


async def test_a_device_that_was_put_out_opens_accepts_and_refuses_nothing(hall: Hall) -> None:
    site, phone = await hall.site(), await hall.phone()
    made, uri = await hall.begin(site)
    await hall.change(DeviceRow, phone.caller.device_id, state="REVOKED")
    for call in (
        hall.scans.open(phone.caller, uri),
        hall.accept(phone, uri),
        hall.scans.reject(phone.caller, uri),
    ):
        with pytest.raises(BadCredential):
            await call
    assert (await hall.enrollments.get(site, made.enrollment_id)).state is _S.PENDING


async def test_refusing_says_nothing_of_who_refused(hall: Hall) -> None:
    site, phone = await hall.site(), await hall.phone()
    made, uri = await hall.begin(site)
    await hall.scans.reject(phone.caller, uri)
    assert await hall.types(site) == ["enrollment.pending", "enrollment.scanned", "enrollment.rejected"]
    told: list[Any] = [each.body for each in await hall.feed(site)]
    own = (phone.caller.account_id, phone.caller.device_id)
    assert not any(each in repr(body) for body in told for each in own)
    await hall.scans.reject(phone.caller, uri)
    assert (await hall.enrollments.get(site, made.enrollment_id)).revision == 3


async def test_a_link_that_was_made_is_removed_not_refused(hall: Hall) -> None:
    site, phone, another = await hall.site(), await hall.phone(), await hall.phone()
    _, uri = await hall.begin(site)
    await hall.accept(phone, uri)
    with pytest.raises(WrongState) as refused:
        await hall.scans.reject(phone.caller, uri)
    assert refused.value.state == "COMPLETED"
    with pytest.raises(NotFound):
        await hall.scans.reject(another.caller, uri)


async def test_a_user_that_came_up_meanwhile_is_not_replaced(hall: Hall) -> None:
    site, phone, other = await hall.site(), await hall.phone(), await hall.phone()
    made, uri = await hall.begin(site)
    _, elsewhere = await hall.enroll(site, other, "bob")
    digest = (await hall.row(EnrollmentRow, made.enrollment_id)).custom_user_digest
    await hall.change(LinkRow, elsewhere.site_id, custom_user_digest=digest)
    with pytest.raises(NotFound):
        await hall.accept(phone, uri)
    assert (await hall.enrollments.get(site, made.enrollment_id)).state is _S.CANCELED
    assert await hall.sites.list_sites(phone.caller) == []
    assert len(await hall.sites.list_sites(other.caller)) == 1


async def test_a_token_is_kept_as_a_hash(hall: Hall) -> None:
    made, uri = await hall.begin(await hall.site())
    row = await hall.row(EnrollmentRow, made.enrollment_id)
    assert row.token_hash == hash_secret(token_of(uri))
