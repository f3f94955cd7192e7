"""Behind a pooler in transaction mode all calls succeed: each transaction may get another connection."""

import asyncio
import json
import os
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from authy_grpc.bootstrap import World, build
from authy_grpc.settings import Settings
from authy_grpc.store import schema
from authy_grpc.store.postgres import is_pooled, parameters
from authy_grpc.v1.enrollment_pb2 import CreateEnrollmentRequest
from authy_grpc.v1.user_pb2 import ListUsersRequest
from tests.clock import TurnedClock
from tests.harness import Service
from tests.programs import program
from tests.proxy import Proxy
from tests.strangers import nobody

_TRIES = 100
_CONFIG = """[databases]
{name} = host=127.0.0.1 port={port} dbname={name} user={user}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 3
logfile = {folder}/log
pidfile = {folder}/pid
"""


@asynccontextmanager
async def bouncer(url: str, folder: Path) -> AsyncIterator[str]:
    """A pgbouncer in front of a database, as Debian ships it; answers its URL."""
    async with Proxy.to(url) as proxy:
        given = parameters(proxy.url)
        with nobody() as listen:
            pass  # It is free now.
        process = _start(folder, given, listen)
        try:
            pooled = f"postgresql://{given['user']}@127.0.0.1:{listen}/{given['dbname']}"
            await _answers(pooled)
            yield pooled
        finally:
            process.terminate()
            process.wait(30)


def _start(folder: Path, given: dict[str, Any], listen: int) -> "subprocess.Popen[bytes]":
    config = folder / "pgbouncer.ini"
    config.write_text(
        _CONFIG.format(
            name=given["dbname"], port=given["port"], user=given["user"], listen=listen, folder=folder
        )
    )
    command = [program("pgbouncer"), str(config)]
    if os.geteuid() == 0:
        # It refuses to run as root.
        command = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", *command]
        folder.chmod(0o777)
        for above in folder.parents[:3]:
            above.chmod(above.stat().st_mode | 0o055)
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


async def _answers(url: str) -> None:
    for _ in range(_TRIES):
        try:
            connection = await psycopg.AsyncConnection.connect(url, connect_timeout=3)
        except psycopg.OperationalError:
            await asyncio.sleep(0.1)
        else:
            await connection.close()
            return
    raise AssertionError("pgbouncer does not answer")


def asks(url: str) -> bool:
    """Whether a pooler is found there."""
    with psycopg.connect("", **parameters(url)) as connection:
        return is_pooled(connection)


async def test_all_calls_succeed(
    postgres_url: str, tmp_path: Path, clock: TurnedClock, random: Callable[[int], bytes]
) -> None:
    async with bouncer(postgres_url, tmp_path) as url:
        await asyncio.to_thread(schema.upgrade, url)
        async with Service.on(url, clock, random) as service:
            site = await service.site()

            async def use(number: int) -> None:
                request = CreateEnrollmentRequest(custom_user_id=f"u{number}")
                await site.client.enrollments.CreateEnrollment(request)
                await site.client.users.ListUsers(ListUsersRequest())

            await asyncio.gather(*[use(number) for number in range(100)])
            await service.enroll(site, await service.phone())
            # Without an address past it nobody listens, and that is said.
            assert service.core.listener is None
            events = [json.loads(line)["event"] for line in service.log.getvalue().splitlines()]
            assert any("AUTHY_SIGNALS_URL" in event for event in events)


async def test_a_pooler_is_known_and_listened_past(
    postgres_url: str, tmp_path: Path, clock: TurnedClock, random: Callable[[int], bytes]
) -> None:
    async with bouncer(postgres_url, tmp_path) as url:
        for given, pooled in ((url, True), (postgres_url, False)):
            assert await asyncio.to_thread(asks, given) is pooled
        service = Service.on(url, clock, random)
        settings = Settings(database_url=url, signals_url=postgres_url, listen="127.0.0.1:0")  # type: ignore[arg-type]
        core = await build(settings, service.secrets, World(clock=clock, log_stream=service.log))
        try:
            assert core.listener is not None
            assert "AUTHY_SIGNALS_URL" not in service.log.getvalue()
            await core.start()
        finally:
            await core.stop(now=True)


@pytest.mark.parametrize("url", ["nats://a", "http://a"])
async def test_signals_come_from_postgresql_alone(
    url: str, postgres_url: str, clock: TurnedClock, random: Callable[[int], bytes]
) -> None:
    service = Service.on(postgres_url, clock, random)
    settings = Settings(database_url=postgres_url, signals_url=url, listen="127.0.0.1:0")  # type: ignore[arg-type]
    with pytest.raises(Exception, match="AUTHY_SIGNALS_URL cannot be read"):
        await build(settings, service.secrets, World(clock=clock, log_stream=service.log))
