"""A world without a server, in which phones register: services on a real database, and a carrier."""

import io
import os
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from sqlmodel import SQLModel

from authy_grpc import logs
from authy_grpc.domain import keys
from authy_grpc.domain.account import Registration
from authy_grpc.domain.device import DevicePlatform, Proof
from authy_grpc.domain.ids import new_authy_id, new_id
from authy_grpc.domain.phone import PhoneChannel, PhonePurpose, PhoneVerification
from authy_grpc.outbound.sms.number import Numbers
from authy_grpc.outbound.sms.sender import Message
from authy_grpc.service.account import OwnAccount
from authy_grpc.service.admission import Admission
from authy_grpc.service.caller import Device, Nobody
from authy_grpc.service.device import Devices
from authy_grpc.service.phone_verification import PhoneVerifications
from authy_grpc.service.registration import NewDevice, Registrations
from authy_grpc.service.session import NewSession, Sessions
from authy_grpc.service.telling import Telling
from authy_grpc.service.text import Texts
from authy_grpc.store import events, schema
from authy_grpc.store import link as links
from authy_grpc.store.columns import to_millis
from authy_grpc.store.events import EARLIEST, Recorded
from authy_grpc.store.tables import DeviceRow, LinkRow, SiteKeyRow
from authy_grpc.store.tx import Tools
from tests import rows
from tests.clock import TurnedClock
from tests.databases import watched
from tests.keyset import shared_vault

NUMBER = "+4915112345678"
_CODE = re.compile(r"\b\d{6}\b")


class Carrier:
    """Takes texts and keeps them, or fails as it is told to."""

    def __init__(self) -> None:
        self.texts: list[Message] = []
        self.failures: list[Exception] = []

    async def send(self, message: Message) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.texts.append(message)


@dataclass
class Handset:
    """What a phone holds."""

    signing: ec.EllipticCurvePrivateKey
    agreement: ec.EllipticCurvePrivateKey
    device_id: str = ""
    account_id: str = ""
    last_proof: int = 0

    @classmethod
    def new(cls) -> "Handset":
        return cls(ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1()))

    def asks(self, verification_id: str, code: str, name: str = "Pocket") -> NewDevice:
        """The registration that this phone signs."""
        points = keys.public_point(self.signing), keys.public_point(self.agreement)
        return NewDevice(
            verification_id=verification_id,
            code=code,
            name=name,
            platform=DevicePlatform.ANDROID,
            signing_key=points[0],
            agreement_key=points[1],
            signature=keys.sign(self.signing, keys.registration_message(verification_id, *points)),
        )

    @property
    def caller(self) -> Device:
        return Device(self.account_id, self.device_id, "ses_0", False, TurnedClock().now)


