"""Nothing that two sites receive says that two of their users are one person, nor does the time it comes."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable
from datetime import UTC
from typing import Any

import pytest

from authy_grpc.domain.encoding import base64url_decode
from authy_grpc.domain.ids import new_id
from authy_grpc.domain.keys import point_of_jwk
from authy_grpc.phone import Phone
from authy_grpc.v1 import approval_pb2, user_pb2, verification_pb2
from authy_grpc.v1.account_pb2 import NEW_DEVICE_POLICY_ALLOW, NEW_DEVICE_POLICY_HOLD
from authy_grpc.v1.application_pb2 import GetCurrentApplicationRequest
from authy_grpc.v1.approval_pb2 import ApprovalState
from authy_grpc.v1.enrollment_pb2 import GetEnrollmentRequest
from tests.clock import TurnedClock
from tests.e2e.cast import due_times, told
from tests.e2e.linking import Knowledge, common, values
from tests.e2e.persons import OTHER_NUMBER, Cast, people, second_phone
from tests.e2e.users import STEP_SECONDS, User
from tests.e2e.wire import Speaks
from tests.harness import NUMBER, Service


@pytest.fixture
async def service(
    database_url: str, clock: TurnedClock, random: Callable[[int], bytes]
) -> AsyncIterator[Service]:
    """A service whose workers work when they are told to, at a time of their own."""
    async with Service.on(database_url, clock, random) as running:
        await running.core.workers.stop()
        yield running


async def upheaval(service: Service, phone: Phone, users: list[User], number: str) -> None:
    """All that hits every link of a person at one moment."""
    second = await second_phone(service, phone, number)
    for user in users:
        await user.check(await second.code(user.linked))
        user.turn()
    for action in (
        lambda: phone.revoke_device(second.device_id),
        lambda: phone.update_account(phone_codes=False),
        lambda: phone.update_account(phone_codes=True),
        phone.delete_account,
    ):
        await action()
        await told(service)


def of_user(user: User) -> Knowledge:
    """What a site knows of a user."""
    return Knowledge().hear(user.heard)


async def of_site(*users: User) -> Knowledge:
    """All that a site ever received: about its users, and its whole feed, as a list and as a stream."""
    known = Knowledge()
    for user in users:
        known.hear(user.party.exchanges)
        await user.news()
    partner = users[0].partner
    await partner.read_feed(users[0].service)
    await partner.client.application.GetCurrentApplication(GetCurrentApplicationRequest())
    return known.hear(partner.feed.exchanges).hear(partner.client.exchanges)


def leaks(user: User) -> dict[str, Any]:
    """Things that no other site may receive, of each kind."""
    exchange = next(each for each in user.heard if each.method.endswith("GetUser") and each.code == "OK")
    found = user_pb2.GetUserResponse.FromString(exchange.messages[0]).user
    asked = next(each for each in user.heard if each.method.endswith("CreateApproval"))
    approval = approval_pb2.CreateApprovalResponse.FromString(asked.messages[0]).approval
    jwk = json.loads(found.keys[0].jwk)
    point = point_of_jwk(found.keys[0].jwk)
    return {
        "authy_id": found.authy_id,
        "authy_id as a number": int(found.authy_id),
        "thumbprint": found.keys[0].kid,
        "half of a key": jwk["x"],
        "key": json.dumps({**jwk, "alg": "ES256"}),
        "time": found.create_time,
        "time in an id": new_id("enr", approval.create_time.ToDatetime(UTC), os.urandom),
        "end of an id": approval.approval_id[:3] + "_" + "0" * 9 + approval.approval_id[13:],
        "key as a point": point,
        "thumbprint as bytes": base64url_decode(found.keys[0].kid),
        "name of the user": user.custom_user_id,
    }


async def test_no_value_is_known_of_two_users_that_are_one_person(service: Service, speaks: Speaks) -> None:
    cast = await people(service, speaks)
    for user in (*cast.links, cast.stranger):
        await user.live()
    await upheaval(service, cast.phone, cast.links, NUMBER)
    await upheaval(service, cast.stranger.phone, [cast.stranger], OTHER_NUMBER)

    one = await of_site(cast.first, cast.again)
    two, three = await of_site(cast.elsewhere), await of_site(cast.stranger)
    # What somebody else's site is told too is the service's own word.
    assert {"user.deleted", "user.device_added", "user.device_removed"} <= one.received
    assert {"user.factors_changed", "approval.approved", "code.rejected"} <= one.received
    assert common(one, two, three.received) == set()
    for name, leak in leaks(cast.first).items():
        leaky = Knowledge(two.received | set(values(leak)), two.chosen)
        assert common(one, leaky, three.received), name

    first, again = of_user(cast.first), of_user(cast.again)
    # Of one site: what it is itself is in all that it receives.
    constants = three.received | set(values(cast.first.partner.application))
    assert "approval.approved" in first.received & again.received
    assert common(first, again, constants) == set()
    for name, leak in leaks(cast.first).items():
        assert common(first, Knowledge(again.received | set(values(leak)), again.chosen), constants), name


def changed(before: dict[str, Any], after: dict[str, Any]) -> set[str]:
    """Which calls answer something else."""
    return {name for name in before if before[name] != after[name]}


async def views(users: list[User]) -> list[dict[str, Any]]:
    """What each site sees."""
    service = users[0].service
    service.clock.turn(seconds=STEP_SECONDS)
    return await asyncio.gather(*[user.view() for user in users])


async def nothing_seen(users: list[User], before: list[dict[str, Any]]) -> None:
    """No site sees a difference."""
    for one, two in zip(before, await views(users), strict=True):
        assert changed(one, two) == set()


async def seen_one_by_one(
    service: Service, users: list[User], before: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Each site sees the difference at its own time, until which it sees none."""
    waiting = dict(enumerate(before))
    times = await due_times(service)
    assert len(set(times)) == len(times) == len(users)
    while times := await due_times(service):
        service.clock.now = max(service.clock.now, times[0])
        await service.due()
        now = await views(users)
        differing = {index for index in waiting if changed(waiting[index], now[index])}
        assert len(differing) == 1
        for index in differing:
            # It is told once, and from now on the site sees what it was told.
            assert "events" in changed(waiting.pop(index), now[index])
            before[index] = {**now[index], "events": before[index]["events"]}
    assert not waiting
    return before


