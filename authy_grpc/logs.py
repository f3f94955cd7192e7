"""Redacts and writes logs: the one place that every line passes on its way out.

A line keeps the keys of `ALLOWED` alone. An exception is written as its class and its frames:
messages and local variables may hold numbers, codes and tokens.
"""

import json
import logging
import traceback
from collections.abc import Callable
from contextvars import ContextVar
from datetime import datetime
from typing import Any, NamedTuple, TextIO

import structlog
from prometheus_client import CollectorRegistry, Counter
from structlog.typing import EventDict, FilteringBoundLogger, WrappedLogger

from authy_grpc.log_stream import LogStream

ALLOWED = frozenset(
    {
        "time", "level", "event", "request_id", "method", "code", "reason", "milliseconds", "caller",
        "logger", "actor", "outcome", "application_id", "api_key_id", "operator_key_id", "account_id",
        "settings",
        "errors", "worker", "count", "seconds", "state", "attempt", "address", "path", "revision", "library",
    }
)  # fmt: skip
_CHAIN = 8

request_id: ContextVar[str] = ContextVar("request_id")


def describe(error: BaseException) -> list[dict[str, Any]]:
    """An exception and those that led to it, newest first: class and frames, neither text nor values."""
    found: list[dict[str, Any]] = []
    waiting: list[BaseException] = [error]
    while waiting and len(found) < _CHAIN:
        one = waiting.pop(0)
        frames = traceback.walk_tb(one.__traceback__)
        found.append(
            {
                "class": f"{type(one).__module__}.{type(one).__qualname__}",
                "frames": [
                    f"{frame.f_code.co_filename}:{line} {frame.f_code.co_name}" for frame, line in frames
                ],
            }
        )
        if isinstance(one, BaseExceptionGroup):
            waiting.extend(one.exceptions)
        earlier = one.__cause__ or (None if one.__suppress_context__ else one.__context__)
        if earlier is not None:
            waiting.append(earlier)
    return found


def redact(_: WrappedLogger, __: str, line: EventDict) -> EventDict:
    """The redaction point: a structlog processor that lets nothing pass but what is allowed."""
    error = line.pop("exc_info", None)
    kept = {key: value for key, value in line.items() if key in ALLOWED}
    if isinstance(error, BaseException):
        kept["errors"] = describe(error)
    if (current := request_id.get(None)) is not None:
        kept["request_id"] = current
    return kept


_encode = json.JSONEncoder(separators=(",", ":")).encode
_text = json.encoder.encode_basestring_ascii


def _render(_: WrappedLogger, __: str, line: EventDict) -> str:
    return _encode(line)


def output(
    stream: TextIO | None, registry: CollectorRegistry | None = None, dropped: str = "log_lines_dropped"
) -> LogStream:
    """Where lines go. A line that cannot be written is dropped, and counted.

    Args:
        stream: such as `sys.stderr`; None: nowhere.
        registry: where the count of dropped lines is registered.
        dropped: the name of that count.
    """
    counter = Counter(dropped, "Log lines that could not be written.", registry=registry)
    return LogStream(stream, counter.inc)


def build(
    stream: Any,
    clock: Callable[[], datetime],
    level: str = "info",
    registry: CollectorRegistry | None = None,
    dropped: str = "log_lines_dropped",
) -> FilteringBoundLogger:
    """A logger that writes one JSON object a line.

    Args:
        stream: where lines go, or what `output` takes.
        clock: the time now, aware.
        level: the least that is written, such as `debug` or `info`.
        registry: see `output`.
        dropped: see `output`.
    """
    to: Any = stream if isinstance(stream, LogStream) else output(stream, registry, dropped)

    def stamp(_: WrappedLogger, name: str, line: EventDict) -> EventDict:
        return {"time": clock().isoformat(timespec="milliseconds"), "level": name, **line}

    logger: FilteringBoundLogger = structlog.wrap_logger(
        structlog.WriteLogger(to),
        processors=[stamp, redact, _render],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        context_class=dict,
        cache_logger_on_first_use=True,
    )
    return logger


class CallLine(NamedTuple):
    """What the log says of one call."""

    method: str
    code: str
    reason: str
    milliseconds: float
    caller: str
    request_id: str


class CallLines:
    """Writes the line of each call as a logger of `build` would, at a third of its cost.

    Args:
        to: where lines go.
        clock: the time now, aware.
        level: the least that is written.
    """

    def __init__(self, to: LogStream, clock: Callable[[], datetime], level: str = "info") -> None:
        self._to = to
        self._clock = clock
        self._levels = {"debug": ("debug", "info"), "info": ("info",)}.get(level, ())

    def write(self, level: str, line: CallLine) -> None:
        """Write one line at `debug` or `info`."""
        if level not in self._levels:
            return
        method, code, reason, milliseconds, caller, call_id = line
        now = self._clock().isoformat(timespec="milliseconds")
        self._to.write(
            f'{{"time":"{now}","level":"{level}","event":"call","method":{_text(method)},"code":{_text(code)},'
            f'"reason":{_text(reason)},"milliseconds":{milliseconds},"caller":{_text(caller)},'
            f'"request_id":{_text(call_id)}}}\n'
        )


class Library(logging.Handler):
    """Hands on what libraries log by `logging`: who, how grave and which exception, never their text."""

    def __init__(self, logger: FilteringBoundLogger) -> None:
        super().__init__()
        self._logger = logger

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        error = record.exc_info[1] if record.exc_info else None
        self._logger.log(record.levelno, "library", library=record.name, exc_info=error)


def take_over(logger: FilteringBoundLogger) -> Library:
    """Have what libraries log pass the redaction point: Python would write it to stderr, exceptions and all.

    Args:
        logger: writes it.

    Returns:
        What was put in place.
    """
    handler = Library(logger)
    logging.getLogger().addHandler(handler)
    return handler
