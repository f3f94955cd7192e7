"""Codes are checked many at a time: each is good once, and the cost does not grow with their number."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from authy_grpc.domain.errors import NotFound, RateLimited, RequestIdReused, UserLocked
from authy_grpc.domain.limits import SITE_NO_CODE
from authy_grpc.domain.user import Factor
from authy_grpc.domain.verification import Checked, CodeResult
from authy_grpc.service.code_check import Attempt, CodeChecks
from authy_grpc.store import activity
from authy_grpc.store.once import Request
from authy_grpc.store.tables import AccountRow, LinkRow
from authy_grpc.store.tx import Tx
from tests.checking import Booth, User, other, wrong
from tests.clock import TurnedClock
from tests.sql import statements

Figure = Callable[[int, int], int]
_R = CodeResult
_STEP = timedelta(seconds=30)


@pytest.fixture
async def booth(database_url: str, clock: TurnedClock) -> AsyncIterator[Booth]:
    async with Booth.opened(database_url, clock) as opened:
        yield opened


_NO_CODES = [
    "12345",
    "1234567",
    "abcdef",
    "12345x",
    " ",
    "\u2460\u2461\u2462\u2463\u2464\u2465",
    "12345\u00b2",
]


async def test_what_cannot_be_a_code_is_wrong_and_no_guess(booth: Booth) -> None:
    user = await booth.user(await booth.site())
    for code in _NO_CODES * 2:
        assert await booth.verify(user, code) == Checked(_R.WRONG, None, 5)
    assert await booth.told(user.site) == []
    assert (await booth.row(LinkRow, user.site_id)).failures == 0
    # The control: as many that could be one lock.
    left = [(await booth.verify(user, f"{index}" * 6)).attempts_remaining for index in range(5)]
    assert left == [4, 3, 2, 1, 0]
    assert len(await booth.told(user.site)) == 6
    with pytest.raises(UserLocked):
        await booth.verify(user, "12345")
    with pytest.raises(NotFound):
        await booth.verify(replace(user, authy_id="0" * 26), "12345")


async def test_what_can_be_a_code_hangs_on_the_site_and_not_on_what_was_sent(booth: Booth) -> None:
    user = await booth.user(await booth.site(code_digits=8))
    assert (await booth.verify(user, "1234567")).attempts_remaining == 5
    assert (await booth.verify(user, "123456")).attempts_remaining == 4
    assert (await booth.verify(user, "12345678")).attempts_remaining == 3


async def test_a_site_that_sends_much_that_is_no_code_waits(booth: Booth) -> None:
    user, another = await booth.user(await booth.site()), await booth.user(await booth.site())
    for _ in range(1000):
        booth.verifications._checks._rate.spend(user.site.application_id, booth.clock(), SITE_NO_CODE)
    with pytest.raises(RateLimited) as refused:
        await booth.verify(user, "12345")
    assert refused.value.retry_after == timedelta(minutes=1)
    assert (await booth.verify(another, "12345")).result is _R.WRONG
    assert (await booth.verify(user, user.tokens[0].code(booth.clock()))).result is _R.ACCEPTED
    booth.clock.turn(minutes=1)
    assert (await booth.verify(user, "12345")).result is _R.WRONG


async def test_codes_and_backup_codes_in_any_script(booth: Booth) -> None:
    user = await booth.user(await booth.site())
    (backup, *_) = await booth.verifications.create_backup_codes(user.site, user.authy_id)
    code = user.tokens[0].code(booth.clock())
    arabic = code.translate({ord("0") + each: 0x660 + each for each in range(10)})
    assert (
        await booth.verify(user, f"\u2067{arabic[:3]}\u3000{arabic[3:]}\u2069\n")
    ).factor is Factor.SOFT_TOKEN
    wide = "".join(chr(ord(each) + 0xFEE0) for each in backup.lower())
    assert (await booth.verify(user, f"{wide[:8]}\u2212{wide[8:]}")).factor is Factor.BACKUP_CODE


async def _outcome(booth: Booth, user: User, code: str, request_id: str = "") -> CodeResult | None:
    """What came of a code; None where it was not looked at."""
    try:
        return (await booth.verify(user, code, request_id=request_id)).result
    except UserLocked:
        return None


async def test_of_200_calls_at_once_with_one_code_one_is_accepted(booth: Booth, figure: Figure) -> None:
    user = await booth.user(await booth.site(), devices=3)
    keys = [replace(user.site, api_key_id=f"key_{index}") for index in range(3)]
    for round_ in range(figure(3, 50)):
        code = user.tokens[round_ % 3].code(booth.clock())
        calls = [booth.verify(user, code, site=keys[index % 3]) for index in range(200)]
        results = Counter(checked.result for checked in await asyncio.gather(*calls))
        assert results == {_R.ACCEPTED: 1, _R.REPLAYED: 199}
        booth.clock.turn(seconds=30)
    told = Counter(await booth.told(user.site))
    assert told["code.accepted", Factor.SOFT_TOKEN, ""] == figure(3, 50)


async def test_two_servers_on_one_database_accept_a_code_once(
    booth: Booth, database_url: str, figure: Figure
) -> None:
    user = await booth.user(await booth.site())
    async with Booth.opened(database_url, booth.clock, booth.keyset) as second:
        for _ in range(figure(5, 50)):
            code = user.tokens[0].code(booth.clock())
            calls = [server.verify(user, code) for _ in range(20) for server in (booth, second)]
            results = Counter(checked.result for checked in await asyncio.gather(*calls))
            assert results == {_R.ACCEPTED: 1, _R.REPLAYED: 39}
            booth.clock.turn(seconds=30)


@pytest.mark.parametrize("step", [-2, -1, 0, 1, 2])
async def test_the_present_step_and_its_neighbours_are_taken(booth: Booth, step: int) -> None:
    user = await booth.user(await booth.site())
    code = user.tokens[0].code(booth.clock() + step * _STEP)
    expected = _R.ACCEPTED if abs(step) <= 1 else _R.WRONG
    assert (await booth.verify(user, code)).result is expected


async def test_neither_an_accepted_code_nor_an_earlier_one_is_taken_again(booth: Booth) -> None:
    user = await booth.user(await booth.site())
    start = booth.clock()
    codes = [user.tokens[0].code(start + step * _STEP) for step in (-1, 0, 1)]
    assert (await booth.verify(user, codes[2])).result is _R.ACCEPTED
    for _ in range(60):
        for code in codes:
            assert await _outcome(booth, user, code) is not _R.ACCEPTED
        booth.clock.turn(seconds=1)
    # The control: a fresh one is.
    booth.clock.turn(minutes=5)
    assert (await booth.verify(user, user.tokens[0].code(booth.clock()))).result is _R.ACCEPTED


async def test_devices_with_clocks_30_s_apart_do_not_spoil_each_others_codes(booth: Booth) -> None:
    user = await booth.user(await booth.site(), devices=2)
    ahead, behind = user.tokens
    for _ in range(5):
        now = booth.clock()
        assert (await booth.verify(user, ahead.code(now + _STEP))).result is _R.ACCEPTED
        assert (await booth.verify(user, behind.code(now))).result is _R.ACCEPTED
        booth.clock.turn(seconds=30)


@pytest.mark.parametrize("digits", [6, 7, 8])
async def test_a_generic_seed_keeps_its_own_step(booth: Booth, digits: int) -> None:
    user = await booth.generic_user(await booth.site(code_digits=digits))
    code = user.tokens[0].code(booth.clock(), digits)
    assert await booth.verify(user, code) == Checked(_R.ACCEPTED, Factor.SOFT_TOKEN, 5)
    assert await booth.verify(user, code) == Checked(_R.REPLAYED, None, 5)
    booth.clock.turn(seconds=30)
    assert (await booth.verify(user, user.tokens[0].code(booth.clock(), digits))).result is _R.ACCEPTED


async def test_a_sent_code_is_taken_once_for_its_action(booth: Booth) -> None:
    user = await booth.user(await booth.site())
    code = await booth.sent_code(user, "payment")
    assert (await booth.verify(user, code, "login")).result is _R.WRONG
    assert await booth.verify(user, code, "payment") == Checked(_R.ACCEPTED, Factor.SMS, 5)
    assert (await booth.verify(user, code, "payment")).result is _R.REPLAYED
    booth.clock.turn(days=1)
    code = await booth.sent_code(user, "payment")
    booth.clock.turn(minutes=5)
    assert await booth.verify(user, code, "payment") == Checked(_R.EXPIRED, None, 5)
    assert await booth.told(user.site) == [
        ("code.sent", Factor.SMS, ""),
        ("code.delivered", Factor.SMS, ""),
        ("code.rejected", None, "wrong"),
        ("code.accepted", Factor.SMS, ""),
        ("code.rejected", None, "replayed"),
        ("code.sent", Factor.SMS, ""),
        ("code.delivered", Factor.SMS, ""),
        ("code.rejected", None, "expired"),
    ]


async def test_of_many_calls_with_one_sent_code_one_is_accepted(booth: Booth) -> None:
    user = await booth.user(await booth.site())
    code = await booth.sent_code(user)
    answers = await asyncio.gather(*(booth.verify(user, code) for _ in range(100)))
    assert Counter(each.result for each in answers) == {_R.ACCEPTED: 1, _R.REPLAYED: 99}


async def test_the_same_request_again_is_answered_the_same_for_ten_minutes(booth: Booth) -> None:
    user = await booth.user(await booth.site())
    code = user.tokens[0].code(booth.clock())
    calls = [booth.verify(user, code, request_id="r1") for _ in range(20)]
    assert set(await asyncio.gather(*calls)) == {Checked(_R.ACCEPTED, Factor.SOFT_TOKEN, 5)}
    assert len(await booth.told(user.site)) == 1
    with pytest.raises(RequestIdReused):
        await booth.verify(user, other(code), request_id="r1")
    assert (await booth.verify(user, code, request_id="r2")).result is _R.REPLAYED
    booth.clock.turn(minutes=10, milliseconds=-1)
    assert (await booth.verify(user, code, request_id="r1")).result is _R.ACCEPTED
    booth.clock.turn(milliseconds=1)
    assert (await booth.verify(user, code, request_id="r1")).result is _R.WRONG
    assert (await booth.verify(user, code, request_id="r1")).result is _R.WRONG
    link: LinkRow = await booth.row(LinkRow, user.site_id)
    assert link.failures == 1


async def test_one_id_for_the_codes_of_several_users_at_once_answers_one(booth: Booth) -> None:
    site = await booth.site()
    users = [await booth.user(site) for _ in range(4)]
    for round_ in range(10):
        calls = [
            booth.verify(user, user.tokens[0].code(booth.clock()), request_id=f"r{round_ % 5}")
            for user in users
        ]
        outcomes = Counter(map(type, await asyncio.gather(*calls, return_exceptions=True)))
        assert outcomes == {Checked: 1, RequestIdReused: 3}
        booth.clock.turn(minutes=2)


async def test_a_refusal_is_not_kept(booth: Booth) -> None:
    user = await booth.user(await booth.site())
    for code in wrong(user, booth.clock(), 5):
        await booth.verify(user, code)
    booth.clock.turn(seconds=29)
    later = user.tokens[0].code(booth.clock() + _STEP)
    assert await _outcome(booth, user, later, request_id="r1") is None
    booth.clock.turn(seconds=1)
    assert await _outcome(booth, user, later, request_id="r1") is _R.ACCEPTED


async def test_what_a_site_does_not_have_is_not_found_and_spoils_no_others_call(booth: Booth) -> None:
    site, stranger = await booth.site(), await booth.site()
    user, waiting = await booth.user(site), await booth.user(site, state="AWAITING")
    code = user.tokens[0].code(booth.clock())
    outcomes = await asyncio.gather(
        booth.verify(waiting, waiting.tokens[0].code(booth.clock())),
        booth.verify(user, code, site=stranger),
        booth.verify(replace(user, authy_id="1"), code),
        booth.verify(user, code),
        return_exceptions=True,
    )
    assert [type(outcome) for outcome in outcomes[:3]] == [NotFound] * 3
    assert outcomes[3] == Checked(_R.ACCEPTED, Factor.SOFT_TOKEN, 5)
    assert await booth.feed(stranger) == []


async def test_the_owner_sees_where_a_code_was_accepted_and_by_which_device(booth: Booth) -> None:
    user = await booth.user(await booth.site(), devices=2)
    await booth.verify(user, wrong(user, booth.clock(), 1)[0])
    await booth.verify(user, user.tokens[1].code(booth.clock()))
    booth.clock.turn(seconds=1)
    await booth.verify(user, await booth.sent_code(user))

    def work(tx: Tx) -> list[activity.Activity]:
        return activity.listed(tx, user.account_id or "", "", 10)

    seen = await booth.database.read(work)
    assert [(each.type, each.site_name, each.device_name) for each in seen] == [
        ("code.accepted", "Acme", ""),
        ("code.accepted", "Acme", "Pocket 1"),
    ]
    account: AccountRow = await booth.row(AccountRow, user.account_id)
    assert account.activity_revision == 3
    # Accepted codes wake the devices, rejected ones do not.
    wakes = {each.type for each in await booth.feed(user.site) if each.account_id == user.account_id}
    assert "code.accepted" in wakes
    assert "code.rejected" not in wakes


async def test_a_batch_of_64_takes_as_many_statements_as_one_of_1(booth: Booth) -> None:
    site = await booth.site()
    users = [await booth.user(site) for _ in range(64)]
    checks = CodeChecks(
        vault=booth.vault,
    )

    async def run(some: list[User], code_of: Callable[[User, datetime], str], name: str) -> int:
        attempts = [
            Attempt(
                site.application_id,
                user.authy_id,
                code_of(user, booth.clock()),
                "",
                Request("VerifyCode", f"{name}{index}", b"x"),
            )
            for index, user in enumerate(some)
        ]
        with statements() as seen:
            await booth.database.write(lambda tx: list(checks.check(tx, attempts)))
        return len(seen)

    def right(user: User, now: datetime) -> str:
        return user.tokens[0].code(now)

    assert await run(users[:1], right, "a") == await run(users[1:], right, "b")
    booth.clock.turn(seconds=60)

    def made_up(user: User, now: datetime) -> str:
        return wrong(user, now, 1)[0]

    one, many = await run(users[:1], made_up, "c"), await run(users, made_up, "d")
    assert one == many < 12
