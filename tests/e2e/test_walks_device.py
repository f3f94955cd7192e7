"""Devices of an account, walked at random beside a model: who is in, who waits, who may do what."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant

from authy_grpc.domain.device import Device, NewDevicePolicy
from authy_grpc.store import device as devices
from authy_grpc.store.tx import Tx
from tests.clock import TurnedClock
from tests.registering import Handset, People, wrong
from tests.walking import Walk, action, walk

DAY = timedelta(days=1)
BY = st.integers(0, 59)
# How far back from the newest: the newest mostly.
BACK = st.sampled_from([0, 0, 0, 1, 2, 3])
MAY_WAIT, MAY_BE_IN, GUESSES = 3, 10, 5
# Ten codes a day are sent to a number.
BETWEEN_REGISTRATIONS = timedelta(hours=3)


@dataclass(eq=False)
class Entry:
    """A device as the model has it; `told` is what the streams of its credential have to learn."""

    handset: Handset
    account: int
    state: str
    check: str
    created: datetime
    shown: datetime | None = None
    release: datetime | None = None
    limited: datetime | None = None
    guesses: int = 0
    told: list[str] = field(default_factory=list)


class DeviceWalk(Walk):
    """Whoever has a number's codes adds devices, and they let each other in and put each other out."""

    world: People
    numbers = iter(range(30_000_000, 100_000_000))

    def __init__(self, world: Any, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(world, loop)
        self.all: list[Entry] = []
        self.number = ""
        self.account = 0
        self.policy = "HOLD"
        self.blocked: datetime | None = None
        self.told: dict[str, list[str]] = {}

    @initialize()
    def begin(self) -> None:
        self.number = f"+49151{next(self.numbers)}"
        self.register()

    @property
    def now(self) -> datetime:
        return self.clock.now

    def present(self, *states: str) -> list[Entry]:
        return [entry for entry in self.all if entry.account == self.account and entry.state in states]

    def caller(self, by: int) -> Entry:
        """One that is in, or any where that is asked for or there is none."""
        candidates = (by % 6 and self.present("ACTIVE")) or self.all
        return candidates[by % len(candidates)]

    def entry(self, back: int) -> Entry:
        """The newest, or one of those before it."""
        return self.all[-1 - back % len(self.all)]

    def become(self, entry: Entry, state: str) -> None:
        self.reached[f"{entry.state} {state}"] += 1
        entry.state = state

    def settle(self) -> None:
        """Who has waited long enough is in for everyone, whether or not that is written."""
        for entry in self.present("HELD"):
            if entry.release is not None and entry.release <= self.now:
                self.become(entry, "ACTIVE")
                entry.limited = entry.release + timedelta(days=7)

    def wait(self, entry: Entry) -> None:
        """When a device that waits is let in, by what is known now."""
        due = entry.shown + DAY if entry.shown else entry.created + timedelta(days=7)
        entry.release = max(due, self.blocked or due)

    def limited(self, entry: Entry) -> bool:
        return entry.limited is not None and self.now < entry.limited

    def refuse(self, *waiting: Entry) -> None:
        """Put out devices that waited: nobody is let in by time for 30 days."""
        for entry in waiting:
            self.put_out(entry)
        self.blocked = self.now + timedelta(days=30)
        for entry in self.present("HELD"):
            self.wait(entry)

    def put_out(self, entry: Entry) -> None:
        self.become(entry, "REVOKED")
        entry.release = None
        entry.told.append("ended")

    @action(4)
    def register(self) -> None:
        self.clock.now += BETWEEN_REGISTRATIONS
        self.settle()
        made: list[Any] = []

        async def register() -> None:
            made[:] = await self.world.register(self.number)

        became = self.became(register())
        self.settle()
        active, held = len(self.present("ACTIVE")), len(self.present("HELD"))
        state, expected = "HELD" if self.policy == "HOLD" else "ACTIVE", "OK"
        if not active + held:
            state = "ACTIVE"
        elif self.policy == "DENY":
            expected = "NewDevicesOff"
        elif (held, active)[state == "ACTIVE"] >= (MAY_WAIT, MAY_BE_IN)[state == "ACTIVE"]:
            expected = "Quota"
        assert became == expected
        self.reached[became] += 1
        if became != "OK":
            return
        handset, added = made
        assert (added.device.state, added.other_devices) == (state, active)
        assert bool(added.recovery_code) == (not any(each.account == self.account for each in self.all))
        entry = Entry(handset, self.account, state, added.device.check, self.now)
        if state == "HELD":
            self.wait(entry)
        self.all.append(entry)

    @action(2, by=BY, back=BACK, right=st.sampled_from([True, True, False]))
    def approve(self, by: int, back: int, right: bool) -> None:
        caller = self.caller(by)
        entry = self.entry(back)
        if caller.state == "HELD":
            return
        check = entry.check or "123456"
        typed = check if right else wrong(check)
        became = self.became(self.world.approve(caller.handset, entry.handset.device_id, typed))
        if caller.state == "REVOKED":
            assert became == "BadCredential"
        elif self.limited(caller):
            assert became == "DeviceHeld"
        elif entry.account != caller.account:
            assert became == "NotFound"
        elif entry.state != "HELD":
            assert became == f"WrongState {entry.state}"
        elif not right or entry.guesses >= GUESSES:
            assert became == "CodeRejected"
            entry.guesses += not right
        else:
            assert became == "OK"
            self.become(entry, "ACTIVE")
            entry.release = None
            entry.told.append("changed")

    @action(2, by=BY, back=BACK)
    def revoke(self, by: int, back: int) -> None:
        caller = self.caller(by)
        entry = self.entry(back)
        became = self.became(self.world.revoke(caller.handset, entry.handset.device_id))
        if caller.state == "REVOKED":
            assert became == "BadCredential"
        elif (caller.state == "HELD" or self.limited(caller)) and caller is not entry:
            assert became == "DeviceHeld"
        elif entry.account != caller.account:
            assert became == "NotFound"
        else:
            assert became == "OK"
            if entry.state == "HELD" and entry is not caller:
                self.refuse(entry)
            elif entry.state != "REVOKED":
                self.put_out(entry)

    @action(by=BY, policy=st.sampled_from([NewDevicePolicy.HOLD, *NewDevicePolicy]))
    def set_policy(self, by: int, policy: NewDevicePolicy) -> None:
        caller = self.caller(by)
        if caller.state == "HELD":
            return
        became = self.became(self.world.update(caller.handset, new_device_policy=policy))
        if caller.state == "REVOKED":
            assert became == "BadCredential"
        elif self.limited(caller):
            assert became == "DeviceHeld"
        else:
            assert became == "OK"
            self.policy = policy.value
            if policy is NewDevicePolicy.DENY and self.present("HELD"):
                self.refuse(*self.present("HELD"))

    @action(by=BY)
    def list_devices(self, by: int) -> None:
        caller = self.caller(by)
        found: list[Device] = []

        async def listed() -> None:
            found[:] = await self.world.devices.list_all(caller.handset.caller)

        became = self.became(listed())
        if caller.state == "REVOKED":
            assert became == "BadCredential"
            return
        assert became == "OK"
        if caller.state == "HELD":
            assert [(each.device_id, each.state) for each in found] == [(caller.handset.device_id, "HELD")]
            return
        seen = {each.device_id: each for each in found}
        for entry in self.present("ACTIVE", "HELD"):
            self.compare(entry, seen[entry.handset.device_id])

    @action(2, by=BY, back=BACK)
    def acknowledge(self, by: int, back: int) -> None:
        caller, entry = self.caller(by), self.entry(back)
        if caller.state == "HELD":
            return
        became = self.became(self.world.acknowledge(caller.handset, entry.handset.device_id))
        if caller.state == "REVOKED":
            assert became == "BadCredential"
        elif self.limited(caller):
            assert became == "DeviceHeld"
        elif entry.account != caller.account:
            assert became == "NotFound"
        elif entry.state != "HELD":
            assert became == f"WrongState {entry.state}"
        else:
            assert became == "OK"
            entry.shown = entry.shown or self.now
            self.wait(entry)

    @action(by=BY)
    def open_session(self, by: int) -> None:
        caller = self.caller(by)
        expected = "BadCredential" if caller.state == "REVOKED" else "OK"
        assert self.became(self.world.session(caller.handset)) == expected

    @action(by=BY, sure=st.integers(0, 5))
    def delete_account(self, by: int, sure: int) -> None:
        caller = self.caller(by)
        if sure or caller.state == "HELD":
            return
        proof = self.world.proof(caller.handset, "DeleteAccount")
        became = self.became(self.world.account.delete(caller.handset.caller, proof))
        if caller.state == "REVOKED":
            assert became == "BadCredential"
        elif self.limited(caller):
            assert became == "DeviceHeld"
        else:
            assert became == "OK"
            for entry in self.present("ACTIVE", "HELD"):
                self.put_out(entry)
            # The number's next device opens another account.
            self.account += 1
            self.policy, self.blocked = "HOLD", None

    @action(hours=st.sampled_from([1, 24, 24 * 7 - 3, 24 * 31]))
    def turn(self, hours: float) -> None:
        self.clock.turn(hours=hours)
        self.settle()

    @action()
    def release(self) -> None:
        while self.run(self.world.admission.release_due()):
            pass
        for entry in self.present("ACTIVE"):
            if entry.release is not None:
                entry.release = None
                entry.told.append("changed")

    @invariant()
    def the_service_says_the_same(self) -> None:
        if not self.all:
            return
        kept = self.run(self.world.database.read(self.kept))
        for entry, device in zip(self.all, kept, strict=True):
            self.compare(entry, device)
        for row in self.happened():
            if row.type.startswith("credential."):
                self.told.setdefault(row.subject_id, []).append(row.type.removeprefix("credential."))
        for entry in self.all:
            assert self.told.get(entry.handset.device_id, []) == entry.told
            assert entry.told in ([], ["changed"], ["ended"], ["changed", "ended"])

    def kept(self, tx: Tx) -> list[Device]:
        rows = [devices.ROWS.find(tx, entry.handset.device_id) for entry in self.all]
        return [devices.to_device(self.world.vault, row, self.now) for row in rows if row]

    def compare(self, entry: Entry, device: Device) -> None:
        assert device.state == entry.state
        assert device.release_time == (entry.release if entry.state == "HELD" else None)
        if entry.state != "REVOKED":
            assert device.limited_until == entry.limited


def test_devices(database_url: str, clock: TurnedClock, figure: Callable[[int, int], int]) -> None:
    reached = walk(DeviceWalk, lambda: People.opened(database_url, clock), figure(6, 1_700))
    moves = {"HELD ACTIVE", "HELD REVOKED", "ACTIVE REVOKED"}
    assert set(reached) == moves | {"OK", "NewDevicesOff", "Quota"}, reached
