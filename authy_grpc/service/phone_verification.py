"""Owns how a code is sent to a phone number, for whoever asks."""

import ipaddress
from collections.abc import Callable
from datetime import datetime

from authy_grpc.domain import codes, limits, phone
from authy_grpc.domain.errors import BadField
from authy_grpc.domain.ids import new_id
from authy_grpc.domain.phone import PhoneChannel, PhonePurpose, PhoneVerification
from authy_grpc.outbound.sms.number import Numbers
from authy_grpc.service.caller import Nobody
from authy_grpc.service.text import Texts
from authy_grpc.store import budget
from authy_grpc.store import phone_verification as verifications
from authy_grpc.store.database import Database, Session
from authy_grpc.store.vault import Vault

# Whoever has one IPv6 address has all of its /64.
_IPV6_NETWORK = 64


class PhoneVerifications:
    """Sends codes that prove a number.

    Args:
        database: keeps them.
        vault: seals and digests.
        texts: carry the codes.
        numbers: which numbers may be sent to.
        clock: the time.
        random: source of random bytes.
    """

    def __init__(
        self,
        *,
        database: Database,
        vault: Vault,
        texts: Texts,
        numbers: Numbers,
        clock: Callable[[], datetime],
        random: Callable[[int], bytes],
    ) -> None:
        self._database = database
        self._vault = vault
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
        by_number = self._names("number", number.encode())
        by_peer = self._names("peer", _network(caller.peer))

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

        return await self._database.write(work, by_number[0])

    def _names(self, purpose: str, value: bytes) -> tuple[str, ...]:
        """The names of a budget: by each key, so that servers with other keysets share it."""
        return tuple(f"{purpose}:{each.hex()}" for each in self._vault.by_age(purpose, value).values())

    async def forget_answers(self) -> int:
        """Drop answers that are not given again; answers how many."""
        return await self._database.write(
            lambda session: verifications.forget_answers(session, self._clock()), "phone_verifications"
        )


def _network(peer: str) -> bytes:
    """What one caller may have many of counts as one."""
    try:
        address = ipaddress.ip_address(peer)
    except ValueError:
        return peer.encode()
    if address.version == 4:
        return address.packed
    return ipaddress.ip_network((address, _IPV6_NETWORK), strict=False).network_address.packed
