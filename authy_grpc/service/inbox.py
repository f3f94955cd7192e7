"""Watches an account for its devices: questions that wait, revisions, activity."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from authy_grpc.domain.device import DeviceState, state_at
from authy_grpc.service.caller import Device
from authy_grpc.service.heartbeat import HEARTBEAT, Heartbeat
from authy_grpc.service.signals import Signals, Subscription
from authy_grpc.store import activity as activities
from authy_grpc.store import approval, page
from authy_grpc.store import device as devices
from authy_grpc.store.activity import Activity
from authy_grpc.store.approval import Pending
from authy_grpc.store.database import Database
from authy_grpc.store.tx import Tx
from authy_grpc.store.vault import Vault

_LIST = "ListActivity"


@dataclass(frozen=True, slots=True)
class InboxState:
    """All that waits now, and how often each of the other things has changed.

    Attributes:
        held: whether the device waits to be let in.
    """

    approvals: tuple[Pending, ...]
    sites_revision: int
    devices_revision: int
    activity_revision: int
    server_time: datetime
    held: bool = False


class Inbox:
    """What devices see.

    Args:
        database: keeps it.
        vault: opens what was asked, and seals page tokens.
        signals: wake those who watch.
        random: source of random bytes, for the jitter of checkpoints.
        checkpoint: how long a watcher hears nothing at most.
    """

    def __init__(
        self,
        *,
        database: Database,
        vault: Vault,
        signals: Signals,
        random: Callable[[int], bytes],
        checkpoint: timedelta = HEARTBEAT,
    ) -> None:
        self._database = database
        self._vault = vault
        self._signals = signals
        self._heartbeat = Heartbeat(random, checkpoint)

    async def watch(self, caller: Device) -> AsyncGenerator[InboxState, None]:
        """All that waits, at once, after each change and at least every 25 s, until the reader has enough.

        A device that waits to be let in sees nothing but whether ListDevices answers something else: not
        even, by when a message comes, that anything else has happened.

        Raises:
            BadCredential: the device is out.
        """
        with self._signals.subscribe(caller.account_id) as subscription:
            while True:
                subscription.catch_up()
                told = await self._read_state(caller)
                yield told
                await self._news(subscription, caller, told)

    async def list_activity(
        self, caller: Device, page_size: int, page_token: str
    ) -> tuple[list[Activity], str]:
        """A page of what has happened on the account, newest first, and the token of the next.

        Raises:
            BadField: the token is not one that this list answered to this account.
        """
        before = page.open_token(self._vault, caller.account_id, _LIST, page_token)
        size = page.size(page_size)
        found = await self._database.read(
            lambda tx: activities.listed(tx, caller.account_id, before, size + 1),
            by=caller.account_id,
            pages=True,
        )
        if len(found) <= size:
            return found, ""
        last = found[size - 1].activity_id
        return found[:size], page.seal_token(self._vault, caller.account_id, _LIST, last)

    async def _news(self, subscription: Subscription, caller: Device, told: InboxState) -> None:
        """Wait until something is to be said."""
        loop = asyncio.get_running_loop()
        due = loop.time() + self._heartbeat.pause()
        while True:
            await subscription.wait(due - loop.time())
            if not told.held or loop.time() >= due:
                return
            subscription.catch_up()
            seen = await self._read_state(caller)
            if not seen.held or seen.devices_revision != told.devices_revision:
                return

    async def _read_state(self, caller: Device) -> InboxState:
        return await self._database.read(lambda tx: self._state(tx, caller), by=caller.account_id)

    def _state(self, tx: Tx, caller: Device) -> InboxState:
        now = tx.now()
        seen = devices.seen(tx, caller.account_id, caller.device_id)
        if state_at(seen.state, seen.release_time, now) is DeviceState.HELD:
            return InboxState((), 0, seen.devices_revision, 0, now, held=True)
        return InboxState(
            approval.pending(tx, caller.account_id),
            seen.sites_revision,
            seen.devices_revision,
            seen.activity_revision,
            now,
        )
