# Made of async_client.py by scripts/unasync.py: edit that one.
"""The sync client: the services of the contract as a relying site calls them."""

import os
import secrets
import time
from collections.abc import Generator, Sequence
from types import TracebackType
from typing import Self, cast

import grpc

from authy_grpc.client import connect, sync_watch
from authy_grpc.client.retry import Clock, Policy, Random
from authy_grpc.client.sync_channel import Channel, Sleep, Stream
from authy_grpc.client.watch import ENDED_APPROVAL, ENDED_ENROLLMENT, EventAt, Resume
from authy_grpc.v1.application_pb2_grpc import ApplicationServiceStub
from authy_grpc.v1.approval_pb2 import Approval, WatchApprovalRequest, WatchApprovalResponse
from authy_grpc.v1.approval_pb2_grpc import ApprovalServiceStub
from authy_grpc.v1.enrollment_pb2 import Enrollment, WatchEnrollmentRequest, WatchEnrollmentResponse
from authy_grpc.v1.enrollment_pb2_grpc import EnrollmentServiceStub
from authy_grpc.v1.event_pb2 import ListEventsRequest, WatchEventsRequest, WatchEventsResponse
from authy_grpc.v1.event_pb2_grpc import EventServiceStub
from authy_grpc.v1.user_pb2_grpc import UserServiceStub
from authy_grpc.v1.verification_pb2_grpc import VerificationServiceStub
from authy_grpc.v1.webhook_pb2_grpc import WebhookServiceStub


