"""Enrollments, walked at random beside a model: states, users, locks and feed agree after each step."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import initialize

from authy_grpc.domain.enrollment import EnrollmentMethod
from authy_grpc.domain.site import NewKey
from tests.checking import other
from tests.clock import TurnedClock
from tests.enrolling import PERIOD, Hall, Handset, token_of
from tests.walking import action, walk
from tests.walking_enrollment import OPEN, Enrolling, Entry, Link

# All that there are: each is walked.
MOVES = {
    f"{state} {following}"
    for state, all_following in {
        "PENDING": ["SCANNED", "EXPIRED", "CANCELED"],
        "SCANNED": ["AWAITING_CODE", "COMPLETED", "REJECTED", "EXPIRED", "CANCELED"],
        "AWAITING_CODE": ["COMPLETED", "REJECTED", "EXPIRED", "CANCELED"],
    }.items()
    for following in all_following
}
REMOVE = "authy_grpc.v1.AuthenticatorService/RemoveSite"
# How far back from the newest: the newest mostly.
BACK = st.sampled_from([0, 0, 0, 0, 1, 2])
PHONES = st.sampled_from([0, 1, 2])
NAMES = st.sampled_from(["ada", "bob"])


class EnrollmentWalk(Enrolling):
    """All that a site, its users and time do with enrollments."""

    @initialize()
    def begin(self) -> None:
        super().begin()
        self.create("ada", generic=False, require_code=False, replace=False, seconds=600)

    @action(
        often=2,
        name=NAMES,
        generic=st.sampled_from([False, False, True]),
        require_code=st.booleans(),
        replace=st.booleans(),
        seconds=st.sampled_from([30, 600, 86_400]),
    )
    def create(self, name: str, generic: bool, require_code: bool, replace: bool, seconds: int) -> None:
        method = EnrollmentMethod.GENERIC_TOTP if generic else EnrollmentMethod.AUTHENTICATOR
        made: list[Any] = []

        async def create() -> None:
            made[:] = await self.world.begin(
                self.site,
                name,
                method=method,
                require_code=require_code,
                replace_existing=replace,
                ttl=timedelta(seconds=seconds),
            )

        exists = name in self.users and not replace
        assert self.became(create()) == ("UserExists" if exists else "OK")
        if exists:
            return
        for entry in self.all:
            if entry.name == name and entry.state in OPEN:
                self.move(entry, "CANCELED")
        enrollment, uri = made
        expires = self.clock.now + timedelta(seconds=seconds)
        first = ["AWAITING_CODE" if generic else "PENDING"]
        entry = Entry(
            enrollment.enrollment_id, name, uri, generic, require_code or generic, replace, expires, first
        )
        if generic:
            entry.link = Link(None)
        self.all.append(entry)
        self.touched.append(entry)

    @action(back=BACK, number=PHONES)
    def open(self, back: int, number: int) -> None:
        entry = self.entry(back)
        if entry.generic:
            return
        phone = self.phones[number]
        expected = "OK" if self.scannable(entry, phone) else "NotFound"
        assert self.became(self.world.scans.open(phone.caller, entry.uri)) == expected
        if entry.state == "PENDING":
            entry.account = phone.caller.account_id
            self.move(entry, "SCANNED")

    @action(3, back=BACK, number=PHONES, again=st.booleans())
    def accept(self, back: int, number: int, again: bool) -> None:
        entry = self.entry(back)
        if entry.generic:
            return
        phone = self.phones[number]
        same = again and entry.key is not None and entry.phone is phone
        key = entry.key if same and entry.key else phone.key(token_of(entry.uri))
        linked: list[Any] = []

        async def accept() -> None:
            linked.append(await self.world.scans.accept(phone.caller, entry.uri, key))

        became = self.became(accept())
        if same and entry.state in ("AWAITING_CODE", "COMPLETED"):
            alive = entry.state == "AWAITING_CODE" or entry.link in self.users.values()
            assert became == ("OK" if alive else "NotFound")
        elif not self.scannable(entry, phone):
            assert became == "NotFound"
        elif entry.name in self.users and not entry.replace:
            assert became == "NotFound"
            self.move(entry, "CANCELED")
        else:
            assert became == "OK"
            self.accepted(entry, phone, key, linked[0].site_id)

    def accepted(self, entry: Entry, phone: Handset, key: NewKey, site_id: str) -> None:
        entry.account, entry.phone, entry.key = phone.caller.account_id, phone, key
        user = self.users.get(entry.name)
        entry.link = user if user and user.account == entry.account else Link(entry.account)
        # The same account keeps what its owner knows the site by.
        assert entry.link.site_id in ("", site_id)
        entry.link.site_id = site_id
        if entry.state == "PENDING":
            self.move(entry, "SCANNED")
        if entry.require_code:
            self.move(entry, "AWAITING_CODE")
        else:
            self.complete(entry)

    @action(2, back=BACK, number=PHONES)
    def reject(self, back: int, number: int) -> None:
        entry = self.entry(back)
        if entry.generic:
            return
        phone = self.phones[number]
        became = self.became(self.world.scans.reject(phone.caller, entry.uri))
        mine = entry.account == phone.caller.account_id
        if mine and entry.state == "COMPLETED":
            assert became == "WrongState COMPLETED"
        elif mine and entry.state == "REJECTED":
            assert became == "OK"
        elif (mine and entry.state == "AWAITING_CODE") or self.scannable(entry, phone):
            assert became == "OK"
            entry.account = phone.caller.account_id
            self.move(entry, *(["SCANNED"] if entry.state == "PENDING" else []), "REJECTED")
        else:
            assert became == "NotFound"

    @action(3, back=BACK, wrong=st.sampled_from([0, 0, 0, 1, 5]))
    def confirm(self, back: int, wrong: int) -> None:
        for _ in range(wrong or 1):
            self.offer(self.entry(back), right=not wrong)

    def offer(self, entry: Entry, right: bool) -> None:
        code = self.code(entry) if right else other(self.code(entry))
        became = self.became(self.world.enrollments.confirm(self.site, entry.enrollment_id, code))
        link, step = entry.link, int(self.clock.now.timestamp()) // PERIOD
        if entry.state == "COMPLETED" and code == entry.code:
            assert became == "OK"
        elif entry.state != "AWAITING_CODE" or link is None:
            assert became == f"WrongState {entry.state}"
        elif link.locked_until and self.clock.now < link.locked_until:
            assert became == "UserLocked"
        elif not right:
            assert became == "CodeRejected"
            link.failures += 1
            if link.failures >= 5:
                seconds = min(30 * 2 ** (link.failures - 5), 3600)
                link.locked_until = self.clock.now + timedelta(seconds=seconds)
        elif link.used.get(self.maker(entry), -1) >= step:
            assert became == "CodeRejected"
        elif entry.name in self.users and not entry.replace:
            assert became == "WrongState CANCELED"
            self.move(entry, "CANCELED")
        else:
            assert became == "OK"
            link.failures, link.locked_until = 0, None
            link.used[self.maker(entry)], entry.code = step, code
            self.complete(entry)

    @action(back=BACK)
    def cancel(self, back: int) -> None:
        entry = self.entry(back)
        became = self.became(self.world.enrollments.cancel(self.site, entry.enrollment_id))
        if entry.state in OPEN:
            self.move(entry, "CANCELED")
        assert became == ("OK" if entry.state == "CANCELED" else f"WrongState {entry.state}")

    @action(name=NAMES)
    def delete_user(self, name: str) -> None:
        if (link := self.users.get(name)) is None:
            return
        assert self.became(self.world.users.delete(self.site, link.authy_id)) == "OK"
        self.delete(name, "CANCELED")
        assert self.became(self.world.users.delete(self.site, link.authy_id)) == "NotFound"

    @action(back=BACK, number=PHONES)
    def remove_site(self, back: int, number: int) -> None:
        """By the owner: of a link that waits for its first code, that is a rejection."""
        entry = self.entry(back)
        phone, link = self.phones[number], entry.link
        if link is None or not link.site_id:
            return
        self.turn(0.001)
        proof = phone.proof(REMOVE, self.clock.now, link.site_id)
        became = self.became(self.world.sites.remove(phone.caller, link.site_id, proof))
        is_user = self.users.get(entry.name) is link
        waits = any(each.state == "AWAITING_CODE" and each.link is link for each in self.all)
        mine = link.account == phone.caller.account_id and (is_user or waits)
        assert became == ("OK" if mine else "NotFound")
        if mine and is_user:
            self.delete(entry.name, "REJECTED")
        elif mine:
            for each in [each for each in self.all if each.link is link and each.state == "AWAITING_CODE"]:
                self.move(each, "REJECTED")

    @action(seconds=st.sampled_from([1, 29.999, 30, 600, 3600]))
    def turn(self, seconds: float) -> None:
        self.clock.turn(seconds=seconds)
        self.settle()

    @action()
    def let_workers_run(self) -> None:
        self.expire()


def test_enrollments(database_url: str, clock: TurnedClock, figure: Callable[[int, int], int]) -> None:
    reached = walk(EnrollmentWalk, lambda: Hall.hired(database_url, clock), figure(8, 1_700))
    # The walks went somewhere; many of them went everywhere.
    assert {move.split()[1] for move in reached} == {move.split()[1] for move in MOVES}, reached
    assert set(reached) == MOVES or not figure(0, 1), reached
