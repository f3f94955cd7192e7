"""A list of many rows takes no more statements than one of few; one site's lists slow no other's calls."""

import asyncio
import json
import os
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import grpc.aio
import pytest
from sqlalchemy import event

from authy_grpc.domain.ids import new_id, new_secret
from authy_grpc.store.database import Database
from authy_grpc.store.tables import DeviceRow
from authy_grpc.store.tx import Tx
from authy_grpc.store.vault import Vault, new_keyset
from authy_grpc.v1 import application_pb2, event_pb2, user_pb2, webhook_pb2
from benchmarks.seed import seed
from tests import rows
from tests.harness import Service, Site

MANY = 50
List = Callable[[], Awaitable[Any]]


@contextmanager
def counted(database: Database) -> Iterator[list[str]]:
    """The statements of reads, as long as the context lasts."""
    made: list[str] = []

    def count(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        made.append(statement)

    event.listen(database._reads, "before_cursor_execute", count)
    yield made
    event.remove(database._reads, "before_cursor_execute", count)


def lists(service: Service, site: Site, phone: Any, webhook_id: str) -> dict[str, List]:
    """Each list of the contract, as large as it can be."""
    client, operator = site.client, service.operator.applications
    own = site.application.application_id
    return {
        "users": lambda: client.users.ListUsers(user_pb2.ListUsersRequest(page_size=MANY)),
        "events": lambda: client.events.ListEvents(
            event_pb2.ListEventsRequest(cursor="earliest", page_size=MANY)
        ),
        "webhooks": lambda: client.webhooks.ListWebhooks(webhook_pb2.ListWebhooksRequest()),
        "deliveries": lambda: client.webhooks.ListDeliveries(
            webhook_pb2.ListDeliveriesRequest(webhook_id=webhook_id, page_size=MANY)
        ),
        "applications": lambda: operator.ListApplications(
            application_pb2.ListApplicationsRequest(page_size=MANY)
        ),
        "api_keys": lambda: operator.ListApiKeys(application_pb2.ListApiKeysRequest(application_id=own)),
        "devices": lambda: phone.devices(),
        "sites": lambda: phone.sites(),
        "activities": lambda: phone.activity(),
    }


async def fill(service: Service, site: Site, phone: Any, count: int) -> None:
    """Add so many of all that is listed, or as many as may be."""
    operator, own = service.operator.applications, site.application.application_id
    for number in range(count):
        await service.enroll(site, phone, f"user {count} {number}")
        await operator.CreateApiKey(application_pb2.CreateApiKeyRequest(application_id=own, name="more"))
        draft = application_pb2.Application(name="Another", origin="https://another.example")
        await operator.CreateApplication(application_pb2.CreateApplicationRequest(application=draft))
    for _ in range(min(count, 15)):
        await site.client.webhooks.CreateWebhook(
            webhook_pb2.CreateWebhookRequest(url="https://hooks.example/", types=["webhook.test"])
        )

    vault = Vault(service.secrets.keyset)

    def add_devices(tx: Tx) -> None:
        row = rows.one(tx, DeviceRow, phone.device_id)
        for _ in range(count):
            again = row.model_dump() | {"device_id": new_id("dev", service.clock(), os.urandom)}
            again |= {"state": "REVOKED", "revoke_time": service.clock()}
            again["sealed_name"] = vault.seal("device.name", again["device_id"], b"Old")
            rows.add(tx, DeviceRow(**again))

    await service.core.database.write(add_devices)


async def statements(service: Service, every: dict[str, List]) -> dict[str, tuple[int, int]]:
    """Of each list: how many rows it has, and how many statements it took."""
    found = {}
    for name, call in every.items():
        # Whoever calls is remembered for a second.
        answer = await call()
        # The least of some: the service reads new events beside it.
        counts = []
        for _ in range(5):
            with counted(service.core.database) as made:
                answer = await call()
            counts.append(len([each for each in made if "SELECT" in each]))
            # Pictures are asked for one by one, by whoever has not seen them yet.
            assert not any("application.logo," in each for each in made), name
        rows = answer if isinstance(answer, list) else getattr(answer, name)
        found[name] = (len(rows), min(counts))
    return found


async def test_a_picture_is_read_by_whoever_asks_for_it(service: Service) -> None:
    site = await service.site()
    with counted(service.core.database) as made:
        await site.client.applications.GetCurrentApplication(application_pb2.GetCurrentApplicationRequest())
    # The control: a statement that reads it would be seen.
    assert any("application.logo" in each for each in made)


async def test_a_list_of_many_takes_as_many_statements_as_one_of_few(service: Service) -> None:
    site, phone = await service.site(), await service.phone()
    webhook = await site.client.webhooks.CreateWebhook(
        webhook_pb2.CreateWebhookRequest(url="https://hooks.example/")
    )
    every = lists(service, site, phone, webhook.webhook.webhook_id)
    await fill(service, site, phone, 2)
    few = await statements(service, every)
    await fill(service, site, phone, MANY - 2)
    many = await statements(service, every)

    assert {name: made for name, (_, made) in few.items()} == {name: made for name, (_, made) in many.items()}
    assert few["users"][1] == 1
    assert few["users"][0] == 2
    # With a control: there was more to read.
    assert {name for name, (rows, _) in many.items() if rows < 15} == set()


class Crowd:
    """A server's process, a site that lists its users without end, and another that makes single calls."""

    def __init__(self, target: str, loud: Any, quiet: Any) -> None:
        self.loud, self.quiet = loud, quiet
        options = [("grpc.use_local_subchannel_pool", 1)]
        self.channels = [grpc.aio.insecure_channel(target, options=options) for _ in range(2)]
        self.list: Any = self.channels[0].unary_unary(
            "/authy_grpc.v1.UserService/ListUsers",
            request_serializer=user_pb2.ListUsersRequest.SerializeToString,
        )
        self.get: Any = self.channels[1].unary_unary(
            "/authy_grpc.v1.UserService/GetUser", request_serializer=user_pb2.GetUserRequest.SerializeToString
        )

    async def lists(self) -> None:
        request, metadata = user_pb2.ListUsersRequest(page_size=1000), _bearer(self.loud.api_key)
        while True:
            await self.list(request, metadata=metadata)

    async def p50(self, count: int) -> float:
        """The median of so many single calls, one after another, in seconds."""
        metadata, took = _bearer(self.quiet.api_key), []
        for number in range(count):
            person = self.quiet.persons[number % len(self.quiet.persons)]
            began = time.perf_counter()
            await self.get(user_pb2.GetUserRequest(authy_id=person.authy_id), metadata=metadata)
            took.append(time.perf_counter() - began)
        return statistics.median(took)


def _bearer(key: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {key}"),)


@asynccontextmanager
async def crowd(url: str, users: int) -> AsyncIterator[Crowd]:
    keyset = new_keyset()
    loud, quiet = seed(url, Vault(keyset), users), seed(url, Vault(keyset), 20, first=users)
    told = {
        "url": url,
        "core": None,
        "http": False,
        "log": os.devnull,
        "secrets": {
            "keyset": keyset,
            "operator_key": new_secret("op", os.urandom),
            "gateway_key": new_secret("gw", os.urandom),
        },
    }
    pipe = asyncio.subprocess.PIPE
    server = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.server", stdin=pipe, stdout=pipe
    )
    assert server.stdin is not None and server.stdout is not None
    server.stdin.write(json.dumps(told).encode() + b"\n")
    port = json.loads(await asyncio.wait_for(server.stdout.readline(), 60))["core"]
    made = Crowd(f"127.0.0.1:{port}", loud, quiet)
    try:
        yield made
    finally:
        for each in made.channels:
            await each.close()
        server.stdin.close()
        await asyncio.wait_for(server.wait(), 60)


@pytest.mark.proof
async def test_one_sites_lists_slow_another_sites_calls_threefold_at_most(
    database_url: str,
) -> None:
    async with crowd(database_url, 1000) as made:
        await made.p50(200)
        alone = await made.p50(500)
        flood = [asyncio.create_task(made.lists()) for _ in range(16)]
        await asyncio.sleep(1)
        beside = await made.p50(500)
        for each in flood:
            each.cancel()
        await asyncio.gather(*flood, return_exceptions=True)
    assert beside <= 3 * alone, (alone, beside)
