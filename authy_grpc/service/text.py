"""Sends messages that were queued in the transaction of their cause: after it, outside of any."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial

from structlog.typing import FilteringBoundLogger

from authy_grpc.outbound.sms.number import Numbers
from authy_grpc.outbound.sms.sender import Message, Refused, Sender, Unreachable
from authy_grpc.store import tally
from authy_grpc.store import text as texts
from authy_grpc.store.database import Database
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
    """Hands text messages and calls to a carrier.

    Args:
        database: keeps what waits.
        sender: the carrier.
        numbers: which numbers may be sent to.
        log: where failures are written.
        clock: the time.
    """

    def __init__(
        self,
        *,
        database: Database,
        sender: Sender,
        numbers: Numbers,
        log: FilteringBoundLogger,
        clock: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._sender = sender
        self._numbers = numbers
        self._log = log
        self._clock = clock

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
        row = texts.ROWS.find(tx, text.text_id, lock=True)
        if row is None:
            return
        if reason == _PUT_OFF:
            texts.ROWS.change(tx, row, due_time=now + _carriers_delay(tx))
            return
        if reason in (UNREACHABLE, UNKNOWN) and row.attempts <= len(_PAUSES):
            again = now + _PAUSES[row.attempts - 1]
            if again < row.expire_time:
                texts.ROWS.change(tx, row, due_time=again)
                tally.count(tx, tally.TEXTS, "RETRIED")
                return
        tally.count(tx, tally.TEXTS, reason.upper() or "DELIVERED")
        told = texts.outcome(tx, row, reason)
        texts.ROWS.remove(tx, row)
        if told is not None:
            tx.record(told)


def _carriers_delay(tx: Tx) -> timedelta:
    return _SHORTEST + (_LONGEST - _SHORTEST) * (int.from_bytes(tx.random(2)) / 0xFFFF)
