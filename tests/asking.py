"""A world without a server, in which sites ask and devices answer: services on a real database."""

import io
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from authy_grpc import logs
from authy_grpc.domain import keys
from authy_grpc.domain.ids import new_authy_id, new_id
from authy_grpc.domain.receipts import Decision, Question, Receipt
from authy_grpc.service.answer import Answered, Answers
from authy_grpc.service.approval import Approvals, Ask, Asked
from authy_grpc.service.caller import Device, Site
from authy_grpc.service.inbox import Inbox, InboxState
from authy_grpc.service.signals import Signals
from authy_grpc.store import approval as store
from authy_grpc.store import device as devices
from authy_grpc.store import events
from authy_grpc.store import link as links
from authy_grpc.store.events import EARLIEST, Recorded
from authy_grpc.store.once import Request
from authy_grpc.store.tables import AccountRow, ApprovalRow, DeviceRow, LinkRow, SiteKeyRow
from authy_grpc.store.tx import Tools
from tests import rows
from tests.clock import TurnedClock
from tests.databases import watched
from tests.keyset import shared_vault


@dataclass
class Link:
    """A user of a site, and the keys by which its devices answer."""

    site: Site
    site_id: str
    authy_id: str
    keys: dict[str, ec.EllipticCurvePrivateKey] = field(default_factory=dict)

    def kid(self, holder: Device) -> str:
        """Names the key of a device."""
        return keys.thumbprint(keys.public_point(self.keys[holder.device_id]))