async def enrolled(service: Service) -> Cast:
    cast = await people(service)
    for user in cast.links:
        await user.enroll()
        await user.view()
    return cast


async def test_what_hits_all_links_at_once_is_seen_by_each_at_its_own_time(service: Service) -> None:
    cast = await enrolled(service)
    users, phone = cast.links, cast.phone
    second = await second_phone(service, phone)
    for user in users:
        await user.check(await second.code(user.linked))
        await user.view()
    before = await views(users)

    for action in (
        lambda: phone.revoke_device(second.device_id),
        lambda: phone.update_account(phone_codes=False),
        lambda: phone.update_account(phone_codes=True),
        phone.delete_account,
    ):
        await action()
        await nothing_seen(users, before)
        before = await seen_one_by_one(service, users, before)
    assert all(each["GetUser by authy_id"][0] == "NOT_FOUND" for each in before)


async def test_what_an_owner_does_at_home_no_site_sees(service: Service) -> None:
    cast = await enrolled(service)
    before = await views(cast.links)
    second = await second_phone(service, cast.phone)
    await nothing_seen(cast.links, before)
    await cast.phone.rename_device(second.device_id, "Slate")
    await cast.phone.rename_site(cast.first.linked, "mine")
    await cast.phone.update_account(new_device_policy=NEW_DEVICE_POLICY_ALLOW)
    await cast.phone.update_account(new_device_policy=NEW_DEVICE_POLICY_HOLD)
    await second.sign_out()
    await nothing_seen(cast.links, before)
    assert await due_times(service) == []

    # Of a device that no site has a key of, too: neither that it is the last one, nor that it goes.
    await cast.phone.revoke_device(cast.phone.device_id)
    await told(service)
    await views(cast.links)
    before = await views(cast.links)
    third = await second_phone(service, second)
    await nothing_seen(cast.links, before)
    await third.revoke_device(third.device_id)
    assert await due_times(service) == []
    await second.delete_account()
    await nothing_seen(cast.links, before)


async def test_questions_to_an_erased_account_expire_in_their_own_time(service: Service) -> None:
    cast = await enrolled(service)
    for user in cast.links:
        await user.party.enrollments.GetEnrollment(GetEnrollmentRequest(enrollment_id=user.enrollment_id))
    asked = [await user.ask(seconds=600 * (index + 1)) for index, user in enumerate(cast.links)]
    await cast.phone.delete_account()
    await service.due()
    for user, approval in zip(cast.links, asked, strict=True):
        request = approval_pb2.GetApprovalRequest(approval_id=approval.approval_id)
        found = (await user.party.approvals.GetApproval(request)).approval
        assert found.state == ApprovalState.APPROVAL_STATE_PENDING and found.revision == 1
        begun = GetEnrollmentRequest(enrollment_id=user.enrollment_id)
        before = [each.answer for each in user.party.exchanges if each.method.endswith("GetEnrollment")]
        await user.party.enrollments.GetEnrollment(begun)
        assert user.party.exchanges[-1].answer == before[-1]
        service.clock.now = approval.expire_time.ToDatetime(UTC)
        await service.due()
        ended = [each for each in await user.news() if each.type == "approval.expired"]
        assert [each.approval.approval_id for each in ended] == [approval.approval_id]


async def test_what_was_due_in_an_outage_is_not_told_at_one_moment(service: Service) -> None:
    cast = await enrolled(service)
    for user in cast.links:
        await user.news()
    await cast.phone.delete_account()
    service.clock.turn(days=8)
    await service.due()
    await told(service)
    times = [
        each.create_time.ToDatetime(UTC)
        for user in cast.links
        for each in await user.news()
        if each.type == "user.deleted"
    ]
    assert len(set(times)) == len(cast.links)


async def test_codes_that_are_switched_off_are_sent_to_nobody_and_said_to_be_on_their_way(
    service: Service,
) -> None:
    cast = await enrolled(service)
    await cast.phone.update_account(phone_codes=False)
    texts = len(service.carrier.texts)
    for user in cast.links:
        await user.news()
        request = verification_pb2.SendCodeRequest(authy_id=user.authy_id, force=True)
        assert (await user.party.verification.SendCode(request)).sent
        user.turn(1.013)
        await service.due()
        user.turn(3.017)
        await service.due()
        assert [each.type for each in await user.news()] == ["code.sent", "code.undelivered"]
    assert len(service.carrier.texts) == texts
