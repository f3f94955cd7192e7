"""The same request again is answered the same, and does its work once."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from pydantic import TypeAdapter

from authy_grpc.domain.errors import CodeRejected, NotFound, Refusal, RequestIdReused
from authy_grpc.store.database import Database
from authy_grpc.store.once import KEPT, Request, once
from authy_grpc.store.tables import AnswerRow
from authy_grpc.store.tx import Tx
from authy_grpc.store.vault import KeysetError, Vault, new_keyset
from tests import rows
from tests.clock import TurnedClock
from tests.recording import by
from tests.works import leaves, traces

ANSWER: TypeAdapter[dict[str, Any]] = TypeAdapter(dict[str, Any])
METHOD = "/authy_grpc.v1.ApprovalService/CreateApproval"


class Desk:
    """Answers calls, each with another number."""

    def __init__(self, database: Database, vault: Vault, clock: TurnedClock) -> None:
        self.database = database
        self.vault = vault
        self.clock = clock
        self.made = 0

    async def ask(
        self,
        request_id: str = "r1",
        content: bytes = b"content",
        *,
        method: str = METHOD,
        application_id: str = "app_1",
        refusal: Refusal | None = None,
        raises: bool = False,
        kept: timedelta = KEPT,
        database: Database | None = None,
    ) -> Any:
        def work(tx: Tx) -> Any:
            def make() -> Any:
                if refusal is not None:
                    if raises:
                        raise refusal
                    return refusal
                self.made += 1
                leaves(f"trace {self.made}")(tx)
                return {"number": self.made}

            request = Request(method, request_id, content)
            return once(by(tx, vault=self.vault), application_id, request, ANSWER, make, kept=kept)

        return await (database or self.database).write(work)


@pytest.fixture
def desk(database: Database, vault: Vault, clock: TurnedClock) -> Desk:
    return Desk(database, vault, clock)


async def test_the_same_again_is_answered_the_same(desk: Desk) -> None:
    assert await desk.ask() == {"number": 1}
    assert await desk.ask() == {"number": 1}
    assert await desk.ask("r2") == {"number": 2}
    assert await traces(desk.database) == ["trace 1", "trace 2"]


async def test_without_an_id_each_is_another(desk: Desk) -> None:
    assert [await desk.ask("") for _ in range(2)] == [{"number": 1}, {"number": 2}]
    assert await desk.database.read(lambda tx: rows.every(tx, AnswerRow)) == []


async def test_another_request_under_the_id_is_refused(desk: Desk) -> None:
    await desk.ask()
    with pytest.raises(RequestIdReused):
        await desk.ask(content=b"another")
    assert await desk.ask() == {"number": 1}
    assert desk.made == 1


async def test_an_id_is_of_one_application_and_method(desk: Desk) -> None:
    assert await desk.ask() == {"number": 1}
    assert await desk.ask(application_id="app_2", content=b"another") == {"number": 2}
    assert await desk.ask(method=METHOD + "2", content=b"another") == {"number": 3}
    assert await desk.ask() == {"number": 1}


@pytest.mark.parametrize("kept", [KEPT, timedelta(minutes=10)])
async def test_it_is_remembered_for_its_time_and_no_longer(desk: Desk, kept: timedelta) -> None:
    await desk.ask(kept=kept)
    desk.clock.turn(seconds=kept.total_seconds() - 0.001)
    assert await desk.ask(kept=kept) == {"number": 1}
    with pytest.raises(RequestIdReused):
        await desk.ask(content=b"another", kept=kept)
    desk.clock.turn(milliseconds=1)
    assert await desk.ask(content=b"another", kept=kept) == {"number": 2}
    assert await desk.ask(content=b"another", kept=kept) == {"number": 2}


@pytest.mark.parametrize("raises", [True, False])
async def test_a_refusal_is_not_remembered(desk: Desk, raises: bool) -> None:
    refusal = NotFound() if raises else CodeRejected()
    with pytest.raises(type(refusal)):
        await desk.ask(refusal=refusal, raises=raises)
    assert await desk.ask() == {"number": 1}
    # Nor does it take the place of an answer.
    assert await desk.ask(refusal=refusal, raises=raises) == {"number": 1}


@pytest.mark.parametrize("before", [False, True])
async def test_of_many_at_once_one_does_the_work(
    desk: Desk, servers: Sequence[Database], before: bool
) -> None:
    """At every server, and where an answer stands there that has expired, too."""
    if before:
        await desk.ask()
        desk.clock.turn(hours=25)
    answers = await asyncio.gather(
        *(desk.ask(database=servers[number % len(servers)]) for number in range(40))
    )
    assert len({answer["number"] for answer in answers}) == 1
    assert len(await traces(desk.database)) == 1 + before


async def test_an_answer_is_sealed_for_its_request(desk: Desk) -> None:
    await desk.ask("r1", b"secret")
    await desk.ask("r2", b"secret")

    def swap(tx: Tx) -> None:
        one, two = (rows.one(tx, AnswerRow, ("app_1", METHOD, name)) for name in ("r1", "r2"))
        assert b"number" not in one.sealed_body and b"secret" not in one.request_digest
        rows.change(tx, AnswerRow, ("app_1", METHOD, "r1"), sealed_body=two.sealed_body)

    await desk.database.write(swap)
    with pytest.raises(KeysetError):
        await desk.ask("r1", b"secret")
    assert await desk.ask("r2", b"secret") == {"number": 2}
    desk.vault = Vault(new_keyset())
    with pytest.raises(RequestIdReused):
        await desk.ask("r2", b"secret")


def test_a_request_does_not_show_what_it_says() -> None:
    assert "secret" not in repr(Request(METHOD, "r1", b"secret"))
