"""What the metrics say of what the service decides: once each, after the commit, without ids."""

import asyncio
import math
import re
from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import text

from authy_grpc import logs
from authy_grpc.client import AuthyError
from authy_grpc.domain.errors import BackendUnavailable
from authy_grpc.metrics import Metrics
from authy_grpc.outbound.sms.sender import Refused, Unreachable
from authy_grpc.service.signals import Signals
from authy_grpc.store import tally
from authy_grpc.store.database import Database
from authy_grpc.store.engine import connect
from authy_grpc.store.faults import Fault
from authy_grpc.store.tx import Tx
from authy_grpc.v1 import application_pb2, approval_pb2, enrollment_pb2, verification_pb2, webhook_pb2
from tests.clock import TurnedClock
from tests.harness import Service
from tests.rushing import PATIENCE

Samples = dict[tuple[str, ...], float]
_ID = re.compile(r"[a-z]{2,4}_[0-9A-Za-z]{8,}|\d{7,}|\+\d")

# What each test below brings about. All that can be counted is in one of them.
_CODES = {
    ("SOFT_TOKEN", "ACCEPTED"): 1,
    ("UNKNOWN", "REPLAYED"): 1,
    ("BACKUP_CODE", "ACCEPTED"): 1,
    ("BACKUP_CODE", "WRONG"): 1,
    ("SMS", "ACCEPTED"): 1,
    ("UNKNOWN", "WRONG"): 5,
    ("UNKNOWN", "LOCKED"): 1,
}
_LOCKS = {("LOCKED",): 1, ("UNLOCKED",): 1}
_FREEZES = {("PUSH_FROZEN",): 1}
_TEXTS = {("DELIVERED",): 2, ("REFUSED",): 1}
_ENROLLMENTS = {
    ("CREATED",): 3,
    ("SCANNED",): 2,
    ("COMPLETED",): 1,
    ("CANCELED",): 1,
    ("REJECTED",): 1,
}
_APPROVALS = {
    ("CREATED",): 6,
    ("APPROVED",): 2,
    ("DENIED",): 1,
    ("DENIED_MATCH_NUMBER",): 1,
    ("DENIED_FRAUD",): 1,
    ("EXPIRED",): 1,
}
_LATE_CODES = {("VOICE", "ACCEPTED"): 1, ("UNKNOWN", "EXPIRED"): 1}
_LATE_TEXTS = {("DELIVERED",): 2, ("RETRIED",): 6, ("UNREACHABLE",): 1, ("UNKNOWN",): 1}
_LATE_ENROLLMENTS = {("CREATED",): 1, ("SCANNED",): 1, ("AWAITING_CODE",): 1, ("EXPIRED",): 1}
_LATE_APPROVALS = {("CREATED",): 1, ("CANCELED",): 1}
_COUNTED: dict[str, set[tuple[str, ...]]] = {
    tally.CODES: {*_CODES, *_LATE_CODES},
    tally.LOCKS: {*_LOCKS, *_FREEZES},
    tally.TEXTS: {*_TEXTS, *_LATE_TEXTS},
    tally.ENROLLMENTS: {*_ENROLLMENTS, *_LATE_ENROLLMENTS},
    tally.APPROVALS: {*_APPROVALS, *_LATE_APPROVALS},
}


def read(service: Service) -> Samples:
    """Each sample, by its name and the values of its labels, in the order of their names."""
    exposed = generate_latest(service.core.registry).decode()
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(exposed)
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


def more(service: Service, before: Samples, metric: str) -> dict[tuple[str, ...], float]:
    """What a counter has gained."""
    now = read(service)
    gained = {key[1:]: value - before.get(key, 0) for key, value in now.items() if key[0] == metric}
    return {labels: value for labels, value in gained.items() if value}


def test_every_outcome_is_brought_about() -> None:
    """By the tests below; the labels of a sample stand in the order of their names, factor before result."""
    counted = {(name, *reversed(labels)) for name, found in _COUNTED.items() for labels in found}
    assert counted == tally.KEYS


