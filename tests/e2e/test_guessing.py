"""Wrong codes are counted where they are made: no haste, no other key, no restart buys one more."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from authy_grpc.client import AsyncClient, UserLocked
from authy_grpc.v1.approval_pb2 import CreateApprovalRequest
from authy_grpc.v1.user_pb2 import GetUserRequest
from authy_grpc.v1.verification_pb2 import CreateBackupCodesRequest, VerifyCodeRequest
from tests.harness import Service, Site
from tests.rushing import at_once, more_keys, reconnect, sent_code, told, unlock, verdict, wrong_codes

Figure = Callable[[int, int], int]

# Design, section 7, written down anew: seconds of the lock that each wrong code in a row brings.
LOCKS = {count: min(30 * 2 ** (count - 5), 3600) for count in range(5, 50)}
FOREVER_FROM = 50


async def guess(clients: list[AsyncClient], authy_id: str, codes: list[str]) -> dict[str, int]:
    """The answers to codes that are offered at once through all keys in turn."""
    return await at_once(
        verdict(clients[index % len(clients)], authy_id, code) for index, code in enumerate(codes)
    )


async def lock_of(site: Site, authy_id: str) -> timedelta | None:
    """How long a user is locked for, as a refusal says; None for ever."""
    with pytest.raises(UserLocked) as caught:
        await site.client.verification.VerifyCode(VerifyCodeRequest(authy_id=authy_id, code="000000"))
    return caught.value.retry_delay


async def test_guesses_at_once_climb_the_ladder_one_by_one(service: Service, figure: Figure) -> None:
    site, phone = await service.site(), await service.phone()
    clients = await more_keys(service, site, 3)
    enrollment, linked = await service.enroll(site, phone)
    authy_id, count = enrollment.authy_id, figure(300, 1000)

    codes = await wrong_codes(count, service.clock(), phones=[(phone, linked)])
    assert await guess(clients, authy_id, codes) == {"WRONG": 5, "USER_LOCKED": count - 5}
    for step, seconds in LOCKS.items():
        assert await lock_of(site, authy_id) == timedelta(seconds=seconds)
        service.clock.turn(seconds=seconds, milliseconds=-1)
        # The right one too is not looked at.
        assert await verdict(site.client, authy_id, await phone.code(linked)) == "USER_LOCKED"
        service.clock.turn(milliseconds=1)
        count = figure(6, 1000)
        codes = await wrong_codes(count, service.clock(), phones=[(phone, linked)])
        assert await guess(clients, authy_id, codes) == {"WRONG": 1, "USER_LOCKED": count - 1}, step
    assert await lock_of(site, authy_id) is None
    service.clock.turn(days=3650)
    assert await verdict(site.client, authy_id, await phone.code(linked)) == "USER_LOCKED"
    for kind, count in (("code.rejected", FOREVER_FROM), ("user.locked", len(LOCKS) + 1)):
        assert len(await told(site, count, kind)) == count
    await unlock(site, authy_id)
    assert await verdict(site.client, authy_id, await phone.code(linked)) == "ACCEPTED"


async def test_no_new_code_no_other_key_and_no_restart_lowers_a_count(service: Service) -> None:
    site, phone = await service.site(), await service.phone()
    enrollment, linked = await service.enroll(site, phone)
    authy_id = enrollment.authy_id
    sent = await sent_code(service, site, authy_id)
    made = await wrong_codes(5, service.clock(), phones=[(phone, linked)])
    first, second, third, fourth = [code for code in made if code != sent][:4]

    assert await guess([site.client], authy_id, [first]) == {"WRONG": 1}
    await service.restart()
    site = await reconnect(service, site)
    assert await guess([site.client], authy_id, [second]) == {"WRONG": 1}
    service.clock.turn(minutes=6)
    await sent_code(service, site, authy_id)
    _, other_key = await more_keys(service, site, 2)
    assert await guess([other_key], authy_id, [third]) == {"WRONG": 1}
    assert await guess([site.client, other_key], authy_id, [fourth] * 9) == {"WRONG": 2, "USER_LOCKED": 7}
    await service.restart()
    site = await reconnect(service, site)
    assert await lock_of(site, authy_id) == timedelta(seconds=30)
    service.clock.turn(seconds=30)
    assert await sent_code(service, site, authy_id, "another_action")
    assert await guess([site.client], authy_id, [fourth] * 9) == {"WRONG": 1, "USER_LOCKED": 8}
    assert await lock_of(site, authy_id) == timedelta(seconds=60)


async def test_guesses_at_a_sent_code_are_the_users(service: Service, figure: Figure) -> None:
    """Five void the code itself, and they count for the user: whatever they were meant for."""
    site, phone = await service.site(), await service.phone()
    enrollment, linked = await service.enroll(site, phone)
    authy_id, count = enrollment.authy_id, figure(100, 1000)
    right = await sent_code(service, site, authy_id, "login")
    codes = await wrong_codes(count + 1, service.clock(), phones=[(phone, linked)])
    answers = await at_once(
        verdict(site.client, authy_id, code, "login") for code in [code for code in codes if code != right]
    )
    assert answers["WRONG"] == 5 and answers["USER_LOCKED"] >= count - 5
    await unlock(site, authy_id)
    assert await verdict(site.client, authy_id, right, "login") == "WRONG"


@pytest.mark.parametrize("by", ["UnlockUser", "an approval", "a backup code", "a soft token"])
async def test_what_clears_the_count(service: Service, by: str) -> None:
    site, phone = await service.site(), await service.phone()
    enrollment, linked = await service.enroll(site, phone)
    authy_id = enrollment.authy_id
    backup = await site.client.verification.CreateBackupCodes(CreateBackupCodesRequest(authy_id=authy_id))
    wrong = await wrong_codes(30, service.clock(), phones=[(phone, linked)])
    if by == "a soft token":
        assert await guess([site.client], authy_id, wrong[:4]) == {"WRONG": 4}
        assert await verdict(site.client, authy_id, await phone.code(linked)) == "ACCEPTED"
    else:
        await guess([site.client], authy_id, wrong[:5])
        assert await verdict(site.client, authy_id, await phone.code(linked)) == "USER_LOCKED"
    if by == "UnlockUser":
        await unlock(site, authy_id)
    elif by == "a backup code":
        assert await verdict(site.client, authy_id, backup.codes[0]) == "ACCEPTED"
    elif by == "an approval":
        request = CreateApprovalRequest(authy_id=authy_id, message="Log in?")
        asked = (await site.client.approvals.CreateApproval(request)).approval
        await phone.approve(await phone.question(), asked.match_number)
    user = (await site.client.users.GetUser(GetUserRequest(authy_id=authy_id))).user
    assert not user.HasField("locked_until")
    lifted = int(by != "a soft token")
    assert len(await told(site, lifted, "user.unlocked")) == lifted
    service.clock.turn(minutes=5)
    wrong = await wrong_codes(30, service.clock(), phones=[(phone, linked)])
    assert await guess([site.client], authy_id, wrong) == {"WRONG": 5, "USER_LOCKED": 25}


async def test_backup_shaped_codes_do_not_count_and_have_a_rate(service: Service, figure: Figure) -> None:
    site, phone = await service.site(), await service.phone()
    enrollment, _ = await service.enroll(site, phone)
    codes = [f"{each:016d}" for each in range(figure(50, 1000))]
    answers = await guess([site.client], enrollment.authy_id, codes)
    assert answers == {"WRONG": 20, "RATE_LIMITED": len(codes) - 20}
    user = (await site.client.users.GetUser(GetUserRequest(authy_id=enrollment.authy_id))).user
    assert not user.HasField("locked_until")
