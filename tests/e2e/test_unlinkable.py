"""Nothing that two sites ever receive says that two of their users are one person, nor does the time it comes."""

import json
import os
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlmodel import Session, select

from authy_grpc.domain.ids import new_id
from authy_grpc.phone import Phone
from authy_grpc.store.tables import TellingRow
from authy_grpc.v1 import approval_pb2, user_pb2, verification_pb2
from authy_grpc.v1.account_pb2 import NEW_DEVICE_POLICY_ALLOW, NEW_DEVICE_POLICY_HOLD
from authy_grpc.v1.approval_pb2 import ApprovalState
from tests.clock import TurnedClock
from tests.e2e.cast import new_phone, owner, partner
from tests.e2e.linking import Knowledge, common, values
from tests.e2e.users import User
from tests.harness import NUMBER, Service

OTHER_NUMBER = "+4915112345679"


@pytest.fixture
async def service(
    database_url: str, clock: TurnedClock, random: Callable[[int], bytes]
) -> AsyncIterator[Service]:
    """A service whose workers work when they are told to, at a time of their own."""
    async with Service.on(database_url, clock, random) as running:
        await running.core.workers.stop()
        yield running


@dataclass
class Cast:
    """One person with three links, two of them at one site; and somebody else, at a site of their own."""

    first: User
    again: User
    elsewhere: User
    stranger: User
    phone: Phone

    @property
    def links(self) -> list[User]:
        """Of the one person."""
        return [self.first, self.again, self.elsewhere]


async def people(service: Service) -> Cast:
    one, two, three = [await partner(service, name) for name in ("One", "Two", "Three")]
    phone = (await owner(service, NUMBER, "Pocket")).phone
    service.clock.turn(seconds=97.389)
    other = (await owner(service, OTHER_NUMBER, "Pocket")).phone
    service.clock.turn(seconds=97.389)
    return Cast(
        User(service, one, "ada at one", phone),
        User(service, one, "augusta at one", phone),
        User(service, two, "lovelace at two", phone),
        User(service, three, "somebody else", other),
        phone,
    )


async def second_phone(service: Service, phone: Phone, number: str = NUMBER) -> Phone:
    """Another device of the same person, let in."""
    second = new_phone(service).phone
    started = await second.start(number)
    service.clock.turn(seconds=3.017)
    await second.register(started, await service.text_code(), "Tablet")
    service.clock.turn(seconds=3.017)
    [held] = await second.devices()
    await phone.approve_device(held.device_id, held.check)
    service.clock.turn(seconds=97.389)
    return second


async def due_times(service: Service) -> list[datetime]:
    """When sites will be told something."""

    def work(session: Session) -> list[datetime]:
        return sorted(session.exec(select(TellingRow.due_time)))

    return await service.core.database.read(work)


async def told(service: Service) -> None:
    """Let time go by, from one telling to the next, until all has been told."""
    while due := await due_times(service):
        service.clock.now = max(service.clock.now, due[0])
        await service.due()
        service.clock.turn(seconds=1.013)


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
        await action()  # type: ignore[operator]
        await told(service)


async def knowledge(user: User) -> Knowledge:
    """What a site knows of a user."""
    await user.news()
    return Knowledge().hear(user.heard)


def leaks(user: User) -> dict[str, Any]:
    """Things that no other site may receive, of each kind."""
    exchange = next(each for each in user.heard if each.method.endswith("GetUser") and each.code == "OK")
    found = user_pb2.GetUserResponse.FromString(exchange.messages[0]).user
    asked = next(each for each in user.heard if each.method.endswith("CreateApproval"))
    approval = approval_pb2.CreateApprovalResponse.FromString(asked.messages[0]).approval
    jwk = json.loads(found.keys[0].jwk)
    shared_moment = new_id("enr", approval.create_time.ToDatetime(UTC), os.urandom)
    return {
        "authy_id": found.authy_id,
        "authy_id as a number": int(found.authy_id),
        "thumbprint": found.keys[0].kid,
        "half of a key": jwk["x"],
        "key": json.dumps({**jwk, "alg": "ES256"}),
        "time": found.create_time,
        "time in an id": shared_moment,
        "end of an id": approval.approval_id[:3] + "_" + "0" * 9 + approval.approval_id[13:],
        "bytes": bytes.fromhex(next(each for each in values(found.keys[0].kid)).encode().hex()),
        "name of the user": user.custom_user_id,
    }