async def test_each_outcome_is_counted_once(service: Service) -> None:
    before = read(service)
    site, phone = await service.site(), await service.phone()
    assert more(service, before, "authy_texts_total") == {("DELIVERED",): 1}
    enrollment, linked = await service.enroll(site, phone)
    calls, user = site.client.verification, enrollment.authy_id

    async def check(code: str, request_id: str = "") -> None:
        await calls.VerifyCode(
            verification_pb2.VerifyCodeRequest(authy_id=user, code=code, request_id=request_id)
        )

    code = await phone.code(linked)
    await check(code, "once")
    await check(code, "once")
    await check(code)
    made = await calls.CreateBackupCodes(verification_pb2.CreateBackupCodesRequest(authy_id=user))
    await check(made.codes[0])
    await check(made.codes[0])
    send = verification_pb2.SendCodeRequest(authy_id=user, force=True)
    await calls.SendCode(send)
    await check(await service.text_code())
    for index in range(1, 6):
        await check(f"{(int(code) + index) % 10**6:06d}")
    with pytest.raises(AuthyError, match="locked"):
        await check(code)
    assert more(service, before, "authy_codes_total") == _CODES
    await check(made.codes[1])
    assert more(service, before, "authy_locks_total") == _LOCKS

    async def refuse(message: Any) -> None:
        raise Refused

    service.carrier.send = refuse  # type: ignore[method-assign]
    service.clock.turn(seconds=60)
    await calls.SendCode(send)
    await service.due()
    assert more(service, before, "authy_texts_total") == _TEXTS


async def test_approvals_and_enrollments_by_outcome(service: Service) -> None:
    site, phone = await service.site(), await service.phone()
    before = read(service)
    enrollment, _ = await service.enroll(site, phone)
    begin = enrollment_pb2.CreateEnrollmentRequest(custom_user_id="bob")
    made = await site.client.enrollments.CreateEnrollment(begin)
    await site.client.enrollments.CancelEnrollment(
        enrollment_pb2.CancelEnrollmentRequest(enrollment_id=made.enrollment.enrollment_id)
    )
    await phone.reject(await phone.open((await site.client.enrollments.CreateEnrollment(begin)).qr.uri))
    assert more(service, before, "authy_enrollments_total") == _ENROLLMENTS

    request = approval_pb2.CreateApprovalRequest(authy_id=enrollment.authy_id, message="Log in?")
    approvals = site.client.approvals
    for way in ("approve", "deny", "number", "expire", "approve", "fraud"):
        asked = (await approvals.CreateApproval(request)).approval
        question = await phone.question()
        if way == "approve":
            await phone.approve(question, asked.match_number)
        elif way == "deny":
            await phone.deny(question)
        elif way == "number":
            for by in (1, 2, 3):
                await phone.approve(question, f"{(int(asked.match_number) + by) % 10**6:06d}")
        elif way == "expire":
            service.clock.turn(minutes=5)
            await service.due()
        else:
            await phone.report_fraud(question)
        service.clock.turn(seconds=1)
    assert more(service, before, "authy_approvals_total") == _APPROVALS
    assert more(service, before, "authy_locks_total") == _FREEZES


