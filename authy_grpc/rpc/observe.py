"""Tells of each call: its id, one line in the log, the figures for Prometheus, and the audit trail."""

from collections.abc import Callable
from time import perf_counter

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from structlog.typing import FilteringBoundLogger

from authy_grpc.audit import Audit
from authy_grpc.logs import CallLine, CallLines
from authy_grpc.rpc import acts
from authy_grpc.rpc.call import Call
from authy_grpc.rpc.errors import REQUEST_ID_KEY
from authy_grpc.rpc.sampling import Sampling
from authy_grpc.service.caller import Nobody

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_QUIET = ("/grpc.health.", "/authy_grpc.v1.CredentialService/")


class Observe:
    """Sees how every call begins and ends.

    Only methods that the server knows come here, so the labels are as many as the contract has methods.

    Args:
        log: of what is no call.
        lines: one a call, at `info`; of health checks, at `debug`. Of refused calls of strangers 20 a
            second have a line, and the others are summed up by their reasons.
        registry: where the metrics are registered.
        random: random bytes, for request ids.
        audit: the audit trail of what operators do; None for none.
    """

    def __init__(
        self,
        log: FilteringBoundLogger,
        lines: CallLines,
        registry: CollectorRegistry,
        random: Callable[[int], bytes],
        audit: Audit | None = None,
    ) -> None:
        self._log = log
        self._lines = lines
        self._audit = audit
        self._random = random
        self._sampling = Sampling(self._sum_up)
        self._handled = Counter(
            "grpc_server_handled", "Calls that have ended.", ["method", "code", "reason"], registry=registry
        )
        self._seconds = Histogram(
            "grpc_server_handling_seconds",
            "How long unary calls took.",
            ["method"],
            registry=registry,
            buckets=_BUCKETS,
        )
        self._open = Gauge(
            "grpc_server_open_streams", "Streams that are open.", ["method"], registry=registry
        )
        self._refused = Counter(
            "grpc_server_streams_refused",
            "Streams that were one too many for their caller.",
            ["method"],
            registry=registry,
        )
        self._children: dict[tuple[str, str, str], Counter] = {}
        self._timers: dict[str, Histogram] = {}

    def begin(self, call: Call) -> None:
        """Give a call its id, which its caller is told however it ends."""
        call.request_id = self._random(8).hex()
        call.context.set_trailing_metadata(((REQUEST_ID_KEY, call.request_id),))
        call.began = perf_counter()
        if call.streams:
            self._open.labels(call.method).inc()

    def end(self, call: Call) -> None:
        """Tell how a call ended."""
        try:
            self._finish(call, perf_counter() - call.began)
        except Exception as error:
            # The call is done, and its caller is told so: observing never decides.
            self._log.error("observing failed", method=call.method, exc_info=error)

    def _finish(self, call: Call, seconds: float) -> None:
        method = call.method
        if call.streams:
            self._open.labels(method).dec()
            if call.code == "RESOURCE_EXHAUSTED":
                self._refused.labels(method).inc()
        else:
            timer = self._timers.get(method) or self._timers.setdefault(method, self._seconds.labels(method))
            timer.observe(seconds)
        key = (method, call.code, call.reason)
        handled = self._children.get(key) or self._children.setdefault(key, self._handled.labels(*key))
        handled.inc()
        if self._audit is not None and (found := acts.of(call)) is not None:
            self._audit.act(**found)
        if call.code != "OK" and _is_strange(call) and not self._sampling.admits(call.reason or call.code):
            return
        level = "debug" if method.startswith(_QUIET) else "info"
        took = round(seconds * 1000, 2)
        self._lines.write(
            level, CallLine(method, call.code, call.reason, took, call.caller_id, call.request_id)
        )

    def _sum_up(self, reason: str, count: int) -> None:
        self._log.info("calls of strangers refused", reason=reason, count=count)


def _is_strange(call: Call) -> bool:
    return call.caller is None or isinstance(call.caller, Nobody)
