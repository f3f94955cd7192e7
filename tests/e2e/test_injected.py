"""Faults that PostgreSQL itself makes: no room for a connection, and a server that dies in mid-commit."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import grpc.aio
import psycopg
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from authy_grpc.store.postgres import plain
from authy_grpc.v1.enrollment_pb2 import (
    CancelEnrollmentRequest,
    CreateEnrollmentRequest,
    Enrollment,
    EnrollmentState,
    GetEnrollmentRequest,
)
from authy_grpc.v1.enrollment_pb2_grpc import EnrollmentServiceStub
from tests.clock import TurnedClock
from tests.databases import Postgres, own_server
from tests.harness import Service, Site
from tests.rushing import PATIENCE
from tests.store.test_faults import end_others
from tests.works import slow_commit

SERVING = health_pb2.HealthCheckResponse.SERVING
OUT_OF_REACH = (
    "UNAVAILABLE",
    "Something that this service needs is unavailable and nothing was decided: try again.",
)
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


async def begin(site: Site, name: str) -> Enrollment:
    request = CreateEnrollmentRequest(custom_user_id=name)
    return (await site.client.enrollments.CreateEnrollment(request)).enrollment


async def refused(call: Any) -> tuple[str, str]:
    """The code and the text of a call that is made once, by a bare stub."""
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await call
    return error.value.code().name, error.value.details() or ""


async def state(site: Site, made: Enrollment) -> int:
    request = GetEnrollmentRequest(enrollment_id=made.enrollment_id)
    found: int = (await site.client.enrollments.GetEnrollment(request)).enrollment.state
    return found


async def health(service: Service, stub: Any) -> int:
    await service.core.database.probe()
    status: int = (await stub.Check(health_pb2.HealthCheckRequest())).status
    return status


@contextmanager
def other_role(url: str) -> Iterator[tuple[str, "psycopg.Connection[Any]"]]:
    """The URL as a role of its own, whose connections can be bounded, and a connection of the owner's."""
    role = f"few_{os.getpid()}"
    with psycopg.connect(plain(url), autocommit=True) as owner:
        for statement in (
            f"CREATE ROLE {role} LOGIN",
            f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}",
            f"GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {role}",
        ):
            owner.execute(statement.encode())
        try:
            yield plain(url).replace("://postgres", f"://{role}", 1), owner
        finally:
            end_others(owner)
            owner.execute(f"DROP OWNED BY {role}; DROP ROLE {role}".encode())


async def test_a_server_that_takes_no_more_connections_is_out_of_reach_and_comes_back(
    postgres_url: str, clock: TurnedClock, random: Callable[[int], bytes]
) -> None:
    """53300, by the server itself."""
    with other_role(postgres_url) as (url, owner):
        async with Service.on(url, clock, random) as service:
            site = await service.site()
            made = await begin(site, "ada")
            stub: Any = health_pb2_grpc.HealthStub(service.channel())
            assert await health(service, stub) == SERVING
            role = url.partition("://")[2].partition("@")[0].partition(":")[0]
            owner.execute(f"ALTER ROLE {role} CONNECTION LIMIT 0".encode())
            end_others(owner)
            with pytest.raises(psycopg.OperationalError, match="too many connections"):
                psycopg.connect(url)
            bare: Any = EnrollmentServiceStub(service.channel())
            key = (("authorization", f"Bearer {site.api_key}"),)
            for call in (
                bare.CreateEnrollment(CreateEnrollmentRequest(custom_user_id="bob"), metadata=key),
                bare.GetEnrollment(GetEnrollmentRequest(enrollment_id=made.enrollment_id), metadata=key),
            ):
                assert await refused(call) == OUT_OF_REACH
            assert await health(service, stub) == NOT_SERVING
            assert '"INTERNAL"' not in service.log.getvalue()

            owner.execute(f"ALTER ROLE {role} CONNECTION LIMIT -1".encode())
            assert await health(service, stub) == SERVING
            assert await state(site, made) == EnrollmentState.ENROLLMENT_STATE_PENDING
            await begin(site, "bob")