class People:
    """Services, and phones that use them."""

    def __init__(self, url: str, clock: TurnedClock, countries: str = "", most: int = 0) -> None:
        self.clock = clock
        self.carrier = Carrier()
        self.log = io.StringIO()
        self.vault = shared_vault()
        self.database = database = watched(url, Tools(self.vault, clock, os.urandom))
        numbers = Numbers(countries)
        self.telling = Telling(database=database, random=os.urandom)
        self.texts = Texts(
            database=database,
            sender=self.carrier,
            numbers=numbers,
            log=logs.build(self.log, clock),
            clock=clock,
        )
        self.verifications = PhoneVerifications(
            database=database,
            vault=self.vault,
            numbers=numbers,
            host="auth.example",
            most=most,
        )
        self.registrations = Registrations(database=database)
        self.sessions = Sessions(database=database)
        self.admission = Admission(database=database, telling=self.telling)
        self.devices = Devices(database=database, admission=self.admission)
        self.account = OwnAccount(database=database, admission=self.admission, telling=self.telling)
        self._peers = 0

    @classmethod
    @asynccontextmanager
    async def opened(
        cls, url: str, clock: TurnedClock, countries: str = "", most: int = 0
    ) -> AsyncIterator["People"]:
        schema.upgrade(url)
        people = cls(url, clock, countries, most)
        await people.database.write(events.begin_epoch)
        try:
            yield people
        finally:
            await people.database.close()

    def nobody(self) -> Nobody:
        """A caller at an address of its own."""
        self._peers += 1
        return Nobody(f"192.0.2.{self._peers}")

    async def start(
        self, number: str = NUMBER, purpose: PhonePurpose = PhonePurpose.REGISTER_DEVICE
    ) -> tuple[PhoneVerification, str]:
        """Prove a number: what was answered, and the code that came. It takes half a minute."""
        self.clock.turn(seconds=30)
        started = await self.verifications.start(self.nobody(), number, PhoneChannel.SMS, purpose)
        await self.texts.send_due()
        return started, code_in(self.carrier.texts[-1].body)

    async def register(self, number: str = NUMBER, name: str = "Pocket") -> tuple[Handset, Registration]:
        """A phone that registers, whatever state it is left in."""
        started, code = await self.start(number)
        handset = Handset.new()
        added = await self.registrations.register(
            self.nobody(), handset.asks(started.verification_id, code, name)
        )
        handset.device_id = added.device.device_id
        handset.account_id = (await self.row(DeviceRow, handset.device_id)).account_id
        return handset, added

    def proof(self, handset: Handset, method: str, *names: str, at: int | None = None) -> Proof:
        """The next proof of a phone, of the service's time where no other is given."""
        handset.last_proof = max(handset.last_proof + 1, to_millis(self.clock())) if at is None else at
        message = keys.proof_message(
            handset.device_id, f"authy_grpc.v1.AccountService/{method}", handset.last_proof, *names
        )
        return Proof(handset.last_proof, keys.sign(handset.signing, message))

    async def session(self, handset: Handset) -> NewSession:
        """Open a session."""
        return await self.sessions.create(
            self.nobody(), handset.device_id, self.proof(handset, "CreateSession")
        )

    async def approve(self, by: Handset, device_id: str, check: str) -> Any:
        """Let a device in."""
        proof = self.proof(by, "ApproveDevice", device_id, check)
        return await self.devices.approve(by.caller, device_id, check, proof)

    async def acknowledge(self, by: Handset, device_id: str) -> Any:
        """Say that its owner was shown a device that waits."""
        proof = self.proof(by, "AcknowledgeDevice", device_id)
        return await self.devices.acknowledge(by.caller, device_id, proof)

    async def rename(self, by: Handset, device_id: str, name: str) -> Any:
        """Rename a device."""
        proof = self.proof(by, "UpdateDevice", device_id, name)
        return await self.devices.rename(by.caller, device_id, name, proof)

    async def revoke(self, by: Handset, device_id: str) -> None:
        """Put a device out."""
        await self.devices.revoke(by.caller, device_id, self.proof(by, "RevokeDevice", device_id))

    async def update(self, by: Handset, **changes: Any) -> Any:
        """Change the account."""
        numbers = {"ALLOW": "1", "HOLD": "2", "DENY": "3"}
        policy, phone_codes = changes.get("new_device_policy"), changes.get("phone_codes")
        names = (
            "-" if policy is None else numbers[policy],
            "-" if phone_codes is None else str(int(phone_codes)),
        )
        return await self.account.update(by.caller, self.proof(by, "UpdateAccount", *names), **changes)

    async def link(self, handset: Handset, name: str = "Example", state: str = "ACTIVE") -> LinkRow:
        """Link a phone to a site of its own."""
        now = self.clock()
        application_id = new_id("app", now, os.urandom)
        site_id = new_id("sit", now, os.urandom)
        link = LinkRow(
            site_id=site_id,
            application_id=application_id,
            account_id=handset.account_id,
            authy_id=new_authy_id(os.urandom),
            sealed_custom_user_id=self.vault.seal(links.CUSTOM_USER_ID, site_id, b"ada"),
            custom_user_digest=os.urandom(32),
            state=state,
            create_time=now,
        )
        point = keys.public_point(ec.generate_private_key(ec.SECP256R1()))

        site = rows.application(
            now, application_id=application_id, name=name, origin=f"https://{name.lower()}.example"
        )
        key = SiteKeyRow(
            kid=keys.thumbprint(point),
            site_id=site_id,
            device_id=handset.device_id,
            point=point,
            state="ACTIVE",
            create_time=now,
        )
        await self.database.write(lambda tx: rows.add(tx, site, link, key))
        return link

    async def row(self, table: type[Any], key: Any) -> Any:
        """A row as it is kept."""
        return await self.database.read(lambda tx: rows.find(tx, table, key))

    async def rows(self, table: type[SQLModel]) -> Sequence[Any]:
        """All rows of a table."""
        return await self.database.read(lambda tx: rows.every(tx, table))

    async def recorded(self, *types: str) -> list[Recorded]:
        """All that was recorded, of some types."""
        found = await self.database.read(lambda tx: events.read_after(tx, EARLIEST, limit=10_000))
        return [each for each in found if each.type in types]

    async def tell_all(self) -> None:
        """Let the sites be told: after a week all is due, and each site of an account is told by itself."""
        self.clock.turn(days=8)
        while await self.telling.tell_due():
            self.clock.turn(days=8)


def code_in(text: str) -> str:
    """The one code in a text, which may say it twice."""
    (code,) = set(_CODE.findall(text))
    return str(code)


def wrong(code: str) -> str:
    """Another code."""
    return f"{(int(code) + 1) % 1_000_000:06d}"
