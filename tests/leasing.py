"""A post office: sites whose events are posted, and gateways that take what is due."""

import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlmodel import col, select

from authy_grpc.domain.delivery import Delivery
from authy_grpc.domain.event import UserEvent
from authy_grpc.domain.webhook import Webhook
from authy_grpc.outbound.addresses import ForbiddenAddress, IPAddress
from authy_grpc.rpc.delivery import write_body
from authy_grpc.service.caller import Gateway, Site
from authy_grpc.service.delivery import Deliveries, Post
from authy_grpc.service.outcome import Report
from authy_grpc.service.webhook import Webhooks
from authy_grpc.store import events
from authy_grpc.store.database import Database
from authy_grpc.store.events import NewEvent
from authy_grpc.store.tables import DeliveryRow, EventRow
from authy_grpc.store.tx import Tools
from authy_grpc.store.vault import Vault
from tests import rows
from tests.clock import TurnedClock
from tests.databases import watched

GATEWAY = Gateway()
URL = "https://example.com/hook"


async def check(url: str) -> list[IPAddress]:
    """Refuses what has `private` in it; of all else no address is known."""
    if "private" in url:
        raise ForbiddenAddress("an address that is not public")
    return []


def _without_jitter(size: int) -> bytes:
    """Random bytes; two of them, by which a delay is varied, stand in the middle."""
    return b"\x7f\xff" if size == 2 else os.urandom(size)


@dataclass
class Office:
    """One server's part of the posting, without jitter."""

    database: Database
    vault: Vault
    clock: TurnedClock
    random: Callable[[int], bytes]
    lease: timedelta = timedelta(seconds=60)

    def __post_init__(self) -> None:
        self.deliveries = Deliveries(
            database=self.database,
            vault=self.vault,
            write_body=write_body,
            clock=self.clock,
            lease=self.lease,
        )
        self.webhooks = Webhooks(
            database=self.database,
            vault=self.vault,
            check=check,
        )
        assert self.database.tools is not None
        self.database.tools.random = _without_jitter
        self.database.on_events = self.deliveries.wake

    async def site(self, name: str = "app_1") -> Site:
        """A relying site."""
        origin = f"https://{name}.example"
        row = rows.application(self.clock(), application_id=name, name=name, origin=origin)
        await self.database.write(lambda tx: rows.add(tx, row))
        return Site(name, "key_1", frozenset(), None)

    async def hook(self, site: Site, *types: str, url: str = URL) -> Webhook:
        """A webhook of a site."""
        return (await self.webhooks.create(site, url, types)).webhook

    async def happen(self, site: Site, *subjects: str, type: str = "user.locked") -> list[str]:
        """Events about some subjects, in one transaction; answers their ids."""
        made = [
            NewEvent(
                type=type,
                subject_id=subject,
                application_id=site.application_id,
                body=UserEvent(authy_id=subject, custom_user_id=f"{subject} ü"),
            )
            for subject in subjects
        ]
        return await self.database.write(lambda tx: tx.record(*made))

    async def report(self, post: Post, status: int = 200, **fields: Any) -> None:
        """Say what became of a post."""
        given: dict[str, Any] = {
            "attempt": post.attempt,
            "error": "" if status else "timeout",
            "duration": timedelta(milliseconds=250),
            "retry_after": None,
            **fields,
        }
        await self.deliveries.report(
            GATEWAY, Report(delivery_id=post.delivery_id, http_status=status, **given)
        )

    async def deliver_all(self, most: int = 1000) -> list[Post]:
        """Take and deliver whatever is due, in rounds, until nothing is."""
        delivered: list[Post] = []
        while posts := await self.deliveries.take(most):
            for post in posts:
                await self.report(post)
            delivered += posts
        return delivered

    async def fail_all(self, status: int = 500, **fields: Any) -> int:
        """Take whatever is due once, and have it fail."""
        posts = await self.deliveries.take(1000)
        for post in posts:
            await self.report(post, status, **fields)
        return len(posts)

    async def log(self, site: Site, webhook: Webhook) -> list[Delivery]:
        """What the site reads of its deliveries."""
        found, _ = await self.webhooks.list_deliveries(site, webhook.webhook_id, 1000, "")
        return found

    async def one(self, site: Site, webhook: Webhook) -> Webhook:
        """The webhook as the site sees it now."""
        found = await self.webhooks.list_all(site)
        return next(each for each in found if each.webhook_id == webhook.webhook_id)

    async def rows(self) -> list[DeliveryRow]:
        """All posts, in order."""
        statement = select(DeliveryRow).order_by(col(DeliveryRow.sequence))
        return await self.database.read(lambda tx: rows.found(tx, statement))

    async def types(self) -> list[str]:
        """What happened, in order."""
        statement = select(EventRow.type).order_by(col(EventRow.sequence))
        return await self.database.read(lambda tx: rows.found(tx, statement))


def events_of(posts: Sequence[Post]) -> list[str]:
    """The ids of the events that are posted."""
    return [post.headers["webhook-id"] for post in posts]


@asynccontextmanager
async def another_server(
    url: str, vault: Vault, clock: TurnedClock, random: Callable[[int], bytes], **options: Any
) -> AsyncIterator[Office]:
    """A server of its own on a database that others serve, too."""
    database = watched(url, Tools(vault, clock, random))
    await database.write(events.begin_epoch)
    try:
        yield Office(database, vault, clock, random, **options)
    finally:
        await database.close()
