"""A device proves itself for a token, and each proof counts once, for one call, now."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest

from authy_grpc.domain import keys
from authy_grpc.domain.device import Proof
from authy_grpc.domain.errors import BadCredential, ClockSkew, RateLimited
from authy_grpc.domain.ids import hash_secret
from authy_grpc.service.caller import Nobody
from authy_grpc.service.proofs import _DECOY
from authy_grpc.store import credential
from authy_grpc.store import device as devices
from authy_grpc.store.columns import to_millis
from authy_grpc.store.database import Database
from authy_grpc.store.tables import DeviceRow, SessionRow
from authy_grpc.store.tx import Tx
from tests.clock import TurnedClock
from tests.registering import Handset, People
from tests.threads import Event


@pytest.fixture
async def people(database_url: str, clock: TurnedClock) -> AsyncIterator[People]:
    async with People.opened(database_url, clock) as opened:
        yield opened


async def test_a_token_is_good_for_an_hour_and_kept_as_a_hash(people: People) -> None:
    handset, _ = await people.register()
    made = await people.session(handset)
    assert made.device_token.startswith("dt_") and made.device_token not in repr(made)
    assert made.expire_time - made.server_time == timedelta(hours=1) and made.server_time == people.clock()
    (row,) = await people.rows(SessionRow)
    assert row.token_hash == hash_secret(made.device_token) and row.expire_time == made.expire_time


async def test_a_device_that_waits_gets_a_token_too(people: People) -> None:
    await people.register()
    held, _ = await people.register()
    assert (await people.session(held)).device_token


async def test_of_eleven_sessions_the_oldest_ends(people: People) -> None:
    handset, _ = await people.register()
    made = []
    for _ in range(11):
        people.clock.turn(seconds=1)
        made.append(await people.session(handset))
    kept = {row.token_hash for row in await people.rows(SessionRow)}
    assert kept == {hash_secret(each.device_token) for each in made[1:]}
    assert len(await people.recorded(credential.ENDED)) == 1


async def test_nobody_waits_for_a_flood_from_another_address(people: People) -> None:
    order: list[str] = []

    async def ask(peer: str) -> None:
        with pytest.raises(BadCredential):
            await people.sessions.create(Nobody(peer), "dev_none", Proof(1, bytes(64)))
        order.append(peer)

    flood = [asyncio.create_task(ask("198.51.100.1")) for _ in range(190)]
    await asyncio.sleep(0)
    await ask("198.51.100.2")
    # Those that were let in before, a group of 32 or, on a slow machine, three, and the one that it shares.
    assert len(order) <= 4 * 32
    await asyncio.gather(*flood)
    assert len(order) == 191


async def test_a_device_opens_thirty_sessions_a_minute(people: People) -> None:
    handset, _ = await people.register()
    other, _ = await people.register()
    for _ in range(30):
        people.clock.turn(milliseconds=1)
        await people.session(handset)
    people.clock.turn(milliseconds=1)
    with pytest.raises(RateLimited):
        await people.session(handset)
    # The control: another device of the same account, and the same a minute later.
    await people.session(other)
    people.clock.turn(seconds=60)
    await people.session(handset)


async def test_a_session_that_is_given_back_ends(people: People) -> None:
    handset, _ = await people.register()
    await people.session(handset)
    (row,) = await people.rows(SessionRow)
    await people.sessions.delete(replace(handset.caller, session_id=row.session_id))
    await people.sessions.delete(replace(handset.caller, session_id=row.session_id))
    assert await people.rows(SessionRow) == []
    (ended,) = await people.recorded(credential.ENDED)
    assert ended.subject_id == row.session_id


async def test_a_proof_counts_once(people: People) -> None:
    handset, _ = await people.register()
    proof = people.proof(handset, "CreateSession")
    await people.sessions.create(people.nobody(), handset.device_id, proof)
    with pytest.raises(ClockSkew) as refused:
        await people.sessions.create(people.nobody(), handset.device_id, proof)
    assert refused.value.server_time == to_millis(people.clock())
    earlier = people.proof(handset, "CreateSession", at=proof.time_millis - 1)
    with pytest.raises(ClockSkew):
        await people.sessions.create(people.nobody(), handset.device_id, earlier)
    await people.session(replace(handset, last_proof=proof.time_millis))


async def test_a_proof_that_does_not_count_is_refused_without_a_write(
    people: People, database_url: str
) -> None:
    """While another holds the database's write lock or the device: else anybody could make others wait."""
    handset, _ = await people.register()
    good = people.proof(handset, "CreateSession")
    old = people.proof(handset, "CreateSession", at=to_millis(people.clock() - timedelta(minutes=2)))
    holds, goes_on = Event(), Event()

    def hold(tx: Tx) -> None:
        devices.lock(tx, handset.device_id)
        holds.set()
        goes_on.wait()

    other = Database(database_url)
    holding = asyncio.ensure_future(other.write(hold))
    await asyncio.to_thread(holds.wait)
    opening = asyncio.ensure_future(people.sessions.create(people.nobody(), handset.device_id, good))
    try:
        for device_id, proof, refusal in (
            (handset.device_id, Proof(good.time_millis, b"x" * 64), BadCredential),
            ("dev_00000000000000000000000001", good, BadCredential),
            (handset.device_id, old, ClockSkew),
        ):
            with pytest.raises(refusal):
                await people.sessions.create(people.nobody(), device_id, proof)
        assert not opening.done()
    finally:
        goes_on.set()
    await holding
    assert (await opening).device_token
    await other.close()


