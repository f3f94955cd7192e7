"""Calls the core: what goes with a call, how long it may take, and what is told when it fails.

Of a channel it uses `unary_unary` and `unary_stream`; of a call that it can be awaited or read, `cancel`,
`initial_metadata` and `trailing_metadata`. Errors are `grpc.RpcError` with `code` and `trailing_metadata`.
"""

import asyncio
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio
from google.rpc import code_pb2, status_pb2
from starlette.datastructures import Headers
from structlog.typing import FilteringBoundLogger

from authy_grpc.client.retry import was_refused
from authy_grpc.domain.forwarded import UNREADABLE, Forwarding, canonical
from gateway.body import BODY_SECONDS
from gateway.credentials import Credentials
from gateway.errors import Failure, bad, make
from gateway.refusals import anyone_may
from gateway.resume import Resumed
from gateway.routes import Route
from gateway.strangers import Make, Strangers
from gateway.transcode import Transcoder

Metadata = tuple[tuple[str, str], ...]
_REQUEST_ID, _DETAILS = "x-request-id", "grpc-status-details-bin"
_TIMEOUT = "grpc-timeout"
_HEARTBEAT = "heartbeat"
_DEADLINE = re.compile(r"([0-9]{1,8})([HMSmun])")
_UNITS = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
UNARY_SECONDS, LONGEST_SECONDS = 10.0, 60.0
# A call that the core refused unseen, for the streams of the connection, is made again.
_AGAIN_SECONDS = 0.1
_LONGEST_STREAM_SECONDS = 86_400.0
_VISIBLE = re.compile(r"[\x20-\x7e]{1,4096}")
# What grpc itself refuses a call with has no details, and its text may hold addresses. The contract has no
# reason for it: BACKEND would say that nothing was decided.
_OWN: dict[int, str] = {
    code_pb2.CANCELLED: "The call was called off: try again.",
    code_pb2.DEADLINE_EXCEEDED: "Not answered in time; it may have been done: read it again, or try again.",
    code_pb2.UNAVAILABLE: "The service is out of reach; it may have been done: read it again, or try again.",
    code_pb2.RESOURCE_EXHAUSTED: "The call is larger than the service takes.",
    code_pb2.UNIMPLEMENTED: "The service does not have this method: ask its operator.",
}
_UNKNOWN = "A fault between gateway and service: tell its operator."


class Callers:
    """What a request says of its caller, as the core is told.

    Args:
        gateway_key: proves to the core that this is a gateway; empty: it is told no addresses.
        forwarding: which proxies are believed.
        tell: is told how many requests came through them without an address that can be read.
    """

    def __init__(
        self, gateway_key: str, forwarding: Forwarding, tell: Callable[[int], None] = lambda _: None
    ) -> None:
        self._key = gateway_key
        self._forwarding = forwarding
        self._tell = tell
        self._unreadable = 0

    def metadata(self, headers: Headers, address: str) -> Metadata:
        """The metadata of a call: made here, so that no header passes that the core would believe.

        Args:
            headers: of the request.
            address: of the caller; empty where it has none.
        """
        found: list[tuple[str, str]] = []
        credentials = headers.getlist("authorization")
        # What gRPC could not carry is no credential.
        if len(credentials) == 1 and _VISIBLE.fullmatch(credentials[0]):
            found.append(("authorization", credentials[0]))
        if self._key and address:
            found += [("x-authy-peer", address), ("x-authy-gateway", self._key)]
        return tuple(found)

    def address(self, headers: Headers, socket: str) -> str:
        """The caller's address: the last that no proxy of ours has; `UNREADABLE` where that is not told.

        Args:
            headers: of the request.
            socket: the address that the connection comes from; empty where it has none.
        """
        peer = canonical(socket.partition("%")[0])
        found = self._forwarding.caller(peer, headers.getlist(self._forwarding.header))
        if found == UNREADABLE:
            self._unreadable += 1
            self._tell(self._unreadable)
        return found


def deadline(headers: Headers) -> float | None:
    """How many seconds the caller gives; None where it says nothing.

    Raises:
        Failure: its `Grpc-Timeout` is none.
    """
    told = headers.get(_TIMEOUT)
    if told is None:
        return None
    found = _DEADLINE.fullmatch(told)
    if found is None:
        raise bad([(_TIMEOUT, "must be up to 8 digits and one of H, M, S, m, u, n")])
    # Beyond some 3,000 years grpc takes a deadline for one that has passed.
    return min(int(found[1]) * _UNITS[found[2]], _LONGEST_STREAM_SECONDS)


@dataclass(frozen=True, slots=True)
class Caller:
    """Whose request it is.

    Attributes:
        address: as proxies that are believed tell it.
        has_body: whether a body is to come, which may take its time.
    """

    address: str
    has_body: bool


