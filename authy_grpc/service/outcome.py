"""Draws the consequences of what became of a post: the next attempt, a webhook that is spared, or its end."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from authy_grpc.domain.delivery import (
    BREAKS_AT,
    DeliveryState,
    Health,
    after_failure,
    is_dead,
    is_gone,
    is_success,
    retry_delay,
)
from authy_grpc.domain.event import WebhookEvent, WebhookEventType
from authy_grpc.domain.webhook import DisabledReason, WebhookState
from authy_grpc.store import delivery as store
from authy_grpc.store import waiting
from authy_grpc.store import webhook as webhooks
from authy_grpc.store.events import NewEvent
from authy_grpc.store.tx import Tx

_NOT_FOUND_OR_INSIDE = ("forbidden_address", "dns")
_SUCCESS_NOTED = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What became of a post.

    Attributes:
        attempt: the number of the lease.
        http_status: 0 where no answer came.
        error: why none came.
        retry_after: what the receiver asked for.
    """

    delivery_id: str
    attempt: int
    http_status: int
    error: str
    duration: timedelta
    retry_after: timedelta | None


def take_down(tx: Tx, reports: Sequence[Report]) -> Sequence[None]:
    """Take reports down. Of a lease that is not the last one they count for nothing."""
    now = tx.now()
    known = store.seen(tx, [each.delivery_id for each in reports])
    ours = [(known[each.delivery_id], each) for each in reports if each.delivery_id in known]
    ended: list[tuple[str, str]] = []
    # In one order, since webhooks are locked one after another.
    for seen, each in sorted(ours, key=lambda pair: pair[0].webhook_id):
        if seen.attempts != each.attempt:
            continue
        if is_success(each.http_status) and _is_usual(seen, now):
            _deliver(tx, each)
            ended.append((seen.webhook_id, seen.subject_id))
        elif _take_down_one(tx, seen.webhook_id, each):
            ended.append((seen.webhook_id, seen.subject_id))
    waiting.let_go(tx, ended)
    return [None] * len(reports)


def _take_down_one(tx: Tx, webhook_id: str, report: Report) -> bool:
    """Answers whether the post has ended."""
    webhook = webhooks.ROWS.find(tx, webhook_id, lock=True)
    post = store.locked(tx, report.delivery_id, report.attempt)
    if webhook is None or post is None:
        return False
    if is_success(report.http_status):
        _succeed(tx, webhook, report)
        return True
    return _fail(tx, webhook, post, report)


def _succeed(tx: Tx, webhook: webhooks.Kept, report: Report) -> None:
    was_spared = webhook.failures >= BREAKS_AT
    _deliver(tx, report)
    webhooks.ROWS.change(tx, webhook, last_success_time=tx.now(), **asdict(Health()))
    if was_spared:
        store.make_due(tx, webhook.webhook_id)


def _deliver(tx: Tx, report: Report) -> None:
    millis = _millis(report.duration)
    store.deliver(tx, report.delivery_id, report.attempt, report.http_status, millis)


def _fail(tx: Tx, webhook: webhooks.Kept, post: store.Leased, report: Report) -> bool:
    """Answers whether the post is given up."""
    now, state = tx.now(), DeliveryState.PENDING
    failures, due_time = post.failures, post.due_time
    # A probe may have gone out before its time; it costs the post none of its attempts.
    if due_time <= now:
        failures += 1
        delay = retry_delay(failures, _share(tx), report.retry_after)
        if delay is None:
            state = DeliveryState.FAILED
        else:
            due_time = now + delay
    error, millis = _told(report)
    store.fail(
        tx,
        post,
        state=state,
        failures=failures,
        due_time=due_time,
        http_status=report.http_status,
        error=error,
        duration_millis=millis,
    )
    health = after_failure(webhooks.health(webhook), now, report.retry_after)
    webhooks.ROWS.change(tx, webhook, **asdict(health))
    if is_gone(report.http_status):
        _disable(tx, webhook, DisabledReason.GONE)
    elif is_dead(health, now):
        _disable(tx, webhook, DisabledReason.FAILING)
    return state is DeliveryState.FAILED


def _disable(tx: Tx, webhook: webhooks.Kept, reason: DisabledReason) -> None:
    if webhook.state != WebhookState.ENABLED.value:
        return
    # Before the event, which it is not posted any more.
    webhooks.ROWS.change(tx, webhook, state=WebhookState.DISABLED.value, disabled_reason=reason.value)
    tx.record(
        NewEvent(
            type=WebhookEventType.DISABLED.value,
            subject_id=webhook.webhook_id,
            application_id=webhook.application_id,
            body=WebhookEvent(webhook_id=webhook.webhook_id, reason=reason.value),
        ),
    )


def _share(tx: Tx) -> float:
    return int.from_bytes(tx.random(2)) / 0xFFFF


def _is_usual(seen: store.Seen, now: datetime) -> bool:
    """Whether a success changes nothing of its webhook: its time is noted once a minute."""
    noted = seen.last_success_time
    return not seen.failures and not seen.in_a_row and noted is not None and abs(now - noted) < _SUCCESS_NOTED


def _told(report: Report) -> tuple[str, int]:
    """Why a post came to nothing, as its site is told, and how long it took.

    A name that is not there and one that leads inside are told alike, by their time too. Gateways of earlier
    versions tell them apart.
    """
    if report.error in _NOT_FOUND_OR_INSIDE:
        return _NOT_FOUND_OR_INSIDE[0], 0
    return report.error, _millis(report.duration)


def _millis(span: timedelta) -> int:
    return span // timedelta(milliseconds=1)
