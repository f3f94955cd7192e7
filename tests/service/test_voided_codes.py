"""What has lost its force is wrong at once, also where the site is yet to be told."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from authy_grpc.domain.errors import UserLocked
from authy_grpc.domain.verification import CodeResult
from authy_grpc.store.tables import AccountRow, DeviceRow, LinkRow, SiteKeyRow, TellingRow
from tests.checking import Booth, User
from tests.clock import TurnedClock

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


async def test_of_a_user_whose_end_is_not_told_what_the_owner_had_is_wrong_and_counts(booth: Booth) -> None:
    user = await booth.user(await booth.site())
    sent = await booth.sent_code(user)
    backup, *_ = await booth.verifications.create_backup_codes(user.site, user.authy_id)
    await booth.change(LinkRow, user.site_id, state="ENDED")
    token = user.tokens[0].code(booth.clock())
    answers = [await booth.verify(user, code) for code in (token, sent, token, token, token)]
    assert [each.result for each in answers] == [_R.WRONG] * 5
    assert [each.attempts_remaining for each in answers] == [4, 3, 2, 1, 0]
    assert await _outcome(booth, user, token) is None
    assert (await booth.told(user.site))[-2:] == [("code.rejected", None, "wrong"), ("user.locked", None, "")]
    # Backup codes are the site's own: it could try one to learn when the account was erased.
    assert await _outcome(booth, user, backup) is _R.ACCEPTED
    assert await _outcome(booth, user, backup) is _R.WRONG
    assert (await booth.told(user.site))[-3][:2] == ("code.accepted", "BACKUP_CODE")


async def test_of_a_device_that_is_out_the_codes_are_wrong(booth: Booth) -> None:
    user = await booth.user(await booth.site(), devices=3)
    revoked, dropped, good = user.tokens
    await booth.change(DeviceRow, revoked.device_id, state="REVOKED")
    await booth.change(SiteKeyRow, dropped.kid, state="REVOKED")
    results = [
        (await booth.verify(user, each.code(booth.clock()))).result for each in (revoked, dropped, good)
    ]
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
