"""A world without a server, in which sites enroll and phones scan: services on a real database."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from sqlmodel import func, select

from authy_grpc.domain import keys, totp
from authy_grpc.domain.device import Proof
from authy_grpc.domain.enrollment import Enrollment
from authy_grpc.domain.ids import new_id
from authy_grpc.domain.site import NewKey
from authy_grpc.domain.site import Site as Linked
from authy_grpc.domain.user import User
from authy_grpc.domain.verification import CodeResult
from authy_grpc.service.caller import Device, Site
from authy_grpc.service.code_check import Attempt, CodeChecks
from authy_grpc.service.confirmation import Confirmation
from authy_grpc.service.enrollment import Draft, Enrollments
from authy_grpc.service.qr import QrCodes
from authy_grpc.service.scan import Scans
from authy_grpc.service.site import Sites
from authy_grpc.service.user import Users
from authy_grpc.store import device as devices
from authy_grpc.store import spent_key
from authy_grpc.store.device import DEVICE_SECRET
from authy_grpc.store.once import Request
from authy_grpc.store.tables import DeviceRow
from tests import rows
from tests.asking import Desk, Link
from tests.clock import TurnedClock

ORIGIN = "https://authy.example"
PERIOD = 30


def _new() -> ec.EllipticCurvePrivateKey:
    return keys.new_private_key(os.urandom)


@dataclass
class Handset:
    """A phone: the keys that it holds, and what it signs with them."""

    caller: Device
    server_point: bytes
    signing: ec.EllipticCurvePrivateKey = field(default_factory=_new)
    agreement: ec.EllipticCurvePrivateKey = field(default_factory=_new)

    @property
    def signing_key(self) -> bytes:
        return keys.public_point(self.signing)

    def key(self, name: str, private: ec.EllipticCurvePrivateKey | None = None) -> NewKey:
        """A new key for a token or link, or another one, proven."""
        private = private or _new()
        point = keys.public_point(private)
        message = keys.site_key_message(self.caller.device_id, name, point)
        return NewKey(point, keys.sign(private, message), keys.sign(self.signing, message))

    def code(self, site_id: str, at: datetime) -> str:
        secret = keys.totp_secret(
            keys.agree(self.agreement, self.server_point),
            site_id=site_id,
            device_id=self.caller.device_id,
            agreement_key=keys.public_point(self.agreement),
            server_agreement_key=self.server_point,
        )
        return totp.code(secret, totp.step_at(at, PERIOD), 6)

    def proof(self, method: str, at: datetime, *names: str) -> Proof:
        millis = int(at.timestamp() * 1000)
        message = keys.proof_message(self.caller.device_id, method, millis, *names)
        return Proof(millis, keys.sign(self.signing, message))


class Hall(Desk):
    """The services of enrollments, beside those of questions."""

    REMOVE = "authy_grpc.v1.AuthenticatorService/RemoveSite"
    RENAME = "authy_grpc.v1.AuthenticatorService/UpdateSite"

    def __init__(self, url: str, clock: TurnedClock) -> None:
        super().__init__(url, clock)
        self.qr_codes = QrCodes()
        self.enrollments = Enrollments(
            database=self.database,
            vault=self.vault,
            signals=self.signals,
            confirmation=Confirmation(vault=self.vault),
            qr_codes=self.qr_codes,
            public_url=ORIGIN,
            random=os.urandom,
        )
        self.scans = Scans(database=self.database, public_url=ORIGIN)
        self.sites = Sites(database=self.database)
        self.users = Users(database=self.database, vault=self.vault)
        self.checks = CodeChecks(vault=self.vault)

    @classmethod
    @asynccontextmanager
    async def hired(cls, url: str, clock: TurnedClock) -> AsyncIterator["Hall"]:
        async with cls.opened(url, clock) as hall:
            assert isinstance(hall, Hall)
            yield hall
            hall.qr_codes.close()

    async def phone(self, account_id: str = "", state: str = "ACTIVE") -> Handset:
        """A phone of an account, or of a new one."""
        server = _new()
        device_id = new_id("dev", self.clock(), os.urandom)
        end = self.clock() + timedelta(days=365)
        caller = Device(account_id or await self.account(), device_id, "ses_1", held=False, expire_time=end)
        handset = Handset(caller, keys.public_point(server))
        secret = keys.agree(server, keys.public_point(handset.agreement))
        row = DeviceRow(
            device_id=device_id,
            account_id=caller.account_id,
            sealed_name=devices.seal_name(self.vault, device_id, "Pocket"),
            platform="ANDROID",
            state=state,
            signing_key=handset.signing_key,
            agreement_key=keys.public_point(handset.agreement),
            server_agreement_key=handset.server_point,
            sealed_secret=self.vault.seal(DEVICE_SECRET, device_id, secret),
            create_time=self.clock(),
        )
        await self.add(row)
        prints = [keys.thumbprint(each) for each in (row.signing_key, row.agreement_key)]
        await self.database.write(lambda tx: spent_key.spend(tx, *prints))
        return handset

    async def begin(
        self, site: Site, custom_user_id: str = "ada", *, request_id: str = "", **fields: Any
    ) -> tuple[Enrollment, str]:
        """An enrollment, and what its QR code says."""
        draft = Draft(custom_user_id=custom_user_id, **fields)
        request = Request("CreateEnrollment", request_id, repr(draft).encode() + custom_user_id.encode())
        made, qr = await self.enrollments.create(site, request, draft)
        return made, qr.uri

    async def accept(self, phone: Handset, uri: str) -> Linked:
        return await self.scans.accept(phone.caller, uri, phone.key(token_of(uri)))

    async def enroll(
        self, site: Site, phone: Handset, custom_user_id: str = "ada", **fields: Any
    ) -> tuple[Enrollment, Linked]:
        """A user of a site, without a first code."""
        made, uri = await self.begin(site, custom_user_id, **fields)
        linked = await self.accept(phone, uri)
        return await self.enrollments.get(site, made.enrollment_id), linked

    async def rename(self, phone: Handset, site_id: str, label: str) -> Linked:
        """Give a link a label. It takes a second: each proof is later than the last."""
        self.clock.turn(seconds=1)
        proof = phone.proof(self.RENAME, self.clock(), site_id, label)
        return await self.sites.update(phone.caller, site_id, label, proof)

    async def confirm(self, site: Site, made: Enrollment, code: str) -> Enrollment:
        return await self.enrollments.confirm(site, made.enrollment_id, code)

    async def verify(self, site: Site, authy_id: str, code: str) -> CodeResult:
        """What a code is worth at a login."""
        attempt = Attempt(site.application_id, authy_id, code, "", Request("VerifyCode", "", b""))
        answers = await self.database.write_batched(self.checks.check, attempt)
        return answers.result

    async def ask_user(self, site: Site, user: User) -> None:
        """Put a question to a user."""
        await self.ask(Link(site, "", user.authy_id))

    async def count(self, table: Any, **values: Any) -> int:
        """How many rows of a table have these values."""
        statement = select(func.count()).select_from(table).filter_by(**values)
        return await self.database.read(lambda tx: int(rows.found(tx, statement)[0]))

    async def user_of(self, site: Site, custom_user_id: str = "ada") -> User:
        return await self.users.look_up(site, custom_user_id)


def token_of(uri: str) -> str:
    return uri.removeprefix(f"{ORIGIN}/app/#/e/")
