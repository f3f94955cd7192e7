"""A token is its holder's until it ends, and its end is known everywhere at once."""

import asyncio
import io
import os
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest

from authy_grpc import logs
from authy_grpc.domain.application import Scope
from authy_grpc.domain.errors import BackendUnavailable
from authy_grpc.domain.ids import hash_secret, new_secret
from authy_grpc.service.caller import Device, Gateway, Nobody, Operator, Site
from authy_grpc.service.credentials import Credentials
from authy_grpc.service.signals import Signals
from authy_grpc.store import credential
from authy_grpc.store.database import Database
from authy_grpc.store.events import NewEvent
from authy_grpc.store.listener import Listener
from authy_grpc.store.tables import AccountRow, ApiKeyRow, DeviceRow, SessionRow
from authy_grpc.store.tx import Tx
from tests import rows
from tests.clock import TurnedClock
from tests.threads import PATIENCE

OPERATOR, GATEWAY = new_secret("op", os.urandom), new_secret("gw", os.urandom)


@dataclass
class World:
    """Credentials, and the rows that they are read from."""

    database: Database
    signals: Signals
    clock: TurnedClock
    credentials: Credentials

    async def add(self, *added: Any) -> None:
        await self.database.write(lambda tx: rows.add(tx, *added))

    async def key(self, name: str = "key_1", expire_time: datetime | None = None) -> str:
        """A new API key of app_1: its secret."""
        secret = new_secret("ak", os.urandom)
        await self.add(
            ApiKeyRow(
                api_key_id=name,
                application_id="app_1",
                name="backend",
                scopes="VERIFY EVENTS",
                secret_hash=hash_secret(secret),
                create_time=self.clock(),
                expire_time=expire_time,
            )
        )
        return secret

    async def token(self, name: str = "ses_1", device_id: str = "dev_1") -> str:
        """A new session of a device: its token."""
        secret = new_secret("dt", os.urandom)
        await self.add(
            SessionRow(
                session_id=name,
                device_id=device_id,
                token_hash=hash_secret(secret),
                create_time=self.clock(),
                expire_time=self.clock() + timedelta(hours=1),
            )
        )
        return secret

    async def change(self, kind: Any, key: str, *events: NewEvent, **values: Any) -> None:
        """Change a row, or remove it where nothing is given, and record events."""

        def work(tx: Tx) -> None:
            if values:
                rows.change(tx, kind, key, **values)
            else:
                rows.remove(tx, kind, key)
            tx.record(*events)

        await self.database.write(work)

    async def revoke(self, name: str, *, told: bool = True) -> None:
        """Revoke an API key."""
        ended = [credential.ended(name)] if told else []
        await self.change(ApiKeyRow, name, *ended, revoke_time=self.clock())

    async def handed_out(self) -> None:
        """Wait until all that was recorded has been handed out."""
        with self.signals.subscribe("mark") as subscription:
            mark = NewEvent(type="mark", subject_id="mark")
            await self.database.write(lambda tx: tx.record(mark))
            assert await subscription.wait(5)


def credentials_of(database: Database, signals: Signals, clock: TurnedClock) -> Credentials:
    return Credentials(database, signals, clock, operator_key=OPERATOR, gateway_key=GATEWAY)


@pytest.fixture
async def world(database: Database, signals: Signals, clock: TurnedClock) -> AsyncIterator[World]:
    made = World(database, signals, clock, credentials_of(database, signals, clock))
    application = rows.application(clock())
    account = AccountRow(account_id="acc_1", new_device_policy="HOLD", create_time=clock())
    devices = [
        DeviceRow(
            device_id=device_id,
            account_id="acc_1",
            sealed_name=b"",
            platform="ANDROID",
            state=state,
            signing_key=b"",
            agreement_key=b"",
            server_agreement_key=b"",
            sealed_secret=b"",
            create_time=clock(),
        )
        for device_id, state in (("dev_1", "ACTIVE"), ("dev_held", "HELD"), ("dev_out", "REVOKED"))
    ]
    await made.add(application, account, *devices)
    yield made
    await made.credentials.close()


async def test_a_token_is_its_holders(world: World) -> None:
    find = world.credentials.find
    key, token, held_token = await world.key(), await world.token(), await world.token("ses_2", "dev_held")
    hour = world.clock() + timedelta(hours=1)
    assert await find(key) == Site("app_1", "key_1", frozenset({Scope.VERIFY, Scope.EVENTS}), None)
    assert await find(token) == Device("acc_1", "dev_1", "ses_1", held=False, expire_time=hour)
    assert await find(held_token) == Device("acc_1", "dev_held", "ses_2", held=True, expire_time=hour)
    assert await find(OPERATOR) == Operator()
    assert await find(GATEWAY) == Gateway()


