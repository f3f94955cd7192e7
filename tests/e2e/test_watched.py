"""Whoever watches while a service is killed and started again sees each event once, and in order."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, closing
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import grpc

from authy_grpc.client import AuthyError, Client
from authy_grpc.phone import Phone, PhoneError
from authy_grpc.v1.approval_pb2 import ApprovalState, CreateApprovalRequest, GetApprovalRequest
from authy_grpc.v1.enrollment_pb2 import CreateEnrollmentRequest, EnrollmentState, GetEnrollmentRequest
from authy_grpc.v1.event_pb2 import Event
from tests.harness import Service, Site
from tests.ledger import is_mark, listed, mark
from tests.mortal import Mortal
from tests.rushing import PATIENCE

PEOPLE = 3
# A life is over before everyone has done everything once.
ANSWERS = 7 * PEOPLE


@dataclass
class Watcher:
    """What somebody who watches one thing was told: revisions and states."""

    told: list[tuple[int, int]] = field(default_factory=list)
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    async def watch(self, states: AsyncGenerator[Any, None]) -> None:
        """Watch to the end."""
        async with aclosing(states):
            async for each in states:
                self.told.append((each.revision, each.state))
                self._news.set()

    async def sees(self, state: int) -> None:
        """Wait until it has been told of a state."""
        while state not in [each for _, each in self.told]:
            await self._news.wait()
            self._news.clear()


@dataclass
class Street:
    """People who do one thing after another, whatever becomes of the service.

    Attributes:
        watchers: of each enrollment and approval, by its id.
        over: that nothing new is begun.
    """

    site: Site
    mortal: Mortal
    group: asyncio.TaskGroup
    watchers: dict[str, Watcher] = field(default_factory=dict)
    over: bool = False
    _left: int = 0
    _dead: asyncio.Event = field(default_factory=asyncio.Event)
    _alive: asyncio.Event = field(default_factory=asyncio.Event)

    async def live(self, answers: int | None = None) -> None:
        """Begin a life; it ends after so many answers."""
        await self.mortal.start()
        self._alive.set()
        if answers is not None:
            self._left = answers
            await self._dead.wait()
            self._dead.clear()

    async def act(self, phone: Phone, authy_id: str) -> None:
        """Enroll at the site as one user after another, and approve what one of them is asked."""
        for number in count():
            if self.over:
                return
            name = f"{phone.device_id} {number}"
            await self._persist(partial(self._enroll, phone, name))
            await self._persist(partial(self._approve, phone, authy_id, name))

    def _answered(self) -> None:
        self._left -= 1
        if self._left == 0:
            self.mortal.kill()
            self._alive.clear()
            self._dead.set()

    async def _persist(self, story: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                return await story()
            except (AuthyError, PhoneError) as error:
                if error.code is not grpc.StatusCode.UNAVAILABLE:
                    raise
            await self._alive.wait()

    def _watch(self, watch: Callable[[str], AsyncGenerator[Any, None]], subject_id: str) -> Watcher:
        if subject_id not in self.watchers:
            watcher = self.watchers[subject_id] = Watcher()
            self.group.create_task(watcher.watch(watch(subject_id)))
        return self.watchers[subject_id]

    async def _enroll(self, phone: Phone, name: str) -> None:
        client = self.site.client
        request = CreateEnrollmentRequest(custom_user_id=name, request_id=name)
        made = await client.enrollments.CreateEnrollment(request)
        self._answered()
        enrollment_id = made.enrollment.enrollment_id
        watcher = self._watch(client.watch_enrollment, enrollment_id)
        await watcher.sees(EnrollmentState.ENROLLMENT_STATE_PENDING)
        found = await client.enrollments.GetEnrollment(GetEnrollmentRequest(enrollment_id=enrollment_id))
        if found.enrollment.state != EnrollmentState.ENROLLMENT_STATE_COMPLETED:
            offer = await phone.open(made.qr.uri)
            self._answered()
            await watcher.sees(EnrollmentState.ENROLLMENT_STATE_SCANNED)
            await phone.accept(offer)
            self._answered()
        await watcher.sees(EnrollmentState.ENROLLMENT_STATE_COMPLETED)

    async def _approve(self, phone: Phone, authy_id: str, name: str) -> None:
        client = self.site.client
        request = CreateApprovalRequest(authy_id=authy_id, message=name, request_id=name)
        made = await client.approvals.CreateApproval(request)
        self._answered()
        approval_id = made.approval.approval_id
        watcher = self._watch(client.watch_approval, approval_id)
        await watcher.sees(ApprovalState.APPROVAL_STATE_PENDING)
        found = await client.approvals.GetApproval(GetApprovalRequest(approval_id=approval_id))
        if found.approval.state != ApprovalState.APPROVAL_STATE_APPROVED:
            await phone.approve(await phone.question(), made.approval.match_number)
            self._answered()
        await watcher.sees(ApprovalState.APPROVAL_STATE_APPROVED)


async def feed(site: Site, last: str, *types: str) -> list[Event]:
    """The feed from its begin, as it is watched."""
    events: list[Event] = []
    async with aclosing(site.client.watch_events("earliest", types)) as watched:
        async for event, _ in watched:
            events.append(event)
            if is_mark(event, last):
                break
    return events


def feed_in_thread(client: Client, last: str) -> list[Event]:
    """The same, by the client that blocks."""
    events: list[Event] = []
    with closing(client.watch_events("earliest")) as watched:
        for event, _ in watched:
            events.append(event)
            if is_mark(event, last):
                break
    return events


def faults(watched: list[Event], kept: list[Event]) -> list[str]:
    """What a watcher was told otherwise than it is kept."""
    told, known = Counter(each.event_id for each in watched), [each.event_id for each in kept]
    found = [f"{each} was not told" for each in known if not told[each]]
    found += [f"{each} was told {times} times" for each, times in told.items() if times > 1]
    return found or ([] if watched == kept else ["the order is another, or what is told"])


def states(events: list[Event], subject_id: str) -> list[tuple[int, int]]:
    """What somebody who watched one thing is to have been told."""
    things: list[Any] = [getattr(event, event.WhichOneof("subject") or "") for event in events]
    ids = [getattr(each, "enrollment_id", "") or getattr(each, "approval_id", "") for each in things]
    return [(each.revision, each.state) for each, own in zip(things, ids, strict=True) if own == subject_id]


async def test_nothing_is_lost_and_nothing_comes_twice(
    service: Service, tmp_path: Path, figure: Callable[[int, int], int]
) -> None:
    kills = figure(3, 50)
    chance = Random(2026)
    site = await service.site()
    phones = [await service.phone(f"+4915112345{number:03}") for number in range(PEOPLE)]
    users = [(await service.enroll(site, each, each.device_id))[0].authy_id for each in phones]
    last = (await service.enroll(site, phones[0], "last"))[0].authy_id
    async with Mortal.of(service, tmp_path / "log") as mortal:
        with Client(service.target, site.api_key) as client:
            async with asyncio.timeout(PATIENCE + 5 * kills), asyncio.TaskGroup() as group:
                street = Street(site, mortal, group)
                feeds = [
                    group.create_task(feed(site, last)),
                    group.create_task(feed(site, last, "approval.*", "code.*")),
                    group.create_task(asyncio.to_thread(feed_in_thread, client, last)),
                ]
                actors = [group.create_task(street.act(*each)) for each in zip(phones, users, strict=True)]
                for _ in range(kills):
                    await street.live(chance.randrange(1, ANSWERS))
                street.over = True
                await street.live()
                await asyncio.gather(*actors)
                await mark(site.client, last)
        kept = await listed(site.client)
    every, some, blocking = [each.result() for each in feeds]
    assert faults(every, kept) == faults(blocking, kept) == []
    assert faults(some, [each for each in kept if each.type.startswith(("approval.", "code."))]) == []
    assert len(street.watchers) > kills
    for subject_id, watcher in street.watchers.items():
        assert watcher.told == states(kept, subject_id)


def test_what_is_skipped_or_repeated_is_noticed() -> None:
    kept = [Event(event_id=f"evt_{number}", type="user.unlocked") for number in range(4)]
    assert faults(list(kept), kept) == []
    assert faults(kept[:1] + kept[2:], kept) == ["evt_1 was not told"]
    assert faults(kept[:2] + kept[1:], kept) == ["evt_1 was told 2 times"]
    assert faults(kept[::-1], kept) == ["the order is another, or what is told"]
    changed = Event(event_id="evt_3", type="user.locked")
    assert faults([*kept[:3], changed], kept) == ["the order is another, or what is told"]


def test_states_are_those_of_one_thing() -> None:
    """The control of what is compared above: it is more than nothing."""
    events = [Event(), Event(), Event()]
    for number, event in enumerate(events):
        event.approval.approval_id, event.approval.revision = f"apr_{number // 2}", number + 1
    assert states(events, "apr_0") == [(1, 0), (2, 0)]
