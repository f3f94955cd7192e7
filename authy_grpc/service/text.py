"""Owns how messages go out: queued in the transaction of their cause, sent after it, outside of any."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial

from structlog.typing import FilteringBoundLogger

from authy_grpc.domain.ids import new_id
from authy_grpc.domain.phone import PhoneChannel
from authy_grpc.domain.user import Factor
from authy_grpc.outbound.sms.number import Numbers
from authy_grpc.outbound.sms.sender import Message, Refused, Sender, Unreachable
from authy_grpc.store import tally
from authy_grpc.store import text as texts
from authy_grpc.store.database import Database
from authy_grpc.store.tables import TextRow
from authy_grpc.store.tx import Tx

# What a site is told of a message that did not go, in words that say nothing of the number.
REFUSED = "refused"
UNREACHABLE = "unreachable"
UNKNOWN = "unknown"

_PUT_OFF = "put off"
# How long a carrier takes to refuse a message.
_SHORTEST, _LONGEST = timedelta(seconds=0.5), timedelta(seconds=3)
_LEASE = timedelta(seconds=60)
_SEND_SECONDS = 15.0
# Before each further attempt.
_PAUSES = (timedelta(seconds=5), timedelta(seconds=20), timedelta(seconds=60))


class Texts:
    """Queues text messages and calls, and hands them to a carrier.

    Args:
        database: keeps what waits.
        sender: the carrier.
        numbers: which numbers may be sent to.
        log: where failures are written.
        clock: the time.
        random: source of random bytes.
    """

    def __init__(
        self,
        *,
        database: Database,
        sender: Sender,
        numbers: Numbers,
        log: FilteringBoundLogger,
        clock: Callable[[], datetime],
        random: Callable[[int], bytes],
    ) -> None:
        self._database = database
        self._sender = sender
        self._numbers = numbers
        self._log = log
        self._clock = clock
        self._random = random

    def queue_to_number(
        self,
        tx: Tx,
        number: str,
        body: str,
        channel: PhoneChannel,
        expire_time: datetime,
    ) -> None:
        """Have a message sent to whoever holds a number.

        Args:
            tx: of the cause.
            number: E.164.
            body: what it says.
            channel: how it goes.
            expire_time: from when on it is of no use.
        """
        row = self._row(tx.now(), expire_time)
        texts.add(tx, row, body=body, channel=channel, number=number)

    def queue_to_link(self, tx: Tx, site_id: str, body: str, factor: Factor, expire_time: datetime) -> None:
        """Have a message sent to the owner of a link, whose site is told what became of it.

        Whether it may go, and where to, is looked up when it goes: queueing is the same work whether or
        not the owner has switched such codes off, and takes as long.

        Args:
            tx: of the cause.
            site_id: the link.
            body: what it says.
            factor: SMS or VOICE.
            expire_time: from when on it is of no use.
        """
        row = self._row(tx.now(), expire_time)
        row.site_id, row.factor = site_id, factor.value
        texts.add(tx, row, body=body, channel=PhoneChannel(factor.value))

    async def send_due(self) -> int:
        """Send what is due, a hundred at most; answers how many were tried."""
        due = await self._database.write(lambda tx: texts.take(tx, _LEASE))
        await asyncio.gather(*[self._deliver(each) for each in due])
        return len(due)

    async def _deliver(self, text: texts.DueText) -> None:
        reason = await self._send(text)
        await self._database.write(partial(self._settle, text=text, reason=reason))

    async def _send(self, text: texts.DueText) -> str:
        """Why it did not go; empty where it did."""
        if text.expire_time <= self._clock():
            return UNREACHABLE
        if not self._numbers.allow(text.number):
            # A refusal that came at once would tell the site that it is no carrier's.
            return REFUSED if text.attempts > 1 else _PUT_OFF
        try:
            async with asyncio.timeout(_SEND_SECONDS):
                await self._sender.send(Message(text.number, text.body, text.channel))
        except Refused:
            return REFUSED
        except Unreachable as error:
            self._log.warning("carrier_unreachable", attempt=text.attempts, exc_info=error)
            return UNREACHABLE
        except Exception as error:
            # It may have gone: the same code once more does no harm.
            self._log.error("carrier_failed", attempt=text.attempts, exc_info=error)
            return UNKNOWN
        return ""

    def _settle(self, tx: Tx, *, text: texts.DueText, reason: str) -> None:
        now = tx.now()
        row = texts.find(tx, text.text_id)
        if row is None:
            return
        if reason == _PUT_OFF:
            row.due_time = now + self._carriers_delay()
            tx.add(row)
            return
        if reason in (UNREACHABLE, UNKNOWN) and row.attempts <= len(_PAUSES):
            again = now + _PAUSES[row.attempts - 1]
            if again < row.expire_time:
                row.due_time = again
                tx.add(row)
                tally.count(tx, tally.TEXTS, "RETRIED")
                return
        tally.count(tx, tally.TEXTS, reason.upper() or "DELIVERED")
        told = texts.outcome(tx, row, reason)
        tx.delete(row)
        if told is not None:
            tx.record(told)

    def _carriers_delay(self) -> timedelta:
        return _SHORTEST + (_LONGEST - _SHORTEST) * (int.from_bytes(self._random(2)) / 0xFFFF)

    def _row(self, now: datetime, expire_time: datetime) -> TextRow:
        text_id = new_id("txt", now, self._random)
        return TextRow(text_id=text_id, sealed_message=b"", due_time=now, expire_time=expire_time)