async def test_no_other_token_is_anybodys(world: World) -> None:
    key, out = await world.key(), await world.token("ses_3", "dev_out")
    others = [
        "",
        " ",
        "op_",
        "ak_",
        key[:-1],
        key.lower(),
        key + "0",
        "dt_" + key[3:],
        out,
        OPERATOR[:-1],
        "ä",
    ]
    for other in others:
        assert await world.credentials.find(other) is None
    assert await world.credentials.find(key) is not None


@pytest.mark.parametrize("empty", ["operator_key", "gateway_key"])
async def test_a_key_that_is_not_set_lets_nobody_in(
    database: Database, signals: Signals, clock: TurnedClock, empty: str
) -> None:
    keys = {"operator_key": OPERATOR, "gateway_key": GATEWAY, empty: ""}
    assert await Credentials(database, signals, clock, **keys).find("") is None


async def test_a_look_up_is_remembered_for_a_second(world: World) -> None:
    key = await world.key()
    found = await world.credentials.find(key)
    await world.revoke("key_1", told=False)
    world.clock.turn(seconds=0.999)
    assert await world.credentials.find(key) == found
    world.clock.turn(seconds=0.001)
    assert await world.credentials.find(key) is None
    # Nor does it come back with a clock that is set back.
    world.clock.turn(seconds=-1)
    assert await world.credentials.find(key) is None


async def test_what_expires_is_good_to_the_last_millisecond(world: World) -> None:
    key = await world.key(expire_time=world.clock() + timedelta(hours=1))
    token = await world.token()
    world.clock.turn(hours=1, milliseconds=-1)
    assert await world.credentials.find(key) is not None
    assert await world.credentials.find(token) is not None
    world.clock.turn(milliseconds=1)
    assert await world.credentials.find(key) is None
    assert await world.credentials.find(token) is None


@pytest.mark.parametrize("ended", ["session", "device"])
async def test_what_is_revoked_is_forgotten_at_once(world: World, ended: str) -> None:
    key, token, other = await world.key(), await world.token(), await world.token("ses_2", "dev_held")
    for each in (key, token, other):
        assert await world.credentials.find(each) is not None
    await world.revoke("key_1")
    if ended == "session":
        await world.change(SessionRow, "ses_1", credential.ended("ses_1"))
    else:
        await world.change(DeviceRow, "dev_1", credential.ended("dev_1"), state="REVOKED")
    await world.handed_out()
    assert await world.credentials.find(key) is None
    assert await world.credentials.find(token) is None
    assert await world.credentials.find(other) is not None


async def test_a_device_that_is_let_in_may_act_at_once(world: World) -> None:
    token = await world.token(device_id="dev_held")
    before = await world.credentials.find(token)
    assert isinstance(before, Device) and before.held
    async with world.credentials.ended(before) as ended:
        await world.change(DeviceRow, "dev_held", credential.changed("dev_held"), state="ACTIVE")
        await world.handed_out()
        assert not ended.is_set()
    after = await world.credentials.find(token)
    assert isinstance(after, Device) and not after.held


async def test_what_is_looked_up_while_it_is_revoked_is_not_remembered(world: World) -> None:
    """The look-up has read the row as it was, and answers when the end was handed out already."""
    key = await world.key()
    revoked: list[bool] = []
    reads = world.database.read

    async def late(work: Callable[[Tx], Any]) -> Any:
        answer = await reads(work)
        if not revoked:
            revoked.append(True)
            await world.revoke("key_1")
            await world.handed_out()
        return answer

    slow = Slow(world.database, late)
    credentials = credentials_of(slow, world.signals, world.clock)  # type: ignore[arg-type]
    assert await credentials.find(key) is not None
    assert revoked
    assert await credentials.find(key) is None
    await credentials.close()


class Slow:
    """A store whose reads take their time."""

    def __init__(self, database: Database, read: Callable[..., Any]) -> None:
        self.read = read
        self.write = database.write