@pytest.fixture(scope="module")
def own() -> Iterator[Postgres]:
    """Databases of a server that may be killed."""
    with own_server() as server:
        databases = Postgres(server.url)
        yield databases
        databases.close()


@pytest.fixture
async def mortal(own: Postgres, clock: TurnedClock, random: Callable[[int], bytes]) -> AsyncIterator[Service]:
    """A service on that server."""
    with own.database() as url:
        async with Service.on(url, clock, random) as service:
            yield service


_WRITING = "datname = current_database() AND backend_xid IS NOT NULL"


def kill_backend(url: str, waiting: str) -> None:
    """SIGKILL to a backend, as an OOM killer's: the server drops all and recovers from its log.

    Args:
        url: of the server.
        waiting: SQL that finds it among `pg_stat_activity`.
    """
    with closing(psycopg.connect(plain(url), autocommit=True)) as connection:
        found = connection.execute(f"SELECT pid FROM pg_stat_activity WHERE {waiting}".encode()).fetchone()
        assert found is not None
        os.kill(found[0], signal.SIGKILL)
        # The server has noticed when it ends this connection, too.
        with pytest.raises(psycopg.OperationalError):
            connection.execute(f"SELECT pg_sleep({PATIENCE})".encode())


async def waits(url: str, condition: str) -> None:
    async with asyncio.timeout(PATIENCE):
        with psycopg.connect(plain(url), autocommit=True) as connection:
            query = f"SELECT count(*) FROM pg_stat_activity WHERE {condition}".encode()
            while (connection.execute(query).fetchone() or (0,))[0] == 0:  # noqa: ASYNC110
                await asyncio.sleep(0.02)


async def back(url: str) -> "psycopg.Connection[Any]":
    """A connection, once the server has recovered."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                return psycopg.connect(plain(url), autocommit=True)
            except psycopg.OperationalError:
                await asyncio.sleep(0.05)


async def test_a_commit_that_was_made_before_the_server_died_is_told_as_made(
    mortal: Service,
) -> None:
    """The commit is in the server's log, and waits for a standby that never answers: then it is killed."""
    service = mortal
    site = await service.site("Committed")
    made = await begin(site, "ada")
    with psycopg.connect(plain(service.url), autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
        connection.execute("SELECT pg_reload_conf()")
        connection.execute("SELECT pg_sleep(0.2)")
    request = CancelEnrollmentRequest(enrollment_id=made.enrollment_id)
    call = asyncio.ensure_future(site.client.enrollments.CancelEnrollment(request, timeout=30))
    await waits(service.url, "wait_event = 'SyncRep'")
    # For the server that recovers: this one does not read it.
    with psycopg.connect(plain(service.url), autocommit=True) as connection:
        connection.execute("ALTER SYSTEM RESET synchronous_standby_names")
    assert not call.done()
    kill_backend(service.url, "wait_event = 'SyncRep'")
    with await back(service.url) as connection:
        connection.execute("SELECT pg_reload_conf()")
    canceled = (await call).enrollment
    assert canceled.state == EnrollmentState.ENROLLMENT_STATE_CANCELED
    assert await state(site, made) == canceled.state
    assert '"INTERNAL"' not in service.log.getvalue()
    await begin(site, "bob")


async def test_a_commit_that_never_reached_the_server_that_died_is_made_again(
    mortal: Service,
) -> None:
    service = mortal
    site = await service.site("Lost")
    made = await begin(site, "ada")
    request = CancelEnrollmentRequest(enrollment_id=made.enrollment_id)
    with slow_commit() as (begun, go_on):
        call = asyncio.ensure_future(site.client.enrollments.CancelEnrollment(request, timeout=30))
        await asyncio.to_thread(begun.wait)
        # It has been sent, and the server may still be at it.
        await waits(service.url, _WRITING)
        kill_backend(service.url, _WRITING)
        (await back(service.url)).close()
        go_on.set()
        canceled = (await call).enrollment
    assert await state(site, made) == canceled.state == EnrollmentState.ENROLLMENT_STATE_CANCELED
    assert '"INTERNAL"' not in service.log.getvalue()
    await begin(site, "bob")
