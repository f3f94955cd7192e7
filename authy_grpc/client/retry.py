"""Retries: which calls are made again and when, by what the contract says of them, and what each carries."""

import math
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from typing import TypeVar

import grpc
from google.protobuf import descriptor_pool
from google.protobuf.descriptor_pb2 import MethodOptions
from google.protobuf.message import Message

from authy_grpc.client.errors import AuthyError, Canceled
from authy_grpc.v1 import options_pb2

FIRST_WAIT = 0.1
# Of watchers, which have no deadline; a call must find a server soon after it is back.
LONGEST_WAIT, LONGEST_WAIT_OF_CALL = 30.0, 1.0
_SHORTEST_TRY = 0.05
# A year. Beyond 3,000 of them grpc takes a deadline for one that has passed.
_LONGEST_SECONDS = 365 * 86_400.0
# What proxies make of a server that goes away: HTTP 502 to 504, RST_STREAM, an answer without a status.
_ROAD = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.CANCELLED,
    }
)
# gRPC says so where it had no connection to send the call on.
_NOT_SENT = ("failed to connect to all addresses", "DNS resolution failed")
# REFUSED_STREAM: more than a server takes on a connection, and none of the call was looked at (RFC 9113 8.7).
# gRPC counts those that it has answered and not yet put away, so it happens to clients that heed the limit.
_REFUSED = "RST_STREAM with error code 7"

Request = TypeVar("Request", bound=Message)
Random = Callable[[int], bytes]
Clock = Callable[[], float]
Metadata = tuple[tuple[str, str | bytes], ...]


def capped(seconds: float) -> float:
    """A deadline that grpc can hold, of one that may be absurdly long."""
    return min(seconds, _LONGEST_SECONDS)


@dataclass(frozen=True)
class Method:
    """What the contract says of a method.

    Attributes:
        repeats: it is marked NO_SIDE_EFFECTS, or as not `single_use`.
        takes_request_id: its request has a `request_id`, under which the same answer comes again.
    """

    repeats: bool
    takes_request_id: bool

    @classmethod
    def at(cls, path: str) -> "Method":
        """Returns the method at a path such as `/authy_grpc.v1.UserService/GetUser`."""
        name = path.removeprefix("/").replace("/", ".")
        method = descriptor_pool.Default().FindMethodByName(name)
        return cls(
            repeats=_repeats(method.GetOptions()),
            takes_request_id="request_id" in method.input_type.fields_by_name,
        )

    @property
    def safe(self) -> bool:
        """Whether the call does no more when it is made twice."""
        return self.repeats or self.takes_request_id

    def fill(self, request: Request, random: Random) -> Request:
        """Returns the request, with a fresh `request_id` where it takes one and has none."""
        own: str = getattr(request, "request_id", "")
        if own or not self.takes_request_id:
            return request
        # A copy: the caller's own, sent again for another purpose, must not have this id.
        filled = deepcopy(request)
        filled.request_id = random(16).hex()  # type: ignore[attr-defined]
        return filled


def _repeats(options: MethodOptions) -> bool:
    if options.idempotency_level == MethodOptions.NO_SIDE_EFFECTS:
        return True
    # A method that does not say so is made once.
    return options.HasExtension(options_pb2.single_use) and not options.Extensions[options_pb2.single_use]


def passes(error: AuthyError, safe: bool) -> bool:
    """Tells whether a call that failed may be made again.

    Args:
        error: what it failed with.
        safe: whether it does no more when it is made twice.
    """
    if isinstance(error, Canceled):
        return False
    if error.reason:
        # A server that drains answers so before it begins a call.
        return error.reason == "DRAINING" or (safe and error.code is grpc.StatusCode.UNAVAILABLE)
    if safe:
        return error.code in _ROAD
    return was_refused(error.code, error.message) or (
        error.code is grpc.StatusCode.UNAVAILABLE and error.message.startswith(_NOT_SENT)
    )


def was_refused(code: grpc.StatusCode, message: str | None) -> bool:
    """Tells whether a server took no more streams on a connection, so that nothing of a call was begun."""
    return code is grpc.StatusCode.UNAVAILABLE and _REFUSED in (message or "")


class Backoff:
    """Waits that double from 0.1 s to `longest`, each with up to half of it taken off at random.

    Args:
        random: random bytes.
        longest: seconds.
    """

    def __init__(self, random: Random, longest: float = LONGEST_WAIT) -> None:
        self._random = random
        self._longest = longest
        self._doublings = 0

    def reset(self) -> None:
        """Begins again from the shortest wait: there was progress."""
        self._doublings = 0

    def wait(self, error: AuthyError | None = None) -> float:
        """Returns the next wait in seconds, beyond the `retry_delay` of the error."""
        wait: float = min(FIRST_WAIT * 2**self._doublings, self._longest)
        if wait < self._longest:
            self._doublings += 1
        wait *= 1 - int.from_bytes(self._random(4), "big") / 2**33
        told = error.retry_delay if error is not None else None
        return wait + told.total_seconds() if told is not None else wait


class Attempts:
    """The tries of one call: as many as its deadline has room for.

    Args:
        safe: whether the call does no more when it is made twice.
        timeout: seconds for all tries and waits together.
        clock: seconds that only rise.
        backoff: the waits between tries.
    """

    def __init__(self, safe: bool, timeout: float, clock: Clock, backoff: Backoff) -> None:
        self._safe = safe
        self._timeout = timeout
        self._clock = clock
        self._begin = clock()
        self._waited = 0.0
        self._backoff = backoff

    def remaining(self) -> float:
        """Returns the seconds until the deadline."""
        return max(self._timeout - max(self._clock() - self._begin, self._waited), 0.0)

    def wait(self, error: AuthyError) -> float:
        """Returns the seconds until the next try.

        Raises:
            AuthyError: the one given, where there is no next try.
        """
        remaining = self.remaining()
        told = error.retry_delay.total_seconds() if error.retry_delay is not None else 0.0
        if not passes(error, self._safe) or remaining - told <= _SHORTEST_TRY:
            raise error
        # The last try comes before the deadline, and has time to be answered.
        wait = min(self._backoff.wait(error), told + (remaining - told) / 2)
        self._waited += wait
        return wait


@dataclass(frozen=True)
class Policy:
    """What every call of a client has in common.

    Attributes:
        api_key: the credential.
        timeout: seconds that a call may take, its tries and waits together. A stream has none.
        random: random bytes, for request ids and jitter.
        clock: seconds that only rise.
    """

    api_key: str = field(repr=False)
    timeout: float
    random: Random = field(repr=False)
    clock: Clock = field(repr=False)

    def __post_init__(self) -> None:
        # grpc would say `Invalid metadata` of each call.
        if not self.api_key or any(not "!" <= character <= "~" for character in self.api_key):
            raise ValueError("not an API key: empty, or with a space or line break in it")
        if not 0 < self.timeout < math.inf:
            raise ValueError("timeout: a number of seconds above 0")

    def metadata(self, own: Metadata | None) -> Metadata:
        """Returns the metadata of a call: the caller's own and the credential."""
        return (*(own or ()), ("authorization", f"Bearer {self.api_key}"))

    def attempts(self, method: Method, timeout: float | None) -> Attempts:
        """Begins a call. `timeout` is the caller's own, in seconds."""
        seconds = capped(self.timeout if timeout is None else timeout)
        return Attempts(method.safe, seconds, self.clock, Backoff(self.random, LONGEST_WAIT_OF_CALL))

    def backoff(self) -> Backoff:
        """Returns waits that begin with the shortest."""
        return Backoff(self.random)
