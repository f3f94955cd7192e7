"""Owns when things that have a limit were last done."""

import json
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import func, select
from sqlmodel import Session

from authy_grpc.domain.limits import Rule, spend
from authy_grpc.store.columns import from_millis, to_millis
from authy_grpc.store.tables import BudgetRow


def spent(session: Session, name: str) -> tuple[datetime, ...]:
    """When a budget was spent before, and not so long ago that no rule looks at it.

    Args:
        session: of the work.
        name: a kind and an id or digest, such as `link:sit_…`.
    """
    row = session.get(BudgetRow, name, with_for_update=True)
    if row is None and _reserve(session, name):
        row = session.get(BudgetRow, name, with_for_update=True)
    return tuple(from_millis(each) for each in json.loads(row.times)) if row else ()


def allow(session: Session, name: str, now: datetime, rules: Sequence[Rule]) -> tuple[datetime, ...]:
    """What a budget will be when it is spent once more now; `keep` writes it.

    Raises:
        RateLimited: not before its `retry_after`.
    """
    return spend(spent(session, name), now, rules)


def keep(session: Session, name: str, times: Sequence[datetime], rules: Sequence[Rule]) -> None:
    """Write what `allow` answered, once all that may refuse has been asked."""
    expire_time = max(times) + max(rule.window for rule in rules)
    text = json.dumps([to_millis(each) for each in times])
    session.merge(BudgetRow(name=name, times=text, expire_time=expire_time))


def _reserve(session: Session, name: str) -> bool:
    """Lock what is not there yet, so that of two who begin a budget the second sees what the first has spent.

    Returns:
        Whether that was needed: SQLite has one writer.
    """
    if session.get_bind().dialect.name != "postgresql":
        return False
    session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(name, 0))))
    return True
