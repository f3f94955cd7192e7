"""Codes are checked many at a time: each is good once, guessing meets its limits, and the cost does not grow."""

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from sqlalchemy import Engine, event

from authy_grpc.domain.errors import NotFound, RequestIdReused, UserLocked
from authy_grpc.domain.limits import FOREVER
from authy_grpc.domain.user import Factor
from authy_grpc.domain.verification import Checked, CodeResult
from authy_grpc.service.code_check import Attempt, CodeChecks
from authy_grpc.store import activity
from authy_grpc.store.database import Session
from authy_grpc.store.once import Request
from authy_grpc.store.tables import AccountRow, DeviceRow, LinkRow, SiteKeyRow, TellingRow
from tests.checking import Booth, User, other, wrong
from tests.clock import TurnedClock

Figure = Callable[[int, int], int]
_R = CodeResult
_STEP = timedelta(seconds=30)


@pytest.fixture
async def booth(database_url: str, clock: TurnedClock) -> AsyncIterator[Booth]:
    async with Booth.opened(database_url, clock) as opened:
        yield opened


async def _outcome(booth: Booth, user: User, code: str, **fields: str) -> CodeResult | None:
    """What came of a code; None where it was not looked at."""
    try:
        return (await booth.verify(user, code, **fields)).result
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
        await _send_where_allowed(booth, user)
    assert looked_at == [5] + [1] * 45
    booth.clock.turn(days=400)
    with pytest.raises(UserLocked) as refusal:
        await booth.verify(user, user.tokens[0].code(booth.clock()))
    assert refusal.value.retry_after is None


async def _send_where_allowed(booth: Booth, user: User) -> None:
    if booth.clock().minute % 20 == 0:
        await booth.send(user)


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
    assert await booth.verify(user, code) == Checked(_R.ACCEPTED, Factor.SOFT_TOKEN, 0)
    assert await booth.verify(user, code) == Checked(_R.REPLAYED, Factor.SOFT_TOKEN, 5)
    booth.clock.turn(seconds=30)
    assert (await booth.verify(user, user.tokens[0].code(booth.clock(), digits))).result is _R.ACCEPTED


async def test_a_sent_code_is_taken_once_for_its_action(booth: Booth) -> None:
    user = await booth.user(await booth.site())
    code = await booth.sent_code(user, "payment")
    assert (await booth.verify(user, code, "login")).result is _R.WRONG
    assert await booth.verify(user, code, "payment") == Checked(_R.ACCEPTED, Factor.SMS, 0)
    assert (await booth.verify(user, code, "payment")).result is _R.REPLAYED
    booth.clock.turn(days=1)
    code = await booth.sent_code(user, "payment")
    booth.clock.turn(minutes=5)
    assert await booth.verify(user, code, "payment") == Checked(_R.EXPIRED, Factor.SMS, 5)
    assert await booth.told(user.site) == [
        ("code.sent", Factor.SMS, ""),
        ("code.delivered", Factor.SMS, ""),
        ("code.rejected", None, "wrong"),
        ("code.accepted", Factor.SMS, ""),
        ("code.rejected", Factor.SMS, "replayed"),
        ("code.sent", Factor.SMS, ""),
        ("code.delivered", Factor.SMS, ""),
        ("code.rejected", Factor.SMS, "expired"),
    ]


async def test_of_many_calls_with_one_sent_code_one_is_accepted(booth: Booth) -> None:
    user = await booth.user(await booth.site())
    code = await booth.sent_code(user)
    answers = await asyncio.gather(*(booth.verify(user, code) for _ in range(100)))
    assert Counter(each.result for each in answers) == {_R.ACCEPTED: 1, _R.REPLAYED: 99}


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
    results.update(each.result for each in await asyncio.gather(*(booth.verify(user, first) for _ in range(50))))
    assert results == {_R.ACCEPTED: 1, _R.WRONG: 50}

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


async def test_the_same_request_again_is_answered_the_same_for_ten_minutes(booth: Booth) -> None:
    user = await booth.user(await booth.site())
    code = user.tokens[0].code(booth.clock())
    calls = [booth.verify(user, code, request_id="r1") for _ in range(20)]
    assert set(await asyncio.gather(*calls)) == {Checked(_R.ACCEPTED, Factor.SOFT_TOKEN, 0)}
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
    assert outcomes[3] == Checked(_R.ACCEPTED, Factor.SOFT_TOKEN, 0)
    assert await booth.feed(stranger) == []


