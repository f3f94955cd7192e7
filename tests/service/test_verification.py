"""Codes are sent to phones that the site knows nothing of, and backup codes are made."""

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest

from authy_grpc.domain.codes import is_backup_shape
from authy_grpc.domain.errors import FactorUnavailable, NotFound, RateLimited, RequestIdReused
from authy_grpc.domain.phone import PhoneChannel
from authy_grpc.domain.user import Factor
from authy_grpc.domain.verification import SENT_CODE_LIFE, CodeResult
from authy_grpc.service.verification import Sending
from authy_grpc.store.tables import (
    AccountRow,
    ApplicationRow,
    BackupCodeRow,
    LinkRow,
    SentCodeRow,
    SiteKeyRow,
    TextRow,
)
from authy_grpc.store.tx import Tx
from tests import rows
from tests.checking import NUMBER, Booth, User
from tests.clock import TurnedClock

_HALF_A_MINUTE = timedelta(seconds=30)


@pytest.fixture
async def booth(database_url: str, clock: TurnedClock) -> AsyncIterator[Booth]:
    async with Booth.opened(database_url, clock) as opened:
        yield opened


async def test_a_code_goes_to_the_phone_and_the_site_learns_that_it_did(booth: Booth) -> None:
    user = await booth.user(await booth.site())
    sending = await booth.send(user, "login")
    assert sending == Sending(True, booth.clock() + SENT_CODE_LIFE, _HALF_A_MINUTE)
    assert await booth.told(user.site) == [("code.sent", Factor.SMS, "")]
    code = await booth.text_code()
    (text,) = booth.carrier.texts
    assert (text.number, text.channel) == (NUMBER, PhoneChannel.SMS)
    assert text.body.startswith(f"Acme: {code} is your code to sign in.")
    assert (await booth.told(user.site))[1:] == [("code.delivered", Factor.SMS, "")]
    assert (await booth.verify(user, code, "login")).result is CodeResult.ACCEPTED


async def test_a_call_speaks_the_code_in_the_language_asked_for(booth: Booth) -> None:
    user = await booth.user(await booth.site())
    await booth.send(user, factor=Factor.VOICE, locale="de-AT")
    await booth.texts.send_due()
    (text,) = booth.carrier.texts
    spoken = re.search(r"(\d )+\d", text.body)
    assert (text.channel, "ist Ihr Code" in text.body) == (PhoneChannel.VOICE, True)
    assert spoken is not None
    checked = await booth.verify(user, spoken.group())
    assert (checked.result, checked.factor) == (CodeResult.ACCEPTED, Factor.VOICE)


async def test_the_same_code_goes_out_again_while_it_is_good_and_lives_no_longer(booth: Booth) -> None:
    user = await booth.user(await booth.site())
    expire_time = booth.clock() + SENT_CODE_LIFE
    first = await booth.sent_code(user)
    booth.clock.turn(seconds=30)
    again = await booth.send(user)
    assert (again.expire_time, await booth.text_code()) == (expire_time, first)
    assert len(booth.carrier.texts) == 2
    booth.clock.turn(seconds=30)
    assert (await booth.verify(user, first)).result is CodeResult.ACCEPTED
    assert await booth.sent_code(user) != first


async def test_another_action_has_another_code(booth: Booth) -> None:
    user = await booth.user(await booth.site())
    login = await booth.sent_code(user, "login")
    booth.clock.turn(seconds=30)
    payment = await booth.sent_code(user, "payment")
    assert login != payment
    assert (await booth.verify(user, payment, "payment")).result is CodeResult.ACCEPTED
    assert (await booth.verify(user, login, "login")).result is CodeResult.ACCEPTED


async def test_a_user_with_an_authenticator_is_sent_a_code_only_by_force(booth: Booth) -> None:
    user = await booth.user(await booth.site())
    assert await booth.send(user, force=False) == Sending(False)
    assert await booth.feed(user.site) == []
    assert await _count(booth, TextRow) == 0
    assert (await booth.send(user, force=True)).sent

    (token,) = user.tokens
    await booth.change(SiteKeyRow, token.kid, state="REVOKED", revoke_time=booth.clock())
    booth.clock.turn(seconds=30)
    assert (await booth.send(user, force=False)).sent


async def test_a_link_is_sent_so_many_and_another_ones_budget_is_its_own(booth: Booth) -> None:
    site = await booth.site()
    user, neighbour = await booth.user(site), await booth.user(site)
    assert (await booth.send(user)).retry_delay == _HALF_A_MINUTE
    with pytest.raises(RateLimited) as refusal:
        await booth.send(user)
    assert refusal.value.retry_after == _HALF_A_MINUTE
    assert (await booth.send(neighbour)).sent

    booth.clock.turn(seconds=30)
    await booth.send(user)
    booth.clock.turn(seconds=30)
    assert (await booth.send(user)).retry_delay == timedelta(minutes=9)
    booth.clock.turn(minutes=9, milliseconds=-1)
    with pytest.raises(RateLimited):
        await booth.send(user)
    booth.clock.turn(milliseconds=1)
    for _ in range(7):
        assert (await booth.send(user)).sent
        booth.clock.turn(minutes=10)
    with pytest.raises(RateLimited) as refusal:
        await booth.send(user)
    assert refusal.value.retry_after is not None
    assert refusal.value.retry_after > timedelta(hours=22)


