"""Makes every service, worker and servicer, once, of what `bootstrap` has made: the parts list."""

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import ModuleType
from urllib.parse import urlsplit

from structlog.typing import FilteringBoundLogger

from authy_grpc.domain.user import Factor
from authy_grpc.outbound.addresses import IPAddress
from authy_grpc.outbound.sms.number import Numbers
from authy_grpc.outbound.sms.sender import Sender
from authy_grpc.rpc.account import AccountServicer
from authy_grpc.rpc.application import ApplicationServicer
from authy_grpc.rpc.approval import ApprovalServicer
from authy_grpc.rpc.authenticator import AuthenticatorServicer
from authy_grpc.rpc.delivery import DeliveryServicer, write_body
from authy_grpc.rpc.enrollment import EnrollmentServicer
from authy_grpc.rpc.event import EventServicer
from authy_grpc.rpc.streams import Streams
from authy_grpc.rpc.user import UserServicer
from authy_grpc.rpc.verification import VerificationServicer
from authy_grpc.rpc.webhook import WebhookServicer
from authy_grpc.server import Service
from authy_grpc.service.account import OwnAccount
from authy_grpc.service.admission import Admission
from authy_grpc.service.answer import Answers
from authy_grpc.service.application import Applications
from authy_grpc.service.approval import Approvals
from authy_grpc.service.confirmation import Confirmation
from authy_grpc.service.delivery import Deliveries
from authy_grpc.service.device import Devices
from authy_grpc.service.enrollment import Enrollments
from authy_grpc.service.event import Feed
from authy_grpc.service.inbox import Inbox
from authy_grpc.service.phone_verification import PhoneVerifications
from authy_grpc.service.qr import QrCodes
from authy_grpc.service.registration import Registrations
from authy_grpc.service.scan import Scans
from authy_grpc.service.session import Sessions
from authy_grpc.service.signals import Signals
from authy_grpc.service.site import Sites
from authy_grpc.service.telling import Telling
from authy_grpc.service.text import Texts
from authy_grpc.service.user import Users
from authy_grpc.service.verification import Verifications
from authy_grpc.service.webhook import Webhooks
from authy_grpc.store import next_due, retention
from authy_grpc.store.database import Database
from authy_grpc.store.tx import Tx
from authy_grpc.store.vault import Vault
from authy_grpc.v1 import (
    account_pb2,
    account_pb2_grpc,
    application_pb2,
    application_pb2_grpc,
    approval_pb2,
    approval_pb2_grpc,
    authenticator_pb2,
    authenticator_pb2_grpc,
    enrollment_pb2,
    enrollment_pb2_grpc,
    event_pb2,
    event_pb2_grpc,
    user_pb2,
    user_pb2_grpc,
    verification_pb2,
    verification_pb2_grpc,
    webhook_pb2_grpc,
)
from authy_grpc.worker.due import Due
from authy_grpc.worker.loop import Step

# Seconds between looks: watchers learn EXPIRED within a second. Where it is known when something falls due,
# the clock is looked at, not the database.
_SOON, _EVERY_SECOND, _OFTEN, _SELDOM = 0.3, 1.0, 10.0, 300.0


