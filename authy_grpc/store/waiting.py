"""Orders posts to webhooks: which wait behind others of their subject, and that none waits for nobody.

A row that `waits` is in no index of what is due, so that nobody reads it again and again; whoever ends the
one before lets it go. That is a hint: `lease.py` decides what may go. One that was written while the one
before ended may wait for nobody: `forgotten` finds it.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Integer,
    ScalarSelect,
    String,
    bindparam,
    case,
    literal_column,
    select,
    text,
    tuple_,
    update,
)

from authy_grpc.store.bulk import Bulk, table
from authy_grpc.store.columns import Moment
from authy_grpc.store.statements import Statement, statement
from authy_grpc.store.tables import DeliveryRow
from authy_grpc.store.tx import Tx

_D = table(DeliveryRow)
_OTHER = _D.alias("other")
_NOW = bindparam("now", type_=Moment)
# Written out, or the indexes of what is pending would not be used.
PENDING: ColumnElement[str] = literal_column("'PENDING'")
FAILED: ColumnElement[str] = literal_column("'FAILED'")
FOREMOST: ColumnElement[bool] = literal_column("NOT delivery.waits")
# So many subjects are asked at a time whether their first post waits: it takes some hundredths of a second.
_SUBJECTS = 2_000

# A webhook and a subject of it; without one, behind its last.
Place = tuple[str, str | None]
START: Place = ("", None)


def first_left(
    webhook_id: ColumnElement[str] = _D.c.webhook_id,
    subject_id: ColumnElement[str] = _D.c.subject_id,
    behind: int = 0,
) -> ScalarSelect[Any]:
    """The first post of a subject that is left, or one so far behind it; NULL where there is none.

    It is looked up as the first one from the subject's beginning on, whosever that is, since only the index
    by subject has that order: for a subject's first by sequence PostgreSQL may read all that was ever posted.
    """
    onwards = tuple_(_OTHER.c.subject_id, _OTHER.c.sequence) >= tuple_(subject_id, literal_column("0"))
    return (
        select(case((_OTHER.c.subject_id == subject_id, _OTHER.c.sequence)))
        .where(_OTHER.c.webhook_id == webhook_id, onwards, _OTHER.c.state == PENDING)
        .order_by(_OTHER.c.subject_id, _OTHER.c.sequence)
        .limit(1)
        .offset(behind or None)
        .correlate(_D)
        .scalar_subquery()
    )


class _Found(NamedTuple):
    webhook_id: str
    subject_id: str | None
    number: int
    head: int | None


_NEXT_OF = first_left(bindparam("of_webhook_id", type_=String), bindparam("of_subject_id", type_=String))
_GOES = update(_D).values(waits=False, due_time=_NOW)
_LET_GO = statement(_GOES.where(_D.c.sequence == _NEXT_OF, _D.c.waits))
_LET_ALL_GO = Bulk(sequence=BigInteger).statement(
    lambda given: _GOES.where(_D.c.sequence == given.c.sequence, _D.c.state == PENDING, _D.c.waits)
)
# From subject to subject, and behind the last one to the next webhook: the rows between are not read.
_FORGOTTEN = text("""
WITH RECURSIVE place (webhook_id, subject_id, number) AS (
    SELECT CAST(:webhook_id AS VARCHAR), CAST(:subject_id AS VARCHAR), 0
    UNION ALL
    SELECT
        CASE WHEN place.subject_id IS NOT NULL THEN place.webhook_id ELSE (
            SELECT webhook.webhook_id FROM webhook
            WHERE webhook.webhook_id > place.webhook_id AND webhook.state = 'ENABLED'
            ORDER BY webhook.webhook_id LIMIT 1
        ) END,
        CASE WHEN place.subject_id IS NULL THEN '' ELSE (
            SELECT following.subject_id FROM delivery AS following
            WHERE following.webhook_id = place.webhook_id AND following.state = 'PENDING'
                AND following.subject_id > place.subject_id
            ORDER BY following.subject_id LIMIT 1
        ) END,
        place.number + 1
    FROM place WHERE place.webhook_id IS NOT NULL AND place.number < :steps
)
SELECT webhook_id, subject_id, number, head FROM (
    SELECT place.webhook_id, place.subject_id, place.number, (
        SELECT CASE WHEN head.subject_id = place.subject_id AND head.waits THEN head.sequence END
        FROM delivery AS head
        WHERE head.webhook_id = place.webhook_id AND head.state = 'PENDING'
            AND (head.subject_id, head.sequence) >= (place.subject_id, 0)
        ORDER BY head.subject_id, head.sequence LIMIT 1
    ) AS head
    FROM place
) AS found
WHERE head IS NOT NULL OR (number = :steps AND webhook_id IS NOT NULL)
""").bindparams(
    bindparam("webhook_id", type_=String),
    bindparam("subject_id", type_=String),
    bindparam("steps", type_=Integer),
)
_FIND_FORGOTTEN = Statement(_Found, _FORGOTTEN)


def let_go(tx: Tx, subjects: Iterable[tuple[str, str]]) -> None:
    """Have what waits next be due, of webhooks and subjects of which a post has ended."""
    now = tx.now()
    for webhook_id, subject_id in sorted(set(subjects)):
        _LET_GO.run(tx, of_webhook_id=webhook_id, of_subject_id=subject_id, now=now)


def forgotten(tx: Tx, place: Place, steps: int = _SUBJECTS) -> tuple[list[int], Place]:
    """Look for posts that wait for nobody: those who ended the one before did not see them.

    Args:
        tx: of a read.
        place: `START`, or where the last look has stopped.
        steps: at most so many subjects.

    Returns:
        Their sequences, and the place to go on from: `START` where all have been seen.
    """
    rows = _FIND_FORGOTTEN.all(tx, webhook_id=place[0], subject_id=place[1], steps=steps)
    last = next(((row.webhook_id, row.subject_id) for row in rows if row.number == steps), START)
    return [row.head for row in rows if row.head is not None], last


def let_all_go(tx: Tx, sequences: Sequence[int]) -> None:
    """Have posts be due that wait for nobody."""
    _LET_ALL_GO.run(tx, [(each,) for each in sequences], now=tx.now())