async def test_of_calls_at_once_one_sends(booth: Booth) -> None:
    user = await booth.user(await booth.site())
    outcomes = await asyncio.gather(*(booth.send(user) for _ in range(20)), return_exceptions=True)
    assert sorted(type(each).__name__ for each in outcomes) == [*["RateLimited"] * 19, "Sending"]
    assert await _count(booth, TextRow) == 1


async def test_the_same_request_again_sends_once(booth: Booth) -> None:
    user = await booth.user(await booth.site())
    first = await booth.send(user, request_id="r1")
    booth.clock.turn(hours=1)
    assert await booth.send(user, request_id="r1") == first
    with pytest.raises(RequestIdReused):
        await booth.send(user, "login", request_id="r1")
    assert await _count(booth, TextRow) == 1


async def test_where_there_is_no_phone_or_codes_are_off_none_is_sent(booth: Booth) -> None:
    site = await booth.site()
    user, generic = await booth.user(site), await booth.generic_user(site)
    with pytest.raises(FactorUnavailable):
        await booth.send(generic)
    await booth.change(LinkRow, user.site_id, phone_codes=False)
    with pytest.raises(FactorUnavailable):
        await booth.send(user)
    await booth.change(LinkRow, user.site_id, phone_codes=True)
    await booth.change(ApplicationRow, site.application_id, phone_codes=False)
    with pytest.raises(FactorUnavailable):
        await booth.send(user)
    await booth.change(ApplicationRow, site.application_id, phone_codes=True)
    assert (await booth.send(user)).sent


@pytest.mark.parametrize("case", ["off", "ended"])
async def test_what_is_not_told_yet_is_answered_as_before_and_does_not_go_out(
    booth: Booth, case: str
) -> None:
    user = await booth.user(await booth.site())
    if case == "off":
        await booth.change(AccountRow, user.account_id, phone_codes=False)
    else:
        await booth.change(AccountRow, user.account_id, phone_codes=False, sealed_number=None)
        await booth.change(LinkRow, user.site_id, state="ENDED")
    assert await booth.send(user) == Sending(True, booth.clock() + SENT_CODE_LIFE, _HALF_A_MINUTE)
    with pytest.raises(RateLimited):
        await booth.send(user)
    assert await booth.send(user, force=False) == Sending(False)
    for _ in range(2):
        await booth.texts.send_due()
        booth.clock.turn(seconds=3)
    assert booth.carrier.texts == []
    kinds = [kind for kind, _, _ in await booth.told(user.site)]
    assert kinds == ["code.sent", "code.undelivered"]


async def test_backup_codes_are_ten_and_void_the_earlier_ones(booth: Booth) -> None:
    user = await booth.user(await booth.site())
    old = await booth.verifications.create_backup_codes(user.site, user.authy_id)
    new = await booth.verifications.create_backup_codes(user.site, user.authy_id)
    assert len({*old, *new}) == 20
    assert all(is_backup_shape(code) for code in new)
    assert [(await booth.verify(user, code)).result for code in old] == [CodeResult.WRONG] * 10
    assert [(await booth.verify(user, code)).result for code in new] == [CodeResult.ACCEPTED] * 10
    assert await _count(booth, BackupCodeRow) == 0


async def test_another_sites_user_is_not_found(booth: Booth) -> None:
    stranger, user = await booth.site(), await booth.user(await booth.site())
    waiting = await booth.user(user.site, state="AWAITING")
    for stolen in (replace(user, site=stranger), replace(user, authy_id="1"), waiting):
        with pytest.raises(NotFound):
            await booth.send(stolen)
        with pytest.raises(NotFound):
            await booth.verifications.create_backup_codes(stolen.site, stolen.authy_id)
    assert (await booth.send(user)).sent


async def test_codes_are_kept_sealed_or_as_hashes(booth: Booth) -> None:
    user = await booth.user(await booth.site())
    code = await booth.sent_code(user)
    backup, *_ = await booth.verifications.create_backup_codes(user.site, user.authy_id)

    def read(tx: Tx) -> str:
        kept = rows.one(tx, SentCodeRow, (user.site_id, ""))
        hashes = [row.code_hash for row in rows.every(tx, BackupCodeRow)]
        return repr((kept.sealed_code, hashes))

    kept = await booth.database.read(read)
    assert code not in kept
    assert backup not in kept


async def _count(booth: Booth, kind: type[TextRow] | type[BackupCodeRow]) -> int:
    return await booth.database.read(lambda tx: len(rows.every(tx, kind)))


async def test_the_link_of_a_user_is_locked_while_a_code_is_sent(booth: Booth) -> None:
    """Checks and sends at once: the count of wrong codes is neither lost nor cleared."""
    user = await _locked(booth)
    calls = [booth.send(user) if index % 2 else booth.verify(user, "000000") for index in range(20)]
    await asyncio.gather(*calls, return_exceptions=True)
    link: LinkRow = await booth.row(LinkRow, user.site_id)
    assert link.failures == 6


async def _locked(booth: Booth) -> User:
    user = await booth.generic_user(await booth.site())
    await booth.change(LinkRow, user.site_id, failures=5)
    return user