async def test_a_stream_hears_of_the_end_of_its_credential(world: World) -> None:
    site, device = (
        await world.credentials.find(await world.key()),
        await world.credentials.find(await world.token()),
    )
    other = await world.credentials.find(await world.key("key_2"))
    assert site is not None and device is not None and other is not None
    async with (
        world.credentials.ended(site) as site_ended,
        world.credentials.ended(device) as device_ended,
        world.credentials.ended(other) as other_ended,
    ):
        await world.revoke("key_1")
        await world.change(DeviceRow, "dev_1", credential.ended("dev_1"), state="REVOKED")
        await asyncio.wait_for(site_ended.wait(), PATIENCE)
        await asyncio.wait_for(device_ended.wait(), PATIENCE)
        await world.handed_out()
        assert not other_ended.is_set()


async def test_a_stream_of_what_has_ended_already_ends(world: World) -> None:
    """It was found a moment ago: the event has passed, and does not come again."""
    site, device = (
        await world.credentials.find(await world.key()),
        await world.credentials.find(await world.token()),
    )
    other = await world.credentials.find(await world.token("ses_2"))
    assert site is not None and device is not None and other is not None
    await world.revoke("key_1")
    await world.change(SessionRow, "ses_1", credential.ended("ses_1"))
    await world.handed_out()
    for caller in (site, device):
        async with world.credentials.ended(caller) as ended:
            assert ended.is_set()
    for caller in (other, Operator(), Gateway(), Nobody("192.0.2.1")):
        async with world.credentials.ended(caller) as ended:
            assert not ended.is_set()


async def test_a_stream_that_has_gone_leaves_nothing_behind(world: World) -> None:
    site = await world.credentials.find(await world.key())
    assert site is not None
    before = len(world.signals._topics)
    for _ in range(10):
        async with world.credentials.ended(site):
            assert len(world.signals._topics) == before + 1
    assert len(world.signals._topics) == before


async def test_unknown_and_ended_tokens_are_not_remembered(world: World) -> None:
    credentials = world.credentials
    for number in range(200):
        assert await credentials.find(f"ak_{number:052}") is None
    for number in range(20):
        token = await world.token(f"ses_{number}")
        assert await credentials.find(token) is not None
        await world.change(SessionRow, f"ses_{number}", credential.ended(f"ses_{number}"))
    await world.handed_out()
    assert (len(credentials._found), len(credentials._hashes)) == (0, 0)
    assert len(credentials._used) == 1  # the device's
    # The control: what is found is remembered.
    await credentials.find(await world.key())
    assert (len(credentials._found), len(credentials._hashes)) == (1, 1)


async def test_another_server_forgets_what_is_revoked_here(world: World, clock: TurnedClock) -> None:
    """On PostgreSQL it is told; on SQLite, which has no other server, it would see at its next poll."""
    database, heard = Database(world.database.url, world.database.tools), asyncio.Event()
    log = logs.build(io.StringIO(), clock)
    poll = timedelta(hours=1) if database.postgres else timedelta(seconds=0.01)
    signals = Signals(database, log, poll=poll)

    def wake() -> None:
        heard.set()
        signals.wake()

    await signals.start()
    credentials = credentials_of(database, signals, clock)
    listener = Listener(database.url, wake, log)
    if database.postgres:
        listener.start()
        await asyncio.wait_for(heard.wait(), PATIENCE)
    key = await world.key()
    site = await credentials.find(key)
    assert site is not None
    async with credentials.ended(site) as ended:
        await world.revoke("key_1")
        await asyncio.wait_for(ended.wait(), PATIENCE)
    assert await credentials.find(key) is None
    await credentials.close()
    await listener.stop()
    await signals.stop()
    await database.close()


async def test_a_use_is_noted_once_a_minute(world: World) -> None:
    key, token = await world.key(), await world.token()
    began = world.clock()
    for _ in range(3):
        await world.credentials.find(key)
        await world.credentials.find(token)
        world.clock.turn(seconds=20)
    await world.credentials.close()

    async def noted() -> tuple[datetime | None, datetime | None]:
        return await world.database.read(
            lambda tx: (
                rows.one(tx, ApiKeyRow, "key_1").last_use_time,
                rows.one(tx, DeviceRow, "dev_1").last_seen_time,
            )
        )

    assert await noted() == (began, began)
    await world.credentials.find(key)
    await world.credentials.find(token)
    await world.credentials.close()
    assert await noted() == (world.clock(), world.clock())


async def test_with_the_store_gone_nobody_is_let_in(world: World) -> None:
    key = await world.key()
    assert await world.credentials.find(key) is not None
    world.clock.turn(seconds=2)
    await world.credentials.close()
    await world.signals.stop()
    await world.database.close()
    with pytest.raises(BackendUnavailable):
        await world.credentials.find(key)
    assert await world.credentials.find(OPERATOR) == Operator()
