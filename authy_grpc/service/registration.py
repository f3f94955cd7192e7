"""Owns how somebody with a phone number becomes a device of its account."""

import hmac
import ipaddress
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from authy_grpc.domain import codes, keys, limits, phone
from authy_grpc.domain.account import Registration
from authy_grpc.domain.device import DevicePlatform, DeviceState, NewDevicePolicy, admit, release_time
from authy_grpc.domain.errors import BadField, BadSignature, CodeRejected
from authy_grpc.domain.ids import new_id
from authy_grpc.domain.phone import PhoneChannel, PhonePurpose, PhoneVerification
from authy_grpc.outbound.sms.number import Numbers
from authy_grpc.service.caller import Nobody
from authy_grpc.service.text import Texts
from authy_grpc.store import account as accounts
from authy_grpc.store import budget, spent_key
from authy_grpc.store import device as devices
from authy_grpc.store import phone_verification as verifications
from authy_grpc.store.database import Database, Session
from authy_grpc.store.link import DEVICE_SECRET
from authy_grpc.store.tables import AccountRow, DeviceRow, PhoneVerificationRow
from authy_grpc.store.vault import Vault

# Whoever has one IPv6 address has all of its /64.
_IPV6_NETWORK = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class NewDevice:
    """A device that asks to be added.

    Attributes:
        code: as typed.
        signing_key: an uncompressed point, as is the agreement key.
        signature: over `keys.registration_message`.
    """

    verification_id: str
    code: str = field(repr=False)
    name: str = field(repr=False)
    platform: DevicePlatform
    signing_key: bytes
    agreement_key: bytes
    signature: bytes = field(repr=False)

    @property
    def content(self) -> bytes:
        """What makes it the same call again."""
        text = f"{self.verification_id}\n{codes.normalize(self.code)}\n"
        return text.encode() + self.signing_key + self.agreement_key