async def test_outcomes_that_time_and_faults_bring_about(service: Service) -> None:
    site, phone = await service.site(), await service.phone()
    user = (await service.enroll(site, phone))[0].authy_id
    before, calls = read(service), site.client.verification

    async def send(
        channel: verification_pb2.CodeChannel.ValueType = verification_pb2.CODE_CHANNEL_SMS,
    ) -> str:
        service.clock.turn(minutes=11)
        await calls.SendCode(verification_pb2.SendCodeRequest(authy_id=user, force=True, channel=channel))
        await service.due()
        # A voice says each digit by itself.
        return "".join(re.findall(r"\d", service.carrier.texts[-1].body)[:6])

    code = await send(verification_pb2.CODE_CHANNEL_VOICE)
    await calls.VerifyCode(verification_pb2.VerifyCodeRequest(authy_id=user, code=code))
    code = await send()
    service.clock.turn(minutes=5)
    await calls.VerifyCode(verification_pb2.VerifyCodeRequest(authy_id=user, code=code))
    assert more(service, before, "authy_codes_total") == _LATE_CODES

    for fault in (Unreachable, RuntimeError):

        async def fail(message: Any, fault: type[Exception] = fault) -> None:
            raise fault

        service.carrier.send = fail  # type: ignore[method-assign]
        await send()
        for seconds in (5, 20, 60):
            service.clock.turn(seconds=seconds)
            await service.due()
    assert more(service, before, "authy_texts_total") == _LATE_TEXTS

    begin = enrollment_pb2.CreateEnrollmentRequest(custom_user_id="bob", require_code=True)
    await phone.accept(await phone.open((await site.client.enrollments.CreateEnrollment(begin)).qr.uri))
    service.clock.turn(hours=2)
    await service.due()
    assert more(service, before, "authy_enrollments_total") == _LATE_ENROLLMENTS

    asked = await site.client.approvals.CreateApproval(
        approval_pb2.CreateApprovalRequest(authy_id=user, message="Log in?")
    )
    await site.client.approvals.CancelApproval(
        approval_pb2.CancelApprovalRequest(approval_id=asked.approval.approval_id)
    )
    assert more(service, before, "authy_approvals_total") == _LATE_APPROVALS


async def test_what_waits_for_receivers_is_measured(service: Service) -> None:
    site, phone = await service.site(), await service.phone()
    await service.due()
    assert read(service)[("authy_webhook_backlog",)] == 0
    assert read(service)[("authy_webhook_oldest_seconds",)] == 0
    webhooks = site.client.webhooks
    hook = (
        await webhooks.CreateWebhook(webhook_pb2.CreateWebhookRequest(url="https://hook.example/"))
    ).webhook
    await service.enroll(site, phone)
    service.clock.turn(minutes=10)
    await service.due()
    found = read(service)
    assert found[("authy_webhook_backlog",)] > 1 and found[("authy_webhook_oldest_seconds",)] == 600
    await webhooks.UpdateWebhook(
        webhook_pb2.UpdateWebhookRequest(
            webhook=webhook_pb2.Webhook(
                webhook_id=hook.webhook_id, state=webhook_pb2.WebhookState.WEBHOOK_STATE_DISABLED
            ),
            update_mask=FieldMask(paths=["state"]),
        )
    )
    await service.due()
    # Nobody posts to it, however long.
    assert read(service)[("authy_webhook_backlog",)] == 0


async def test_the_feeds_lag_is_how_long_an_event_waits(service: Service) -> None:
    site, phone = await service.site(), await service.phone()
    if not service.core.database.postgres:
        # With one writer nothing holds the feed back but its reader.
        await service.core.signals.stop()
        await service.enroll(site, phone)
        service.clock.turn(seconds=42)
        await service.core.workers.run_due()
        assert read(service)[("authy_feed_lag_seconds",)] == 42
        return
    engine = connect(service.url, writes=True, connections=1)
    with engine.connect() as connection:
        connection.execute(text("SELECT pg_current_xact_id()"))
        await service.enroll(site, phone)
        service.clock.turn(seconds=42)
        await service.due()
        assert read(service)[("authy_feed_lag_seconds",)] == 42
    engine.dispose()
    async with asyncio.timeout(PATIENCE):
        while read(service)[("authy_feed_lag_seconds",)]:
            await service.due()


@pytest.mark.parametrize(("most", "found_full"), [(1, True), (1000, False)])
async def test_that_all_connections_are_taken_is_counted(
    sqlite_url: str,
    clock: TurnedClock,
    random: Callable[[int], bytes],
    monkeypatch: pytest.MonkeyPatch,
    most: int,
    found_full: bool,
) -> None:
    monkeypatch.setattr("authy_grpc.listeners.most_connections", lambda: most)
    async with Service.on(sqlite_url, clock, random) as running:
        before = read(running)
        await running.operator.applications.ListApplications(application_pb2.ListApplicationsRequest())
        await running.due()
        full = "grpc_server_connections_full_total"
        # A count that comes by itself may have found it, too.
        assert (read(running)[(full,)] > before[(full,)]) is found_full
        assert read(running)[("grpc_server_connections",)] == 1


