"""What a service has acknowledged, and the comparison with what it says later."""

from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from authy_grpc.client import AsyncClient, AuthyError
from authy_grpc.v1.approval_pb2 import ApprovalState, GetApprovalRequest
from authy_grpc.v1.enrollment_pb2 import EnrollmentState, GetEnrollmentRequest
from authy_grpc.v1.event_pb2 import Event, ListEventsRequest
from authy_grpc.v1.verification_pb2 import CodeResult, VerifyCodeRequest

# The types of an event of one thing, in order.
Path = tuple[str, ...]
ENROLLED: Path = ("enrollment.pending", "enrollment.scanned", "enrollment.completed")
APPROVED: Path = ("approval.pending", "approval.approved")
ACCEPTED = "code.accepted"
# Has the shape of a backup code and is nobody's: the feed tells of it, and no limit counts it.
_MARK = "0000000000000000"


@dataclass(frozen=True)
class Code:
    """A code that is good once. The same digits may come again some day: `name` tells them apart."""

    authy_id: str
    text: str
    name: str


class Ledger:
    """Notes what is acknowledged, and compares it with what is said later.

    Attributes:
        findings: what was acknowledged, and is not so.
        on_answer: is called at each acknowledgement.
    """

    def __init__(self, client: AsyncClient) -> None:
        self._client = client
        self._answers: dict[str, Any] = {}
        self._reached: dict[str, Path] = {}
        self._moved: set[str] = set()
        self._offers: defaultdict[Code, set[str]] = defaultdict(set)
        self._cursor = "earliest"
        self._events: list[Event] = []
        self._told: Counter[tuple[str, str]] = Counter()
        self.findings: list[str] = []
        self.on_answer: Callable[[], None] = nothing

    async def ask(self, call: Callable[[Any], Awaitable[Any]], request: Any) -> Any:
        """Make a call that has a `request_id`: whenever it is made again, it is to be answered the same."""
        answer = await call(request)
        before = self._answers.setdefault(request.request_id, answer)
        if before != answer:
            self.findings.append(f"{request.request_id} was answered {before}, and then {answer}")
        self.on_answer()
        return answer

    async def offer(self, code: Code, request_id: str) -> None:
        """Offer a code, which one call is to have ACCEPTED."""
        request = VerifyCodeRequest(authy_id=code.authy_id, code=code.text, request_id=request_id)
        calls = self._offers[code]
        answer = await self.ask(self._client.verification.VerifyCode, request)
        if answer.result == CodeResult.CODE_RESULT_ACCEPTED:
            calls.add(request_id)

    async def offer_again(self, code: Code, request_id: str) -> None:
        """Offer a code that was ACCEPTED, and is still of the present window, by another call."""
        if self._offers[code]:
            await self.offer(code, request_id)

    def reached(self, path: Path, subject_id: str) -> None:
        """Note that a thing has come to the last of these states, through the others."""
        if len(path) > len(self._reached.get(subject_id, ())):
            self._reached[subject_id] = path
            self._moved.add(subject_id)
        self.on_answer()

    async def look(self, *, at_all: bool = False) -> None:
        """Compare the state of each thing, or of those that have moved since the last look."""
        for subject_id in self._reached if at_all else self._moved:
            path = self._reached[subject_id]
            try:
                state = await self._state(subject_id)
            except AuthyError as error:
                state = error.reason
            # What has gone on was not answered.
            if state in path[:-1] or state not in ENROLLED + APPROVED:
                self.findings.append(f"{subject_id} was {path[-1]}, and is {state}")
        self._moved.clear()

    def settle(self) -> None:
        """Compare the codes, once every call has its answer."""
        for code, calls in self._offers.items():
            if len(calls) != 1:
                self.findings.append(f"{code} was accepted {len(calls)} times")

    async def read(self, marked: str) -> None:
        """Compare the feed, once every call has its answer.

        Args:
            marked: a user of whom it tells nothing but what marks its present end.
        """
        await mark(self._client, marked)
        async with aclosing(self._client.watch_events(self._cursor)) as feed:
            async for event, cursor in feed:
                self._cursor = cursor
                self._events.append(event)
                self._told.update(_told(event))
                if is_mark(event, marked):
                    break
        known = Counter([(ACCEPTED, code.authy_id) for code, calls in self._offers.items() if calls])
        known.update((type, subject_id) for subject_id, path in self._reached.items() for type in path)
        for each in sorted((self._told - known) | (known - self._told)):
            self.findings.append(f"{each} is told {self._told[each]} times, and not {known[each]}")

    async def read_again(self) -> None:
        """Compare the feed, from its begin, with what it was."""
        events = await listed(self._client)
        if events != self._events or len({event.event_id for event in events}) != len(events):
            self.findings.append(f"of {len(self._events)} events {len(events)} are left, or others")

    async def _state(self, subject_id: str) -> str:
        """What an event of its present state is called."""
        if subject_id.startswith("apr_"):
            asked = await self._client.approvals.GetApproval(GetApprovalRequest(approval_id=subject_id))
            name = ApprovalState.Name(asked.approval.state)
        else:
            request = GetEnrollmentRequest(enrollment_id=subject_id)
            name = EnrollmentState.Name(
                (await self._client.enrollments.GetEnrollment(request)).enrollment.state
            )
        return name.lower().replace("_state_", ".")


def _told(event: Event) -> list[tuple[str, str]]:
    """What an event is compared by, where it follows from what is noted here."""
    if event.type.startswith("enrollment."):
        return [(event.type, event.enrollment.enrollment_id)]
    if event.type.startswith("approval."):
        return [(event.type, event.approval.approval_id)]
    return [(ACCEPTED, event.user.authy_id)] if event.type == ACCEPTED else []


async def mark(client: AsyncClient, authy_id: str) -> None:
    """Have the feed tell of a user to whom nothing else happens: what was answered before stands above."""
    await client.verification.VerifyCode(VerifyCodeRequest(authy_id=authy_id, code=_MARK))


def is_mark(event: Event, authy_id: str) -> bool:
    """Whether an event tells of a mark at this user."""
    return event.type == "code.rejected" and event.user.authy_id == authy_id


async def listed(client: AsyncClient) -> list[Event]:
    """The feed from its begin, as it stands."""
    events, cursor, more = list[Event](), "earliest", True
    while more:
        page = await client.events.ListEvents(ListEventsRequest(cursor=cursor, page_size=1000))
        events += page.events
        cursor, more = page.cursor, page.has_more
    return events


def nothing() -> None:
    """Do nothing: nobody counts."""
