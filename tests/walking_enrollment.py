"""What a walk of enrollments knows: the model of what should be, and the comparison with what is."""

import asyncio
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pyotp
from hypothesis.stateful import invariant

from authy_grpc.domain.errors import NotFound
from authy_grpc.domain.site import NewKey
from tests.enrolling import Hall, Handset
from tests.walking import Walk

OPEN = {"PENDING", "SCANNED", "AWAITING_CODE"}


@dataclass(eq=False)
class Link:
    """What an enrollment makes or renews. `account` is None where any app makes the codes."""

    account: str | None
    site_id: str = ""
    authy_id: str = ""
    failures: int = 0
    locked_until: datetime | None = None
    used: dict[str, int] = field(default_factory=dict)


@dataclass(eq=False)
class Entry:
    """An enrollment as the model has it. Its revision is the number of its states."""

    enrollment_id: str
    name: str
    uri: str
    generic: bool
    require_code: bool
    replace: bool
    expires: datetime
    states: list[str]
    account: str | None = None
    phone: Handset | None = None
    key: NewKey | None = None
    link: Link | None = None
    code: str = ""
    authy_id: str = ""

    @property
    def state(self) -> str:
        return self.states[-1]


class Enrolling(Walk):
    """A site that enrolls, two phones of one account and one of another."""

    world: Hall

    def __init__(self, world: Any, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(world, loop)
        self.all: list[Entry] = []
        self.users: dict[str, Link] = {}
        self.told: dict[str, list[str]] = {}
        self.touched: list[Entry] = []
        self.deleted = self.deletions = 0

    def begin(self) -> None:
        """Make the site and the phones."""
        self.site = self.run(self.world.site())
        first = self.run(self.world.phone())
        self.phones = [
            first,
            self.run(self.world.phone(first.caller.account_id)),
            self.run(self.world.phone()),
        ]

    def entry(self, back: int) -> Entry:
        """The newest, or one of those before it."""
        return self.all[-1 - back % len(self.all)]

    def move(self, entry: Entry, *states: str) -> None:
        for state in states:
            self.reached[f"{entry.state} {state}"] += 1
            entry.states.append(state)
        self.touched.append(entry)

    def settle(self) -> None:
        """What is past its time is EXPIRED for everyone, whether or not that is written."""
        for entry in self.all:
            if entry.state in OPEN and self.clock.now >= entry.expires:
                self.move(entry, "EXPIRED")

    def delete(self, name: str, waiting: str) -> None:
        link = self.users.pop(name)
        for entry in self.all:
            if entry.state == "AWAITING_CODE" and entry.link is link:
                self.move(entry, waiting)
        self.deleted += 1

    def complete(self, entry: Entry) -> None:
        link, before = entry.link, self.users.get(entry.name)
        assert link is not None
        if before is not None and before is not link:
            self.delete(entry.name, "REJECTED")
        self.users[entry.name] = link
        self.move(entry, "COMPLETED")

    def scannable(self, entry: Entry, phone: Handset) -> bool:
        mine = entry.account == phone.caller.account_id
        return entry.state == "PENDING" or (entry.state == "SCANNED" and mine)

    def maker(self, entry: Entry) -> str:
        return entry.phone.caller.device_id if entry.phone else ""

    def code(self, entry: Entry) -> str:
        """The code of now, of whatever makes it; any, where nothing does yet."""
        if entry.generic:
            return str(pyotp.TOTP(pyotp.parse_uri(entry.uri).secret).at(self.clock.now))
        if entry.phone is None or entry.link is None:
            return "123456"
        return entry.phone.code(entry.link.site_id, self.clock.now)

    @invariant()
    def the_service_says_the_same(self) -> None:
        if not hasattr(self, "phones"):
            return
        touched, self.touched = self.touched, []
        for entry in dict.fromkeys([*touched, *self.all[-1:]]):
            self.run(self.check(entry))
        for name in ("ada", "bob"):
            assert self.run(self.known(name)) == (name in self.users)
        self.the_feed_says_the_same()

    async def known(self, name: str) -> bool:
        """Whether the site has such a user; it is the one that the model has."""
        try:
            user = await self.world.user_of(self.site, name)
        except NotFound:
            return False
        link = self.users[name]
        link.authy_id = link.authy_id or user.authy_id
        assert user.authy_id == link.authy_id and user.locked_until == link.locked_until
        return True

    async def check(self, entry: Entry) -> None:
        found = await self.world.enrollments.get(self.site, entry.enrollment_id)
        assert (found.state, found.revision) == (entry.state, len(entry.states))
        entry.authy_id = entry.authy_id or found.authy_id
        assert bool(found.authy_id) == (entry.state == "COMPLETED") and found.authy_id == entry.authy_id
        assert len(found.keys) == (entry.state == "COMPLETED" and not entry.generic)

    def the_feed_says_the_same(self) -> None:
        for row in self.happened(self.site.application_id):
            if row.type.startswith("enrollment."):
                states = self.told.setdefault(row.subject_id, [])
                states.append(row.type.removeprefix("enrollment.").upper())
                assert row.revision == len(states)
            self.deletions += row.type == "user.deleted"
        assert self.deletions == self.deleted
        for entry in self.all:
            told = self.told[entry.enrollment_id]
            overdue = entry.state == "EXPIRED" and told == entry.states[:-1]
            assert told == entry.states or overdue
            assert not set(entry.states[:-1]) - OPEN

    def expire(self) -> None:
        """Let the workers write what is past its time."""
        while self.run(self.world.enrollments.expire_due()):
            pass
        self.touched += [entry for entry in self.all if entry.state == "EXPIRED"]

    def teardown(self) -> None:
        """All that has ended stands as it ended; nothing is left open for the walks that come after."""
        if hasattr(self, "phones"):
            self.clock.turn(days=1)
            self.settle()
            self.expire()
            self.touched += self.all
            self.the_service_says_the_same()
            assert all(self.told[entry.enrollment_id] == entry.states for entry in self.all)