@dataclass(frozen=True, kw_only=True)
class Ground:
    """What the services stand on.

    Attributes:
        sender: hands texts to a carrier.
        carried: factors that the sender has a carrier for.
        numbers: which numbers texts may go to.
        sms_per_hour: codes that callers without a credential may have sent; 0 for any number.
        public_url: the origin of QR links, without a slash at its end.
        check_url: raises where a URL that a site gives must not be called.
        opened_to: what the operator has opened for an application's webhooks.
    """

    database: Database
    vault: Vault
    signals: Signals
    streams: Streams
    sender: Sender
    carried: Collection[Factor]
    numbers: Numbers
    sms_per_hour: int
    public_url: str
    check_url: Callable[..., Awaitable[Sequence[IPAddress]]]
    opened_to: Callable[[str], Sequence[str]]
    log: FilteringBoundLogger
    clock: Callable[[], datetime]
    random: Callable[[int], bytes]


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What was made.

    Attributes:
        services: what the server serves.
        steps: what the workers do.
        account: for the operator, who reaches accounts on the store itself.
        deliveries: to be woken by commits.
        qr_codes: holds threads, to be closed.
    """

    services: list[Service]
    steps: list[Step]
    account: OwnAccount
    deliveries: Deliveries
    qr_codes: QrCodes


def make(ground: Ground) -> Parts:
    """Make everything that stands on the ground."""
    database, vault, signals = ground.database, ground.vault, ground.signals
    streams, clock, random = ground.streams, ground.clock, ground.random
    qr_codes = QrCodes()
    telling = Telling(database=database, random=random)
    texts = Texts(
        database=database,
        sender=ground.sender,
        numbers=ground.numbers,
        log=ground.log,
        clock=clock,
    )
    admission = Admission(
        database=database,
        telling=telling,
    )
    account = OwnAccount(
        database=database,
        admission=admission,
        telling=telling,
    )
    enrollments = Enrollments(
        database=database,
        vault=vault,
        signals=signals,
        confirmation=Confirmation(vault=vault),
        qr_codes=qr_codes,
        public_url=ground.public_url,
        random=random,
    )
    approvals = Approvals(
        database=database,
        vault=vault,
        signals=signals,
        clock=clock,
        random=random,
    )
    phone_verifications = PhoneVerifications(
        database=database,
        vault=vault,
        numbers=ground.numbers,
        host=urlsplit(ground.public_url).hostname or "",
        most=ground.sms_per_hour,
    )
    deliveries = Deliveries(
        database=database,
        vault=vault,
        write_body=write_body,
        clock=clock,
        opened_to=ground.opened_to,
    )
    services = [
        _service(
            account_pb2,
            # The contract's ChangePhone and SetPushSubscription answer UNIMPLEMENTED.
            AccountServicer(  # type: ignore[abstract]
                phone_verifications=phone_verifications,
                registrations=Registrations(database=database),
                sessions=Sessions(database=database),
                account=account,
                devices=Devices(database=database, admission=admission),
            ),
            account_pb2_grpc.add_AccountServiceServicer_to_server,
        ),
        _service(
            application_pb2,
            ApplicationServicer(Applications(database=database, vault=vault)),
            application_pb2_grpc.add_ApplicationServiceServicer_to_server,
        ),
        _service(
            approval_pb2,
            ApprovalServicer(approvals, streams),
            approval_pb2_grpc.add_ApprovalServiceServicer_to_server,
        ),
        _service(
            authenticator_pb2,
            AuthenticatorServicer(
                scans=Scans(
                    database=database,
                    public_url=ground.public_url,
                ),
                sites=Sites(
                    database=database,
                ),
                answers=Answers(database=database, vault=vault),
                inbox=Inbox(database=database, vault=vault, signals=signals, random=random),
                streams=streams,
            ),
            authenticator_pb2_grpc.add_AuthenticatorServiceServicer_to_server,
        ),
        _service(
            enrollment_pb2,
            EnrollmentServicer(enrollments, streams),
            enrollment_pb2_grpc.add_EnrollmentServiceServicer_to_server,
        ),
        _service(
            event_pb2,
            EventServicer(Feed(database=database, vault=vault, signals=signals, random=random), streams),
            event_pb2_grpc.add_EventServiceServicer_to_server,
        ),
        _service(
            user_pb2,
            UserServicer(
                Users(
                    database=database,
                    vault=vault,
                    carried=ground.carried,
                )
            ),
            user_pb2_grpc.add_UserServiceServicer_to_server,
        ),
        _service(
            verification_pb2,
            VerificationServicer(
                Verifications(
                    database=database,
                    vault=vault,
                    carried=ground.carried,
                )
            ),
            verification_pb2_grpc.add_VerificationServiceServicer_to_server,
        ),
        Service(
            "authy_grpc.v1.WebhookService",
            WebhookServicer(
                Webhooks(
                    database=database,
                    vault=vault,
                    check=ground.check_url,
                    opened_to=ground.opened_to,
                )
            ),
            webhook_pb2_grpc.add_WebhookServiceServicer_to_server,
        ),
        Service(
            "authy_grpc.v1.DeliveryService",
            DeliveryServicer(deliveries, streams),
            webhook_pb2_grpc.add_DeliveryServiceServicer_to_server,
        ),
    ]

    def due(find: Callable[[Tx], datetime | None]) -> Due:
        return Due(lambda: database.read(find), clock)

    steps = [
        Step("enrollments", enrollments.expire_due, _SOON, due(next_due.of_enrollments)),
        Step("approvals", approvals.expire_due, _SOON, due(next_due.of_approvals)),
        Step("texts", texts.send_due, _SOON, due(next_due.of_texts)),
        Step("deliveries", deliveries.look, _EVERY_SECOND),
        Step("registrations", phone_verifications.forget_answers, _OFTEN),
        Step("devices", admission.release_due, _OFTEN),
        Step("telling", telling.tell_due, _OFTEN),
        Step("deleted", database.truncate_log, _OFTEN),
        Step("retention", lambda: database.write(retention.prune), _SELDOM),
    ]
    return Parts(services=services, steps=steps, account=account, deliveries=deliveries, qr_codes=qr_codes)


def _service(messages: ModuleType, servicer: object, add: Callable[..., None]) -> Service:
    """The one service of a proto, which has the proto's noun."""
    (name,) = (each.full_name for each in messages.DESCRIPTOR.services_by_name.values())
    return Service(name, servicer, add)
