"""Enrolling over the wire: what the site draws, the phone scans; and what becomes of the user."""

import asyncio

import pytest
from google.protobuf.duration_pb2 import Duration

from authy_grpc.client import AsyncClient, AuthyError
from authy_grpc.phone import PhoneError
from authy_grpc.v1.enrollment_pb2 import (
    ENROLLMENT_METHOD_GENERIC_TOTP,
    ENROLLMENT_STATE_AWAITING_CODE,
    ENROLLMENT_STATE_CANCELED,
    ENROLLMENT_STATE_COMPLETED,
    ENROLLMENT_STATE_EXPIRED,
    ENROLLMENT_STATE_PENDING,
    ENROLLMENT_STATE_REJECTED,
    ENROLLMENT_STATE_SCANNED,
    QR_CODE_FORMAT_PNG,
    QR_CODE_FORMAT_SVG,
    QR_CODE_FORMAT_TEXT,
    CancelEnrollmentRequest,
    ConfirmEnrollmentRequest,
    CreateEnrollmentRequest,
    Enrollment,
    GetEnrollmentRequest,
    QrCodeOptions,
)
from authy_grpc.v1.user_pb2 import (
    FACTOR_SMS,
    FACTOR_SOFT_TOKEN,
    FACTOR_VOICE,
    DeleteUserRequest,
    GetUserRequest,
    ListUsersRequest,
    UnlockUserRequest,
    User,
)
from authy_grpc.v1.verification_pb2 import CODE_CHANNEL_SMS, CODE_CHANNEL_VOICE, SendCodeRequest
from tests.asking import wrong
from tests.harness import ORIGIN, Service, Site
from tests.threads import PATIENCE


async def _watched(site: Site, made: Enrollment, seen: list[int], first: asyncio.Event) -> None:
    async for state in site.client.watch_enrollment(made.enrollment_id):
        seen.append(state.state)
        first.set()


async def test_a_png_is_scanned_and_the_site_watches(service: Service) -> None:
    site, phone = await service.site(), await service.phone()
    answer = await site.client.enrollments.CreateEnrollment(
        CreateEnrollmentRequest(custom_user_id="ada", qr=QrCodeOptions(format=QR_CODE_FORMAT_PNG))
    )
    made = answer.enrollment
    assert answer.qr.uri.startswith(f"{ORIGIN}/app/#/e/")
    assert answer.qr.media_type == "image/png"
    seen: list[int] = []
    first = asyncio.Event()
    watch = asyncio.create_task(_watched(site, made, seen, first))
    await asyncio.wait_for(first.wait(), PATIENCE)

    offer = await phone.open(answer.qr.image)
    assert (offer.site_name, offer.origin) == ("Example", "https://example.example")
    linked = await phone.accept(offer)
    await asyncio.wait_for(watch, PATIENCE)

    assert (seen[0], seen[-1]) == (ENROLLMENT_STATE_PENDING, ENROLLMENT_STATE_COMPLETED)
    assert set(seen) <= {ENROLLMENT_STATE_PENDING, ENROLLMENT_STATE_SCANNED, ENROLLMENT_STATE_COMPLETED}
    assert [each.site_id for each in await phone.sites()] == [linked.site_id]
    found = await site.client.enrollments.GetEnrollment(
        GetEnrollmentRequest(enrollment_id=made.enrollment_id)
    )
    user = (await site.client.users.GetUser(GetUserRequest(custom_user_id="ada"))).user
    assert (user.authy_id, list(user.keys)) == (found.enrollment.authy_id, list(found.enrollment.keys))
    by_number = await site.client.users.GetUser(GetUserRequest(authy_id=user.authy_id))
    assert by_number.user == user


async def test_other_pictures_and_none(service: Service) -> None:
    site = await service.site()
    for format, media_type, begins in (
        (QR_CODE_FORMAT_SVG, "image/svg+xml", b"<svg"),
        (QR_CODE_FORMAT_TEXT, "text/plain", "█".encode()),
    ):
        request = CreateEnrollmentRequest(custom_user_id="ada", qr=QrCodeOptions(format=format))
        qr = (await site.client.enrollments.CreateEnrollment(request)).qr
        assert (qr.media_type, qr.image[: len(begins)]) == (media_type, begins)
    bare = await site.client.enrollments.CreateEnrollment(CreateEnrollmentRequest(custom_user_id="ada"))
    assert (bare.qr.image, bare.qr.media_type) == (b"", "")


async def test_a_first_code_is_asked_for(service: Service) -> None:
    site, phone = await service.site(require_code=True), await service.phone()
    answer = await site.client.enrollments.CreateEnrollment(CreateEnrollmentRequest(custom_user_id="ada"))
    linked = await phone.accept(await phone.open(answer.qr.uri))
    assert linked.awaiting_code
    enrollment_id = answer.enrollment.enrollment_id
    code = await phone.code(linked)
    with pytest.raises(AuthyError) as refused:
        await site.client.enrollments.ConfirmEnrollment(
            ConfirmEnrollmentRequest(enrollment_id=enrollment_id, code=wrong(code))
        )
    assert refused.value.reason == "CODE_REJECTED"
    confirmed = await site.client.enrollments.ConfirmEnrollment(
        ConfirmEnrollmentRequest(enrollment_id=enrollment_id, code=code)
    )
    assert confirmed.enrollment.state == ENROLLMENT_STATE_COMPLETED
    assert not (await phone.sites())[0].awaiting_code


