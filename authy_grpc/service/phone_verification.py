"""Sends a code to a phone number, for whoever asks."""

from datetime import timedelta
from ipaddress import ip_address

from authy_grpc.domain import codes, limits, phone
from authy_grpc.domain.errors import BadField, RateLimited
from authy_grpc.domain.ids import new_id
from authy_grpc.domain.networks import subscriber
from authy_grpc.domain.phone import PhoneChannel, PhonePurpose, PhoneVerification
from authy_grpc.domain.typed import normalize_number
from authy_grpc.outbound.sms.number import Judgement, Numbers
from authy_grpc.service.caller import Nobody
from authy_grpc.store import budget
from authy_grpc.store import phone_verification as verifications
from authy_grpc.store import text as texts
from authy_grpc.store.database import Database
from authy_grpc.store.tx import Tx
from authy_grpc.store.vault import Vault

_AN_HOUR = timedelta(hours=1)


class PhoneVerifications:
    """Sends codes that prove a number.

    Args:
        database: keeps them.
        vault: seals and digests.
        numbers: which numbers may be sent to.
        host: of the authenticator, which a message names.
        most: codes that go out in an hour to all callers together; 0 for any number.
    """

    def __init__(
        self, *, database: Database, vault: Vault, numbers: Numbers, host: str, most: int = 0
    ) -> None:
        self._database = database
        self._vault = vault
        self._numbers = numbers
        self._host = host
        self._most = most

    async def start(
        self, caller: Nobody, number: str, channel: PhoneChannel, purpose: PhonePurpose
    ) -> PhoneVerification:
        """Have a code sent to a number. Whether it has an account is not even looked at.

        Each verification has a code of its own, so that guesses at one say nothing of another.

        Args:
            caller: whose address has a budget, as the number has one.
            number: E.164, as typed.
            channel: how the code goes.
            purpose: what it may be used for.

        Raises:
            BadField: it is no phone number, or (NOT_SERVED) one that codes do not go to.
            RateLimited: the number, the caller or all callers together had their share. What the number or
                all had is the caller's try all the same.
        """
        number = normalize_number(number)
        _check(self._numbers.judge(number))
        by_number = budget.names(self._vault, "number", number.encode())
        by_peer = peer_budgets(self._vault, caller.peer)

        def work(tx: Tx) -> PhoneVerification | RateLimited:
            before = budget.spent(tx, by_number)
            tries = [(name, budget.spent(tx, name), rules) for name, rules in by_peer]
            # Not before they are locked, which may take a while.
            now = tx.now()
            asked = [(name, limits.spend(times, now, rules), rules) for name, times, rules in tries]
            for name, times, rules in asked:
                budget.keep(tx, name, times, rules)
            try:
                sent = limits.spend(before, now, limits.SEND_RULES)
                self._check_all(tx)
            except RateLimited as refusal:
                return refusal
            budget.keep(tx, by_number, sent, limits.SEND_RULES)
            expire_time = now + phone.GOOD_FOR
            verification_id = new_id("pvn", now, tx.random)
            code = codes.sent_code(tx.random)
            verifications.add(
                tx,
                verification_id,
                number=number,
                purpose=purpose,
                code=code,
                expire_time=expire_time,
            )
            body = phone.body(purpose, channel, code, self._host)
            texts.add(tx, number, body, channel, expire_time)
            retry_delay = limits.retry_delay(sent, now, limits.SEND_RULES)
            return PhoneVerification(verification_id, expire_time, retry_delay)

        return await self._database.write(work, by=caller.turn)

    def _check_all(self, tx: Tx) -> None:
        """Asks whether one more code may go out; of calls at one moment a few may go past the limit.

        Raises:
            RateLimited: not before one of them is an hour old.
        """
        now = tx.now()
        if not self._most:
            return
        expires = verifications.newest_but(tx, self._most - 1)
        again = expires - phone.GOOD_FOR + _AN_HOUR if expires else now
        if again > now:
            raise RateLimited(again - now)

    async def forget_answers(self) -> int:
        """Drop answers that are not given again; answers how many."""
        return await self._database.write(lambda tx: verifications.forget_answers(tx))


def _check(judgement: Judgement) -> None:
    match judgement:
        case Judgement.NO_NUMBER:
            raise BadField.one("phone_number", "must be a phone number in E.164, such as +15005550006")
        case Judgement.OTHER_COUNTRY:
            raise _not_served("is not in the countries that this service sends to")
        case Judgement.OTHER_KIND:
            raise _not_served("is of a kind that this service does not send to")


def _not_served(why: str) -> BadField:
    return BadField.one("phone_number", why, "NOT_SERVED")


def peer_budgets(vault: Vault, peer: str) -> list[tuple[tuple[str, ...], tuple[limits.Rule, ...]]]:
    """The budgets of a caller that is known by its address alone: the names of each, and its rules."""
    return [(budget.names(vault, "peer", network), rules) for network, rules in _networks(peer)]


def _networks(peer: str) -> list[tuple[bytes, tuple[limits.Rule, ...]]]:
    """What counts as one caller: whoever has one IPv6 address has all of its /64, and often many of those."""
    try:
        address = ip_address(peer)
    except ValueError:
        return [(peer.encode(), limits.PEER_RULES)]
    if address.version == 4:
        return [(address.packed, limits.PEER_RULES)]
    # Told apart by their lengths: the first /64 of a /48 has its address.
    return [
        (subscriber(address).network_address.packed, limits.PEER_RULES),
        (address.packed[:6], limits.NETWORK_RULES),
    ]