async def test_of_a_user_whose_end_is_not_told_every_code_is_wrong_and_counts(booth: Booth) -> None:
    user = await booth.user(await booth.site())
    sent = await booth.sent_code(user)
    backup, *_ = await booth.verifications.create_backup_codes(user.site, user.authy_id)
    await booth.change(LinkRow, user.site_id, state="ENDED")
    token = user.tokens[0].code(booth.clock())
    answers = [await booth.verify(user, code) for code in (token, sent, backup, token, token, token)]
    assert [each.result for each in answers] == [_R.WRONG] * 6
    assert [each.attempts_remaining for each in answers] == [4, 3, 3, 2, 1, 0]
    assert await _outcome(booth, user, token) is None
    assert (await booth.told(user.site))[-2:] == [("code.rejected", None, "wrong"), ("user.locked", None, "")]


async def test_of_a_device_that_is_out_the_codes_are_wrong(booth: Booth) -> None:
    user = await booth.user(await booth.site(), devices=3)
    revoked, dropped, good = user.tokens
    await booth.change(DeviceRow, revoked.device_id, state="REVOKED")
    await booth.change(SiteKeyRow, dropped.kid, state="REVOKED")
    results = [(await booth.verify(user, each.code(booth.clock()))).result for each in (revoked, dropped, good)]
    assert results == [_R.WRONG, _R.WRONG, _R.ACCEPTED]


async def test_new_keys_of_a_device_void_its_old_codes_at_once(booth: Booth) -> None:
    user = await booth.user(await booth.site())
    (old,) = user.tokens
    assert (await booth.verify(user, old.code(booth.clock()))).result is _R.ACCEPTED
    new = await booth.new_keys(old, user.site_id)
    booth.clock.turn(seconds=60)
    assert (await booth.verify(user, old.code(booth.clock()))).result is _R.WRONG
    assert (await booth.verify(user, new.code(booth.clock()))).result is _R.ACCEPTED


@pytest.mark.parametrize("case", ["account", "told", "untold", "erased"])
async def test_sent_codes_are_wrong_once_they_are_switched_off(booth: Booth, case: str) -> None:
    user = await booth.user(await booth.site())
    code = await booth.sent_code(user)
    match case:
        case "account":
            await booth.change(AccountRow, user.account_id, phone_codes=False)
        case "told":
            await booth.change(LinkRow, user.site_id, phone_codes=False)
        case "erased":
            await booth.change(AccountRow, user.account_id, sealed_number=None)
        case _:
            # Off and on again, while the site has been told of neither.
            await booth.add(
                TellingRow(
                    telling_id="tel_1",
                    site_id=user.site_id,
                    kind="user.factors_changed",
                    due_time=booth.clock() + _STEP,
                )
            )
    assert (await booth.verify(user, code)).result is _R.WRONG
    # The control.
    neighbour = await booth.user(user.site)
    assert (await booth.verify(neighbour, await booth.sent_code(neighbour))).result is _R.ACCEPTED


async def test_the_owner_sees_where_a_code_was_accepted_and_by_which_device(booth: Booth) -> None:
    user = await booth.user(await booth.site(), devices=2)
    await booth.verify(user, wrong(user, booth.clock(), 1)[0])
    await booth.verify(user, user.tokens[1].code(booth.clock()))
    booth.clock.turn(seconds=1)
    await booth.verify(user, await booth.sent_code(user))

    def work(session: Session) -> list[activity.Activity]:
        return activity.listed(session, booth.vault, user.account_id or "", "", 10)

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


@contextmanager
def _statements() -> Iterator[list[str]]:
    """The SQL that runs meanwhile."""
    seen: list[str] = []

    def note(connection: object, cursor: object, statement: str, *rest: object) -> None:
        seen.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(Engine, "before_cursor_execute", note)


async def test_a_batch_of_64_takes_as_many_statements_as_one_of_1(booth: Booth) -> None:
    site = await booth.site()
    users = [await booth.user(site) for _ in range(64)]
    checks = CodeChecks(
        vault=booth.vault,
        events=booth.events,
        clock=booth.clock,
        random=os.urandom,
        postgres=booth.database.postgres,
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
        with _statements() as seen:
            await booth.database.write(lambda session: list(checks.check(session, attempts)))
        return len(seen)

    def right(user: User, now: datetime) -> str:
        return user.tokens[0].code(now)

    assert await run(users[:1], right, "a") == await run(users[1:], right, "b")
    booth.clock.turn(seconds=60)

    def made_up(user: User, now: datetime) -> str:
        return wrong(user, now, 1)[0]

    one, many = await run(users[:1], made_up, "c"), await run(users, made_up, "d")
    assert one == many < 12