async def test_one_that_comes_to_nothing(service: Service) -> None:
    site, phone = await service.site(), await service.phone()
    enrollments = site.client.enrollments
    request = CreateEnrollmentRequest(custom_user_id="ada", ttl=Duration(seconds=30))
    refused, canceled, over = [await enrollments.CreateEnrollment(request) for _ in range(3)]
    assert canceled.enrollment.state == ENROLLMENT_STATE_PENDING
    with pytest.raises(PhoneError):
        await phone.open(refused.qr.uri)
    again = await enrollments.CancelEnrollment(
        CancelEnrollmentRequest(enrollment_id=canceled.enrollment.enrollment_id)
    )
    assert again.enrollment.state == ENROLLMENT_STATE_CANCELED
    service.clock.turn(seconds=30)
    await service.due()
    states = [each.state async for each in site.client.watch_enrollment(over.enrollment.enrollment_id)]
    assert states == [ENROLLMENT_STATE_EXPIRED]
    last = await enrollments.CreateEnrollment(request)
    await phone.reject(await phone.open(last.qr.uri))
    states = [each.state async for each in site.client.watch_enrollment(last.enrollment.enrollment_id)]
    assert states == [ENROLLMENT_STATE_REJECTED]


async def test_any_app_may_be_used(service: Service) -> None:
    site = await service.site()
    answer = await site.client.enrollments.CreateEnrollment(
        CreateEnrollmentRequest(
            custom_user_id="ada", method=ENROLLMENT_METHOD_GENERIC_TOTP, account_label="laptop"
        )
    )
    assert answer.enrollment.state == ENROLLMENT_STATE_AWAITING_CODE
    assert answer.qr.uri.startswith("otpauth://totp/Example:laptop?secret=")


async def test_owners_and_sites_keep_house(service: Service) -> None:
    site, phone = await service.site(), await service.phone()
    users = site.client.users
    for name in ("ada", "bob", "cyd"):
        await service.enroll(site, phone, name)
        service.clock.turn(seconds=1)
    found: list[User] = []
    token = ""
    while True:
        page = await users.ListUsers(ListUsersRequest(page_size=2, page_token=token))
        found += page.users
        token = page.next_page_token
        if not token:
            break
    assert [each.custom_user_id for each in found] == ["ada", "bob", "cyd"]
    first, second, _ = await phone.sites()
    assert (await phone.rename_site(first, "mine")).label == "mine"
    await phone.remove_site(second)
    await users.DeleteUser(DeleteUserRequest(authy_id=found[2].authy_id))
    assert [each.label for each in await phone.sites()] == ["mine"]
    unlocked = await users.UnlockUser(
        UnlockUserRequest(authy_id=found[0].authy_id, factors=[FACTOR_SOFT_TOKEN])
    )
    assert unlocked.user == found[0]
    with pytest.raises(AuthyError) as refused:
        await users.GetUser(GetUserRequest(custom_user_id="bob"))
    assert refused.value.reason == "NOT_FOUND"


async def test_where_no_carrier_is_set_up_users_have_no_factor_that_needs_one(service: Service) -> None:
    site, phone = await service.site(), await service.phone()
    answer = await site.client.enrollments.CreateEnrollment(CreateEnrollmentRequest(custom_user_id="ada"))
    await phone.accept(await phone.open(answer.qr.uri))
    with_carrier = (await site.client.users.GetUser(GetUserRequest(custom_user_id="ada"))).user
    assert {FACTOR_SMS, FACTOR_VOICE} < set(with_carrier.factors)

    service.carried, service.options = False, {"dev": False}
    await service.restart()
    client = await service.stack.enter_async_context(AsyncClient(service.target, site.api_key))
    users = client.users
    shown = [
        (await users.GetUser(GetUserRequest(custom_user_id="ada"))).user,
        (await users.GetUser(GetUserRequest(authy_id=with_carrier.authy_id))).user,
        (await users.ListUsers(ListUsersRequest())).users[0],
        (await users.UnlockUser(UnlockUserRequest(authy_id=with_carrier.authy_id))).user,
    ]
    for user in shown:
        assert set(user.factors) == set(with_carrier.factors) - {FACTOR_SMS, FACTOR_VOICE}
    for channel in (CODE_CHANNEL_SMS, CODE_CHANNEL_VOICE):
        with pytest.raises(AuthyError) as refusal:
            await client.verification.SendCode(
                SendCodeRequest(authy_id=with_carrier.authy_id, channel=channel, force=True)
            )
        assert refusal.value.reason == "FACTOR_UNAVAILABLE"
