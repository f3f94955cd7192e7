"""Observes requests: one line in the log each, and the figures for Prometheus.

Both name the route, never the address: that holds ids that are a site's own.
"""

from time import perf_counter
from types import TracebackType

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from structlog.typing import FilteringBoundLogger

from authy_grpc.domain.forwarded import is_worth_a_line
from gateway.errors import Failure

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_VERBS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Observe:
    """Sees how every request ends.

    Args:
        log: one line a request, at `info`.
        registry: where the metrics are registered.
    """

    def __init__(self, log: FilteringBoundLogger, registry: CollectorRegistry) -> None:
        self.log = log
        self._handled = Counter(
            "gateway_http_handled",
            "Requests that have ended.",
            ["verb", "route", "status"],
            registry=registry,
        )
        self._seconds = Histogram(
            "gateway_http_seconds",
            "How long requests took, but streams.",
            ["verb", "route"],
            registry=registry,
            buckets=_BUCKETS,
        )
        self._open = Gauge("gateway_open_streams", "Streams that are open.", ["route"], registry=registry)
        self._unreadable = Counter(
            "gateway_http_forwarded_unreadable",
            "Requests through a trusted proxy whose header names no address: they share one budget.",
            registry=registry,
        )
        self._counters: dict[tuple[str, str, str], Counter] = {}
        self._timers: dict[tuple[str, str], Histogram] = {}

    def __call__(self, verb: str, route: str) -> "Ended":
        """What takes note of one request.

        Args:
            verb: as it came.
            route: its template; empty for an address that leads nowhere.
        """
        return Ended(self, verb if verb in _VERBS else "OTHER", route)

    def opened(self, route: str, by: int) -> None:
        """Count a stream that opens or ends."""
        self._open.labels(route).inc(by)

    def unreadable(self, count: int) -> None:
        """Count a request whose caller no trusted proxy has told, the `count`th."""
        self._unreadable.inc()
        if is_worth_a_line(count):
            self.log.warning("forwarded unreadable", reason="a trusted proxy names no address", count=count)

    def finish(self, ended: "Ended", seconds: float) -> None:
        """Write down how a request ended."""
        verb, route = ended.verb, ended.route
        if not ended.streams:
            timer = self._timers.get((verb, route))
            if timer is None:
                timer = self._timers[verb, route] = self._seconds.labels(verb, route)
            timer.observe(seconds)
        key = (verb, route, str(ended.status))
        counter = self._counters.get(key)
        if counter is None:
            counter = self._counters[key] = self._handled.labels(*key)
        counter.inc()
        self.log.info(
            "request",
            path=f"{verb} {route}",
            method=ended.method,
            state=ended.status,
            code=ended.code,
            reason=ended.reason,
            milliseconds=round(seconds * 1000, 2),
            request_id=ended.request_id,
        )


class Ended:
    """How one request ended, for the log: filled in on its way.

    Attributes:
        method: the RPC's path; empty where none was found.
        status: the HTTP code; 499 where the caller hung up before.
        code: name of the gRPC code.
        reason: of the error; empty where it ended well.
        request_id: the core's id of the call.
    """

    __slots__ = (
        "_begin",
        "_observe",
        "_streams",
        "code",
        "method",
        "reason",
        "request_id",
        "route",
        "status",
        "verb",
    )

    def __init__(self, observe: Observe, verb: str, route: str) -> None:
        self._observe = observe
        self._begin = perf_counter()
        self._streams = False
        self.verb = verb
        self.route = route
        self.method = ""
        self.status = 499
        self.code = "OK"
        self.reason = ""
        self.request_id = ""

    @property
    def streams(self) -> bool:
        """Whether it is a stream."""
        return self._streams

    def begin_stream(self) -> None:
        """It is a stream."""
        self._streams = True
        self._observe.opened(self.route, 1)

    def failed(self, failure: Failure | None) -> None:
        """It is answered with an error, or a stream ends with one; None: it ended well."""
        if failure is not None:
            self.code, self.reason = failure.code, failure.reason
            self.request_id = failure.request_id

    def fault(self, error: Exception, request_id: str) -> None:
        """Nobody expected this."""
        self._observe.log.error("request failed", method=self.method, request_id=request_id, exc_info=error)

    def __enter__(self) -> "Ended":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._streams:
                self._observe.opened(self.route, -1)
            self._observe.finish(self, perf_counter() - self._begin)
        except Exception as failure:
            # The request is answered: observing never decides.
            self._observe.log.error("observing failed", method=self.method, exc_info=failure)
