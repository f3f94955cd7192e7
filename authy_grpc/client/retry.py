"""Owns which calls are tried again, when, and what every call carries. Reads it from the contract; no I/O."""

import math
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from typing import TypeVar

import grpc
from google.protobuf import descriptor_pool
from google.protobuf.descriptor_pb2 import MethodOptions
from google.protobuf.message import Message

from authy_grpc.client.errors import AuthyError

# In all, the first one counted.
ATTEMPTS = 5
FIRST_WAIT = 0.1
LONGEST_WAIT = 30.0

Request = TypeVar("Request", bound=Message)
Random = Callable[[int], bytes]
Clock = Callable[[], float]
Metadata = tuple[tuple[str, str | bytes], ...]


@dataclass(frozen=True)
class Method:
    """What the contract says of a method.

    Attributes:
        reads: it is marked NO_SIDE_EFFECTS.
        takes_request_id: its request has a `request_id`, under which the same answer comes again.
    """

    reads: bool
    takes_request_id: bool

    @classmethod
    def at(cls, path: str) -> "Method":
        """Returns the method at a path such as `/authy_grpc.v1.UserService/GetUser`."""
        name = path.removeprefix("/").replace("/", ".")
        method = descriptor_pool.Default().FindMethodByName(name)
        return cls(
            reads=method.GetOptions().idempotency_level == MethodOptions.NO_SIDE_EFFECTS,
            takes_request_id="request_id" in method.input_type.fields_by_name,
        )

    @property
    def safe(self) -> bool:
        """Whether the call does no more when it is made twice."""
        return self.reads or self.takes_request_id

    def fill(self, request: Request, random: Random) -> Request:
        """Returns the request, with a fresh `request_id` where it takes one and has none."""
        own: str = getattr(request, "request_id", "")
        if own or not self.takes_request_id:
            return request
        # A copy: the caller's own, sent again for another purpose, must not have this id.
        filled = deepcopy(request)
        filled.request_id = random(16).hex()  # type: ignore[attr-defined]
        return filled


class Backoff:
    """Waits that double from 0.1 s to 30 s, each with up to half of it taken off at random."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._doublings = 0

    def reset(self) -> None:
        """Begins again from the shortest wait: there was progress."""
        self._doublings = 0

    def wait(self, error: AuthyError | None = None) -> float:
        """Returns the next wait in seconds, beyond the `retry_delay` of the error."""
        wait: float = min(FIRST_WAIT * 2**self._doublings, LONGEST_WAIT)
        if wait < LONGEST_WAIT:
            self._doublings += 1
        wait *= 1 - int.from_bytes(self._random(4), "big") / 2**33
        told = error.retry_delay if error is not None else None
        return wait + told.total_seconds() if told is not None else wait


class Attempts:
    """The tries of one call, all within one deadline."""

    def __init__(self, safe: bool, deadline: float, clock: Clock, backoff: Backoff) -> None:
        self._left = ATTEMPTS if safe else 1
        self._deadline = deadline
        self._clock = clock
        self._backoff = backoff

    def remaining(self) -> float:
        """Returns the seconds until the deadline."""
        return max(self._deadline - self._clock(), 0.0)

    def wait(self, error: AuthyError) -> float:
        """Returns the seconds until the next try.

        Raises:
            AuthyError: the one given, where there is no next try.
        """
        self._left -= 1
        if error.code is not grpc.StatusCode.UNAVAILABLE or self._left <= 0:
            raise error
        wait = self._backoff.wait(error)
        if wait >= self.remaining():
            raise error
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
        deadline = self.clock() + (self.timeout if timeout is None else timeout)
        return Attempts(method.safe, deadline, self.clock, self.backoff())

    def backoff(self) -> Backoff:
        """Returns waits that begin with the shortest."""
        return Backoff(self.random)
