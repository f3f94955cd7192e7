"""The methods that are measured, and how their calls are made ready."""

import asyncio
from collections.abc import Sequence
from functools import partial
from itertools import cycle
from typing import Any

from authy_grpc.v1.approval_pb2 import (
    APPROVAL_STATE_APPROVED,
    APPROVAL_STATE_PENDING,
    CreateApprovalRequest,
    WatchApprovalRequest,
)
from authy_grpc.v1.approval_pb2_grpc import ApprovalServiceStub
from authy_grpc.v1.enrollment_pb2 import (
    ENROLLMENT_STATE_COMPLETED,
    CreateEnrollmentRequest,
    GetEnrollmentRequest,
)
from authy_grpc.v1.enrollment_pb2_grpc import EnrollmentServiceStub
from authy_grpc.v1.event_pb2 import ListEventsRequest
from authy_grpc.v1.event_pb2_grpc import EventServiceStub
from authy_grpc.v1.user_pb2 import GetUserRequest
from authy_grpc.v1.user_pb2_grpc import UserServiceStub
from authy_grpc.v1.verification_pb2 import (
    CODE_RESULT_ACCEPTED,
    CODE_RESULT_WRONG,
    SendCodeRequest,
    VerifyCodeRequest,
)
from authy_grpc.v1.verification_pb2_grpc import VerificationServiceStub
from benchmarks.control import Target
from benchmarks.handset import Handset
from benchmarks.load import Call, run
from benchmarks.seed import PERIOD, Person

# Wrong codes in a row, one less than lock a user.
_WRONG_IN_A_ROW = 4
_CLEARED_AT_ONCE = 64
# So that the limits of codes to be sent, ten a day, are kept.
_BETWEEN_SENDS = 3 * 3600
_PAGE = 100


class Calls:
    """The calls of a site, and of its users' phones.

    Args:
        target: the server.
        phones: how many users have theirs at hand.
    """

    def __init__(self, target: Target, phones: int) -> None:
        channel = target.channel
        self._target = target
        self._metadata = target.metadata
        self._verification = VerificationServiceStub(channel)
        self._enrollments = EnrollmentServiceStub(channel)
        self._approvals = ApprovalServiceStub(channel)
        self._users = UserServiceStub(channel)
        self._events = EventServiceStub(channel)
        self._number = 0
        self._wrong = 0
        self._phones: asyncio.Queue[Handset] = asyncio.Queue()
        for person in target.persons[:phones]:
            self._phones.put_nowait(Handset(target, person))

    async def close(self) -> None:
        """Put the phones away."""
        while not self._phones.empty():
            await self._phones.get_nowait().close()

    async def empty(self, count: int) -> Sequence[Call]:
        """Calls that go through the chain and do nothing."""
        return [self._target.empty_call] * count

    async def accepted(self, count: int, *, with_id: bool = True) -> Sequence[Call]:
        """VerifyCode with the right soft token of as many users, each in a step of its own."""
        now = (await self._target.stand(turn=PERIOD)).now
        return [
            self._verify(person, person.code(now), CODE_RESULT_ACCEPTED, with_id)
            for person in self._target.persons[:count]
            # The same digits are good once, though they be of two steps.
            if not person.repeats(now)
        ]

    async def accepted_without_id(self, count: int) -> Sequence[Call]:
        """The same without a request_id, of which no answer is kept."""
        return await self.accepted(count, with_id=False)

    async def wrong(self, count: int) -> Sequence[Call]:
        """VerifyCode with a wrong code of as many users, none of them locked."""
        if self._wrong == _WRONG_IN_A_ROW:
            self._wrong = 0
            # Twice, since one whose code repeats by chance is left out.
            for _ in range(2):
                await run(await self.accepted(len(self._target.persons)), _CLEARED_AT_ONCE)
        self._wrong += 1
        now = (await self._target.stand()).now
        return [
            self._verify(person, person.wrong_code(now), CODE_RESULT_WRONG, True)
            for person in self._target.persons[:count]
        ]

    async def sent(self, count: int) -> Sequence[Call]:
        """SendCode to as many users."""
        await self._target.stand(turn=_BETWEEN_SENDS)
        return [
            partial(
                self._verification.SendCode,
                SendCodeRequest(authy_id=person.authy_id, force=True, request_id=self._new()),
                metadata=self._metadata,
            )
            for person in self._target.persons[:count]
        ]

    async def created(self, count: int) -> Sequence[Call]:
        """CreateEnrollment without an image."""
        return [partial(self._create, self._new()) for _ in range(count)]

    async def enrolled(self, count: int) -> Sequence[Call]:
        """CreateEnrollment, OpenEnrollment, AcceptEnrollment and GetEnrollment, one after the other."""
        return [partial(self._enroll, self._new()) for _ in range(count)]

    async def approved(self, count: int) -> Sequence[Call]:
        """CreateApproval, the question in an inbox, RespondApproval, the end of the site's stream."""
        return [self._approve for _ in range(count)]

    async def read(self, count: int) -> Sequence[Call]:
        """GetUser."""
        persons = cycle(self._target.persons)
        return [
            partial(
                self._users.GetUser, GetUserRequest(authy_id=next(persons).authy_id), metadata=self._metadata
            )
            for _ in range(count)
        ]

    async def listed(self, count: int) -> Sequence[Call]:
        """ListEvents, a page of 100."""
        return [self._list for _ in range(count)]

    def _verify(self, person: Person, code: str, expected: Any, with_id: bool) -> Call:
        request_id = self._new() if with_id else ""
        request = VerifyCodeRequest(authy_id=person.authy_id, code=code, request_id=request_id)

        async def verify() -> None:
            answer = await self._verification.VerifyCode(request, metadata=self._metadata)
            _expect(answer.result, expected)

        return verify

    async def _create(self, name: str) -> Any:
        request = CreateEnrollmentRequest(custom_user_id=name, request_id=name)
        return await self._enrollments.CreateEnrollment(request, metadata=self._metadata)

    async def _enroll(self, name: str) -> None:
        handset = await self._phones.get()
        made = await self._create(name)
        await handset.phone.accept(await handset.phone.open(made.qr.uri))
        request = GetEnrollmentRequest(enrollment_id=made.enrollment.enrollment_id)
        found = await self._enrollments.GetEnrollment(request, metadata=self._metadata)
        _expect(found.enrollment.state, ENROLLMENT_STATE_COMPLETED)
        self._phones.put_nowait(handset)

    async def _approve(self) -> None:
        handset = await self._phones.get()
        await handset.listen()
        request = CreateApprovalRequest(
            authy_id=handset.person.authy_id, message="Pay 12 EUR?", request_id=self._new()
        )
        asked = (await self._approvals.CreateApproval(request, metadata=self._metadata)).approval
        watch = WatchApprovalRequest(approval_id=asked.approval_id)
        states: Any = self._approvals.WatchApproval(watch, metadata=self._metadata)
        await handset.approve(asked.approval_id, asked.match_number)
        last = APPROVAL_STATE_PENDING
        async for each in states:
            last = each.approval.state
        _expect(last, APPROVAL_STATE_APPROVED)
        self._phones.put_nowait(handset)

    async def _list(self) -> None:
        request = ListEventsRequest(cursor="earliest", page_size=_PAGE)
        listed = await self._events.ListEvents(request, metadata=self._metadata)
        _expect(len(listed.events), _PAGE)

    def _new(self) -> str:
        self._number += 1
        return f"benchmark-{self._number}"


def _expect(found: object, expected: object) -> None:
    if found != expected:
        raise RuntimeError(f"the service answered {found}, not {expected}")
