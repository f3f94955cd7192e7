"""Linking sites, the key that each gets, and codes, against a service that checks every signature."""

import io
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import qrcode
from google.rpc import code_pb2

from authy_grpc.domain import keys, totp
from authy_grpc.phone import Offer, Phone, PhoneError

ORIGIN = "http://127.0.0.1:8080"
TOKEN = "AAAAAAAAAAAAAAAAAAAAAA"
TEXT = f"{ORIGIN}/app/#/e/{TOKEN}"

pytestmark = pytest.mark.asyncio


def expected(service: Any, site_id: str, at: datetime) -> str:
    """The code by the service's half of the agreement, and our own RFC 6238."""
    secret = keys.totp_secret(
        keys.agree(service.server_key, service.device_keys[1]),
        site_id=site_id,
        device_id="dev_1",
        agreement_key=service.device_keys[1],
        server_agreement_key=service.server_point,
    )
    return totp.code(secret, totp.step_at(at, 20), 7)


async def test_a_scanned_png_tells_who_asks(phone: Phone, service: Any, clock: Any) -> None:
    file = io.BytesIO()
    qrcode.make(TEXT).save(file, "PNG")
    offer = await phone.open(file.getvalue())
    assert (offer.site_name, offer.origin, offer.expire_time) == ("Shop", "https://shop.example", clock())
    assert await phone.open(TEXT) == offer
    assert TOKEN not in repr(offer) and offer.token == TOKEN


async def test_text_of_another_origin_reaches_no_service(phone: Phone, service: Any) -> None:
    with pytest.raises(PhoneError):
        await phone.open(f"http://127.0.0.1:8081/app/#/e/{TOKEN}")
    assert service.called("OpenEnrollment") == []


async def test_accepting_brings_a_new_proven_key(phone: Phone, service: Any) -> None:
    site = await phone.accept(await phone.open(TEXT))
    assert site.site_id == "sit_1" and site.has_key
    assert service.site_keys["sit_1"] not in service.device_keys


async def test_a_lost_answer_is_made_good_with_the_same_key(phone: Phone, service: Any) -> None:
    offer = await phone.open(TEXT)
    service.lose_next.add("AcceptEnrollment")
    with pytest.raises(PhoneError):
        await phone.accept(offer)
    await phone.accept(offer)
    first, second = service.called("AcceptEnrollment")
    assert first.site_key == second.site_key


async def test_rejecting(phone: Phone, service: Any) -> None:
    await phone.reject(await phone.open(TEXT))
    assert [request.token for request in service.called("RejectEnrollment")] == [TOKEN]


async def test_codes_are_those_of_the_service_at_each_time(phone: Phone, service: Any, clock: Any) -> None:
    site = await phone.accept(await phone.open(TEXT))
    assert await phone.code(site) == expected(service, "sit_1", clock())
    for step in range(50):
        at = clock() + timedelta(seconds=7 * step)
        assert await phone.code(site, at) == expected(service, "sit_1", at)
    assert await phone.code(site, clock()) != await phone.code(site, clock() + timedelta(seconds=20))
    assert service.called("AddSiteKey") == []


@pytest.mark.parametrize("off", [10_000, 40, -40])
async def test_a_code_is_by_the_services_clock(target: str, service: Any, clock: Any, off: float) -> None:
    own = type(clock)()
    own.turn(seconds=off)
    async with Phone(target, origin=ORIGIN, clock=own) as phone:
        await phone.register(await phone.start("+15005550006"), "123456", "Pocket")
        site = await phone.accept(await phone.open(TEXT))
        assert await phone.code(site) == expected(service, "sit_1", clock())
        assert expected(service, "sit_1", clock()) != expected(service, "sit_1", own())


async def test_the_first_code_for_a_site_of_another_device_adds_a_key(phone: Phone, service: Any) -> None:
    service.add_site("sit_2")
    (site,) = await phone.sites()
    assert not site.has_key
    await phone.code(site)
    await phone.code(site)
    assert len(service.called("AddSiteKey")) == 1
    (site,) = await phone.sites()
    assert site.has_key


async def test_adding_a_key_again_brings_the_same(phone: Phone, service: Any, refusal: Any) -> None:
    site = service.add_site("sit_2")
    service.refusals["AddSiteKey"] = [refusal(code_pb2.UNAVAILABLE, "BACKEND")]
    with pytest.raises(PhoneError):
        await phone.add_key(site)
    assert (await phone.add_key(site)).has_key
    await phone.add_key(site)
    assert len({request.site_key for request in service.called("AddSiteKey")}) == 1
    assert len(service.called("AddSiteKey")) == 3


async def test_every_link_gets_a_key_of_its_own(phone: Phone, service: Any) -> None:
    for name in ("sit_2", "sit_3"):
        await phone.add_key(service.add_site(name))
    assert len({*service.site_keys.values(), *service.device_keys}) == 4


async def test_renaming_and_removing(phone: Phone, service: Any) -> None:
    site = await phone.accept(await phone.open(TEXT))
    assert (await phone.rename_site(site, "Work")).label == "Work"
    await phone.remove_site(site)
    assert [request.site_id for request in service.called("RemoveSite")] == ["sit_1"]
    service.site_keys.clear()
    await phone.add_key(site)
    assert service.site_keys["sit_1"] != service.called("AcceptEnrollment")[0].site_key


async def test_a_phone_that_starts_again_has_its_keys(
    target: str, service: Any, clock: Any, tmp_path: Path
) -> None:
    state = tmp_path / "phone.json"
    async with Phone(target, origin=ORIGIN, clock=clock, state=state) as phone:
        await phone.register(await phone.start("+15005550006"), "123456", "Pocket")
        site = await phone.accept(await phone.open(TEXT))
        code = await phone.code(site)
    async with Phone(target, origin=ORIGIN, clock=clock, state=state) as phone:
        assert phone.device_id == "dev_1"
        assert await phone.code(site) == code
        await phone.add_key(site)
    assert service.called("AddSiteKey")[0].site_key == service.called("AcceptEnrollment")[0].site_key


async def test_a_key_is_on_disk_before_the_site_hears_of_it(
    target: str, service: Any, clock: Any, tmp_path: Path
) -> None:
    state = tmp_path / "phone.json"
    offer = Offer(TOKEN, "Shop", "https://shop.example", clock())
    async with Phone(target, origin=ORIGIN, clock=clock, state=state) as phone:
        await phone.register(await phone.start("+15005550006"), "123456", "Pocket")
        service.lose_next.add("AcceptEnrollment")
        with pytest.raises(PhoneError):
            await phone.accept(offer)
    async with Phone(target, origin=ORIGIN, clock=clock, state=state) as phone:
        await phone.accept(offer)
    first, second = service.called("AcceptEnrollment")
    assert first.site_key == second.site_key
