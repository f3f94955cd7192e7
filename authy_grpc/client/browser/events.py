"""Server-sent events for a site's pages, made of a watcher: the state in one word, and nothing else.

A resource holds the user's `authy_id` and public keys, which are the backend's: they never reach a browser.
"""

import asyncio
import inspect
import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator, Iterator
from typing import TypeVar, overload

from authy_grpc.client.errors import AuthyError, NotFound
from authy_grpc.client.receipt import ReceiptError
from authy_grpc.client.watch import ENDED_APPROVAL, ENDED_ENROLLMENT
from authy_grpc.v1 import approval_pb2, enrollment_pb2
from authy_grpc.v1.approval_pb2 import Approval
from authy_grpc.v1.enrollment_pb2 import Enrollment

Resource = TypeVar("Resource", Enrollment, Approval)
# The site's own: keeps what the resource says, and returns where on the site to go, or nothing.
Done = Callable[[Resource], str | None]
AsyncDone = Callable[[Resource], str | Awaitable[str | None] | None]

# Of an answer that is an event stream. The last keeps nginx from collecting it.
HEADERS = {"cache-control": "no-store", "x-accel-buffering": "no"}
HEARTBEAT_SECONDS = 15.0
_HEARTBEAT = ":\n\n"
# Milliseconds until a browser connects again; sent at once, so that headers are not kept back either.
_RETRY = "retry: 3000\n\n"
_LARGEST = 2**63 - 1
_ENROLLMENT = {
    enrollment_pb2.ENROLLMENT_STATE_PENDING: "pending",
    enrollment_pb2.ENROLLMENT_STATE_SCANNED: "scanned",
    enrollment_pb2.ENROLLMENT_STATE_AWAITING_CODE: "awaiting_code",
    enrollment_pb2.ENROLLMENT_STATE_COMPLETED: "completed",
    enrollment_pb2.ENROLLMENT_STATE_REJECTED: "rejected",
    enrollment_pb2.ENROLLMENT_STATE_EXPIRED: "expired",
    enrollment_pb2.ENROLLMENT_STATE_CANCELED: "canceled",
}
_APPROVAL = {
    approval_pb2.APPROVAL_STATE_PENDING: "pending",
    approval_pb2.APPROVAL_STATE_APPROVED: "approved",
    approval_pb2.APPROVAL_STATE_DENIED: "denied",
    approval_pb2.APPROVAL_STATE_EXPIRED: "expired",
    approval_pb2.APPROVAL_STATE_CANCELED: "canceled",
}
_DENIED = {approval_pb2.DENY_REASON_FRAUD: "fraud", approval_pb2.DENY_REASON_MATCH_NUMBER: "wrong_number"}
_log = logging.getLogger("authy_grpc.client")


def enrollment_state(enrollment: Enrollment) -> str:
    """The state in one word, such as `awaiting_code`; empty for one that this version does not know."""
    return _ENROLLMENT.get(enrollment.state, "")


def approval_state(approval: Approval) -> str:
    """The state in one word, such as `denied`, or `fraud` and `wrong_number`; empty for an unknown one."""
    word = _APPROVAL.get(approval.state, "")
    return _DENIED.get(approval.deny_reason, word) if word == "denied" else word


def last_revision(header: str | None) -> int:
    """The revision in the header `Last-Event-ID`, for `after_revision`; 0 where there is none.

    Args:
        header: as the browser sent it, or None.
    """
    text = (header or "").strip()
    return min(int(text), _LARGEST) if text.isascii() and text.isdigit() and len(text) <= 19 else 0


@overload
def sse(
    states: AsyncIterator[Resource], done: AsyncDone[Resource] | None = None, *, heartbeat: float = ...
) -> AsyncGenerator[str, None]: ...


@overload
def sse(states: Iterator[Resource], done: Done[Resource] | None = None) -> Generator[str, None, None]: ...