class Desk:
    """Services, and rows that they work on."""

    def __init__(self, url: str, clock: TurnedClock) -> None:
        self.clock = clock
        self.vault = shared_vault()
        self.database = watched(url, Tools(self.vault, clock, os.urandom))
        self.signals = Signals(self.database, logs.build(io.StringIO(), clock))
        self.database.on_events = self.signals.wake
        self.approvals = Approvals(
            database=self.database,
            vault=self.vault,
            signals=self.signals,
            clock=clock,
            random=os.urandom,
        )
        self.answers = Answers(database=self.database, vault=self.vault)
        self.inbox = Inbox(database=self.database, vault=self.vault, signals=self.signals, random=os.urandom)

    @classmethod
    @asynccontextmanager
    async def opened(cls, url: str, clock: TurnedClock) -> AsyncIterator["Desk"]:
        desk = cls(url, clock)
        await desk.database.write(events.begin_epoch)
        await desk.signals.start()
        try:
            yield desk
        finally:
            await desk.signals.stop()
            await desk.database.close()

    async def site(self, name: str = "Example", match_digits: int = 6) -> Site:
        row = rows.application(
            self.clock(),
            application_id=new_id("app", self.clock(), os.urandom),
            name=name,
            match_digits=match_digits,
        )
        caller = Site(row.application_id, "key_1", frozenset(), None)
        await self.add(row)
        return caller

    async def account(self) -> str:
        account_id = new_id("acc", self.clock(), os.urandom)
        sealed = self.vault.seal("account.number", account_id, b"+4915112345678")
        await self.add(
            AccountRow(
                account_id=account_id,
                sealed_number=sealed,
                new_device_policy="ALLOW",
                create_time=self.clock(),
            )
        )
        return account_id

    async def device(self, account_id: str, name: str = "Pocket", state: str = "ACTIVE") -> Device:
        device_id = new_id("dev", self.clock(), os.urandom)
        row = DeviceRow(
            device_id=device_id,
            account_id=account_id,
            sealed_name=devices.seal_name(self.vault, device_id, name),
            platform="ANDROID",
            state=state,
            signing_key=b"",
            agreement_key=b"",
            server_agreement_key=b"",
            sealed_secret=b"",
            create_time=self.clock(),
        )
        held, end = state == "HELD", self.clock().replace(year=2100)
        caller = Device(account_id, row.device_id, "ses_1", held=held, expire_time=end)
        await self.add(row)
        return caller

    async def link(self, site: Site, account_id: str, *holders: Device, state: str = "ACTIVE") -> Link:
        made = Link(site, new_id("sit", self.clock(), os.urandom), new_authy_id(os.urandom))
        await self.add(
            LinkRow(
                site_id=made.site_id,
                application_id=site.application_id,
                account_id=account_id,
                authy_id=made.authy_id,
                sealed_custom_user_id=self.vault.seal(links.CUSTOM_USER_ID, made.site_id, b"ada"),
                custom_user_digest=os.urandom(32),
                state=state,
                create_time=self.clock(),
            )
        )
        for holder in holders:
            await self.key(made, holder)
        return made

    async def key(self, link: Link, holder: Device, state: str = "ACTIVE") -> None:
        """Give a device a key for a link."""
        private = link.keys[holder.device_id] = ec.generate_private_key(ec.SECP256R1())
        point = keys.public_point(private)
        await self.add(
            SiteKeyRow(
                kid=keys.thumbprint(point),
                site_id=link.site_id,
                device_id=holder.device_id,
                point=point,
                state=state,
                create_time=self.clock(),
            )
        )

    async def user(self, site: Site) -> tuple[Link, Device]:
        """A user of a site with one device."""
        account_id = await self.account()
        device = await self.device(account_id)
        return await self.link(site, account_id, device), device

    async def add(self, row: Any) -> None:
        await self.database.write(lambda tx: rows.add(tx, row))

    async def change(self, kind: Any, key: Any, **values: Any) -> None:
        """Change a row behind the services' back."""
        await self.database.write(lambda tx: rows.change(tx, kind, key, **values))

    async def row(self, kind: Any, key: Any) -> Any:
        return await self.database.read(lambda tx: rows.one(tx, kind, key))

    async def ask(self, link: Link, request_id: str = "", **fields: Any) -> Asked:
        ask = Ask(authy_id=link.authy_id, **{"message": "Pay 12 EUR?", **fields})
        request = Request("CreateApproval", request_id, repr(fields).encode())
        return await self.approvals.create(link.site, request, ask)

    async def question(self, approval_id: str) -> bytes:
        row = await self.row(ApprovalRow, approval_id)
        return store.question(self.vault, row)

    async def receipt(
        self,
        link: Link,
        holder: Device,
        asked: Asked,
        decision: Decision = Decision.APPROVE,
        number: str | None = None,
        **fields: Any,
    ) -> str:
        """A receipt as the device of a user writes it."""
        private = link.keys[holder.device_id]
        typed = asked.match_number if number is None else number
        question = await self.question(asked.approval.approval_id)
        values: dict[str, Any] = {
            "kid": link.kid(holder),
            "decision": decision,
            "match_number": typed if decision is Decision.APPROVE else "",
            "user_verified": False,
            "time": Question.read(question).created,
            "question": question,
        }
        return Receipt(**values | fields).sign(private)

    async def respond(self, link: Link, holder: Device, asked: Asked, *args: Any, **fields: Any) -> Answered:
        text = await self.receipt(link, holder, asked, *args, **fields)
        return await self.answers.respond(holder, asked.approval.approval_id, text)

    async def feed(self, site: Site) -> list[Recorded]:
        """All events of a site."""
        return await self.database.read(
            lambda tx: events.read_after(tx, EARLIEST, application_id=site.application_id, limit=10_000)
        )

    async def types(self, site: Site) -> list[str]:
        return [each.type for each in await self.feed(site)]

    async def sees(self, holder: Device) -> InboxState:
        """What a device's inbox says first."""
        watch = self.inbox.watch(holder)
        try:
            return await anext(watch)
        finally:
            await watch.aclose()


def wrong(number: str, by: int = 1) -> str:
    """Another number of as many digits."""
    return f"{(int(number) + by) % 10 ** len(number):0{len(number)}d}"