class Client:
    """A connection to the service; good for many threads. Close it, or use it in a `with`.

    Under gevent (`gunicorn -k gevent`) grpc must be told, or a call holds all greenlets: after
    `monkey.patch_all()` call `grpc.experimental.gevent.init_gevent()`. A client that is made without warns.

    A connection carries 600 calls and streams at a time; where there are more the client connects again by
    itself, up to 20 times.

    Every call carries the API key, has a deadline and raises an `AuthyError`. A call that the service or the
    way to it could not take is made again until its deadline, where that does no more: where it reads,
    cancels, has a `request_id`, which is filled in, or was not begun. Watchers connect again by
    themselves; each time that something on the way ends a stream they warn in the log `authy_grpc.client`.

    Attributes:
        enrollments: EnrollmentService.
        users: UserService.
        verification: VerificationService.
        approvals: ApprovalService.
        events: EventService.
        webhooks: WebhookService.
        application: ApplicationService, of which a site may call GetCurrentApplication.
        applications: the same, for the operator.
    """

    def __init__(
        self,
        target: str,
        api_key: str,
        *,
        credentials: grpc.ChannelCredentials | None = None,
        insecure: bool | None = None,
        ca: str | os.PathLike[str] | None = None,
        client_cert: str | os.PathLike[str] | None = None,
        client_key: str | os.PathLike[str] | None = None,
        timeout: float = 10.0,
        silence: float = 75.0,
        sleep: Sleep = time.sleep,
        random: Random = secrets.token_bytes,
        clock: Clock = time.monotonic,
    ) -> None:
        """Connects when the first call is made.

        Args:
            target: where the service listens: `authy.example:443`, `grpcs://authy.example`, `grpc://core:50051`
                for clear text, `unix:/run/authy.sock`.
            api_key: `ak_…`, or the operator's `op_…`.
            credentials: for TLS, in place of those of files.
            insecure: True for plaintext, False for TLS; where None, the target's scheme says it, and without
                one a loopback target is plaintext unless there are files of certificates.
            ca: PEM file of who has signed the service's certificate; where None, AUTHY_CA, else the usual.
            client_cert: PEM file of the certificate to show; where None, AUTHY_CLIENT_CERT.
            client_key: PEM file of its key; where None, AUTHY_CLIENT_KEY.
            timeout: seconds that a call may take, its tries and waits together.
            silence: seconds without a message after which a watcher connects again; the service says
                something at least every 25 s.
            sleep: waits that many seconds.
            random: returns that many random bytes.
            clock: seconds that only rise.

        Raises:
            ValueError: an argument that cannot be right.
        """
        policy = Policy(api_key, timeout, random, clock)
        files = connect.TlsFiles.of(os.environ, ca=ca, client_cert=client_cert, client_key=client_key)
        inner = connect.road(target, credentials, insecure, files).channel()
        self._policy = policy
        self._silence = silence
        self._sleep = sleep
        self._channel = Channel(inner, policy, sleep)
        channel = cast(grpc.Channel, self._channel)
        self.enrollments = EnrollmentServiceStub(channel)
        self.users = UserServiceStub(channel)
        self.verification = VerificationServiceStub(channel)
        self.approvals = ApprovalServiceStub(channel)
        self.events = EventServiceStub(channel)
        self.webhooks = WebhookServiceStub(channel)
        self.application = self.applications = ApplicationServiceStub(channel)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connection, open streams too."""
        self._channel.close()

    def watch_enrollment(
        self, enrollment_id: str, after_revision: int = 0, heartbeats: bool = False
    ) -> Generator[Enrollment, None, None]:
        """Yields an enrollment: its present state at once, then each change, to the terminal one.

        Connects again by itself, whatever has cut the stream, and goes on after the last revision seen.

        Args:
            enrollment_id: from CreateEnrollment.
            after_revision: leave out states up to this one.
            heartbeats: yield those too (`revision` is 0), at least every 25 s.

        Raises:
            AuthyError: what the service says, but UNAVAILABLE; or it was not reached in 30 s.
        """

        def start(revision: int) -> Stream[WatchEnrollmentResponse]:
            request = WatchEnrollmentRequest(
                enrollment_id=enrollment_id, after_revision=revision, heartbeat=True
            )
            return cast(Stream[WatchEnrollmentResponse], self.enrollments.WatchEnrollment(request))

        return sync_watch.resources(
            start,
            lambda got: got.enrollment,
            ENDED_ENROLLMENT,
            after_revision,
            Resume("watch_enrollment", self._policy, self._silence),
            self._sleep,
            heartbeats,
        )

    def watch_approval(
        self, approval_id: str, after_revision: int = 0, heartbeats: bool = False
    ) -> Generator[Approval, None, None]:
        """Yields an approval: its present state at once, then each change, to the terminal one.

        Connects again by itself, whatever has cut the stream, and goes on after the last revision seen.

        Args:
            approval_id: from CreateApproval.
            after_revision: leave out states up to this one.
            heartbeats: yield those too (`revision` is 0), at least every 25 s.

        Raises:
            AuthyError: what the service says, but UNAVAILABLE; or it was not reached in 30 s.
        """

        def start(revision: int) -> Stream[WatchApprovalResponse]:
            request = WatchApprovalRequest(approval_id=approval_id, after_revision=revision, heartbeat=True)
            return cast(Stream[WatchApprovalResponse], self.approvals.WatchApproval(request))

        return sync_watch.resources(
            start,
            lambda got: got.approval,
            ENDED_APPROVAL,
            after_revision,
            Resume("watch_approval", self._policy, self._silence),
            self._sleep,
            heartbeats,
        )

    def watch_events(
        self, cursor: str = "", types: Sequence[str] = (), checkpoints: bool = False
    ) -> Generator[EventAt, None, None]:
        """Yields the site's events after a cursor, each once, for ever.

        Connects again by itself, whatever has cut the stream, and goes on after the last cursor. Keep the
        cursor of the last event that is dealt with: a new process goes on from there.

        Args:
            cursor: where to go on from; empty: from when the first is asked for; `earliest`: from the oldest.
            types: such as `approval.*`; all where empty.
            checkpoints: yield cursors without an event too (`event.event_id` is empty), at least every 25 s.

        Raises:
            CursorExpired: the cursor is older than what is kept.
            AuthyError: what else the service says, but UNAVAILABLE; or it was not reached in 30 s.
        """

        def begin() -> str:
            answer = self.events.ListEvents(ListEventsRequest(types=types))
            return answer.cursor

        def start(after: str) -> Stream[WatchEventsResponse]:
            request = WatchEventsRequest(cursor=after, types=types)
            return cast(Stream[WatchEventsResponse], self.events.WatchEvents(request))

        return sync_watch.events(
            begin,
            start,
            cursor,
            checkpoints,
            Resume("watch_events", self._policy, self._silence),
            self._sleep,
        )
