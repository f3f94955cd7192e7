"""Credentials that are asked for at once are looked up together, each with its own answer."""

import asyncio
import os
from collections.abc import Callable
from typing import Any

import pytest

from authy_grpc.domain.errors import BackendUnavailable
from authy_grpc.domain.ids import hash_secret, new_secret
from authy_grpc.service.caller import Operator, Site
from authy_grpc.service.look_up import LookUps
from authy_grpc.store import operator_key
from authy_grpc.store.database import Database
from authy_grpc.store.tables import ApiKeyRow
from authy_grpc.store.tx import Tx
from tests import rows
from tests.clock import TurnedClock


class Counted:
    """A database whose reads are counted, and can be made to fail."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.count = 0
        self.fails = False

    async def read(self, work: Callable[[Any], Any]) -> Any:
        self.count += 1
        if self.fails:
            raise BackendUnavailable
        return await self._database.read(work)


def guess(kind: str) -> tuple[str, bytes]:
    return kind, hash_secret(new_secret(kind, os.urandom))


async def test_what_waits_is_read_at_once(database: Database, clock: TurnedClock) -> None:
    key, operator = guess("ak"), guess("op")

    def add(tx: Tx) -> None:
        key_row = ApiKeyRow(
            api_key_id="key_1",
            application_id="app_1",
            name="backend",
            scopes="VERIFY",
            secret_hash=key[1],
            create_time=clock(),
        )
        rows.add(tx, rows.application(clock()), key_row)
        operator_key.add(tx, operator_key_id="opk_1", name="night", secret_hash=operator[1])

    await database.write(add)
    counted: Any = Counted(database)
    look_ups = LookUps(counted)
    asked = [*(guess(kind) for kind in ("ak", "dt", "op") for _ in range(100)), key, operator, key]
    gone = asyncio.ensure_future(look_ups.find(*guess("ak")))
    found = asyncio.gather(*(look_ups.find(*each) for each in asked))
    await asyncio.sleep(0)
    gone.cancel()
    *guesses, site, night, again = await found
    assert set(guesses) == {None}
    assert isinstance(site, Site) and site == again and isinstance(night, Operator)
    assert counted.count <= 3


async def test_a_read_that_fails_fails_for_all_who_wait_and_for_no_others(database: Database) -> None:
    counted: Any = Counted(database)
    look_ups = LookUps(counted)
    counted.fails = True
    failed = await asyncio.gather(*(look_ups.find(*guess("ak")) for _ in range(5)), return_exceptions=True)
    assert {type(each) for each in failed} == {BackendUnavailable}
    counted.fails = False
    assert await look_ups.find(*guess("ak")) is None
    counted.fails = True
    with pytest.raises(BackendUnavailable):
        await look_ups.find(*guess("dt"))
