"""Writes posts to webhooks together with their events: one statement a transaction.

The statement is plain SQL, since to have it made would take longer than to run it. A site without webhooks
gets no rows by it.
"""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from authy_grpc.store.tx import Tx

# An event's id, type and subject, whose feed it stands in, the one webhook it is for, empty for any, and when
# it happened, in milliseconds.
Post = tuple[str, str, str, str, str, int]

# What comes second of its subject waits: see `waiting.py`, and there for the form of the question.
# `delivery_id` is that of `domain.delivery`: the events' ids and the webhooks' differ where it cuts them.
_INSERT = """
INSERT INTO delivery (
    delivery_id, webhook_id, event_id, event_type, subject_id, due_time, create_time,
    state, attempts, failures, http_status, error, duration_millis, waits
)
SELECT 'dlv_' || substr(given.event_id, 5, 22) || substr(webhook.webhook_id, 27),
    webhook.webhook_id, given.event_id, given.type, given.subject_id, given.millis, given.millis,
    'PENDING', 0, 0, 0, '', 0,
    row_number() OVER (PARTITION BY webhook.webhook_id, given.subject_id ORDER BY given.place) > 1 OR (
        SELECT CASE WHEN before.subject_id = given.subject_id THEN 1 END FROM delivery AS before
        WHERE before.webhook_id = webhook.webhook_id AND before.state = 'PENDING'
            AND (before.subject_id, before.sequence) >= (given.subject_id, 0)
        ORDER BY before.subject_id, before.sequence LIMIT 1
    ) IS NOT NULL
FROM ({given}) AS given
JOIN webhook ON webhook.application_id = given.application_id
WHERE CASE
    WHEN given.webhook_id <> '' THEN webhook.webhook_id = given.webhook_id
    ELSE webhook.state = 'ENABLED' AND (
        webhook.types = '[]' OR EXISTS (
            SELECT 1 FROM {wanted} WHERE wanted.value = given.type OR (
                substr(wanted.value, length(wanted.value)) = '*'
                AND substr(wanted.value, 1, length(wanted.value) - 1)
                    = substr(given.type, 1, length(wanted.value) - 1)
            )
        )
    )
END
ORDER BY given.place, webhook.webhook_id
"""
_ON_SQLITE = _INSERT.format(
    given="""
    SELECT key AS place, value ->> 0 AS event_id, value ->> 1 AS type, value ->> 2 AS subject_id,
        value ->> 3 AS application_id, value ->> 4 AS webhook_id, value ->> 5 AS millis
    FROM json_each(?)""",
    wanted="json_each(webhook.types) AS wanted",
)
_ON_POSTGRES = _INSERT.format(
    given="""
    SELECT place, event_id, type, subject_id, application_id, webhook_id, millis
    FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::bigint[]) WITH ORDINALITY
        AS rows(event_id, type, subject_id, application_id, webhook_id, millis, place)""",
    wanted="jsonb_array_elements_text(webhook.types::jsonb) AS wanted(value)",
)


def add(tx: "Tx", posts: Sequence[Post]) -> None:
    """Write a post to each webhook that wants it, of events in their order."""
    if not posts:
        return
    if tx.postgres:
        tx.run_raw(_ON_POSTGRES, tuple(map(list, zip(*posts, strict=True))))
    else:
        tx.run_raw(_ON_SQLITE, (json.dumps(posts),))
