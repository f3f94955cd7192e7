"""The phone as a whole: its channel, its state and its clock, behind one object."""

import os
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

import grpc

from authy_grpc.client.connect import road
from authy_grpc.phone.account import AccountCalls
from authy_grpc.phone.inbox import InboxCalls
from authy_grpc.phone.session import Clock, Session
from authy_grpc.phone.state import Keeper


def _real_clock() -> datetime:
    return datetime.now(UTC)


class Phone(AccountCalls, InboxCalls):
    """An authenticator without a screen: registers, scans, makes codes, answers questions.

    Use it as `async with Phone(...) as phone`.

    Args:
        channel: a channel, which stays the caller's to close, or a target such as `127.0.0.1:50051` or
            `grpcs://authy.example`, reached as the client reaches it.
        origin: the service's public URL: QR codes of another are refused.
        state: the file that keeps keys from one run to the next, mode 0600; None keeps them in memory.
        clock: the phone's clock, aware; the service's is learned from it by what the service says.

    Raises:
        PhoneError: where others than its owner may read the file, or it holds something else.
    """

    def __init__(
        self,
        channel: grpc.aio.Channel | str,
        *,
        origin: str,
        state: str | os.PathLike[str] | None = None,
        clock: Clock = _real_clock,
    ) -> None:
        self._channel = _connect(channel) if isinstance(channel, str) else channel
        self._owned = isinstance(channel, str)
        session = Session(self._channel, Keeper(state), clock)
        AccountCalls.__init__(self, self._channel, session)
        InboxCalls.__init__(self, self._channel, session, origin)

    def __repr__(self) -> str:
        return f"Phone({self.device_id if self.registered else 'not registered'})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the channel where the phone made it. Keys and session stay good."""
        if self._owned:
            await self._channel.close()


def _connect(target: str) -> grpc.aio.Channel:
    return road(target).aio_channel()
