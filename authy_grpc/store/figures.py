"""Asks what waits in the store, for metrics: one statement each, and a bound to what it reads."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text

from authy_grpc.store.columns import from_millis
from authy_grpc.store.events import Position
from authy_grpc.store.statements import Statement
from authy_grpc.store.tx import Tx

# So many posts are counted at most, in a few hundredths of a second.
MOST_COUNTED = 100_000
# From webhook to webhook by the index of what is pending, or all that was ever posted would be read.
_BACKLOG = Statement(
    lambda count, millis: Backlog(count, None if millis is None else from_millis(millis)),
    text("""
SELECT counted.number, (SELECT create_time FROM delivery WHERE sequence = counted.oldest) FROM (
    SELECT count(*) AS number, min(sequence) AS oldest FROM (
        SELECT delivery.sequence FROM webhook
        CROSS JOIN delivery
        WHERE webhook.state = 'ENABLED' AND delivery.webhook_id = webhook.webhook_id
            AND delivery.state = 'PENDING' AND delivery.subject_id >= ''
        LIMIT :most
    ) AS pending
) AS counted
"""),
)
_FIRST_AFTER = Statement(
    from_millis,
    text(
        "SELECT create_time FROM event WHERE (epoch, xid, sequence) > (:epoch, :xid, :sequence)"
        " ORDER BY epoch, xid, sequence LIMIT 1"
    ),
)


@dataclass(frozen=True, slots=True)
class Backlog:
    """The posts to webhooks that are turned on, and have neither arrived nor been given up.

    Attributes:
        count: `MOST_COUNTED` for that many and more.
        oldest: when the event of the oldest was recorded; None where there is none.
    """

    count: int
    oldest: datetime | None


def backlog(tx: Tx) -> Backlog:
    """What waits to be posted."""
    return _BACKLOG.all(tx, most=MOST_COUNTED)[0]


def unread_since(tx: Tx, position: Position) -> datetime | None:
    """When the first event after a place in the feed was recorded; None where there is none."""
    return _FIRST_AFTER.first(tx, **position._asdict())
