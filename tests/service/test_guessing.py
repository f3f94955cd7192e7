"""Guessing meets its limits, however many guess at once, and what lifts a lock is a success."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

import pytest

from authy_grpc.domain.errors import RateLimited, UserLocked
from authy_grpc.domain.limits import FOREVER
from authy_grpc.domain.user import Factor
from authy_grpc.domain.verification import Checked, CodeResult
from authy_grpc.store.once import Request
from authy_grpc.store.tables import LinkRow
from tests.checking import Booth, User, other, wrong
from tests.clock import TurnedClock

Figure = Callable[[int, int], int]
_R = CodeResult
_STEP = timedelta(seconds=30)


@pytest.fixture
async def booth(database_url: str, clock: TurnedClock) -> AsyncIterator[Booth]:
    async with Booth.opened(database_url, clock) as opened:
        yield opened


async def _outcome(booth: Booth, user: User, code: str, request_id: str = "") -> CodeResult | None:
    """What came of a code; None where it was not looked at."""
    try:
        return (await booth.verify(user, code, request_id=request_id)).result
    except UserLocked:
        return None


async def test_guesses_at_once_never_outrun_the_limits(
    booth: Booth, database_url: str, figure: Figure
) -> None:
    user = await booth.user(await booth.site())
    looked_at = []
    for _ in range(60):
        codes = wrong(user, booth.clock(), figure(100, 1000))
        async with Booth.opened(database_url, booth.clock, booth.keyset) as restarted:
            # A restart, another key and a new code lower no count.
            keys = [user.site, replace(user.site, api_key_id="key_2")]
            calls = [
                restarted.verifications.verify_code(
                    keys[index % 2], Request("VerifyCode", "", b""), user.authy_id, code, ""
                )
                for index, code in enumerate(codes)
            ]
            outcomes = await asyncio.gather(*calls, return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} <= {Checked, UserLocked}
        looked_at.append(sum(isinstance(outcome, Checked) for outcome in outcomes))
        link: LinkRow = await booth.row(LinkRow, user.site_id)
        assert link.failures == sum(looked_at)
        if link.locked_until == FOREVER:
            break
        assert link.locked_until is not None
        booth.clock.now = link.locked_until
        with suppress(RateLimited):
            await booth.send(user)
    assert looked_at == [5] + [1] * 45
    booth.clock.turn(days=400)
    with pytest.raises(UserLocked) as refusal:
        await booth.verify(user, user.tokens[0].code(booth.clock()))
    assert refusal.value.retry_after is None


async def test_each_lock_is_told_and_lasts_twice_as_long(booth: Booth) -> None:
    user = await booth.user(await booth.site())
    for code in wrong(user, booth.clock(), 5):
        await booth.verify(user, code)
    with pytest.raises(UserLocked) as first:
        await booth.verify(user, user.tokens[0].code(booth.clock()))
    booth.clock.turn(seconds=30)
    assert (await booth.verify(user, wrong(user, booth.clock(), 1)[0])).attempts_remaining == 0
    with pytest.raises(UserLocked) as second:
        await booth.verify(user, "000000")
    assert (first.value.retry_after, second.value.retry_after) == (_STEP, 2 * _STEP)
    rejected, locked = ("code.rejected", None, "wrong"), ("user.locked", None, "")
    assert await booth.told(user.site) == [*[rejected] * 5, locked, rejected, locked]


async def test_five_guesses_void_a_sent_code(booth: Booth) -> None:
    user = await booth.user(await booth.site())
    code = await booth.sent_code(user)
    for by in range(1, 6):
        assert await _outcome(booth, user, other(code, by)) is _R.WRONG
    booth.clock.turn(seconds=30)
    assert (await booth.verify(user, code)).result is _R.WRONG
    booth.clock.turn(minutes=1)
    again = await booth.sent_code(user)
    assert (await booth.verify(user, again)).result is _R.ACCEPTED


async def test_a_backup_code_works_once_and_while_the_user_is_locked(booth: Booth) -> None:
    user = await booth.user(await booth.site())
    first, second, *_ = await booth.verifications.create_backup_codes(user.site, user.authy_id)
    for code in wrong(user, booth.clock(), 5):
        await booth.verify(user, code)
    await booth.change(LinkRow, user.site_id, push_misses=7, push_frozen_until=FOREVER)
    assert await _outcome(booth, user, user.tokens[0].code(booth.clock())) is None
    assert await booth.verify(user, "0123456789ABCDEF") == Checked(_R.WRONG, None, 0)

    typed = "-".join(first.lower()[index : index + 4] for index in range(0, 16, 4))
    results = Counter([(await booth.verify(user, typed.replace("0", "o"))).result])
    results.update(
        each.result for each in await asyncio.gather(*(booth.verify(user, first) for _ in range(15)))
    )
    assert results == {_R.ACCEPTED: 1, _R.WRONG: 15}

    link: LinkRow = await booth.row(LinkRow, user.site_id)
    assert (link.failures, link.locked_until) == (0, None)
    assert (link.push_misses, link.push_frozen_until) == (0, None)
    assert link.last_verify_time == link.last_use_time == booth.clock()
    told = [each for each in await booth.told(user.site) if each[0] != "code.rejected"]
    assert told == [
        ("user.locked", None, ""),
        ("code.accepted", Factor.BACKUP_CODE, ""),
        ("user.unlocked", None, ""),
    ]
    assert (await booth.verify(user, second)).result is _R.ACCEPTED


@pytest.mark.parametrize("at_once", [True, False])
async def test_wrong_backup_codes_have_a_rate_of_their_own(booth: Booth, at_once: bool) -> None:
    site = await booth.site()
    user, neighbour = await booth.user(site), await booth.user(site)
    good = (await booth.verifications.create_backup_codes(site, user.authy_id))[0]
    foreign = await booth.verifications.create_backup_codes(site, neighbour.authy_id)
    codes = [foreign[number % 10] for number in range(25)]
    if at_once:
        outcomes = await asyncio.gather(*(booth.verify(user, code) for code in codes), return_exceptions=True)
    else:
        outcomes = []
        for code in codes:
            outcomes += await asyncio.gather(booth.verify(user, code), return_exceptions=True)
    assert [isinstance(each, RateLimited) for each in outcomes].count(True) == 5
    assert [each.result for each in outcomes if isinstance(each, Checked)] == [_R.WRONG] * 20
    assert [each.type for each in await booth.feed(site)].count("code.rejected") == 20
    # A right one is not looked at either, or the rate would bound nothing; other codes are, and other users.
    with pytest.raises(RateLimited) as refused:
        await booth.verify(user, good)
    assert refused.value.retry_after == timedelta(minutes=1)
    assert (await booth.verify(user, user.tokens[0].code(booth.clock()))).result is _R.ACCEPTED
    assert (await booth.verify(neighbour, foreign[0])).result is _R.ACCEPTED
    booth.clock.turn(minutes=1)
    assert (await booth.verify(user, good)).result is _R.ACCEPTED


async def test_another_links_backup_codes_are_wrong(booth: Booth) -> None:
    site = await booth.site()
    user, neighbour = await booth.user(site), await booth.user(site)
    code = (await booth.verifications.create_backup_codes(site, neighbour.authy_id))[0]
    assert (await booth.verify(user, code)).result is _R.WRONG
    assert (await booth.verify(neighbour, code)).result is _R.ACCEPTED


async def test_an_accepted_code_lifts_a_freeze_and_the_rest_leaves_it(booth: Booth) -> None:
    user = await booth.user(await booth.site())
    await booth.change(LinkRow, user.site_id, push_misses=3, push_frozen_until=FOREVER)
    await booth.verify(user, wrong(user, booth.clock(), 1)[0])
    link: LinkRow = await booth.row(LinkRow, user.site_id)
    assert (link.failures, link.push_misses, link.push_frozen_until) == (1, 3, FOREVER)
    assert link.last_verify_time is None
    await booth.verify(user, user.tokens[0].code(booth.clock()))
    link = await booth.row(LinkRow, user.site_id)
    assert (link.failures, link.push_misses, link.push_frozen_until) == (0, 0, None)