async def test_no_value_is_known_of_two_users_that_are_one_person(service: Service) -> None:
    cast = await people(service)
    for user in (*cast.links, cast.stranger):
        await user.live()
    await upheaval(service, cast.phone, cast.links, NUMBER)
    await upheaval(service, cast.stranger.phone, [cast.stranger], OTHER_NUMBER)

    first, again, elsewhere, stranger = [await knowledge(user) for user in (*cast.links, cast.stranger)]
    # What somebody else's site is told too is the service's own word.
    assert {"user.deleted", "user.device_added", "user.device_removed"} <= first.received
    assert {"user.factors_changed", "approval.approved", "code.rejected"} <= first.received
    assert common(first, elsewhere, stranger.received) == set()
    assert common(again, elsewhere, stranger.received) == set()
    # Of one site: what it is itself is in all that it receives.
    own = set(values(cast.first.partner.application))
    assert common(first, again, stranger.received | own) == set()

    for name, leak in leaks(cast.first).items():
        leaky = Knowledge(elsewhere.received | set(values(leak)), elsewhere.chosen)
        assert common(first, leaky, stranger.received), name


def changed(before: dict[str, Any], after: dict[str, Any]) -> set[str]:
    """Which calls answer something else."""
    return {name for name in before if before[name] != after[name]}


async def views(users: list[User]) -> list[dict[str, Any]]:
    """What each site sees, each at a time of its own."""
    seen = []
    for user in users:
        user.turn()
        seen.append(await user.view())
    return seen


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
            assert "events" in changed(waiting.pop(index), now[index])
    assert not waiting
    # The events are told once; what is seen from now on is the new view.
    return await views(users)


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
        await action()  # type: ignore[operator]
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
    await second.revoke_device(second.device_id)
    assert await due_times(service) == []
    await nothing_seen(cast.links, before)


async def test_a_device_that_no_site_has_a_key_of_is_seen_by_none(service: Service) -> None:
    """Neither when it is the only one left, nor when it goes."""
    cast = await enrolled(service)
    second = await second_phone(service, cast.phone)
    await cast.phone.revoke_device(cast.phone.device_id)
    await told(service)
    await views(cast.links)
    before = await views(cast.links)
    third = await second_phone(service, second)
    await nothing_seen(cast.links, before)
    await third.revoke_device(third.device_id)
    await nothing_seen(cast.links, before)
    await second.delete_account()
    await nothing_seen(cast.links, before)


async def test_questions_to_an_erased_account_expire_in_their_own_time(service: Service) -> None:
    cast = await enrolled(service)
    asked = [await user.ask(seconds=600 * (index + 1)) for index, user in enumerate(cast.links)]
    await cast.phone.delete_account()
    await service.due()
    for user, approval in zip(cast.links, asked, strict=True):
        request = approval_pb2.GetApprovalRequest(approval_id=approval.approval_id)
        found = (await user.party.approvals.GetApproval(request)).approval
        assert found.state == ApprovalState.APPROVAL_STATE_PENDING and found.revision == 1
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
    told_at = []
    while await due_times(service):
        await service.due()
        for user in cast.links:
            told_at += [
                each.create_time.ToDatetime(UTC) for each in await user.news() if each.type == "user.deleted"
            ]
        service.clock.turn(hours=1)
    assert len(told_at) == len(cast.links)
    spread = sorted(told_at)
    assert all(two - one >= timedelta(minutes=1) for one, two in zip(spread, spread[1:], strict=False))


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
        assert [each.type for each in await user.news()] == ["code.sent", "code.undelivered"]
    assert len(service.carrier.texts) == texts
