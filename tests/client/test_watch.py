"""Watchers of one thing, and what holds for all: they resume by themselves, and lose and repeat nothing."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from threading import Thread
from typing import Any

import grpc
import pytest

from authy_grpc.client import AsyncClient, AuthyError, Client, NotFound
from authy_grpc.v1 import approval_pb2, enrollment_pb2
from authy_grpc.v1.approval_pb2 import Approval, WatchApprovalRequest, WatchApprovalResponse
from authy_grpc.v1.enrollment_pb2 import Enrollment, WatchEnrollmentRequest, WatchEnrollmentResponse
from authy_grpc.v1.event_pb2 import (
    Event,
    ListEventsRequest,
    ListEventsResponse,
    WatchEventsRequest,
    WatchEventsResponse,
)
from tests.threads import Event as Flag

PENDING = enrollment_pb2.ENROLLMENT_STATE_PENDING
SCANNED = enrollment_pb2.ENROLLMENT_STATE_SCANNED
COMPLETED = enrollment_pb2.ENROLLMENT_STATE_COMPLETED


def _enrollment(revision: int, state: enrollment_pb2.EnrollmentState.ValueType) -> WatchEnrollmentResponse:
    return WatchEnrollmentResponse(enrollment=Enrollment(revision=revision, state=state))


def test_an_enrollment_is_watched_to_its_end_across_breaks(serve: Any, refuse: Any, caller: Any) -> None:
    asked = []

    def watch(request: WatchEnrollmentRequest, context: grpc.ServicerContext) -> Any:
        asked.append((request.enrollment_id, request.after_revision))
        if len(asked) == 1:
            yield _enrollment(1, PENDING)
            yield _enrollment(2, SCANNED)
            refuse(context, "DRAINING")
        elif len(asked) == 2:
            refuse(context, "BACKEND")
        yield _enrollment(2, SCANNED)
        yield _enrollment(4, COMPLETED)
        yield _enrollment(5, COMPLETED)

    states = caller.take(None, serve(WatchEnrollment=watch), "watch_enrollment", "enr_1")
    assert [(state.revision, state.state) for state in states] == [(1, PENDING), (2, SCANNED), (4, COMPLETED)]
    assert asked == [("enr_1", 0), ("enr_1", 2), ("enr_1", 2)]


@pytest.mark.parametrize("state", approval_pb2.ApprovalState.values()[2:])
def test_an_approval_is_watched_to_each_of_its_ends(serve: Any, caller: Any, state: Any) -> None:
    canceled = Flag()

    def watch(request: WatchApprovalRequest, context: grpc.ServicerContext) -> Any:
        context.add_callback(canceled.set)
        yield WatchApprovalResponse(approval=Approval(revision=4, state=approval_pb2.APPROVAL_STATE_PENDING))
        yield WatchApprovalResponse(approval=Approval(revision=5, state=state))
        canceled.wait()

    approvals = caller.take(None, serve(WatchApproval=watch), "watch_approval", "apr_1", 3, left=canceled)
    assert [approval.revision for approval in approvals] == [4, 5]


@pytest.mark.parametrize("state", enrollment_pb2.EnrollmentState.values()[4:])
def test_an_enrollment_has_each_of_its_ends(serve: Any, caller: Any, state: Any) -> None:
    def watch(request: WatchEnrollmentRequest, context: grpc.ServicerContext) -> Any:
        yield _enrollment(1, state)
        yield _enrollment(2, state)

    assert len(caller.take(None, serve(WatchEnrollment=watch), "watch_enrollment", "enr_1")) == 1


def test_what_was_seen_to_its_end_is_quiet(serve: Any, caller: Any) -> None:
    def watch(request: WatchEnrollmentRequest, context: grpc.ServicerContext) -> Any:
        return iter(())

    assert caller.take(None, serve(WatchEnrollment=watch), "watch_enrollment", "enr_1", 7) == []
    assert caller.sleeps == []


def test_another_error_ends_a_watcher(serve: Any, refuse: Any, caller: Any) -> None:
    asked = []

    def watch(request: WatchEnrollmentRequest, context: grpc.ServicerContext) -> Any:
        asked.append(request)
        yield _enrollment(1, PENDING)
        refuse(context, "NOT_FOUND", "NOT_FOUND")

    with pytest.raises(NotFound):
        caller.take(None, serve(WatchEnrollment=watch), "watch_enrollment", "enr_1")
    assert len(asked) == 1


def test_waits_grow_and_begin_again_after_progress(serve: Any, refuse: Any, caller: Any) -> None:
    streams = [0, 0, 0, 0, 1, 0, 2]

    def watch(request: WatchEnrollmentRequest, context: grpc.ServicerContext) -> Any:
        revision = streams.pop(0)
        if revision:
            yield _enrollment(revision, COMPLETED if revision == 2 else PENDING)
        refuse(context, "DRAINING")

    caller.take(None, serve(WatchEnrollment=watch), "watch_enrollment", "enr_1")
    for wait, longest in zip(caller.sleeps, (0.1, 0.2, 0.4, 0.8, 0.1, 0.2), strict=True):
        assert longest / 2 <= wait <= longest


@pytest.mark.parametrize("watcher", ["watch_enrollment", "watch_events"])
def test_a_watcher_that_is_left_ends_its_call(serve: Any, caller: Any, watcher: str) -> None:
    canceled = Flag()

    def enrollment(request: WatchEnrollmentRequest, context: grpc.ServicerContext) -> Any:
        context.add_callback(canceled.set)
        yield _enrollment(1, PENDING)
        canceled.wait()

    def events(request: WatchEventsRequest, context: grpc.ServicerContext) -> Any:
        context.add_callback(canceled.set)
        yield WatchEventsResponse(cursor="1", event=Event(event_id="evt_1"))
        canceled.wait()

    target = serve(WatchEnrollment=enrollment, WatchEvents=events)
    assert len(caller.take(1, target, watcher, "at", left=canceled)) == 1


def test_a_server_that_comes_back_is_found(serve: Any, caller: Any) -> None:
    """The first server dies in the middle of a stream, and another takes its port."""
    server = grpc.server(ThreadPoolExecutor(4), options=[("grpc.so_reuseport", 0)])
    port = server.add_insecure_port("127.0.0.1:0")
    asked = []

    def watch(request: WatchEnrollmentRequest, context: grpc.ServicerContext) -> Any:
        asked.append(request.after_revision)
        if request.after_revision == 0:
            yield _enrollment(1, PENDING)
            Thread(target=restart).start()
            died.wait()
        else:
            yield _enrollment(2, COMPLETED)

    died = Flag()
    handler = grpc.unary_stream_rpc_method_handler(
        watch, WatchEnrollmentRequest.FromString, WatchEnrollmentResponse.SerializeToString
    )
    service = "authy_grpc.v1.EnrollmentService"
    generic = grpc.method_handlers_generic_handler(service, {"WatchEnrollment": handler})
    server.add_generic_rpc_handlers((generic,))

    def restart() -> None:
        server.stop(None).wait()
        died.set()
        serve(port, WatchEnrollment=watch)

    server.start()
    states = caller.take(None, f"127.0.0.1:{port}", "watch_enrollment", "enr_1")
    assert [state.revision for state in states] == [1, 2]
    assert asked == [0, 1]


def test_closing_the_client_ends_its_watchers_with_an_error(serve: Any) -> None:
    held = Flag()

    def watch(request: WatchEnrollmentRequest, context: grpc.ServicerContext) -> Any:
        context.add_callback(held.set)
        yield _enrollment(1, PENDING)
        held.wait()

    target = serve(WatchEnrollment=watch)
    client = Client(target, "ak_1")
    states = client.watch_enrollment("enr_1")
    next(states)
    Thread(target=client.close).start()
    with pytest.raises(AuthyError) as caught:
        next(states)
    assert caught.value.code is grpc.StatusCode.CANCELLED


def test_closing_the_async_client_ends_its_watchers_and_not_their_task(serve: Any) -> None:
    held = Flag()

    def watch(request: WatchEnrollmentRequest, context: grpc.ServicerContext) -> Any:
        context.add_callback(held.set)
        yield _enrollment(1, PENDING)
        held.wait()

    async def go(target: str) -> None:
        client = AsyncClient(target, "ak_1")
        states = client.watch_enrollment("enr_1")
        await anext(states)
        waiting = asyncio.ensure_future(anext(states))
        await asyncio.sleep(0)
        await client.close()
        with pytest.raises(AuthyError) as caught:
            await waiting
        assert caught.value.code is grpc.StatusCode.CANCELLED

    asyncio.run(go(serve(WatchEnrollment=watch)))


def test_a_canceled_task_is_canceled_in_a_watcher_and_in_a_call(serve: Any) -> None:
    held = [Flag(), Flag()]

    def watch(request: WatchEventsRequest, context: grpc.ServicerContext) -> Any:
        context.add_callback(held[0].set)
        yield WatchEventsResponse(cursor="1", event=Event(event_id="evt_1"))
        held[0].wait()

    def list_events(request: ListEventsRequest, context: grpc.ServicerContext) -> ListEventsResponse:
        context.add_callback(held[1].set)
        held[1].wait()
        return ListEventsResponse()

    async def go(target: str) -> None:
        async with AsyncClient(target, "ak_1") as client:
            feed = client.watch_events("0")
            await anext(feed)
            for wait in (anext(feed), client.events.ListEvents(ListEventsRequest())):
                task = asyncio.ensure_future(wait)
                await asyncio.sleep(0)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task

    asyncio.run(go(serve(WatchEvents=watch, ListEvents=list_events)))
    assert held[0].wait(5)