class Registrations:
    """Proves numbers and adds devices.

    Args:
        database: keeps them.
        vault: seals and digests.
        news: tells the account's other devices.
        texts: send the codes.
        numbers: which numbers may be sent to.
        clock: the time.
        random: source of random bytes.
    """

    def __init__(
        self,
        *,
        database: Database,
        vault: Vault,
        news: accounts.Accounts,
        texts: Texts,
        numbers: Numbers,
        clock: Callable[[], datetime],
        random: Callable[[int], bytes],
    ) -> None:
        self._database = database
        self._vault = vault
        self._news = news
        self._texts = texts
        self._numbers = numbers
        self._clock = clock
        self._random = random

    async def start(
        self, caller: Nobody, number: str, channel: PhoneChannel, purpose: PhonePurpose
    ) -> PhoneVerification:
        """Have a code sent to a number. Whether it has an account is not even looked at.

        Each verification has a code of its own, so that guesses at one say nothing of another.

        Args:
            caller: whose address has a budget, as the number has one.
            number: E.164.
            channel: how the code goes.
            purpose: what it may be used for.

        Raises:
            BadField: it is no number that codes may go to.
            RateLimited: the number or the caller had its share.
        """
        if not self._numbers.allow(number):
            raise BadField.one("phone_number", "must be a phone number in E.164, such as +15005550006")
        by_number = f"number:{self._vault.digest('number', number.encode()).hex()}"
        by_peer = f"peer:{self._vault.digest('peer', _network(caller.peer)).hex()}"

        def work(session: Session) -> PhoneVerification:
            now = self._clock()
            sent = budget.allow(session, by_number, now, limits.SEND_RULES)
            asked = budget.allow(session, by_peer, now, limits.PEER_RULES)
            budget.keep(session, by_number, sent, limits.SEND_RULES)
            budget.keep(session, by_peer, asked, limits.PEER_RULES)
            expire_time = now + phone.GOOD_FOR
            verification_id = new_id("pvn", now, self._random)
            code = codes.sent_code(self._random)
            verifications.add(
                session,
                self._vault,
                verification_id,
                number=number,
                purpose=purpose,
                code=code,
                now=now,
                expire_time=expire_time,
            )
            body = phone.body(purpose, code)
            self._texts.queue_to_number(session, now, number, body, channel, expire_time)
            retry_delay = limits.retry_delay(sent, now, limits.SEND_RULES)
            return PhoneVerification(verification_id, expire_time, retry_delay)

        return await self._database.write(work, by_number)

    async def register(self, caller: Nobody, asked: NewDevice) -> Registration:
        """Add a device to the account of a verified number, which is opened where there is none.

        Args:
            caller: nobody: the code and the keys say who it is.
            asked: the device.

        Raises:
            BadSignature: a key or the signature is bad, or a key was seen before.
            CodeRejected: the code is wrong, used up or for something else.
            NewDevicesOff: the account lets none in.
            Quota: it has as many devices as it may.
        """
        message = keys.registration_message(asked.verification_id, asked.signing_key, asked.agreement_key)
        keys.verify(asked.signing_key, message, asked.signature)
        thumbprints = keys.thumbprint(asked.signing_key), keys.thumbprint(asked.agreement_key)
        if thumbprints[0] == thumbprints[1]:
            raise BadSignature
        work = partial(self._register, asked=asked, thumbprints=thumbprints)
        return await self._database.write(work, asked.verification_id)

    async def forget_answers(self) -> int:
        """Drop answers that are not given again; answers how many."""
        return await self._database.write(
            lambda session: verifications.forget_answers(session, self._clock()), "registrations"
        )

    def _register(
        self, session: Session, *, asked: NewDevice, thumbprints: tuple[str, str]
    ) -> Registration | CodeRejected:
        now = self._clock()
        verification = verifications.find(session, asked.verification_id)
        if verification is not None and verification.use_time is not None:
            return self._answer_again(session, verification, asked, now)
        if spent_key.seen(session, *thumbprints):
            raise BadSignature
        if (
            verification is None
            or verification.purpose != PhonePurpose.REGISTER_DEVICE
            or not phone.may_guess(verification.failures, verification.expire_time, now)
        ):
            raise CodeRejected
        expected = verifications.code(self._vault, verification)
        if not hmac.compare_digest(expected.encode(), codes.normalize(asked.code).encode()):
            return _count(session, verification)
        number = verifications.number(self._vault, verification)
        account = accounts.find_by_number(session, self._vault, number)
        present = devices.of_account(session, account.account_id) if account else []
        states = [devices.state(each, now) for each in present]
        state = self._admit(session, account, states)
        spent_key.spend(session, *thumbprints)
        recovery_code = "" if account else codes.recovery_code(self._random)
        account = account or self._open_account(session, number, recovery_code, now)
        device = self._add_device(session, account, asked, state, now)
        registration = Registration(
            device=devices.to_device(self._vault, device, now, current=True),
            server_agreement_key=device.server_agreement_key,
            other_devices=states.count(DeviceState.ACTIVE),
            account_create_time=account.create_time,
            recovery_code=recovery_code,
        )
        verifications.use(verification, self._vault, asked.content, registration, now)
        session.add(verification)
        return registration

    def _answer_again(
        self, session: Session, verification: PhoneVerificationRow, asked: NewDevice, now: datetime
    ) -> Registration | CodeRejected:
        """The same call gets the same answer for a while: with another code it is a guess, and counts."""
        used = verification.use_time or now
        if verification.failures >= phone.GUESSES or now >= used + phone.ANSWERED_FOR:
            raise CodeRejected
        before = verification.request_hash or b""
        same = [hmac.compare_digest(before, each) for each in self._vault.digests("request", asked.content)]
        answer = verifications.answer(self._vault, verification) if any(same) else None
        return answer or _count(session, verification)

    def _admit(
        self, session: Session, account: AccountRow | None, states: list[DeviceState]
    ) -> DeviceState:
        if account is None:
            return DeviceState.ACTIVE
        return admit(
            NewDevicePolicy(account.new_device_policy),
            active=states.count(DeviceState.ACTIVE),
            held=states.count(DeviceState.HELD),
            has_links=accounts.has_links(session, account.account_id),
            recovery=False,
        )

    def _open_account(
        self, session: Session, number: str, recovery_code: str, now: datetime
    ) -> AccountRow:
        account_id = new_id("acc", now, self._random)
        row = AccountRow(
            account_id=account_id,
            new_device_policy=NewDevicePolicy.HOLD.value,
            recovery_hash=self._vault.digest("recovery_code", f"{account_id}\n{recovery_code}".encode()),
            create_time=now,
        )
        accounts.set_number(row, self._vault, number)
        session.add(row)
        return row

    def _add_device(
        self, session: Session, account: AccountRow, asked: NewDevice, state: DeviceState, now: datetime
    ) -> DeviceRow:
        device_id = new_id("dev", now, self._random)
        private = keys.new_private_key(self._random)
        shared = keys.agree(private, asked.agreement_key)
        held = state is DeviceState.HELD
        row = DeviceRow(
            device_id=device_id,
            account_id=account.account_id,
            sealed_name=b"",
            platform=asked.platform.value,
            state=state.value,
            signing_key=asked.signing_key,
            agreement_key=asked.agreement_key,
            server_agreement_key=keys.public_point(private),
            sealed_secret=self._vault.seal(DEVICE_SECRET, device_id, shared),
            create_time=now,
            release_time=release_time(now, None, account.release_blocked_until) if held else None,
        )
        devices.set_name(row, self._vault, asked.name)
        session.add(row)
        session.flush()
        self._news.changed(
            session, now, account.account_id, devices=True, activity="device.added", device_name=asked.name
        )
        return row


def _count(session: Session, verification: PhoneVerificationRow) -> CodeRejected:
    """Count a wrong code. The refusal is returned, so that the count stays."""
    verification.failures += 1
    session.add(verification)
    return CodeRejected()


def _network(peer: str) -> bytes:
    """What one caller may have many of counts as one."""
    try:
        address = ipaddress.ip_address(peer)
    except ValueError:
        return peer.encode()
    if address.version == 4:
        return address.packed
    return ipaddress.ip_network((address, _IPV6_NETWORK), strict=False).network_address.packed