async def test_no_value_of_a_label_is_an_id(service: Service) -> None:
    site, phone = await service.site(), await service.phone()
    await service.enroll(site, phone)
    with pytest.raises(AuthyError):
        await site.client.verification.VerifyCode(
            verification_pb2.VerifyCodeRequest(authy_id="7654321", code="123456")
        )
    await service.due()
    found = {key for key in read(service) if len(key) > 1}
    ours = {key for key in found if key[0].startswith("authy_") and not key[0].endswith("_bucket")}
    # By the names of labels: factor, result.
    fixed = {(f"authy_{name}_total", *reversed(labels)) for name, *labels in tally.KEYS}
    assert ours == fixed | {("authy_database_errors_total", kind.value) for kind in Fault}
    values = {value for key in found for value in key[1:]}
    assert [value for value in values if _ID.search(value)] == []
    # The control: what this test looks for is what ids look like.
    assert _ID.search(site.application.application_id) and _ID.search("7654321")


async def test_what_is_rolled_back_is_not_counted_nor_run_again_twice(database: Database) -> None:
    told: list[tuple[int, dict[tuple[str, ...], int]]] = []
    errors: list[Fault] = []
    database.on_commit = lambda works, counted: told.append((works, dict(counted)))
    database.on_error = errors.append
    held = asyncio.Event()
    loop = asyncio.get_running_loop()
    began: list[int] = []

    def holds(tx: Tx) -> None:
        loop.call_soon_threadsafe(held.set)

    def counts(tx: Tx) -> None:
        began.append(1)
        tally.count(tx, tally.TEXTS, "DELIVERED")

    def breaks(tx: Tx) -> None:
        tx.connection().exec_driver_sql("SELECT * FROM nothing_of_the_kind")

    await database.write(holds)
    await held.wait()
    told.clear()
    outcomes = await asyncio.gather(
        database.write(counts), database.write(breaks), database.write(counts), return_exceptions=True
    )
    assert [isinstance(each, Exception) for each in outcomes] == [False, True, False]
    # Some ran twice: in a group that failed, and alone.
    assert len(began) > 2 and sum(counted.get((tally.TEXTS, "DELIVERED"), 0) for _, counted in told) == 2
    assert all(works == 1 for works, _ in told) and set(errors) == {Fault.STATEMENT}


async def test_a_group_is_told_by_its_size(database: Database) -> None:
    told: list[int] = []
    database.on_commit = lambda works, _: told.append(works)
    await asyncio.gather(*[database.write(lambda tx: None) for _ in range(40)])
    assert sum(told) == 40 and max(told) > 1
    assert database.waiting == 0


async def test_a_figure_that_fails_fails_no_call(database: Database) -> None:
    def fail(*_: object) -> None:
        raise OSError("no figures today")

    database.on_commit = database.on_error = fail
    assert await database.write(lambda tx: 17) == 17
    with pytest.raises(Exception, match="nothing_of_the_kind"):
        await database.read(lambda tx: tx.connection().exec_driver_sql("SELECT * FROM nothing_of_the_kind"))
    assert await database.read(lambda tx: 18) == 18


async def test_what_cannot_be_asked_is_no_number(
    database: Database, signals: Signals, clock: TurnedClock
) -> None:
    registry = CollectorRegistry()
    look = Metrics(registry, clock, logs.build(None, clock)).look_at(database, signals)
    waiting = ("authy_webhook_backlog", "authy_webhook_oldest_seconds", "authy_feed_lag_seconds")
    assert await look() == 0
    assert [registry.get_sample_value(name) for name in waiting] == [0, 0, 0]
    await database.close()
    with pytest.raises(BackendUnavailable):
        await look()
    assert [math.isnan(registry.get_sample_value(name) or 0) for name in waiting] == [True, True, True]
