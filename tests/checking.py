"""A world without a server, in which sites check codes: real databases, rows made directly."""

import io
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from authy_grpc import logs
from authy_grpc.domain import keys, totp
from authy_grpc.domain.ids import new_authy_id, new_id
from authy_grpc.domain.user import Factor
from authy_grpc.domain.verification import Checked
from authy_grpc.outbound.sms.number import Numbers
from authy_grpc.outbound.sms.sender import Message
from authy_grpc.service.caller import Site
from authy_grpc.service.text import Texts
from authy_grpc.service.verification import Sending, Verifications, Wish
from authy_grpc.store import events
from authy_grpc.store import link as links
from authy_grpc.store.device import DEVICE_SECRET
from authy_grpc.store.events import EARLIEST, Recorded
from authy_grpc.store.once import Request
from authy_grpc.store.tables import AccountRow, DeviceRow, LinkRow, SiteKeyRow
from authy_grpc.store.tx import Tools, Tx
from authy_grpc.store.vault import Vault
from authy_grpc.store.verification import SEED
from tests import rows
from tests.clock import TurnedClock
from tests.databases import watched
from tests.keyset import shared_keyset

POINT = keys.public_point(ec.generate_private_key(ec.SECP256R1()))
NUMBER = "+4915112345678"


@dataclass(frozen=True)
class Token:
    """What makes soft tokens for one user: a device, or a seed of its own."""

    secret: bytes
    device_id: str = ""
    kid: str = ""

    def code(self, at: datetime, digits: int = 6) -> str:
        return totp.code(self.secret, totp.step_at(at, 30), digits)


@dataclass(frozen=True)
class User:
    """A user of a site."""

    site: Site
    site_id: str
    authy_id: str
    account_id: str | None
    tokens: tuple[Token, ...]


class Carrier:
    """Takes texts, and keeps them."""

    def __init__(self) -> None:
        self.texts: list[Message] = []

    async def send(self, message: Message) -> None:
        self.texts.append(message)


