"""The inbox of a phone: the questions that wait, what its owner answers, and what has happened."""

from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime

from authy_grpc.domain import keys
from authy_grpc.domain.errors import BadSignature
from authy_grpc.domain.receipts import Decision, Question, Receipt
from authy_grpc.domain.typed import is_code, normalize
from authy_grpc.phone.errors import PhoneError
from authy_grpc.phone.sites import SiteCalls
from authy_grpc.v1 import authenticator_pb2

_MAX_PAGE = 1000


@dataclass(frozen=True)
class Pending:
    """What waits now. Iterating and `len` are those of `questions`.

    Attributes:
        questions: all that wait, each read strictly from the bytes that an answer signs.
        refused: ids of approvals whose question has another form than the fixed one, or other ids than
            its envelope.
        sites_revision: grows when a site was added, changed or removed.
        devices_revision: grows when a device was added, let in, renamed or put out.
        activity_revision: grows with what `activity` shows and with any change of the account.
    """

    questions: tuple[Question, ...]
    refused: tuple[str, ...]
    sites_revision: int
    devices_revision: int
    activity_revision: int

    def __iter__(self) -> Iterator[Question]:
        return iter(self.questions)

    def __len__(self) -> int:
        return len(self.questions)


class InboxCalls(SiteCalls):
    """What a phone asks of AuthenticatorService about questions. Every call may raise PhoneError."""

    async def inbox(self) -> AsyncGenerator[Pending, None]:
        """Yields what waits at once, then after each change, and at least every 25 s, until closed."""
        stream = self._session.stream(self._authenticator.WatchInbox, authenticator_pb2.WatchInboxRequest())
        async with aclosing(stream):
            async for response in stream:
                self._session.heard(response.server_time.ToDatetime(UTC))
                yield _pending(response)

    async def question(self) -> Question:
        """Waits until a question stands, and returns the first."""
        async with aclosing(self.inbox()) as inbox:
            async for pending in inbox:
                if pending.questions:
                    return pending.questions[0]
        raise PhoneError("the service ended the inbox")

    async def approve(
        self, question: Question, match_number: str = "", *, user_verified: bool = False
    ) -> authenticator_pb2.RespondApprovalResponse:
        """Approves a question; the site gets a key of this phone first where it has none.

        Args:
            question: as the inbox gave it.
            match_number: the digits that the site shows, as typed, where `question.match_digits` is not 0.
            user_verified: whether a PIN or a biometric was asked for.

        Returns:
            The state that the question has now, and the tries left after a wrong number.
        """
        if match_number and not is_code(match_number, question.match_digits):
            raise PhoneError(f"a match number has digits alone, here {question.match_digits} of them")
        return await self._respond(question, Decision.APPROVE, normalize(match_number), user_verified)

    async def deny(
        self, question: Question, *, user_verified: bool = False
    ) -> authenticator_pb2.RespondApprovalResponse:
        """Denies a question that the owner asked for."""
        return await self._respond(question, Decision.DENY, "", user_verified)

    async def report_fraud(
        self, question: Question, *, user_verified: bool = False
    ) -> authenticator_pb2.RespondApprovalResponse:
        """Denies a question that somebody else asked for."""
        return await self._respond(question, Decision.REPORT_FRAUD, "", user_verified)

    async def activity(self, limit: int = 100) -> list[authenticator_pb2.Activity]:
        """What has happened on the account, newest first, at most `limit`."""
        activities: list[authenticator_pb2.Activity] = []
        token = ""
        while len(activities) < limit:
            response = await self._session.call(
                self._authenticator.ListActivity,
                authenticator_pb2.ListActivityRequest(
                    page_size=min(limit - len(activities), _MAX_PAGE), page_token=token
                ),
            )
            activities.extend(response.activities)
            token = response.next_page_token
            if not token:
                break
        return activities

    async def _respond(
        self, question: Question, decision: Decision, match_number: str, user_verified: bool
    ) -> authenticator_pb2.RespondApprovalResponse:
        key = await self._site_key(question.site_id)
        receipt = Receipt(
            kid=keys.thumbprint(keys.public_point(key)),
            decision=decision,
            match_number=match_number,
            user_verified=user_verified,
            time=_seconds(self._session.now()),
            question=question.write(),
        )
        try:
            signed = receipt.sign(key)
        except ValueError:
            raise PhoneError("a match number has digits alone") from None
        return await self._session.call(
            self._authenticator.RespondApproval,
            authenticator_pb2.RespondApprovalRequest(approval_id=question.approval_id, receipt=signed),
        )


def _pending(response: authenticator_pb2.WatchInboxResponse) -> Pending:
    questions: list[Question] = []
    refused: list[str] = []
    for envelope in response.approvals:
        question = _read(envelope)
        if question is None:
            refused.append(envelope.approval_id)
        else:
            questions.append(question)
    return Pending(
        tuple(questions),
        tuple(refused),
        response.sites_revision,
        response.devices_revision,
        response.activity_revision,
    )


def _read(envelope: authenticator_pb2.PendingApproval) -> Question | None:
    try:
        question = Question.read(envelope.question)
    except BadSignature:
        return None
    named = question.approval_id, question.site_id
    return question if named == (envelope.approval_id, envelope.site_id) else None


def _seconds(moment: datetime) -> int:
    return int(moment.timestamp())