async def test_of_many_calls_with_one_proof_one_wins(people: People) -> None:
    handset, _ = await people.register()
    proof = people.proof(handset, "CreateSession")
    outcomes = await asyncio.gather(
        *[people.sessions.create(people.nobody(), handset.device_id, proof) for _ in range(100)],
        return_exceptions=True,
    )
    assert sum(not isinstance(each, Exception) for each in outcomes) == 1
    assert {type(each) for each in outcomes if isinstance(each, Exception)} == {ClockSkew}


@pytest.mark.parametrize(
    ("off", "good"), [(-60_001, False), (-60_000, True), (60_000, True), (60_001, False)]
)
async def test_a_proof_is_of_now(people: People, off: int, good: bool) -> None:
    handset, _ = await people.register()
    proof = people.proof(handset, "CreateSession", at=to_millis(people.clock()) + off)
    if good:
        await people.sessions.create(people.nobody(), handset.device_id, proof)
        return
    with pytest.raises(ClockSkew):
        await people.sessions.create(people.nobody(), handset.device_id, proof)


async def test_a_proof_for_another_call_or_by_another_device_is_a_bad_credential(people: People) -> None:
    handset, _ = await people.register()
    other, _ = await people.register("+4915112345679")
    good = people.proof(handset, "CreateSession")
    bad = [
        people.proof(handset, "DeleteAccount"),
        people.proof(handset, "CreateSession", "name"),
        people.proof(other, "CreateSession"),
        people.proof(replace(other, device_id=handset.device_id), "CreateSession"),
        Proof(good.time_millis + 1, good.signature),
        Proof(good.time_millis, b""),
        Proof(good.time_millis, bytes(64)),
        # A bad signature is told before a bad time.
        Proof(0, good.signature),
    ]
    for proof in bad:
        with pytest.raises(BadCredential):
            await people.sessions.create(people.nobody(), handset.device_id, proof)
    assert (await people.row(DeviceRow, handset.device_id)).last_proof_millis == 0
    await people.sessions.create(people.nobody(), handset.device_id, good)


async def test_an_unknown_and_a_revoked_device_look_alike(people: People) -> None:
    handset, _ = await people.register()
    await people.revoke(handset, handset.device_id)
    unknown = Handset.new()
    unknown.device_id = "dev_" + "0" * 26
    for each in (handset, unknown):
        with pytest.raises(BadCredential):
            await people.session(each)


async def test_the_decoy_key_opens_nothing(people: People) -> None:
    everybodys = keys.new_private_key(bytes)
    assert keys.public_point(everybodys) == _DECOY
    handset = Handset(everybodys, everybodys)
    with pytest.raises(BadCredential):
        await people.session(handset)
