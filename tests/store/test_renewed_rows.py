"""A row that is renewed while it is being removed stays: else what it counts would begin anew."""

import asyncio
from datetime import datetime, timedelta

import pytest

from authy_grpc.store import budget, retention
from authy_grpc.store.database import Database
from authy_grpc.store.tx import Tools, Tx
from tests.clock import TurnedClock
from tests.threads import Event

SECOND = timedelta(seconds=1)


@pytest.mark.parametrize("renewed", [True, False])
async def test_what_is_renewed_meanwhile_stays(
    postgres_url: str, tools: Tools, clock: TurnedClock, renewed: bool
) -> None:
    server, other = Database(postgres_url, tools), Database(postgres_url, tools)
    now = clock()
    await server.write(lambda tx: budget.ROWS.add(tx, _budget(now - SECOND)))
    holds, goes_on = Event(), Event()

    def renew(tx: Tx) -> None:
        budget.ROWS.find(tx, "number:1", lock=True)
        if renewed:
            budget.ROWS.put(tx, _budget(now + SECOND))
        holds.set()
        goes_on.wait()

    renewing = asyncio.ensure_future(server.write(renew))
    await asyncio.to_thread(holds.wait)
    pruning = asyncio.ensure_future(other.write(lambda tx: retention.prune(tx)))
    while not await server.read(_waits):
        pass
    goes_on.set()
    await renewing
    assert await pruning == (0 if renewed else 1)
    kept = await server.read(lambda tx: budget.ROWS.find(tx, "number:1"))
    assert (kept is not None) is renewed
    await server.close()
    await other.close()


def _budget(expire_time: datetime) -> budget.Kept:
    return budget.Kept("number:1", "[1]", expire_time)


def _waits(tx: Tx) -> bool:
    """Whether somebody waits for a lock."""
    found = tx.connection().exec_driver_sql(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    return bool(found.scalar())
