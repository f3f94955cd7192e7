"""Registers devices: somebody with a phone number becomes a device of its account."""

import hmac
from dataclasses import dataclass, field
from functools import partial

from authy_grpc.domain import codes, keys, phone
from authy_grpc.domain.account import Registration
from authy_grpc.domain.device import DevicePlatform, DeviceState, NewDevicePolicy, admit, release_time
from authy_grpc.domain.errors import BadSignature, CodeRejected
from authy_grpc.domain.ids import new_id
from authy_grpc.domain.phone import PhonePurpose
from authy_grpc.domain.typed import is_code, normalize
from authy_grpc.service.caller import Nobody
from authy_grpc.service.phone_verification import peer_budgets
from authy_grpc.store import account as accounts
from authy_grpc.store import account as store
from authy_grpc.store import budget, spent_key
from authy_grpc.store import device as devices
from authy_grpc.store import link as links
from authy_grpc.store import phone_verification as verifications
from authy_grpc.store.database import Database
from authy_grpc.store.tx import Tx


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
        text = f"{self.verification_id}\n{normalize(self.code)}\n"
        return text.encode() + self.signing_key + self.agreement_key


class Registrations:
    """Adds devices to the accounts of verified numbers.

    Args:
        database: keeps them.
    """

    def __init__(
        self,
        *,
        database: Database,
    ) -> None:
        self._database = database

    async def register(self, caller: Nobody, asked: NewDevice) -> Registration:
        """Add a device to the account of a verified number, which is opened where there is none.

        Args:
            caller: nobody: the code and the keys say who it is. What cannot be a code is no guess, and its
                address has a budget of them.
            asked: the device.

        Raises:
            BadSignature: a key or the signature is bad, or a key was seen before.
            CodeRejected: the code is wrong, used up or for something else.
            NewDevicesOff: the account lets none in.
            Quota: it has as many devices as it may.
            RateLimited: the caller sent too much that can be no code.
        """
        message = keys.registration_message(asked.verification_id, asked.signing_key, asked.agreement_key)
        keys.verify(asked.signing_key, message, asked.signature)
        thumbprints = keys.thumbprint(asked.signing_key), keys.thumbprint(asked.agreement_key)
        if thumbprints[0] == thumbprints[1]:
            raise BadSignature
        work = partial(self._register, peer=caller.peer, asked=asked, thumbprints=thumbprints)
        return await self._database.write(work, accounts=True, by=caller.turn)

    def _register(
        self, tx: Tx, *, peer: str, asked: NewDevice, thumbprints: tuple[str, str]
    ) -> Registration | CodeRejected:
        verification = verifications.ROWS.find(tx, asked.verification_id, lock=True)
        # Not before it is locked, which may take a while; that of the work is taken once the account is, too.
        now = tx.tools.clock()
        if verification is not None and verification.use_time is not None:
            return self._answer_again(tx, verification, asked, peer)
        if spent_key.seen(tx, *thumbprints):
            raise BadSignature
        if (
            verification is None
            or verification.purpose != PhonePurpose.REGISTER_DEVICE
            or not phone.may_guess(verification.failures, verification.expire_time, now)
        ):
            raise CodeRejected
        if not is_code(asked.code, codes.SENT_DIGITS):
            return self._no_code(tx, peer)
        expected = verifications.code(tx.vault, verification)
        if not hmac.compare_digest(expected.encode(), normalize(asked.code).encode()):
            return _count(tx, verification)
        number = verifications.number(tx.vault, verification)
        account = store.find_by_number(tx, number, lock=True)
        now = tx.now()
        present = devices.of_account(tx, account.account_id) if account else []
        states = [devices.state(each, now) for each in present]
        state = self._admit(tx, account, states)
        recovery_code = "" if account else codes.recovery_code(tx.random)
        account = account or self._open_account(tx, number, recovery_code)
        device = self._add_device(tx, account, asked, state)
        registration = Registration(
            device=devices.to_device(tx.vault, device, now, current=True),
            server_agreement_key=device.server_agreement_key,
            other_devices=states.count(DeviceState.ACTIVE),
            account_create_time=account.create_time,
            recovery_code=recovery_code,
        )
        verifications.use(tx, verification, asked.content, registration)
        return registration

    def _answer_again(
        self,
        tx: Tx,
        verification: verifications.Kept,
        asked: NewDevice,
        peer: str,
    ) -> Registration | CodeRejected:
        """The same call gets the same answer for a while: with another code it is a guess, and counts."""
        now = tx.now()
        used = verification.use_time or now
        if verification.failures >= phone.GUESSES or now >= used + phone.ANSWERED_FOR:
            raise CodeRejected
        if not is_code(asked.code, codes.SENT_DIGITS):
            return self._no_code(tx, peer)
        before = verification.request_hash or b""
        same = [hmac.compare_digest(before, each) for each in tx.vault.digests("request", asked.content)]
        answer = verifications.answer(tx.vault, verification) if any(same) else None
        return answer or _count(tx, verification)

    def _no_code(self, tx: Tx, peer: str) -> CodeRejected:
        """Count what cannot be a code for the caller's address alone; returned, so that the count stays.

        Raises:
            RateLimited: the address has had its share.
        """
        tries = [(name, budget.allow(tx, name, rules), rules) for name, rules in peer_budgets(tx.vault, peer)]
        for name, times, rules in tries:
            budget.keep(tx, name, times, rules)
        return CodeRejected()

    def _admit(self, tx: Tx, account: store.Kept | None, states: list[DeviceState]) -> DeviceState:
        if account is None:
            return DeviceState.ACTIVE
        return admit(
            NewDevicePolicy(account.new_device_policy),
            active=states.count(DeviceState.ACTIVE),
            held=states.count(DeviceState.HELD),
            has_links=links.has_links(tx, account.account_id),
            recovery=False,
        )

    def _open_account(self, tx: Tx, number: str, recovery_code: str) -> store.Kept:
        now = tx.now()
        account_id = new_id("acc", now, tx.random)
        row = store.Kept(
            account_id=account_id,
            new_device_policy=NewDevicePolicy.HOLD.value,
            recovery_hash=tx.vault.digest("recovery_code", f"{account_id}\n{recovery_code}".encode()),
            create_time=now,
            **store.number_columns(tx.vault, account_id, number),
        )
        store.ROWS.add(tx, row)
        return row

    def _add_device(self, tx: Tx, account: store.Kept, asked: NewDevice, state: DeviceState) -> devices.Kept:
        now = tx.now()
        device_id = new_id("dev", now, tx.random)
        private = keys.new_private_key(tx.random)
        held = state is DeviceState.HELD
        row = devices.Kept(
            device_id=device_id,
            account_id=account.account_id,
            sealed_name=devices.seal_name(tx.vault, device_id, asked.name),
            platform=asked.platform.value,
            state=state.value,
            signing_key=asked.signing_key,
            agreement_key=asked.agreement_key,
            server_agreement_key=keys.public_point(private),
            sealed_secret=devices.seal_secret(tx.vault, device_id, keys.agree(private, asked.agreement_key)),
            create_time=now,
            release_time=release_time(now, None, account.release_blocked_until) if held else None,
        )
        devices.ROWS.add(tx, row)
        spent_key.spend(
            tx, *map(keys.thumbprint, (asked.signing_key, asked.agreement_key, row.server_agreement_key))
        )
        accounts.changed(
            tx, account.account_id, devices=True, activity="device.added", device_name=asked.name
        )
        return row


def _count(tx: Tx, verification: verifications.Kept) -> CodeRejected:
    """Count a wrong code. The refusal is returned, so that the count stays."""
    verifications.ROWS.change(tx, verification, failures=verification.failures + 1)
    return CodeRejected()