class Entry:
    """Reads requests: no body of a refused credential, and few at a time of callers whom nobody knows."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials
        self._strangers = Strangers()

    async def read(self, route: Route, request: Make, metadata: Metadata, caller: Caller) -> Any:
        """The message of a request.

        Raises:
            Failure: the credential is refused, too many such callers are waited for, or the request is wrong.
            Gone: the request did not come to its end.
        """
        known = await self._credentials.check(route.path, dict(metadata).get("authorization", ""))
        if caller.has_body and (not known or anyone_may(route)):
            return await self._strangers.read(caller.address, request)
        return await request()


class Unary:
    """One method with one answer. Its request is made when the credential is known to be good for it.

    Args:
        channel: to the core. One whose `asks_late` is true takes a function for the request, which it calls
            behind auth; before another is called, the credential is checked.
        transcoder: of the route.
        entry: of requests whose credential is checked here.
    """

    def __init__(self, channel: Any, transcoder: Transcoder, entry: "Entry") -> None:
        self._call = _method(channel.unary_unary, transcoder)
        self._asks_late = getattr(channel, "asks_late", False)
        self._entry = entry
        self._route = transcoder.route

    async def __call__(
        self, request: Make, metadata: Metadata, seconds: float | None, caller: Caller
    ) -> tuple[Any, str]:
        """Makes the call.

        Returns:
            the answer, and the call's id.

        Raises:
            Failure: the core or the way to it says no, or the request is wrong.
            Gone: the request did not come to its end.
        """
        limit = UNARY_SECONDS if seconds is None else min(seconds, LONGEST_SECONDS)
        made: Any = request
        if self._asks_late:
            # The request may take its own time to come, where the caller names no deadline.
            limit += BODY_SECONDS if seconds is None else 0.0
        else:
            made = await self._entry.read(self._route, request, metadata, caller)
        try:
            return await self._answer(made, metadata, limit)
        except asyncio.CancelledError:
            raise_if_ended()
            raise Failure(_own(code_pb2.UNAVAILABLE)) from None

    async def _answer(self, made: Any, metadata: Metadata, limit: float) -> tuple[Any, str]:
        loop = asyncio.get_running_loop()
        until = loop.time() + limit
        while True:
            call = self._call(made, metadata=metadata, timeout=until - loop.time())
            try:
                answer = await call
                return answer, _request_id(await call.trailing_metadata())
            except grpc.RpcError as error:
                if not was_refused(error.code(), error.details()) or loop.time() + _AGAIN_SECONDS >= until:
                    raise failure(error) from None
            await asyncio.sleep(_AGAIN_SECONDS)


class Streaming:
    """One method that answers with a stream."""

    def __init__(
        self,
        channel: Any,
        transcoder: Transcoder,
        log: FilteringBoundLogger,
        random: Callable[[int], bytes],
    ) -> None:
        self._call = _method(channel.unary_stream, transcoder)
        self._route = transcoder.route
        self._log = log
        self._random = random
        self._beats = _HEARTBEAT in transcoder.route.rpc.input_type.fields_by_name

    def __call__(self, request: Any, metadata: Metadata, seconds: float | None) -> Any:
        """Begins the call, which whoever takes it must cancel in the end."""
        if self._beats:
            # Keeps a proxy between here and the core from cutting it; readers are sent a comment.
            request.heartbeat = True

        def begin(request: Any, left: float | None) -> Any:
            return self._call(request, metadata=metadata, timeout=left)

        return Resumed(begin, request, self._route, seconds, self._log, self._random)


def _method(make_method: Callable[..., Any], transcoder: Transcoder) -> Any:
    return make_method(
        transcoder.route.path,
        request_serializer=transcoder.request_class.SerializeToString,
        response_deserializer=transcoder.response_class.FromString,
    )


def raise_if_ended() -> None:
    """Let a cancellation pass that is of this task: a call that is cancelled raises the same."""
    task = asyncio.current_task()
    if task is None or task.cancelling():
        raise asyncio.CancelledError


def failure(error: Any) -> Failure:
    """What is told of an error of a call."""
    trailing = error.trailing_metadata() or ()
    status = status_pb2.Status()
    details = next((value for key, value in trailing if key == _DETAILS), None)
    if details is not None:
        status.ParseFromString(details)
    code = error.code().value[0]
    if details is None or status.code != code:
        status = _own(code)
    return Failure(status, request_id=_request_id(trailing))


def out_of_time() -> Failure:
    """What is told where the core did not answer at all."""
    return Failure(_own(code_pb2.DEADLINE_EXCEEDED))


def _own(code: int) -> status_pb2.Status:
    return make(code, _OWN.get(code, _UNKNOWN))


def _request_id(trailing: Iterable[tuple[str, Any]]) -> str:
    found = next((value for key, value in trailing or () if key == _REQUEST_ID), "")
    return found if isinstance(found, str) and _VISIBLE.fullmatch(found) else ""
