"""Makes HTTP calls to places that a stranger named: webhooks and push endpoints. Trusts no answer."""

import asyncio
import re
import socket
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import StrEnum

import httpcore2

from authy_grpc.outbound.addresses import Addresses, ForbiddenAddress, Target, Unresolved
from authy_grpc.outbound.opened import NOTHING, Listeners, Opened
from authy_grpc.outbound.sockets import Guarded, TooLarge

# All that a caller needs.
__all__ = ["Addresses", "Answer", "Failure", "Listeners", "Web"]

# Enough for any receiver's headers. To read what is made of tiny chunks takes 2 ms of CPU a KiB.
MAX_ANSWER = 16 * 1024
MAX_TIME = timedelta(seconds=15)

# Less than servers keep a silent connection, five seconds as a rule: one that they are closing loses a post.
_IDLE_SECONDS = 4.0
_IDLE_CONNECTIONS = 200
# What comes after the headers is of no use to anyone, and is read so that the connection can serve again.
_BODY_SECONDS = 1.0
# The kernel, too, takes no more in than is read.
_OPTIONS = [
    (socket.SOL_SOCKET, socket.SO_RCVBUF, MAX_ANSWER),
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
]
_MAX_DATE = 64
_SECONDS = re.compile(rb"[0-9]{1,9}")


class Failure(StrEnum):
    """Why no answer came. It holds nothing of what the other side said."""

    CONNECTION = "connection"
    # One word for a name that is not there and one that leads inside: what names there are is not told.
    FORBIDDEN_ADDRESS = "forbidden_address"
    REFUSED = "refused"
    TIMEOUT = "timeout"
    TLS = "tls"
    TOO_LARGE = "too_large"


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a post.

    Attributes:
        status: of the HTTP answer; 0 where none came.
        error: why none came; None where one did.
        retry_after: how long the other side asks to be left alone, if it does: never negative.
        duration: from the call to the answer's headers, or to the failure.
    """

    status: int
    error: Failure | None
    retry_after: timedelta | None
    duration: timedelta


class Web:
    """Posts to strangers.

    No redirect is followed, no cookie kept, no proxy taken from the environment, nothing decoded, and no byte
    of an answer's body handed on.

    Args:
        addresses: tells what may be called.
        clock: the time, for answers that ask for a pause until a date.
        tls: what certificates are believed; those of the system by default.
        limit: the longest time a post may take, look-up and all.
        connections: how many are open at a time; posts past that wait, and their time runs.
    """

    def __init__(
        self,
        addresses: Addresses,
        clock: Callable[[], datetime],
        *,
        tls: ssl.SSLContext | None = None,
        limit: timedelta = MAX_TIME,
        connections: int = 1000,
    ) -> None:
        self._addresses = addresses
        self._clock = clock
        self._limit = limit.total_seconds()
        self._tls = tls or ssl.create_default_context()
        self._connections = connections
        # A connection that is open for one application must not carry another's post.
        self._pools = {NOTHING: (addresses, self._pool(addresses))}

    async def post(
        self, url: str, headers: Mapping[str, str], body: bytes, *, allow: Sequence[str] = ()
    ) -> Answer:
        """Post once.

        Args:
            url: as the stranger wrote it.
            headers: beside `Host`, `Content-Length` and `Accept-Encoding`, which are made here.
            body: as it is.
            allow: what the operator has opened for whoever gave the URL, see `Opened.read`.
        """
        loop = asyncio.get_running_loop()
        start = loop.time()
        try:
            async with asyncio.timeout_at(start + self._limit):
                addresses, pool = self._of(Opened.read(tuple(allow)))
                request = _request(addresses.read(url), headers, body)
                response = await pool.handle_async_request(request)
        except Exception as error:
            failure = _failure(error)
            # How long a look-up takes tells a name that is not there from one that leads inside.
            seconds = 0.0 if failure is Failure.FORBIDDEN_ADDRESS else loop.time() - start
            return Answer(0, failure, None, timedelta(seconds=seconds))
        answered = loop.time()
        await _drain(response, min(start + self._limit, answered + _BODY_SECONDS))
        pause = _retry_after(response.headers, self._clock())
        return Answer(response.status, None, pause, timedelta(seconds=answered - start))

    async def aclose(self) -> None:
        """Close what is open."""
        for _, pool in self._pools.values():
            await pool.aclose()

    def _of(self, opened: Opened) -> tuple[Addresses, httpcore2.AsyncConnectionPool]:
        if opened not in self._pools:
            addresses = self._addresses.opening(opened)
            self._pools[opened] = addresses, self._pool(addresses)
        return self._pools[opened]

    def _pool(self, addresses: Addresses) -> httpcore2.AsyncConnectionPool:
        return httpcore2.AsyncConnectionPool(
            ssl_context=self._tls,
            max_connections=self._connections,
            max_keepalive_connections=_IDLE_CONNECTIONS,
            keepalive_expiry=_IDLE_SECONDS,
            network_backend=Guarded(addresses, MAX_ANSWER),
            socket_options=_OPTIONS,
        )


def _request(target: Target, headers: Mapping[str, str], body: bytes) -> httpcore2.Request:
    made = {
        "Host": target.authority,
        "Accept-Encoding": "identity",
        "User-Agent": "authy-grpc",
        **headers,
        "Content-Length": str(len(body)),
    }
    url = httpcore2.URL(
        scheme=target.scheme.encode(),
        host=target.host.encode(),
        port=target.port,
        target=target.path.encode(),
    )
    return httpcore2.Request("POST", url, headers=list(made.items()), content=body)


async def _drain(response: httpcore2.Response, until: float) -> None:
    try:
        async with asyncio.timeout_at(until):
            async for _ in response.aiter_stream():
                pass
    except Exception as error:
        _failure(error)
    finally:
        # Closes the connection, unless the answer has come to its end.
        await response.aclose()


_FAILURES: tuple[tuple[type[Exception], Failure], ...] = (
    (ForbiddenAddress, Failure.FORBIDDEN_ADDRESS),
    (Unresolved, Failure.FORBIDDEN_ADDRESS),
    (TooLarge, Failure.TOO_LARGE),
    (httpcore2.TimeoutException, Failure.TIMEOUT),
    # Before OSError, of which these are kinds.
    (TimeoutError, Failure.TIMEOUT),
    (ssl.SSLError, Failure.TLS),
    (ConnectionRefusedError, Failure.REFUSED),
    (OSError, Failure.CONNECTION),
    (httpcore2.NetworkError, Failure.CONNECTION),
    (httpcore2.ProtocolError, Failure.CONNECTION),
)


def _failure(error: Exception) -> Failure:
    """What an exception tells; raises it again where it is a fault of ours."""
    for kind, failure in _FAILURES:
        if isinstance(error, kind):
            return failure
    raise error


def _retry_after(headers: list[tuple[bytes, bytes]], now: datetime) -> timedelta | None:
    """RFC 9110, 10.2.3: seconds, or a date."""
    value = next((value for name, value in headers if name.lower() == b"retry-after"), b"")
    if _SECONDS.fullmatch(value):
        return timedelta(seconds=int(value))
    if len(value) > _MAX_DATE:
        return None
    try:
        until = parsedate_to_datetime(value.decode("ascii"))
    except (ValueError, OverflowError):
        return None
    return max(timedelta(), (until if until.tzinfo else until.replace(tzinfo=UTC)) - now)
