"""Makes the Prometheus metrics of what the service decides and of its database; those of calls are observe's.

Values of labels come from fixed lists, so that no id is ever one. Observing never decides: what fails here
fails no call.
"""

import math
from collections.abc import Awaitable, Callable
from datetime import datetime

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from structlog.typing import FilteringBoundLogger

from authy_grpc.service.signals import Signals
from authy_grpc.store import figures, tally
from authy_grpc.store.database import Database
from authy_grpc.store.faults import Fault

_COUNTERS = {
    tally.CODES: ("authy_codes", "Codes that sites have asked about.", ["result", "factor"]),
    tally.APPROVALS: ("authy_approvals", "Approvals made, and how they ended.", ["outcome"]),
    tally.ENROLLMENTS: ("authy_enrollments", "Enrollments made, and what became of them.", ["outcome"]),
    tally.TEXTS: ("authy_texts", "Texts and calls, by what the carrier made of them.", ["outcome"]),
    tally.LOCKS: ("authy_locks", "Users that were locked or unlocked, and pushes frozen.", ["kind"]),
}
_GROUPS = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """Counts what commits decide, and asks the database every few seconds what waits.

    Args:
        registry: where the metrics are registered.
        clock: the time now, for ages.
        log: takes a line where one cannot be counted.
    """

    def __init__(
        self, registry: CollectorRegistry, clock: Callable[[], datetime], log: FilteringBoundLogger
    ) -> None:
        self._clock = clock
        self._log = log
        counters = {name: Counter(*described, registry=registry) for name, described in _COUNTERS.items()}
        # All are there from the start: a rate of what has not happened yet is 0.
        self._counted = {key: counters[key[0]].labels(*key[1:]) for key in sorted(tally.KEYS)}
        errors = Counter("authy_database_errors", "Errors of the database.", ["kind"], registry=registry)
        self._errors = {kind: errors.labels(kind.value) for kind in Fault}
        self._works = Histogram(
            "authy_writer_group_size", "Works in a commit.", registry=registry, buckets=_GROUPS
        )
        self._queue = Gauge("authy_writer_queue", "Works that wait for their commit.", registry=registry)
        self._backlog = Gauge("authy_webhook_backlog", "Posts that wait, to 100,000.", registry=registry)
        self._oldest = Gauge(
            "authy_webhook_oldest_seconds", "Age of the oldest of them; 0 for none.", registry=registry
        )
        self._lag = Gauge(
            "authy_feed_lag_seconds", "Age of the oldest event not handed out; 0 for none.", registry=registry
        )

    def watch(self, database: Database) -> None:
        """Count what a database commits, and its errors."""
        database.on_commit, database.on_error = self._committed, self._failed
        self._queue.set_function(lambda: database.waiting)

    def look_at(self, database: Database, signals: Signals) -> Callable[[], Awaitable[int]]:
        """A step that asks what waits. What cannot be asked is NaN, not what it was last."""

        async def look() -> int:
            try:
                found = await database.read(figures.backlog, pages=True)
                since = await signals.unread_since()
            except Exception:
                for gauge in (self._backlog, self._oldest, self._lag):
                    gauge.set(math.nan)
                raise
            self._backlog.set(found.count)
            self._oldest.set(self._age(found.oldest))
            self._lag.set(self._age(since))
            return 0

        return look

    def _age(self, since: datetime | None) -> float:
        return 0.0 if since is None else max(0.0, (self._clock() - since).total_seconds())

    def _committed(self, works: int, counted: tally.Tally) -> None:
        try:
            self._works.observe(works)
            for key, number in counted.items():
                self._counted[key].inc(number)
        except Exception as error:
            self._log.error("observing failed", exc_info=error)

    def _failed(self, kind: Fault) -> None:
        self._errors[kind].inc()