def sse(
    states: AsyncIterator[Resource] | Iterator[Resource],
    done: AsyncDone[Resource] | None = None,
    *,
    heartbeat: float = HEARTBEAT_SECONDS,
) -> AsyncGenerator[str, None] | Generator[str, None, None]:
    """The lines of an event stream (text/event-stream) for `<authy-enroll>` or `<authy-approval>`.

    Each event is one state as `{"state": "scanned"}`, its `id` the revision: give what the browser sends as
    `Last-Event-ID` to the watcher (`last_revision`). It ends after a terminal state, closes the watcher, and
    sends a comment while nothing happens, so that a browser that has gone is noticed: the sync form needs a
    watcher with `heartbeats=True` for that. Where the service cannot be asked it ends, and the browser comes
    back after 3 s; what is not there any more is `canceled`.

    Args:
        states: of `watch_enrollment` or `watch_approval`; async lines for an AsyncClient, plain for a Client.
        done: called where the state is `completed` or `approved`, before the browser is told: keeps
            `authy_id` and keys, or verifies the receipt and logs in. What it returns is told as `next`: where
            on the site to go. A ReceiptError is told as `failed`, and logged. It may come more than once, as
            often as a browser watches the end. An AsyncClient's may be a coroutine.
        heartbeat: seconds without a state after which a comment is sent, of an async watcher.
    """
    if isinstance(states, AsyncIterator):
        return _async_lines(states, done, heartbeat)
    return _lines(states, done)


async def _async_lines(
    states: AsyncIterator[Resource], done: AsyncDone[Resource] | None, heartbeat: float
) -> AsyncGenerator[str, None]:
    yield _RETRY
    waiting: asyncio.Future[Resource] | None = None
    try:
        while True:
            waiting = waiting or asyncio.ensure_future(anext(states))
            if not (await asyncio.wait([waiting], timeout=heartbeat))[0]:
                yield _HEARTBEAT
                continue
            try:
                state, waiting = waiting.result(), None
            except StopAsyncIteration:
                return
            except AuthyError as error:
                for line in _failed(error):
                    yield line
                return
            word = _word(state)
            told = await _next(state, done) if word in ("completed", "approved") else {}
            for line in _event(state, word, told):
                yield line
            if _ended(state):
                return
    finally:
        if waiting is not None:
            waiting.cancel()
            await asyncio.wait([waiting])
            # Read, since asyncio complains about errors that nobody has seen.
            waiting.cancelled() or waiting.exception()
        if isinstance(states, AsyncGenerator):
            await states.aclose()


def _lines(states: Iterator[Resource], done: AsyncDone[Resource] | None) -> Generator[str, None, None]:
    yield _RETRY
    try:
        for state in states:
            word = _word(state)
            told = _sync_next(state, done) if word in ("completed", "approved") else {}
            yield from _event(state, word, told)
            if _ended(state):
                return
    except AuthyError as error:
        yield from _failed(error)
    finally:
        if isinstance(states, Generator):
            states.close()


def _word(state: Enrollment | Approval) -> str:
    return enrollment_state(state) if isinstance(state, Enrollment) else approval_state(state)


def _ended(state: Enrollment | Approval) -> bool:
    return state.state in (ENDED_ENROLLMENT if isinstance(state, Enrollment) else ENDED_APPROVAL)


def _event(state: Enrollment | Approval, word: str, told: dict[str, str]) -> Iterator[str]:
    """The event of a state; a comment where it is a heartbeat of the watcher, or of a later version."""
    if not word:
        yield _HEARTBEAT
        return
    yield f"id: {state.revision}\ndata: {json.dumps({'state': word} | told)}\n\n"


def _failed(error: AuthyError) -> Iterator[str]:
    if isinstance(error, NotFound):
        yield f"data: {json.dumps({'state': 'canceled'})}\n\n"
    else:
        _log.warning("sse: the service cannot be watched (%s); the browser comes back", error.code.name)


async def _next(state: Resource, done: AsyncDone[Resource] | None) -> dict[str, str]:
    try:
        told = done(state) if done is not None else None
        return _told(await told if inspect.isawaitable(told) else told)
    except ReceiptError as error:
        return _unverified(error)


def _sync_next(state: Resource, done: AsyncDone[Resource] | None) -> dict[str, str]:
    try:
        told = done(state) if done is not None else None
    except ReceiptError as error:
        return _unverified(error)
    if inspect.iscoroutine(told):
        told.close()
        raise TypeError("done: a coroutine needs the watcher of an AsyncClient")
    return _told(told)


def _told(next: object) -> dict[str, str]:
    return {"next": next} if next and isinstance(next, str) else {}


def _unverified(error: ReceiptError) -> dict[str, str]:
    _log.warning("sse: an approval does not verify: %s", error)
    return {"state": "failed"}