class Booth:
    """Services, and rows that they work on."""

    def __init__(self, url: str, clock: TurnedClock, keyset: str | None = None) -> None:
        self.url, self.clock = url, clock
        self.keyset = keyset or shared_keyset()
        self.vault = Vault(self.keyset)
        self.database = watched(url, Tools(self.vault, clock, os.urandom))
        self.carrier = Carrier()
        self.texts = Texts(
            database=self.database,
            sender=self.carrier,
            numbers=Numbers(),
            log=logs.build(io.StringIO(), clock),
            clock=clock,
        )
        self.verifications = Verifications(
            database=self.database,
            vault=self.vault,
        )

    @classmethod
    @asynccontextmanager
    async def opened(cls, url: str, clock: TurnedClock, keyset: str | None = None) -> AsyncIterator["Booth"]:
        booth = cls(url, clock, keyset)
        await booth.database.write(events.begin_epoch)
        try:
            yield booth
        finally:
            await booth.database.close()

    async def site(self, **fields: Any) -> Site:
        values: dict[str, Any] = {"name": "Acme", "origin": "https://acme.example", **fields}
        application_id = new_id("app", self.clock(), os.urandom)
        row = rows.application(self.clock(), application_id=application_id, **values)
        caller = Site(row.application_id, "key_1", frozenset(), None)
        await self.add(row)
        return caller

    async def user(self, site: Site, devices: int = 1, state: str = "ACTIVE") -> User:
        """A user whose account has some devices, each with a key for the site."""
        account_id = new_id("acc", self.clock(), os.urandom)
        sealed = self.vault.seal("account.number", account_id, NUMBER.encode())
        await self.add(
            AccountRow(
                account_id=account_id,
                sealed_number=sealed,
                new_device_policy="ALLOW",
                create_time=self.clock(),
            )
        )
        link = self._link(site, state=state, account_id=account_id)
        site_id, authy_id = link.site_id, link.authy_id or ""
        await self.add(link)
        tokens = [await self._device(account_id, site_id, f"Pocket {index}") for index in range(devices)]
        return User(site, site_id, authy_id, account_id, tuple(tokens))

    async def generic_user(self, site: Site) -> User:
        """A user with a seed in an app of its own."""
        seed = os.urandom(20)
        link = self._link(site)
        site_id, authy_id = link.site_id, link.authy_id or ""
        link.sealed_seed = self.vault.seal(SEED, site_id, seed)
        await self.add(link)
        return User(site, site_id, authy_id, None, (Token(seed),))

    async def new_keys(self, token: Token, site_id: str) -> Token:
        """Give a device other keys behind the services' back: a token that makes its codes from now on."""
        return await self._write_device(token.device_id, site_id, token.kid)

    async def verify(
        self, user: User, code: str, action: str = "", request_id: str = "", site: Site | None = None
    ) -> Checked:
        request = Request("VerifyCode", request_id, repr((user.authy_id, code, action)).encode())
        return await self.verifications.verify_code(site or user.site, request, user.authy_id, code, action)

    async def send(
        self,
        user: User,
        action: str = "",
        *,
        factor: Factor = Factor.SMS,
        force: bool = True,
        locale: str = "",
        request_id: str = "",
    ) -> Sending:
        wish = Wish(authy_id=user.authy_id, factor=factor, action=action, locale=locale, force=force)
        request = Request("SendCode", request_id, repr(wish).encode())
        return await self.verifications.send_code(user.site, request, wish)

    async def sent_code(self, user: User, action: str = "", **fields: Any) -> str:
        """A code that the user got by text."""
        await self.send(user, action, **fields)
        return await self.text_code()

    async def text_code(self) -> str:
        """The code in the newest text."""
        await self.texts.send_due()
        found = re.search(r"\b\d{6}\b", self.carrier.texts[-1].body)
        assert found is not None
        return found.group()

    async def add(self, row: Any) -> None:
        await self.database.write(lambda tx: rows.add(tx, row))

    async def change(self, kind: Any, key: Any, **values: Any) -> None:
        """Change a row behind the services' back."""
        await self.database.write(lambda tx: rows.change(tx, kind, key, **values))

    async def row(self, kind: Any, key: Any) -> Any:
        return await self.database.read(lambda tx: rows.one(tx, kind, key))

    async def feed(self, site: Site) -> list[Recorded]:
        """All events of a site."""

        def work(tx: Tx) -> list[Recorded]:
            found: list[Recorded] = []
            position, own = EARLIEST, site.application_id
            while rows := events.read_after(tx, position, application_id=own, limit=1000):
                found += rows
                position = rows[-1].position
            return found

        return await self.database.read(work)

    async def told(self, site: Site) -> list[tuple[str, str | None, str]]:
        """Type, factor and reason of each event of a site."""
        bodies: list[tuple[str, Any]] = [(each.type, each.body) for each in await self.feed(site)]
        return [(kind, body.factor, body.reason) for kind, body in bodies]

    def _link(self, site: Site, state: str = "ACTIVE", account_id: str | None = None) -> LinkRow:
        site_id = new_id("sit", self.clock(), os.urandom)
        return LinkRow(
            site_id=site_id,
            application_id=site.application_id,
            account_id=account_id,
            authy_id=new_authy_id(os.urandom),
            sealed_custom_user_id=self.vault.seal(links.CUSTOM_USER_ID, site_id, b"ada"),
            custom_user_digest=os.urandom(32),
            state=state,
            create_time=self.clock(),
        )

    async def _device(self, account_id: str, site_id: str, name: str) -> Token:
        device_id = new_id("dev", self.clock(), os.urandom)
        await self.add(
            DeviceRow(
                device_id=device_id,
                account_id=account_id,
                sealed_name=self.vault.seal("device.name", device_id, name.encode()),
                platform="ANDROID",
                state="ACTIVE",
                signing_key=POINT,
                agreement_key=POINT,
                server_agreement_key=POINT,
                sealed_secret=b"",
                create_time=self.clock(),
            )
        )
        point = keys.public_point(ec.generate_private_key(ec.SECP256R1()))
        kid = keys.thumbprint(point)
        await self.add(
            SiteKeyRow(
                kid=kid,
                site_id=site_id,
                device_id=device_id,
                point=point,
                state="ACTIVE",
                create_time=self.clock(),
            )
        )
        return await self._write_device(device_id, site_id, kid)

    async def _write_device(self, device_id: str, site_id: str, kid: str) -> Token:
        shared = os.urandom(32)
        sealed = self.vault.seal(DEVICE_SECRET, device_id, shared)
        await self.change(DeviceRow, device_id, sealed_secret=sealed)
        secret = keys.totp_secret(
            shared,
            site_id=site_id,
            device_id=device_id,
            agreement_key=POINT,
            server_agreement_key=POINT,
        )
        return Token(secret, device_id, kid)


def other(code: str, by: int = 1) -> str:
    """Another code of as many digits."""
    return f"{(int(code) + by) % 10 ** len(code):0{len(code)}d}"


def wrong(user: User, now: datetime, count: int) -> list[str]:
    """So many codes, none of which a token of the user makes about now."""
    right = {token.code(now + timedelta(seconds=30 * step)) for token in user.tokens for step in range(-2, 3)}
    return [code for code in map("{:06d}".format, range(count + len(right))) if code not in right][:count]
